//! Model folders: names, shards, ties, links, and what is said when something is wrong.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use llm_store::{ModelFolder, SaveOptions, save_model};

use crate::support::{
    GPT2, LLAMA, Tensors, assert_error, assert_same, llama_tensors, model_folder, named, tensor,
    write_tensors,
};

fn open(config: &str, tensors: &Tensors) -> llm_store::Result<Tensors> {
    let dir = tempfile::tempdir().unwrap();
    let folder = model_folder(dir.path(), config, tensors);
    ModelFolder::open(&folder).and_then(|model| model.tensors())
}

fn renamed(tensors: &Tensors, name: impl Fn(&str) -> String) -> Tensors {
    tensors
        .iter()
        .map(|(key, tensor)| (name(key), tensor.clone()))
        .collect()
}

#[test]
fn gpt2_names_are_the_same_with_and_without_the_prefix_and_buffers_go() {
    let full = named(&[
        ("transformer.wte.weight", &[6, 4]),
        ("transformer.wpe.weight", &[16, 4]),
        ("transformer.h.0.attn.c_attn.weight", &[4, 12]),
        ("transformer.h.0.attn.c_attn.bias", &[12]),
        ("transformer.ln_f.weight", &[4]),
    ]);
    let mut bare = renamed(&full, |name| name.trim_start_matches("transformer.").into());
    let mask = Tensor::zeros((1, 1, 16, 16), DType::U8, &Device::Cpu).unwrap();
    bare.insert("h.0.attn.bias".into(), mask);
    bare.insert("h.0.attn.masked_bias".into(), tensor("mask", &[1]));
    assert_same(&open(GPT2, &full).unwrap(), &full);
    assert_same(&open(GPT2, &bare).unwrap(), &full);
}

#[test]
fn llama_names_get_their_prefix_and_rotary_buffers_go() {
    let full = llama_tensors();
    let mut bare = renamed(&full, |name| name.trim_start_matches("model.").into());
    bare.insert(
        "layers.0.self_attn.rotary_emb.inv_freq".into(),
        tensor("freq", &[1]),
    );
    assert_same(&open(LLAMA, &bare).unwrap(), &full);
}

#[test]
fn one_tensor_under_two_names_is_refused() {
    let mut both = llama_tensors();
    both.insert("norm.weight".into(), tensor("norm", &[4]));
    assert_error(open(LLAMA, &both), "model.safetensors", "is also stored as");
}

#[test]
fn a_tied_head_may_be_absent_or_repeated_but_not_another() {
    let tied = LLAMA.replace("false", "true");
    let mut tensors = llama_tensors();
    tensors.remove("lm_head.weight");
    assert_same(&open(&tied, &tensors).unwrap(), &tensors);
    let mut repeated = tensors.clone();
    repeated.insert(
        "lm_head.weight".into(),
        tensors["model.embed_tokens.weight"].clone(),
    );
    assert_same(&open(&tied, &repeated).unwrap(), &tensors);
    repeated.insert("lm_head.weight".into(), tensor("another", &[6, 4]));
    assert_error(
        open(&tied, &repeated),
        "model.safetensors",
        "differs from the embedding",
    );
}

#[test]
fn not_a_number_in_a_weight_is_a_numerical_error() {
    let mut tensors = llama_tensors();
    let nan = Tensor::new(&[0f32, f32::NAN, 0.0, 0.0], &Device::Cpu).unwrap();
    tensors.insert("model.norm.weight".into(), nan);
    let error = assert_error(
        open(LLAMA, &tensors),
        "model.safetensors",
        "`model.norm.weight` holds NaN at flat index 1",
    );
    assert_eq!(error.exit_code(), 4);
    let dir = tempfile::tempdir().unwrap();
    let folder = model_folder(dir.path(), LLAMA, &tensors);
    assert_eq!(
        ModelFolder::open(&folder)
            .unwrap()
            .tensors_with(false)
            .unwrap()
            .len(),
        4
    );
}

