//! The command from outside: what it prints, what it writes, how it fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use llm_core::config::ModelConfig;
use llm_core::lora::{LoraConfig, adapter_tensors, attach};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use llm_core::text::bpe::{PreTokenizer, Trainer};
use llm_show::golden::{Output, Run};
use llm_store::adapter::AdapterConfig;
use llm_store::{SaveOptions, save_model};

/// A model folder and an adapter folder in a temporary place.
pub(crate) struct Fixture {
    root: tempfile::TempDir,
    model: Decoder,
}

const TEXT: &str = "the cat sat on the mat, the dog sat on the log, and the frog sat on them all";

impl Fixture {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let trainer = Trainer::new(300, PreTokenizer::qwen2().unwrap());
        let tokenizer = trainer.train([TEXT]).unwrap();
        let config = ModelConfig::from_json(&format!(
            r#"{{"model_type": "qwen3", "vocab_size": {}, "hidden_size": 16,
                "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
                "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64,
                "tie_word_embeddings": true, "initializer_range": 0.3}}"#,
            tokenizer.vocab_size()
        ))
        .unwrap();
        let (mut model, _) = Decoder::init(&config, 7, Mode::Frozen, DType::F32).unwrap();
        let tokenizer_file = root.path().join("tokenizer.json");
        std::fs::write(&tokenizer_file, tokenizer.to_tokenizer_json()).unwrap();
        let options = SaveOptions {
            copy: vec![tokenizer_file],
            ..SaveOptions::default()
        };
        let tensors = model.named_tensors().unwrap();
        save_model(
            &root.path().join("model"),
            &config.to_json(),
            &tensors,
            &options,
        )
        .unwrap();

        let lora = LoraConfig {
            r: 2,
            lora_alpha: 4.0,
            lora_dropout: 0.0,
            target_modules: vec!["q_proj".into(), "v_proj".into()],
            use_rslora: false,
            use_dora: false,
        };
        let parameters = attach(&mut model, &lora, 1).unwrap();
        for (_, var) in parameters.iter() {
            var.set(&(var.ones_like().unwrap() * 0.1).unwrap()).unwrap();
        }
        let adapter = AdapterConfig::of(&lora, "model", config.family);
        let tensors = adapter_tensors(&parameters, DType::F32).unwrap();
        llm_store::adapter::write(&root.path().join("adapter"), &adapter, &tensors, false).unwrap();
        Self { root, model }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn deeper<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        let run = Run::new(env!("CARGO_BIN_EXE_deeper"))
            .folder(self.root.path())
            .args(args);
        run.output().unwrap()
    }
}

fn read_logits(path: &Path) -> Tensor {
    let file = llm_store::safetensors::SafetensorsFile::open(path).unwrap();
    file.tensor("logits", true).unwrap()
}

/// One line of error, a hint, no trace of a panic.
pub(crate) fn assert_failure(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    for word in words {
        assert!(
            output.stderr.contains(word),
            "`{word}` is not in {}",
            output.stderr
        );
    }
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
}

#[test]
fn logits_are_those_of_the_library_with_and_without_an_adapter() {
    let fixture = Fixture::new();
    let arguments = ["logits", "--model", "model", "--ids", "1,2,3,4", "--out"];
    let plain = fixture.deeper(arguments.into_iter().chain(["plain.safetensors"]));
    assert_eq!(plain.code, Some(0), "{plain:?}");
    let adapted =
        fixture.deeper(
            arguments
                .into_iter()
                .chain(["a.safetensors", "--adapter", "adapter"]),
        );
    assert_eq!(adapted.code, Some(0), "{adapted:?}");

    let ids = Tensor::new(&[[1u32, 2, 3, 4]], &Device::Cpu).unwrap();
    let expected = fixture
        .model
        .forward(&ids, &Pass::eval(Ops::Fused))
        .unwrap()
        .squeeze(0)
        .unwrap();
    let values = |t: &Tensor| t.to_vec2::<f32>().unwrap();
    let found = read_logits(&fixture.path("a.safetensors"));
    assert_eq!(values(&found), values(&expected));
    let base = read_logits(&fixture.path("plain.safetensors"));
    assert_ne!(
        values(&base),
        values(&expected),
        "the adapter must change the logits"
    );
}

#[test]
fn the_same_seed_prints_the_same_continuation() {
    let fixture = Fixture::new();
    let arguments = [
        "generate",
        "--model",
        "model",
        "--prompt",
        "the cat",
        "--max-new-tokens",
        "8",
    ];
    let sample = arguments
        .into_iter()
        .chain(["--temperature", "1", "--seed", "3"]);
    let first = fixture.deeper(sample.clone());
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(fixture.deeper(sample).stdout, first.stdout);
    assert!(
        !first.stdout.contains("the cat"),
        "the prompt is not repeated: {}",
        first.stdout
    );
    let greedy = fixture.deeper(arguments);
    assert_eq!(fixture.deeper(arguments).stdout, greedy.stdout);
}

