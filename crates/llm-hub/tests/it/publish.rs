//! What goes onto the hub, and what must not.

use std::fs;
use std::path::Path;

use llm_hub::publish::plan;
use llm_hub::token::Token;
use llm_hub::{Error, HubId, publish};

const CARD: &str = "---\nlicense: mit\nbase_model: org/base\ntags: [a, b]\n---\n# x\n";

/// A folder that may be published.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "README.md", CARD);
    put(dir.path(), "model.safetensors", "weights");
    put(dir.path(), "config.json", "{}");
    put(dir.path(), "sub/tokenizer.json", "{}");
    dir
}

fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn refusal(folder: &Path) -> Error {
    let error = plan(folder).unwrap_err();
    assert!(!error.to_string().contains('\n'), "{error}");
    assert_eq!(error.exit_code(), 2, "{error}");
    error
}

#[test]
fn a_plan_has_every_file_with_its_size_and_hash_and_no_hidden_one() {
    let dir = folder();
    put(dir.path(), ".git/config", "secret");
    put(dir.path(), ".env", "secret");
    let plan = plan(dir.path()).unwrap();
    let names: Vec<&str> = plan.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "README.md",
            "config.json",
            "model.safetensors",
            "sub/tokenizer.json"
        ]
    );
    assert_eq!(plan.left_out, [".env", ".git"]);
    assert_eq!(
        (plan.files[2].size, plan.bytes()),
        (7, 7 + 2 + 2 + CARD.len() as u64)
    );
    // printf weights | sha256sum
    assert_eq!(
        plan.files[2].sha256,
        "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    );
    assert_eq!(
        (plan.card.license.as_str(), plan.card.tags.len()),
        ("mit", 2)
    );
    assert_eq!(plan.card.base_model, ["org/base"]);
}

#[test]
fn pickles_tokens_and_folders_without_weights_or_licence_are_refused() {
    for (name, text, part) in [
        ("optimizer.pt", "x", "pickle"),
        ("sub/pytorch_model.BIN", "x", "pickle"),
        (
            "notes.txt",
            "export HF_TOKEN=hf_AbCdEfGhIjKlMnOpQrStUv",
            "a token",
        ),
        ("README.md", "# no licence\n", "no first block"),
        ("README.md", "---\ntags: [a]\n---\n", "no `license`"),
    ] {
        let dir = folder();
        put(dir.path(), name, text);
        let error = refusal(dir.path());
        let message = error.to_string();
        assert!(
            message.contains(part) && message.contains(name),
            "{message}"
        );
        assert!(
            error.hint().is_some() && !message.contains("hf_A"),
            "{message}"
        );
    }
    let dir = folder();
    fs::remove_file(dir.path().join("README.md")).unwrap();
    let error = refusal(dir.path());
    assert!(error.hint().unwrap().contains("--license"), "{error}");
    let dir = folder();
    fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    assert!(
        refusal(dir.path())
            .to_string()
            .contains("no safetensors or GGUF")
    );
    refusal(&dir.path().join("config.json"));
    refusal(&dir.path().join("nothing"));
}

#[cfg(unix)]
#[test]
fn links_and_pipes_are_refused_wherever_they_lead() {
    for target in ["/etc/passwd", "config.json", "..", "nowhere"] {
        let dir = folder();
        std::os::unix::fs::symlink(target, dir.path().join("sub/link.json")).unwrap();
        let error = refusal(dir.path());
        assert!(
            error.to_string().contains("sub/link.json: is a link"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("cp -rL"), "{error}");
    }
    let dir = folder();
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(
        refusal(dir.path())
            .to_string()
            .contains("not a regular file")
    );
}

#[test]
fn an_upload_needs_a_build_that_can_and_a_network() {
    let dir = folder();
    let plan = plan(dir.path()).unwrap();
    let id = HubId::parse("org/name").unwrap();
    let get = |name: &str| (name == "HF_TOKEN").then(|| "hf_abcdefghijklmnopqrst".to_owned());
    let token = Token::find(&get, None).unwrap();
    let offline = |name: &str| (name == "HF_HUB_OFFLINE").then(|| "1".to_owned());
    let error = publish::upload(&plan, &id, &token, false, offline).unwrap_err();
    assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
    if !publish::CAN_UPLOAD {
        let error = publish::upload(&plan, &id, &token, false, |_| None).unwrap_err();
        assert!(error.hint().unwrap().contains("--features hub"), "{error}");
    }
}