#[test]
fn what_is_missing_is_named_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let error = assert_error(
        ModelFolder::open(&dir.path().join("none")),
        "none",
        "a model folder",
    );
    assert!(error.hint().unwrap().contains("org/name"));
    let error = assert_error(ModelFolder::open(dir.path()), "config.json", "not found");
    assert!(error.hint().unwrap().contains("model.safetensors"));
    fs::write(dir.path().join("config.json"), LLAMA).unwrap();
    let error = assert_error(
        ModelFolder::open(dir.path()),
        "model.safetensors",
        "not found",
    );
    assert!(error.hint().unwrap().contains("index.json"));
    write_tensors(&dir.path().join("model.safetensors"), &llama_tensors());
    let model = ModelFolder::open(dir.path()).unwrap();
    assert_error(model.tokenizer(), "tokenizer.json", "not found");
    assert!(model.tokenizer_config().unwrap().is_none());
    assert!(model.generation_config().unwrap().is_none());
    fs::write(dir.path().join("config.json"), "{").unwrap();
    assert_error(ModelFolder::open(dir.path()), "config.json", "");
}

#[test]
fn other_formats_are_refused_by_name() {
    for (name, word, hint) in [
        ("pytorch_model.bin", "pickle", "save_pretrained"),
        ("consolidated.00.pth", "pickle", "save_pretrained"),
        ("model.ckpt", "pickle", "save_pretrained"),
        ("weights.pt", "pickle", "save_pretrained"),
        ("model.gguf", "GGUF", "safetensors"),
        ("model.GGML", "GGML", "safetensors"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), LLAMA).unwrap();
        let file = dir.path().join(name);
        fs::write(&file, "x").unwrap();
        for path in [dir.path(), &file] {
            let error = assert_error(ModelFolder::open(path), name, word);
            assert!(error.hint().unwrap().contains(hint));
        }
    }
}

/// A folder with an index of this text and the shard `a.safetensors`.
fn sharded(dir: &Path, index: &str) -> llm_store::Result<ModelFolder> {
    fs::write(dir.join("config.json"), LLAMA).unwrap();
    write_tensors(&dir.join("a.safetensors"), &named(&[("w", &[2])]));
    fs::write(dir.join("model.safetensors.index.json"), index).unwrap();
    ModelFolder::open(dir)
}

