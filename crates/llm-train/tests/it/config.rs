//! Training files: the workshop's own parses unchanged, mistakes are named with their line.

use std::path::Path;

use llm_train::config::{Method, TrainConfig};
use llm_train::data::DataFormat;
use llm_train::schedule::ScheduleKind;

/// The keys and values of the workshop's `configs/train.yaml` (SPEC P01).
const WORKSHOP: &str = "\
# Model
model_name: meta-llama/Llama-3.1-8B

# Data
dataset_path: ./data
dataset_pattern: \"*.jsonl\"
data_format: prompt_completion # or \"messages\"

# Training Hyperparameters
epochs: 5
batch_size: 4
lr: 2e-4
gradient_accumulation_steps: 2 # Effective batch = 8
max_length: 512

# Learning Rate Schedule
warmup_ratio: 0.03
weight_decay: 0
lr_scheduler_type: cosine

# Precision (use fp16 for older GPUs, bf16 for modern)
bf16: false
fp16: true

# LoRA Configuration
lora_r: 64
lora_alpha: 128
lora_dropout: 0.05
lora_target_modules:
  - q_proj
  - k_proj
  - v_proj
  - o_proj
  - gate_proj
  - up_proj
  - down_proj

# Memory Optimization
gradient_checkpointing: false

# Logging
logging_steps: 20
save_steps: 100
";

fn parse(text: &str, overrides: &[&str]) -> llm_train::Result<TrainConfig> {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    TrainConfig::parse(Path::new("train.yaml"), text, &overrides)
}

#[test]
fn the_workshop_file_parses_unchanged() {
    let config = parse(WORKSHOP, &[]).unwrap();
    assert_eq!(
        config.model_name.as_deref(),
        Some("meta-llama/Llama-3.1-8B")
    );
    assert_eq!((config.epochs, config.batch_size, config.lr), (5, 4, 2e-4));
    assert_eq!((config.weight_decay, config.warmup_ratio), (0.0, 0.03));
    assert_eq!(config.data_format, DataFormat::PromptCompletion);
    assert_eq!(config.lr_scheduler_type, ScheduleKind::Cosine);
    assert_eq!(
        (config.lora_r, config.lora_alpha, config.fp16),
        (64, 128.0, true)
    );
    assert_eq!(config.lora_target_modules.len(), 7);
    assert_eq!((config.logging_steps, config.save_steps), (20, 100));
    assert_eq!(config.method, Method::Lora);
}

#[test]
fn resolved_settings_read_back_as_they_were() {
    let config = parse(WORKSHOP, &["seed=18446744073709551615", "max_steps=3"]).unwrap();
    assert_eq!(parse(&config.to_yaml().unwrap(), &[]).unwrap(), config);
}

#[test]
fn a_cache_is_a_folder_or_off() {
    use llm_train::batching::Batching;
    for off in ["token_cache=off", "token_cache=~", "token_cache=\"off\""] {
        assert_eq!(
            parse(WORKSHOP, &["token_cache=x", off])
                .unwrap()
                .token_cache,
            None,
            "{off}"
        );
    }
    let config = parse(
        WORKSHOP,
        &["token_cache=a/b", "batching=packed", "pad_to_multiple_of=8"],
    );
    let config = config.unwrap();
    assert_eq!(config.token_cache.as_deref(), Some(Path::new("a/b")));
    assert_eq!(
        (config.batching, config.pad_to_multiple_of),
        (Batching::Packed, 8)
    );
    assert_eq!(parse(&config.to_yaml().unwrap(), &[]).unwrap(), config);
    let off = parse("model_name: a\ntoken_cache: off\n", &[]).unwrap();
    assert_eq!(off.token_cache, None);
    for text in ["token_cache=true", "batching=tight", "pad_to_multiple_of=0"] {
        let error = parse(WORKSHOP, &[text]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{text}");
    }
}

#[test]
fn overrides_win_and_are_checked() {
    let config = parse(
        WORKSHOP,
        &["lr=1e-3", "lora_target_modules=[q_proj]", "max_steps=7"],
    );
    let config = config.unwrap();
    assert_eq!((config.lr, config.max_steps), (1e-3, Some(7)));
    assert_eq!(config.lora_target_modules, ["q_proj"]);
    for (text, part) in [
        ("lr", "key=value"),
        ("lrr=1", "did you mean `lr`"),
        ("lr=fast", "lr=fast"),
        ("epochs=-1", "epochs=-1"),
        ("lr=-1", "`lr` is -1"),
        ("lora_r=0", "`r` is 0"),
    ] {
        let error = parse(WORKSHOP, &[text]).unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    for (text, parts) in [
        (
            "model_name: a\nlearning_steps: 2\n",
            ["train.yaml:2", "did you mean `logging_steps`"],
        ),
        (
            "model_name: a\nzzzzzzzz: 2\n",
            ["train.yaml:2", "unknown key `zzzzzzzz`"],
        ),
        ("model_name: a\nlr: 1\nlr: 2\n", ["train.yaml:3", "lr"]),
        ("model_name: a\nepochs: many\n", ["train.yaml:2", ""]),
        ("model_name: a\nepochs: 0\n", ["train.yaml:2", "`epochs`"]),
        ("model_name: a\nlr: .nan\n", ["train.yaml:2", ".nan"]),
        ("model_name: a\nlr: -1\n", ["train.yaml:2", "`lr` is -1"]),
        (
            "model_name: a\nlr_scheduler_type: zigzag\n",
            ["train.yaml:2", "zigzag"],
        ),
        ("lr: 1\n", ["train.yaml", "`model_name` is not set"]),
        (
            "model_name: a\nbf16: true\nfp16: true\n",
            ["train.yaml:2", "both true"],
        ),
        (
            "model_name: a\nrun_name: ../x\n",
            ["train.yaml:2", "run_name"],
        ),
        ("- 1\n- 2\n", ["train.yaml:1", ""]),
        ("a: [1, 2\n", ["train.yaml", ""]),
        ("model_name: &a [*a]\n", ["train.yaml", ""]),
    ] {
        let error = parse(text, &[]).unwrap_err();
        let shown = error.to_string();
        assert!(
            parts.iter().all(|part| shown.contains(part)),
            "{text:?}: {shown}"
        );
        assert!(!shown.contains('\n'), "{shown}");
        assert_eq!(error.exit_code(), 2, "{shown}");
    }
}
