//! The settings of a run: the keys of `configs/train.yaml`.
//!
//! Every key has a default, an unknown or repeated key is an error with its line and the nearest
//! known key, `key=value` arguments override the file, and the resolved settings are saved with the
//! run. The file of the workshop that this project comes from parses unchanged.
//!
//! ```
//! use llm_train::config::TrainConfig;
//! let overrides = ["lora_r=8".to_owned()];
//! let config = TrainConfig::parse("train.yaml".as_ref(), "model_name: base\nlr: 2e-4\n", &overrides)?;
//! assert_eq!((config.lr, config.lora_r), (2e-4, 8));
//! assert!(TrainConfig::parse("train.yaml".as_ref(), "model_name: base\nlearn_rate: 1\n", &[]).is_err());
//! # Ok::<(), llm_train::Error>(())
//! ```

mod off_or_path;
mod parse;
mod validate;

use std::path::PathBuf;

use llm_core::lora::LoraConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use parse::Settings;

use crate::batching::{BatchSettings, Batching};
use crate::data::DataFormat;
use crate::objective::{Dpo, Grpo, LossType};
use crate::optimizer::AdamWConfig;
use crate::schedule::{Schedule, ScheduleKind};

/// What is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Low-rank adapters; the base stays as it is.
    #[default]
    Lora,
    /// Every weight.
    Full,
    /// A soft prompt before every text; the base stays as it is.
    Prompt,
    /// Direct preference optimization: answers that were chosen against answers that were not.
    Dpo,
    /// Group relative policy optimization: answers that a check rewards.
    Grpo,
}

/// What `dpo` and `grpo` train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Low-rank adapters.
    #[default]
    Lora,
    /// Every weight.
    Full,
}

/// Which tensors a run changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// Low-rank adapters beside a frozen base.
    Adapter,
    /// The vectors of a soft prompt before a frozen base.
    Prompt,
    /// Every weight of the model.
    All,
}

/// How a prompt becomes tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptStyle {
    /// The model's chat template if it has one, else plain.
    #[default]
    Auto,
    /// The model's chat template.
    Chat,
    /// The prompt, a new line, the completion.
    Plain,
}

