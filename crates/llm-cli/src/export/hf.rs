//! `deeper export hf`: a model folder in another number type.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use llm_show::LookArgs;
use llm_show::number::count;
use llm_store::ModelFolder;

/// Write a Hugging Face folder with its weights in another number type
///
/// bf16 halves a folder of f32 and keeps the range of its numbers. Tokenizer, chat template, settings
/// of generation and licence come along.
#[derive(Args, Debug)]
#[command(
    after_help = "Files written: DIR with config.json, the weights and what stood beside them; whole or not at all\n\n\
Examples:\n  deeper export hf --model output_models/runs/latest/model --dtype bf16 --out half"
)]
pub(super) struct HfArgs {
    #[command(flatten)]
    pub(super) look: LookArgs,
    /// A Hugging Face folder or a hub id (org/name); an adapter is merged first: deeper merge
    #[arg(long, value_name = "M")]
    model: String,
    /// The type of the weights
    #[arg(long, value_enum, default_value_t = Stored::Bf16, value_name = "TYPE")]
    dtype: Stored,
    /// The folder to write; it must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stored {
    /// 32 bits
    F32,
    /// 16 bits with the range of f32
    Bf16,
    /// 16 bits with 10 bits of mantissa, up to 65504
    F16,
}

pub(super) fn run(args: &HfArgs) -> Result<()> {
    let folder = ModelFolder::open(&llm_hub::resolve(&args.model)?)?;
    let dtype = match args.dtype {
        Stored::F32 => candle_core::DType::F32,
        Stored::Bf16 => candle_core::DType::BF16,
        Stored::F16 => candle_core::DType::F16,
    };
    let mut weather = llm_show::stderr_weather(&args.look);
    let mut tensors = 0;
    llm_store::recast(&folder, dtype, &args.out, &mut |done, all| {
        tensors = all;
        weather.progress("export", done, all);
    })?;
    weather.clear();
    let mut screen = llm_show::stdout_screen(&args.look);
    let (tensors, name) = (count(tensors), dtype.as_str());
    screen.line(&format!(
        "{tensors} tensors in {name}  {}",
        args.out.display()
    ));
    Ok(screen.finish()?)
}
