//! Adapters in PEFT's layout: what PEFT wrote, what we write, what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use llm_core::config::Family;
use llm_core::lora::LoraConfig;
use llm_store::adapter::{AdapterConfig, read, write};

use crate::support::{Tensors, assert_error, assert_same, named, tensor, write_tensors};

const Q: &str = "base_model.model.model.layers.0.self_attn.q_proj";
const V: &str = "base_model.model.model.layers.0.self_attn.v_proj";

fn config() -> AdapterConfig {
    let lora = LoraConfig {
        r: 2,
        lora_alpha: 8.0,
        lora_dropout: 0.05,
        target_modules: vec!["q_proj".into(), "v_proj".into()],
        use_rslora: false,
        use_dora: false,
    };
    AdapterConfig::of(&lora, "org/base", Family::Qwen3)
}

fn tensors() -> Tensors {
    named(&[
        (&format!("{Q}.lora_A.weight"), &[2, 4]),
        (&format!("{Q}.lora_B.weight"), &[8, 2]),
        (&format!("{V}.lora_A.weight"), &[2, 4]),
        (&format!("{V}.lora_B.weight"), &[4, 2]),
    ])
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

#[test]
fn a_written_adapter_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("adapter");
    write(&folder, &config(), &tensors(), false).unwrap();
    let adapter = read(&folder).unwrap();
    assert_eq!(adapter.config, config());
    assert_same(&adapter.tensors, &tensors());
    assert_eq!(
        adapter.modules().into_iter().collect::<Vec<_>>(),
        [Q, V].map(|m| &m["base_model.model.".len()..])
    );
    assert_error(
        write(&folder, &config(), &tensors(), false),
        "adapter",
        "exists already",
    );
    write(&folder, &config(), &tensors(), true).unwrap();
}

#[test]
fn adapters_written_by_peft_load() {
    let list = read(&fixture("peft_list")).unwrap();
    assert_eq!((list.config.lora.r, list.config.lora.lora_alpha), (4, 8.0));
    assert!(!list.config.lora.use_rslora);
    let mut targets = list.config.lora.target_modules.clone();
    targets.sort();
    assert_eq!(targets, ["q_proj", "v_proj"]);
    assert_eq!(list.tensors.len(), 8);

    // The pattern matched layer 1's k_proj and all o_proj; the paths come from the tensors
    let pattern = read(&fixture("peft_pattern")).unwrap();
    assert!(pattern.config.lora.use_rslora);
    let expected = [
        "model.layers.0.self_attn.o_proj",
        "model.layers.1.self_attn.k_proj",
        "model.layers.1.self_attn.o_proj",
    ];
    assert_eq!(pattern.config.lora.target_modules, expected);

    let dora = read(&fixture("peft_dora")).unwrap();
    assert!(dora.config.lora.use_dora && !pattern.config.lora.use_dora);
    let magnitude = dora.magnitude("model.layers.1.self_attn.v_proj").unwrap();
    assert_eq!((magnitude.dims(), dora.tensors.len()), (&[4][..], 12));

    let gpt2 = read(&fixture("peft_gpt2")).unwrap();
    assert!(gpt2.config.fan_in_fan_out);
    assert!(gpt2.modules().contains("transformer.h.0.attn.c_attn"));
}

/// Our adapter's folder with a changed configuration.
fn edited(dir: &Path, from: &str, to: &str) -> PathBuf {
    let folder = dir.join("adapter");
    write(&folder, &config(), &tensors(), true).unwrap();
    let path = folder.join("adapter_config.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
    folder
}

#[test]
fn features_that_change_the_arithmetic_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (from, to, part) in [
        ("\"LORA\"", "\"IA3\"", "`peft_type` is \"IA3\""),
        (
            "\"rank_pattern\": {}",
            "\"rank_pattern\": {\"q_proj\": 4}",
            "`rank_pattern`",
        ),
        (
            "\"alpha_pattern\": {}",
            "\"alpha_pattern\": {\"q_proj\": 4}",
            "`alpha_pattern`",
        ),
        (
            "\"modules_to_save\": null",
            "\"modules_to_save\": [\"lm_head\"]",
            "`modules_to_save`",
        ),
        (
            "\"bias\": \"none\"",
            "\"bias\": \"all\"",
            "`bias` is \"all\"",
        ),
        (
            "\"layers_to_transform\": null",
            "\"layers_to_transform\": [0]",
            "`layers_to_transform`",
        ),
        (
            "\"init_lora_weights\": true",
            "\"init_lora_weights\": \"pissa\"",
            "`init_lora_weights`",
        ),
    ] {
        let error = assert_error(
            read(&edited(dir.path(), from, to)),
            "adapter_config.json",
            part,
        );
        assert!(error.hint().unwrap().contains("merge_and_unload"));
        assert!(error.to_string().contains("not supported"));
    }
}

