//! The flags, and the settings that they stand for.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;
use lessons_hfcore::bundled::{DATA, HELD_OUT, MODEL, here, is_data};
use llm_show::ToolArgs;
use llm_store::ModelFolder;
use llm_train::config::TrainConfig;

/// The bundled base is small: it bears, and needs, a higher rate than the usual 2e-4.
const BUNDLED_LR: f64 = 3e-3;
const USUAL_LR: f64 = 2e-4;
const BUNDLED_EPOCHS: u64 = 4;
const USUAL_EPOCHS: u64 = 3;
const BUNDLED_BATCH: usize = 16;
const USUAL_BATCH: usize = 4;
/// The longest row without `--max-length`, where the model's context is no shorter.
const USUAL_LENGTH: usize = 512;
/// The bundled answers have a few words.
pub(crate) const MAX_NEW_TOKENS: usize = 48;
/// Held-out questions that are answered before and after, at most.
const ANSWERS: usize = 300;
const QUICK_STEPS: u64 = 20;
const QUICK_ANSWERS: usize = 24;

/// What does a small adapter learn, and how do we know?
///
/// Trains a LoRA adapter on question-answer rows and compares the tuned model with its base on
/// held-out rows: loss and exact match with bootstrap intervals, answers side by side.
#[derive(Parser, Debug)]
#[command(version, after_help = AFTER)]
pub(crate) struct Args {
    /// The flags of every program.
    #[command(flatten)]
    pub common: ToolArgs,
    /// A Hugging Face folder or a hub id (org/name) [default: the bundled base]
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Rows to train on: prompt/completion, messages or instruction/input/output
    #[arg(long, value_name = "FILE", default_value = DATA)]
    data: PathBuf,
    /// Held-out rows [default: the bundled ones, or a tenth of --data]
    #[arg(long, value_name = "FILE")]
    eval_data: Option<PathBuf>,
    /// Rank of the adapters
    #[arg(long, default_value_t = 16, value_name = "R")]
    r: usize,
    /// Scale of the adapters: B A x is multiplied by alpha / r
    #[arg(long, default_value_t = 32.0, value_name = "F")]
    alpha: f64,
    /// Dropout on the adapters' input, 0 to 0.99
    #[arg(long, default_value_t = 0.05, value_name = "F")]
    dropout: f64,
    /// Projections that get an adapter
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        default_value = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
    )]
    target_modules: Vec<String>,
    /// Scale by alpha / √r instead (rank-stabilized)
    #[arg(long)]
    use_rslora: bool,
    /// Train the lengths of the adapted weights' rows too (DoRA)
    #[arg(long)]
    use_dora: bool,
    /// Passes over the rows [default: 4 for the bundled base, else 3]
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Optimizer steps, instead of --epochs
    #[arg(long, value_name = "N", conflicts_with = "epochs")]
    steps: Option<u64>,
    /// The highest learning rate [default: 3e-3 for the bundled base, else 2e-4]
    #[arg(long, value_name = "F")]
    lr: Option<f64>,
    /// Rows of a micro-batch [default: 16 for the bundled base, else 4]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Micro-batches of an optimizer step
    #[arg(long, default_value_t = 1, value_name = "N")]
    grad_accum: usize,
    /// The longest row in tokens [default: 512, or the model's context if that is shorter]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Where the run's folder goes
    #[arg(long, default_value = "output_models/runs", value_name = "DIR")]
    out: PathBuf,
    /// Twenty steps and a few questions, to see that everything works
    #[arg(long)]
    quick: bool,
    /// The control: train with every answer exchanged for another one of the set
    #[arg(long)]
    shuffle_answers: bool,
}

const AFTER: &str = "\
Examples:
  lora_finetune                                        the bundled base and question set
  lora_finetune --shuffle-answers                      the control: what is learnt without the facts
  lora_finetune --model Qwen/Qwen3-0.6B --data my.jsonl --lr 1e-4

Files written: a folder under --out with model/ (a PEFT adapter), config_used.yaml, metrics.jsonl,
metrics.json, samples.jsonl, env.json, data.json, checks.json, system.jsonl, warnings.jsonl, logs/ for
TensorBoard; `deeper report` makes a page of it.
Exit codes: 0 ok · 1 a check failed · 2 bad input, config or file · 3 I/O or disk · 4 numerical";

impl Args {
    /// Folder or hub id of the base model.
    pub(crate) fn model(&self) -> String {
        let bundled = || here(MODEL).display().to_string();
        self.model.clone().unwrap_or_else(bundled)
    }

    /// Whether this run trains on the bundled questions.
    pub(crate) fn bundled_data(&self) -> bool {
        is_data(&self.data)
    }

    /// Whether this is the control run.
    pub(crate) fn control(&self) -> bool {
        self.shuffle_answers
    }

    /// How many held-out questions are answered.
    pub(crate) fn answers(&self) -> usize {
        if self.quick { QUICK_ANSWERS } else { ANSWERS }
    }

    /// The settings of the run on the model in `base`.
    pub(crate) fn config(&self, base: &Path) -> Result<TrainConfig> {
        let context = ModelFolder::open(base)?.config.max_position_embeddings;
        let small = self.model.is_none();
        let pick = |given: Option<u64>, bundled, usual| {
            given.unwrap_or(if small { bundled } else { usual })
        };
        let bundled_eval = self.bundled_data().then(|| here(HELD_OUT));
        let name = if self.shuffle_answers { "lora-control" } else { "lora" };
        Ok(TrainConfig {
            model_name: Some(self.model()),
            dataset_path: here(&self.data),
            validation_path: self.eval_data.clone().or(bundled_eval),
            shuffle_answers: self.shuffle_answers,
            lora_r: self.r,
            lora_alpha: self.alpha,
            lora_dropout: self.dropout,
            lora_target_modules: self.target_modules.clone(),
            use_rslora: self.use_rslora,
            use_dora: self.use_dora,
            epochs: pick(self.epochs, BUNDLED_EPOCHS, USUAL_EPOCHS),
            max_steps: self.steps.or(self.quick.then_some(QUICK_STEPS)),
            lr: self.lr.unwrap_or(if small { BUNDLED_LR } else { USUAL_LR }),
            batch_size: self.batch_size.unwrap_or(if small { BUNDLED_BATCH } else { USUAL_BATCH }),
            gradient_accumulation_steps: self.grad_accum,
            max_length: self.max_length.unwrap_or(USUAL_LENGTH.min(context)),
            weight_decay: 0.0,
            warmup_ratio: 0.05,
            logging_steps: 10,
            save_steps: 0,
            seed: self.common.seed,
            device: self.common.device.as_str().to_owned(),
            dtype: self.common.dtype.as_str().to_owned(),
            output_dir: self.out.clone(),
            run_name: name.to_owned(),
            ..TrainConfig::default()
        })
    }
}
