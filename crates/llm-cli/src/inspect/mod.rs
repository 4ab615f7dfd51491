//! `deeper inspect`: what a model or a file is made of, and what it takes.

mod flops;
mod kv;
mod params;
mod presets;
mod tensors;
mod vram;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use llm_core::config::ModelConfig;
use llm_show::number::count;
use llm_show::{LookArgs, Screen, ToolArgs};
use serde_json::Value;

/// Show what a model or a file is made of, and what it takes
///
/// With a flag: every tensor with its name, shape, type and share. With a command: exact counts by
/// formula, from the config alone.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    group = clap::ArgGroup::new("what").required(true).args(["model", "file", "config"]),
    after_help = "Examples:\n  deeper inspect --file model.safetensors\n  deeper inspect --file model-q8_0.gguf\n  \
deeper inspect params --config qwen3-0.6b\n  deeper inspect kv --config path/to/model --tokens 8192"
)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    tool: ToolArgs,
    /// A Hugging Face folder or a hub id: every tensor as it is stored
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// A safetensors or GGUF file: its header, validated
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,
    /// A config.json: the model it describes, without weights
    #[arg(long, value_name = "C")]
    config: Option<String>,
    #[command(subcommand)]
    by_formula: Option<ByFormula>,
}

#[derive(Debug, Subcommand)]
enum ByFormula {
    Params(params::ParamsArgs),
    Vram(vram::VramArgs),
    Flops(flops::FlopsArgs),
    Kv(kv::KvArgs),
}

/// What all formulas share.
#[derive(Args, Debug)]
struct Shared {
    #[command(flatten)]
    look: LookArgs,
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// The model that a formula is about.
#[derive(Args, Debug)]
struct Model {
    /// A config.json, a model's folder, or a published model: gpt2, qwen3-0.6b, llama-3.1-8b ...
    #[arg(long, value_name = "C")]
    config: String,
}

/// How the numbers of a cache or a buffer are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Type {
    /// 4 bytes
    F32,
    /// 2 bytes
    Bf16,
    /// 2 bytes
    F16,
    /// 1 byte
    Int8,
    /// 1 byte
    Fp8,
}

impl Type {
    fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
            Self::Int8 | Self::Fp8 => 1,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Int8 => "int8",
            Self::Fp8 => "fp8",
        }
    }
}

impl InspectArgs {
    /// The look flags, wherever they were given.
    pub(crate) fn look(&self) -> LookArgs {
        match &self.by_formula {
            None => self.tool.look,
            Some(ByFormula::Params(args)) => args.shared.look,
            Some(ByFormula::Vram(args)) => args.shared.look,
            Some(ByFormula::Flops(args)) => args.shared.look,
            Some(ByFormula::Kv(args)) => args.shared.look,
        }
    }
}

pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    match &args.by_formula {
        Some(ByFormula::Params(args)) => return params::run(args),
        Some(ByFormula::Vram(args)) => return vram::run(args),
        Some(ByFormula::Flops(args)) => return flops::run(args),
        Some(ByFormula::Kv(args)) => return kv::run(args),
        None => {}
    }
    let mut screen = llm_show::stdout_screen(&args.tool.look);
    match (&args.model, &args.file, &args.config) {
        (Some(model), ..) => tensors::of_model(&mut screen, model)?,
        (None, Some(file), _) => tensors::of_file(&mut screen, file)?,
        (None, None, Some(config)) => tensors::of_config(&mut screen, &presets::config(config)?.1)?,
        (None, None, None) => bail!("pass --model, --file or --config"),
    }
    Ok(screen.finish()?)
}

/// The sizes of a model by their axis letters.
fn sizes(config: &ModelConfig) -> String {
    let sizes = [
        ('V', config.vocab_size),
        ('C', config.hidden_size),
        ('L', config.num_hidden_layers),
        ('H', config.num_attention_heads),
        ('K', config.num_key_value_heads),
        ('D', config.head_dim),
        ('F', config.intermediate_size),
        ('T', config.max_position_embeddings),
    ];
    sizes
        .map(|(letter, size)| format!("{letter}={}", count(size as u64)))
        .join("  ")
}

/// The first lines of a page about a model.
fn describe(screen: &mut Screen, config: &ModelConfig) {
    let tied = if config.tie_word_embeddings {
        "tied"
    } else {
        "untied"
    };
    let title = format!("{} · head {tied}", config.family.architecture());
    let title = screen.look().text(&title).into_owned();
    screen.line(&title);
    screen.line(&sizes(config));
}

/// Writes `value` or the page, as the person asked.
fn answer(shared: &Shared, value: &Value, page: impl FnOnce(&mut Screen)) -> Result<()> {
    let mut screen = llm_show::stdout_screen(&shared.look);
    match shared.json {
        true => screen.line(&value.to_string()),
        false => page(&mut screen),
    }
    Ok(screen.finish()?)
}