/// Every key of a training file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// The base model: a Hugging Face folder or a hub id.
    pub model_name: Option<String>,
    /// A `config.json`: train a new model of this shape from random weights instead.
    pub model_config: Option<PathBuf>,
    /// A folder with `tokenizer.json`, when it is not the model's own.
    pub tokenizer: Option<PathBuf>,
    /// `lora`, `full`, `prompt`, `dpo` or `grpo`; a new model is always trained in full.
    pub method: Method,
    /// What `dpo` and `grpo` train: `lora` or `full`. Both run without dropout, since they compare
    /// probabilities.
    pub policy: Policy,

    /// P, the vectors of the soft prompt of `prompt`.
    pub num_virtual_tokens: usize,

    /// β: how close `dpo` and `grpo` stay to the model that they start from. Not set it is 0.1 for
    /// `dpo` (the factor on the log-ratios) and 0 for `grpo` (the weight of the KL term).
    pub beta: Option<f64>,
    /// The share of pairs of `dpo` that are taken to be labelled the wrong way round.
    pub label_smoothing: f64,
    /// Answers of `grpo` to each prompt of a step: the group that an answer is compared with.
    pub num_generations: usize,
    /// The longest answer of `grpo`, in tokens.
    pub max_completion_length: usize,
    /// Divides the logits where `grpo` draws and rates answers.
    pub temperature: f64,
    /// Ratios of `grpo` are clipped to 1 − ε …
    pub epsilon: f64,
    /// … and 1 + this; ε if not set.
    pub epsilon_high: Option<f64>,
    /// Optimizer steps of `grpo` on the same answers.
    pub num_iterations: u64,
    /// How `grpo` weighs tokens: `grpo`, `bnpo` or `dr_grpo`.
    pub loss_type: LossType,
    /// Whether `grpo` divides advantages by the standard deviation of their group.
    pub scale_rewards: bool,

    /// A data file, a folder, or a path with `*`, `?` and `**`: `data/**/train-*.jsonl`.
    pub dataset_path: PathBuf,
    /// Which files of a folder; `**/*.jsonl` looks into its folders too.
    pub dataset_pattern: String,
    /// `auto`, `prompt_completion`, `messages`, `instruction` or `text`.
    pub data_format: DataFormat,
    /// Held-out data of its own, as `dataset_path`.
    pub validation_path: Option<PathBuf>,
    /// The share of `dataset_path` to hold out when there is no `validation_path`.
    pub validation_fraction: f64,
    /// The control of an experiment: each answer of the training rows is exchanged for another
    /// one of the set, equal answers for equal ones. Held-out rows keep theirs.
    pub shuffle_answers: bool,
    /// `auto`, `chat` or `plain`.
    pub prompt_format: PromptStyle,
    /// In `text` data: strings such as `<|im_start|>` are the special tokens of that name. For
    /// text that was written for this, never for text of unknown origin.
    pub parse_special_tokens: bool,
    /// A folder where token ids are kept for the next run of the same text, tokenizer and
    /// settings; `off` makes them anew.
    #[serde(with = "off_or_path")]
    pub token_cache: Option<PathBuf>,

    /// Passes over the data.
    pub epochs: u64,
    /// Stop after this many steps instead.
    pub max_steps: Option<u64>,
    /// End the run after this many steps of those, with the learning rates of all of them.
    pub stop_after: Option<u64>,
    /// Rows of a micro-batch; for `dpo` pairs, for `grpo` prompts with all their answers.
    pub batch_size: usize,
    /// The highest learning rate.
    pub lr: f64,
    /// Micro-batches of an optimizer step.
    pub gradient_accumulation_steps: usize,
    /// The longest row, in tokens.
    pub max_length: usize,
    /// `dynamic` pads rows to the longest of their micro-batch, `fixed` to `max_length`,
    /// `bucketed` lets rows of like length meet, `packed` puts several documents into a row, none
    /// of which sees another (`batch_size` then counts such rows).
    pub batching: Batching,
    /// Rows are padded to a multiple of this, up to `max_length`.
    pub pad_to_multiple_of: usize,

    /// The share of the steps that warm up.
    pub warmup_ratio: f64,
    /// Steps that warm up, instead of the share.
    pub warmup_steps: Option<u64>,
    /// λ of AdamW, on matrices.
    pub weight_decay: f64,
    /// Whether embeddings decay too.
    pub decay_embeddings: bool,
    /// `cosine`, `linear` or `constant`.
    pub lr_scheduler_type: ScheduleKind,
    /// The learning rate at the end, as a share of `lr`.
    pub min_lr_ratio: f64,
    /// Gradients are clipped to this norm; 0 leaves them.
    pub max_grad_norm: f64,
    /// β₁ of AdamW.
    pub adam_beta1: f64,
    /// β₂ of AdamW.
    pub adam_beta2: f64,
    /// ε of AdamW.
    pub adam_epsilon: f64,

    /// Train in bfloat16 where the device can. On a CPU with AVX512-BF16 or AMX, matrix products
    /// round both sides to it; sums, gradients and trained weights are f32, and an adapter's
    /// frozen base is kept in bfloat16. Without them full training is in f32 and says so.
    pub bf16: bool,
    /// Train in float16 where the device can (a CPU trains in f32 and says so).
    pub fp16: bool,
    /// `auto`, `cpu`, `cuda` or `metal`.
    pub device: String,
    /// `auto`, `f32`, `f64`, or for adapters on a CPU `bf16`: the frozen base is kept in bfloat16,
    /// and all arithmetic is that of f32. `auto` is f32.
    pub dtype: String,

    /// R of the adapters.
    pub lora_r: usize,
    /// α of the adapters.
    pub lora_alpha: f64,
    /// Dropout on the adapters' input.
    pub lora_dropout: f64,
    /// The projections that get an adapter.
    pub lora_target_modules: Vec<String>,
    /// Scale adapters by α / √R, not α / R, so that a higher rank does not learn more slowly.
    pub use_rslora: bool,
    /// Train the lengths of the adapted weights' rows apart from their directions (DoRA).
    pub use_dora: bool,

    /// Compute the activations of blocks again in the backward pass: less memory, the same
    /// gradients, about a third more work. On the CPU.
    pub gradient_checkpointing: bool,

    /// Steps between rows of the log.
    pub logging_steps: u64,
    /// Steps between held-out evaluations; 0 evaluates at the end.
    pub eval_steps: u64,
    /// Steps between checkpoints; 0 writes none on the way.
    pub save_steps: u64,
    /// Newest checkpoints to keep beside the best ones; 0 keeps all.
    pub save_total_limit: usize,
    /// Checkpoints of the lowest held-out losses to write and keep.
    pub save_best_k: usize,
    /// Stop after this many evaluations without a new best.
    pub early_stopping_patience: Option<u64>,
    /// The seed of everything random.
    pub seed: u64,
    /// Where run folders go.
    pub output_dir: PathBuf,
    /// The end of the run folder's name.
    pub run_name: String,
    /// A run to go on with (its folder, or `latest` in `output_dir`), or a checkpoint to begin a new
    /// run from.
    pub resume_from: Option<PathBuf>,
    /// Steps between samples of what the model says to `sample_prompts`; 0 takes none.
    pub sample_steps: u64,
    /// The fixed prompts.
    pub sample_prompts: Vec<String>,
    /// The longest sample, in tokens.
    pub sample_tokens: usize,
    /// Several runs, one for each combination: `{lr: [1e-3, 3e-3], lora_r: [4, 16]}`.
    pub sweep: Option<Map<String, Value>>,
}

