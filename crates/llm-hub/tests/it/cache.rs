//! Folders first, then the cache, then a command that helps.

use std::fs;

use llm_hub::Error;

use crate::support::{COMMIT, cached, hub};

const MODEL: [(&str, &str); 2] = [("config.json", "{}"), ("model.safetensors", "x")];

#[test]
fn an_existing_folder_wins_over_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    cached(dir.path(), "main", &MODEL);
    let cache = dir.path().to_str().unwrap();
    let found = hub(&[("HF_HUB_CACHE", cache)]).resolve(cache).unwrap();
    assert_eq!(found, dir.path());
}

#[test]
fn every_way_to_name_a_cached_model_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    cached(dir.path(), "main", &MODEL);
    cached(dir.path(), "refs/pr/7", &MODEL);
    let cache = dir.path().to_str().unwrap();
    let hub = hub(&[("HF_HUB_CACHE", cache)]);
    let snapshot = dir.path().join("models--org--name/snapshots").join(COMMIT);
    let commit = format!("org/name@{COMMIT}");
    for model in ["org/name", "org/name@main", "org/name@refs/pr/7", &commit] {
        assert_eq!(hub.resolve(model).unwrap(), snapshot, "{model}");
    }
}

#[test]
fn the_cache_stands_where_the_environment_says() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    for (variable, below) in [
        ("HF_HUB_CACHE", ""),
        ("HUGGINGFACE_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
        ("HOME", ".cache/huggingface/hub"),
    ] {
        let cache = dir.path().join(below);
        cached(&cache, "main", &MODEL);
        let found = hub(&[(variable, root), ("HF_HUB_OFFLINE", "1")]).resolve("org/name");
        assert!(found.unwrap().starts_with(&cache), "{variable}");
        fs::remove_dir_all(cache.join("models--org--name")).unwrap();
    }
}

#[test]
fn what_is_not_cached_names_the_command_that_fetches_it() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().to_str().unwrap();
    let offline = hub(&[("HF_HUB_CACHE", cache), ("HF_HUB_OFFLINE", "1")]);
    let error = offline.resolve("org/name@v2").unwrap_err();
    assert!(error.to_string().contains("`org/name@v2`"), "{error}");
    assert!(error.to_string().contains(cache), "{error}");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("HF_HUB_OFFLINE") && hint.contains("hf download org/name --revision v2"),
        "{hint}"
    );
    assert_eq!(error.exit_code(), 2);
    if !llm_hub::CAN_DOWNLOAD {
        let error = hub(&[("HF_HUB_CACHE", cache)])
            .resolve("org/name")
            .unwrap_err();
        assert!(error.hint().unwrap().contains("--features hub"));
    }
    let error = offline.resolve("no-such-folder").unwrap_err();
    assert!(error.to_string().contains("no such folder"), "{error}");
    assert!(matches!(error, Error::Id { .. }));
}

#[test]
fn a_hostile_ref_cannot_lead_out_of_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(&[
        ("HF_HUB_CACHE", dir.path().to_str().unwrap()),
        ("HF_HUB_OFFLINE", "1"),
    ]);
    for text in ["../../../etc", "", "/etc", &"a".repeat(10_000), "0123"] {
        cached(dir.path(), "main", &MODEL);
        fs::write(dir.path().join("models--org--name/refs/main"), text).unwrap();
        let error = hub.resolve("org/name").unwrap_err();
        assert!(matches!(error, Error::Cache { .. }), "{text:.20}: {error}");
        assert!(error.to_string().contains("holds no commit"), "{error}");
    }
    fs::write(
        dir.path().join("models--org--name/refs/main"),
        format!("{COMMIT}\n"),
    )
    .unwrap();
    assert!(hub.resolve("org/name").is_ok());
}

#[test]
fn a_snapshot_is_complete_with_its_configuration_and_every_shard() {
    let dir = tempfile::tempdir().unwrap();
    let complete = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir_in(dir.path()).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        llm_hub::cache::is_complete(folder.path())
    };
    let index = (
        "model.safetensors.index.json",
        r#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#,
    );
    assert!(complete(&MODEL));
    assert!(!complete(&MODEL[..1]));
    assert!(!complete(&MODEL[1..]));
    assert!(!complete(&[MODEL[0], index, ("1.safetensors", "")]));
    assert!(complete(&[
        MODEL[0],
        index,
        ("1.safetensors", ""),
        ("2.safetensors", "")
    ]));
    assert!(complete(&[
        ("adapter_config.json", ""),
        ("adapter_model.safetensors", "")
    ]));
}