#[test]
fn tokenize_prints_a_json_array_that_decodes_to_the_text() {
    let fixture = Fixture::new();
    let output = fixture.deeper(["tokenize", "--model", "model", "--text", "the cat"]);
    let ids: Vec<u32> = serde_json::from_str(output.stdout.trim()).unwrap();
    let tokenizer = fixture_tokenizer(&fixture);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "the cat");
}

fn fixture_tokenizer(fixture: &Fixture) -> llm_core::text::hf::HfTokenizer {
    llm_core::text::hf::HfTokenizer::from_file(fixture.path("model/tokenizer.json")).unwrap()
}

#[test]
fn inspect_lists_every_tensor_of_a_model_a_file_and_a_config() {
    let fixture = Fixture::new();
    let count = fixture.model.named_tensors().unwrap().len();
    for what in [
        ["inspect", "--model", "model"],
        ["inspect", "--file", "model/model.safetensors"],
        ["inspect", "--config", "model/config.json"],
    ] {
        let output = fixture.deeper(what);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(
            output
                .stdout
                .contains("model.layers.1.self_attn.k_norm.weight")
        );
        assert!(
            output.stdout.contains(&format!("{count} tensors")),
            "{}",
            output.stdout
        );
    }
}

#[test]
fn a_hash_follows_the_contents() {
    let fixture = Fixture::new();
    let before = fixture.deeper(["hash", "model"]);
    assert_eq!(before.code, Some(0), "{before:?}");
    assert_eq!(fixture.deeper(["hash", "model"]).stdout, before.stdout);
    std::fs::write(fixture.path("model/tokenizer.json"), "{}").unwrap();
    assert_ne!(fixture.deeper(["hash", "model"]).stdout, before.stdout);
}

#[test]
fn mistakes_are_one_line_with_a_hint_and_a_code() {
    let fixture = Fixture::new();
    let generate = |model| {
        fixture.deeper([
            "generate",
            "--model",
            model,
            "--prompt",
            "the",
            "--max-new-tokens",
            "2",
        ])
    };
    assert_failure(&generate("nothing-here"), 2, &["nothing-here", "hint:"]);

    let ids = fixture.deeper([
        "logits", "--model", "model", "--ids", "1,9999", "--out", "o",
    ]);
    assert_failure(&ids, 2, &["9999", "hint:"]);
    let long = vec!["1"; 65].join(",");
    let long = fixture.deeper(["logits", "--model", "model", "--ids", &long, "--out", "o"]);
    assert_failure(&long, 2, &["context of 64", "hint:"]);
    let place = fixture.deeper([
        "logits",
        "--model",
        "model",
        "--ids",
        "1",
        "--out",
        "no/such/o",
    ]);
    assert_failure(&place, 3, &["no/such"]);
    assert!(!fixture.path("o").exists(), "nothing half-written");

    let weights = fixture.path("model/model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() - 10]).unwrap();
    assert_failure(&generate("model"), 2, &["model.safetensors"]);

    let mut nan = whole.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&weights, &nan).unwrap();
    assert_failure(&generate("model"), 4, &["model.safetensors", "hint:"]);
    std::fs::write(&weights, &whole).unwrap();

    let config = fixture.path("model/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("\"hidden_size\": 16", "\"hidden_size\": 18"),
    )
    .unwrap();
    assert_failure(&generate("model"), 2, &["hint:", "expected"]);
    std::fs::write(&config, text.replace("qwen3", "rwkv")).unwrap();
    assert_failure(&generate("model"), 2, &["rwkv", "config.json"]);
    let mut smaller: serde_json::Value = serde_json::from_str(&text).unwrap();
    smaller["vocab_size"] = 20.into();
    std::fs::write(&config, smaller.to_string()).unwrap();
    assert_failure(&generate("model"), 2, &["hint:"]);
}

#[test]
fn an_adapter_for_another_model_is_refused() {
    let fixture = Fixture::new();
    let file = fixture.path("adapter/adapter_model.safetensors");
    let tensors = llm_store::adapter::read(&fixture.path("adapter"))
        .unwrap()
        .tensors;
    let wrong: BTreeMap<String, Tensor> = tensors
        .into_iter()
        .map(|(name, t)| (name, t.repeat((1, 2)).unwrap()))
        .collect();
    llm_store::safetensors::write_file(&file, &wrong, &BTreeMap::new()).unwrap();
    let output = fixture.deeper([
        "logits",
        "--model",
        "model",
        "--adapter",
        "adapter",
        "--ids",
        "1",
        "--out",
        "o",
    ]);
    assert_failure(&output, 2, &["lora_", "expected"]);
}