impl Default for TrainConfig {
    #[expect(clippy::too_many_lines, reason = "a list: one line for each key")]
    fn default() -> Self {
        let adam = AdamWConfig::default();
        let targets = ["q_proj", "k_proj", "v_proj"].map(str::to_owned).to_vec();
        Self {
            model_name: None,
            model_config: None,
            tokenizer: None,
            method: Method::Lora,
            policy: Policy::Lora,
            num_virtual_tokens: 20,
            beta: None,
            label_smoothing: 0.0,
            num_generations: 8,
            max_completion_length: 256,
            temperature: 1.0,
            epsilon: 0.2,
            epsilon_high: None,
            num_iterations: 1,
            loss_type: LossType::Grpo,
            scale_rewards: true,
            dataset_path: "./data".into(),
            dataset_pattern: "*.jsonl".into(),
            data_format: DataFormat::Auto,
            validation_path: None,
            validation_fraction: 0.1,
            shuffle_answers: false,
            prompt_format: PromptStyle::Auto,
            parse_special_tokens: false,
            token_cache: None,
            epochs: 3,
            max_steps: None,
            stop_after: None,
            batch_size: 4,
            lr: 2e-4,
            gradient_accumulation_steps: 1,
            max_length: 512,
            batching: Batching::Dynamic,
            pad_to_multiple_of: 1,
            warmup_ratio: 0.03,
            warmup_steps: None,
            weight_decay: 0.01,
            decay_embeddings: false,
            lr_scheduler_type: ScheduleKind::Cosine,
            min_lr_ratio: 0.1,
            max_grad_norm: 1.0,
            adam_beta1: adam.beta1,
            adam_beta2: adam.beta2,
            adam_epsilon: adam.epsilon,
            bf16: false,
            fp16: false,
            device: "auto".into(),
            dtype: "auto".into(),
            lora_r: 16,
            lora_alpha: 32.0,
            lora_dropout: 0.05,
            lora_target_modules: targets,
            use_rslora: false,
            use_dora: false,
            gradient_checkpointing: false,
            logging_steps: 20,
            eval_steps: 0,
            save_steps: 100,
            save_total_limit: 2,
            save_best_k: 1,
            early_stopping_patience: None,
            seed: 7,
            output_dir: "output_models/runs".into(),
            run_name: "train".into(),
            resume_from: None,
            sample_steps: 0,
            sample_prompts: Vec::new(),
            sample_tokens: 32,
            sweep: None,
        }
    }
}