#[test]
fn an_index_cannot_name_files_elsewhere_or_lie() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    write_tensors(
        &dir.path().join("outside.safetensors"),
        &named(&[("w", &[2])]),
    );
    let index = "model.safetensors.index.json";
    let outside = dir.path().join("outside.safetensors");
    for shard in [
        "../outside.safetensors",
        outside.to_str().unwrap(),
        "./a.safetensors",
        "..",
        "",
        "b\\\\a.safetensors",
        "config.json",
    ] {
        let text = format!(r#"{{"weight_map": {{"w": "{shard}"}}}}"#);
        assert_error(sharded(&inner, &text), index, "expected a plain file name");
    }
    let cases = [
        (
            r#"{"weight_map": {"w": "none.safetensors"}}"#,
            "none.safetensors",
            "not found",
        ),
        (
            r#"{"weight_map": {"v": "a.safetensors"}}"#,
            "a.safetensors",
            "`w`: is in the shard, but",
        ),
        (
            r#"{"weight_map": {"v": "a.safetensors", "w": "a.safetensors"}}"#,
            index,
            "`v`: is not in `a.safetensors`",
        ),
        (
            r#"{"weight_map": {"w": "a.safetensors", "w": "a.safetensors"}}"#,
            index,
            "stands twice",
        ),
        (r#"{"weight_map": {}}"#, index, "names no tensor"),
        (r#"{}"#, index, "weight_map"),
    ];
    for (text, file, part) in cases {
        assert_error(sharded(&inner, text), file, part);
    }
    let good = r#"{"metadata": {"total_size": 8}, "weight_map": {"w": "a.safetensors"}}"#;
    assert_eq!(sharded(&inner, good).unwrap().infos().count(), 1);
}

#[test]
fn a_tensor_that_the_index_does_not_have_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let index = r#"{"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}"#;
    write_tensors(
        &dir.path().join("b.safetensors"),
        &named(&[("v", &[2]), ("extra", &[1])]),
    );
    assert_error(sharded(dir.path(), index), "b.safetensors", "`extra`");
    write_tensors(
        &dir.path().join("b.safetensors"),
        &named(&[("v", &[2]), ("w", &[2])]),
    );
    assert_error(sharded(dir.path(), index), "b.safetensors", "`w`");
}

#[cfg(unix)]
#[test]
fn links_may_lead_into_the_hub_cache_and_nowhere_else() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("models--org--name");
    let (snapshot, blobs) = (repository.join("snapshots/abc"), repository.join("blobs"));
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join("1"), LLAMA).unwrap();
    write_tensors(&blobs.join("2"), &llama_tensors());
    symlink("../../blobs/1", snapshot.join("config.json")).unwrap();
    symlink("../../blobs/2", snapshot.join("model.safetensors")).unwrap();
    assert_eq!(
        ModelFolder::open(&snapshot)
            .unwrap()
            .tensors()
            .unwrap()
            .len(),
        4
    );

    let plain = dir.path().join("plain");
    fs::create_dir(&plain).unwrap();
    fs::write(plain.join("config.json"), LLAMA).unwrap();
    symlink(blobs.join("2"), plain.join("model.safetensors")).unwrap();
    let error = assert_error(
        ModelFolder::open(&plain),
        "model.safetensors",
        "leaves its folder",
    );
    assert!(error.hint().unwrap().contains("cp -rL"));
    fs::remove_file(plain.join("config.json")).unwrap();
    symlink("/etc/passwd", plain.join("config.json")).unwrap();
    assert_error(
        ModelFolder::open(&plain),
        "config.json",
        "leaves its folder",
    );
    // A link to the folder itself is the user's own choice, and so is one inside the folder
    let alias = dir.path().join("alias");
    symlink(&snapshot, &alias).unwrap();
    assert!(ModelFolder::open(&alias).is_ok());
}

#[test]
fn a_failed_save_leaves_nothing_and_an_old_folder_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("out");
    let entries = || fs::read_dir(dir.path()).unwrap().count();
    let options = SaveOptions::default();
    assert_error(
        save_model(&folder, "{", &llama_tensors(), &options),
        "config.json",
        "",
    );
    assert_error(
        save_model(&folder, LLAMA, &Tensors::new(), &options),
        "model.safetensors",
        "no tensors",
    );
    let copy = vec![dir.path().join("none.json")];
    let missing = SaveOptions {
        copy,
        ..SaveOptions::default()
    };
    assert_error(
        save_model(&folder, LLAMA, &llama_tensors(), &missing),
        "none.json",
        "not found",
    );
    assert_eq!(entries(), 0, "something half-written was left");

    save_model(&folder, LLAMA, &llama_tensors(), &options).unwrap();
    let again = save_model(
        &folder,
        LLAMA,
        &named(&[("model.norm.weight", &[4])]),
        &options,
    );
    assert_error(again, "out", "exists already");
    assert_same(
        &ModelFolder::open(&folder).unwrap().tensors().unwrap(),
        &llama_tensors(),
    );
    let overwrite = SaveOptions {
        overwrite: true,
        ..SaveOptions::default()
    };
    let other = named(&[("model.norm.weight", &[4])]);
    save_model(&folder, LLAMA, &other, &overwrite).unwrap();
    assert_same(
        &ModelFolder::open(&folder).unwrap().tensors().unwrap(),
        &other,
    );
    assert_eq!(entries(), 1, "a temporary folder was left");
}
