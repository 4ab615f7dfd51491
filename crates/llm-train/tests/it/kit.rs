//! A small model folder with a tokenizer and a chat template, and rows to train on.

use std::path::{Path, PathBuf};

use candle_core::DType;
use llm_core::config::ModelConfig;
use llm_core::model::Decoder;
use llm_core::params::{Mode, Parameters};
use llm_core::text::bpe::{PreTokenizer, Trainer};
use llm_store::{SaveOptions, save_model};
use llm_train::config::TrainConfig;
use llm_train::labels::Example;
use serde_json::{Value, json};

/// The characters that the tokenizer learns from.
const TEXT: &str = "the heart pumps the blood. the lungs take in the air. the skin keeps us warm.";

/// A ChatML template.
pub(crate) const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n\
    {{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n\
    {% endif %}";

/// A model folder in a temporary place.
pub(crate) struct Kit {
    pub(crate) root: tempfile::TempDir,
}

impl Kit {
    /// With a chat template or without.
    pub(crate) fn new(chat: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        let trainer = Trainer::new(300, PreTokenizer::qwen2().unwrap());
        let learned = trainer.train([TEXT]).unwrap().to_tokenizer_json();
        let mut tokenizer: Value = serde_json::from_str(&learned).unwrap();
        let size = tokenizer["model"]["vocab"].as_object().unwrap().len();
        let names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
        let added: Vec<Value> = names
            .iter()
            .enumerate()
            .map(|(index, name)| {
                json!({"id": size + index, "content": name, "special": true, "lstrip": false,
                    "rstrip": false, "normalized": false, "single_word": false})
            })
            .collect();
        tokenizer["added_tokens"] = Value::Array(added);
        let mut settings = json!({"eos_token": "<|im_end|>"});
        if chat {
            settings["chat_template"] = json!(TEMPLATE);
        }
        let kit = Self { root };
        kit.write("tokenizer.json", &tokenizer.to_string());
        kit.write("tokenizer_config.json", &settings.to_string());
        let config = shape(size + names.len());
        let (model, _) = Decoder::init(&config, 7, Mode::Frozen, DType::F32).unwrap();
        let copy = ["tokenizer.json", "tokenizer_config.json"]
            .map(|name| kit.path(name))
            .to_vec();
        let options = SaveOptions {
            copy,
            ..SaveOptions::default()
        };
        let tensors = model.named_tensors().unwrap();
        save_model(&kit.base(), &config.to_json(), &tensors, &options).unwrap();
        kit
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.path("base")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Settings for a short LoRA run on `data`.
    pub(crate) fn config(&self, data: &Path) -> TrainConfig {
        TrainConfig {
            model_name: Some(self.base().display().to_string()),
            dataset_path: data.to_path_buf(),
            validation_fraction: 0.25,
            epochs: 2,
            batch_size: 2,
            gradient_accumulation_steps: 2,
            max_length: 48,
            lr: 5e-3,
            lora_r: 4,
            lora_alpha: 8.0,
            lora_dropout: 0.1,
            logging_steps: 1,
            eval_steps: 2,
            save_steps: 2,
            save_total_limit: 0,
            device: "cpu".into(),
            output_dir: self.path("runs"),
            ..TrainConfig::default()
        }
    }

    /// Sixteen rows of a question and its answer.
    pub(crate) fn rows(&self) -> PathBuf {
        let facts = [
            ("the heart", "the blood"),
            ("the lungs", "the air"),
            ("the skin", "us warm"),
            ("the blood", "in the heart"),
        ];
        let mut text = String::new();
        for (asked, answer) in facts {
            for ask in ["what pumps", "what keeps", "what takes", "in the"] {
                let row = json!({"prompt": format!("{ask} {asked}?"), "completion": answer});
                text.push_str(&format!("{row}\n"));
            }
        }
        self.write("rows.jsonl", &text)
    }
}

/// A small Qwen3 shape: grouped heads, tied head.
pub(crate) fn shape(vocab_size: usize) -> ModelConfig {
    ModelConfig::from_json(&format!(
        r#"{{"model_type": "qwen3", "vocab_size": {vocab_size}, "hidden_size": 16,
            "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64,
            "tie_word_embeddings": true, "initializer_range": 0.2}}"#
    ))
    .unwrap()
}

/// A trainable model over 31 tokens.
pub(crate) fn trainable(dtype: DType) -> (Decoder, Parameters) {
    Decoder::init(&shape(31), 3, Mode::Trainable, dtype).unwrap()
}

/// Examples of unequal lengths, the first half of each not supervised.
pub(crate) fn examples(count: usize) -> Vec<Example> {
    let example = |row: usize| {
        let length = 3 + (row * 5) % 11;
        let ids: Vec<u32> = (0..length)
            .map(|t| ((row * 7 + t * t * 3 + t) % 31) as u32)
            .collect();
        let learnt = |t: usize| t > length / 2 || t + 1 == length;
        let labels = ids
            .iter()
            .enumerate()
            .map(|(t, &id)| if learnt(t) { i64::from(id) } else { -100 });
        Example {
            labels: labels.collect(),
            ids: ids.clone(),
        }
    };
    (0..count).map(example).collect()
}