impl TrainConfig {
    /// Which tensors this run changes.
    pub fn trained(&self) -> Trained {
        match (self.method, self.policy) {
            _ if self.model_config.is_some() => Trained::All,
            (Method::Prompt, _) => Trained::Prompt,
            (Method::Lora, _) | (Method::Dpo | Method::Grpo, Policy::Lora) => Trained::Adapter,
            (Method::Full, _) | (Method::Dpo | Method::Grpo, Policy::Full) => Trained::All,
        }
    }

    /// Whether this run trains an adapter and not the model's own weights.
    pub fn trains_adapter(&self) -> bool {
        self.trained() == Trained::Adapter
    }

    /// Whether the loss is that of the next token, and not one of preferences or rewards.
    pub fn learns_tokens(&self) -> bool {
        !matches!(self.method, Method::Dpo | Method::Grpo)
    }

    /// The loss of `dpo`.
    pub fn dpo(&self) -> Dpo {
        Dpo {
            beta: self.beta.unwrap_or(0.1),
            label_smoothing: self.label_smoothing,
        }
    }

    /// The loss of `grpo`.
    pub fn grpo(&self) -> Grpo {
        Grpo {
            beta: self.beta.unwrap_or(0.0),
            epsilon: [self.epsilon, self.epsilon_high.unwrap_or(self.epsilon)],
            loss_type: self.loss_type,
            max_completion_length: self.max_completion_length,
        }
    }

    /// The adapter's settings.
    pub fn lora(&self) -> LoraConfig {
        LoraConfig {
            r: self.lora_r,
            lora_alpha: self.lora_alpha,
            lora_dropout: self.lora_dropout,
            target_modules: self.lora_target_modules.clone(),
            use_rslora: self.use_rslora,
            use_dora: self.use_dora,
        }
    }

    /// The optimizer's settings.
    pub fn adamw(&self) -> AdamWConfig {
        AdamWConfig {
            beta1: self.adam_beta1,
            beta2: self.adam_beta2,
            epsilon: self.adam_epsilon,
            weight_decay: self.weight_decay,
        }
    }

    /// What batches depend on.
    pub fn batches(&self) -> BatchSettings {
        BatchSettings {
            batching: self.batching,
            batch_size: self.batch_size,
            accumulation: self.gradient_accumulation_steps,
            pad_to_multiple_of: self.pad_to_multiple_of,
            max_length: self.max_length,
            seed: self.seed,
        }
    }

    /// The steps of a run over `rows` rows, see [`Plan::rows`](crate::batching::Plan::rows).
    pub fn total_steps(&self, rows: usize) -> u64 {
        let accumulation = self.gradient_accumulation_steps;
        let windows = crate::trainer::steps_per_epoch(rows, self.batch_size, accumulation);
        let each = match self.method {
            Method::Grpo => windows.saturating_mul(self.num_iterations),
            _ => windows,
        };
        self.max_steps.unwrap_or(each.saturating_mul(self.epochs))
    }

    /// The learning rates of a run of `total_steps`.
    pub fn schedule(&self, total_steps: u64) -> Schedule {
        let share = (self.warmup_ratio * total_steps as f64).round() as u64;
        Schedule {
            kind: self.lr_scheduler_type,
            max_lr: self.lr,
            min_lr: self.lr * self.min_lr_ratio,
            warmup_steps: self.warmup_steps.unwrap_or(share),
            total_steps,
        }
    }
}