#[test]
fn wrong_values_are_named_and_unknown_keys_are_tolerated() {
    let dir = tempfile::tempdir().unwrap();
    for (from, to, part) in [
        ("\"r\": 2", "\"r\": 0", "`r` is 0"),
        ("\"r\": 2", "\"r\": 2.5", "`r` is 2.5"),
        ("\"r\": 2", "\"r\": 1e9", "`r`"),
        ("\"r\": 2", "\"r\": 2, \"r\": 2", "`r` stands twice"),
        ("\"lora_alpha\": 8", "\"lora_alpha\": -8", "`lora_alpha`"),
        (
            "\"lora_dropout\": 0.05",
            "\"lora_dropout\": 1.0",
            "`lora_dropout`",
        ),
        (
            "\"use_rslora\": false",
            "\"use_rslora\": \"no\"",
            "`use_rslora`",
        ),
        ("\"q_proj\"", "7", "`target_modules`"),
    ] {
        assert_error(
            read(&edited(dir.path(), from, to)),
            "adapter_config.json",
            part,
        );
    }
    let newer = edited(
        dir.path(),
        "\"r\": 2",
        "\"r\": 2, \"a_key_of_next_year\": {\"x\": [1]}",
    );
    assert_eq!(read(&newer).unwrap().config, config());
}

#[test]
fn excluded_modules_leave_the_paths_that_the_file_has() {
    let dir = tempfile::tempdir().unwrap();
    let folder = edited(
        dir.path(),
        "\"r\": 2",
        "\"r\": 2, \"exclude_modules\": [\"k_proj\"]",
    );
    let expected = [Q, V].map(|module| module["base_model.model.".len()..].to_string());
    assert_eq!(read(&folder).unwrap().config.lora.target_modules, expected);
}

#[test]
fn tensors_must_belong_to_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let q_a = format!("{Q}.lora_A.weight");
    let change = |name: &str, shape: &[usize]| {
        let folder = dir.path().join("adapter");
        write(&folder, &config(), &tensors(), true).unwrap();
        let mut changed = tensors();
        changed.insert(name.to_string(), tensor(name, shape));
        write_tensors(&folder.join("adapter_model.safetensors"), &changed);
        (read(&folder), changed)
    };
    let other = Q.replace("q_proj", "k_proj");
    for (name, shape, part) in [
        (q_a.as_str(), &[3, 4][..], "[r, in] with r = 2"),
        (
            &format!("{Q}.lora_B.weight"),
            &[8, 3],
            "[out, r] with r = 2",
        ),
        (&q_a, &[8], "[r, in]"),
        (&format!("{other}.lora_A.weight"), &[2, 4], "has no partner"),
        (
            "base_model.model.lm_head.weight",
            &[2, 4],
            "expected base_model.model.<module>",
        ),
        (
            &format!("{Q}.lora_magnitude_vector"),
            &[8],
            "expected base_model.model.<module>",
        ),
    ] {
        let (result, changed) = change(name, shape);
        assert_error(result, "adapter_model.safetensors", part);
        let out = dir.path().join("never");
        assert_error(
            write(&out, &config(), &changed, false),
            "adapter_model.safetensors",
            part,
        );
        assert!(!out.exists());
    }
    let only_v = edited(dir.path(), "\"q_proj\"", "\"up_proj\"");
    assert_error(
        read(&only_v),
        "adapter_model.safetensors",
        "not among the target_modules",
    );
}

#[test]
fn lengths_belong_to_dora_and_have_to_fit() {
    let dir = tempfile::tempdir().unwrap();
    // With DoRA the same tensors lack their lengths, and lengths have to fit.
    let without = edited(dir.path(), "\"use_dora\": false", "\"use_dora\": true");
    assert_error(read(&without), "lora_A.weight", "lora_magnitude_vector`");
    let mut dora = config();
    dora.lora.use_dora = true;
    let lengths = |rows: usize| {
        let mut tensors = tensors();
        for (module, rows) in [(Q, rows), (V, 4)] {
            let name = format!("{module}.lora_magnitude_vector");
            tensors.insert(name.clone(), tensor(&name, &[rows]));
        }
        tensors
    };
    let folder = dir.path().join("dora");
    assert_error(
        write(&folder, &dora, &lengths(7), false),
        "lora_magnitude_vector",
        "expected [8]",
    );
    write(&folder, &dora, &lengths(8), false).unwrap();
    let adapter = read(&folder).unwrap();
    assert_eq!(adapter.config, dora);
    assert_same(&adapter.tensors, &lengths(8));
}

#[test]
fn missing_files_and_pickles_are_named() {
    let dir = tempfile::tempdir().unwrap();
    assert_error(read(dir.path()), "adapter_config.json", "not found");
    let folder = edited(dir.path(), "\"r\": 2", "\"r\": 2");
    fs::remove_file(folder.join("adapter_model.safetensors")).unwrap();
    assert_error(read(&folder), "adapter_model.safetensors", "not found");
    fs::write(folder.join("adapter_model.bin"), "x").unwrap();
    let error = assert_error(read(&folder), "adapter_model.bin", "pickle");
    assert!(error.hint().unwrap().contains("save_pretrained"));
}
