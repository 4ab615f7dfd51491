//! `deeper logits`: the scores of a token sequence in a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use candle_core::Tensor;
use clap::Args;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_show::ToolArgs;

use crate::model::{LOGITS_DTYPE, ModelArgs, threads};

/// Write the logits of a token sequence: one tensor `logits` [T, V] of f32.
#[derive(Args, Debug)]
pub(crate) struct LogitsArgs {
    #[command(flatten)]
    pub tool: ToolArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Token ids, separated by commas
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "1,2,3")]
    ids: Vec<u32>,
    /// The safetensors file to write
    #[arg(long, value_name = "F")]
    out: PathBuf,
    /// Compute with the slow, composed operations
    #[arg(long)]
    composed: bool,
}

pub(crate) fn run(args: &LogitsArgs) -> Result<()> {
    threads(&args.tool)?;
    if args.ids.is_empty() {
        bail!("--ids is empty, expected token ids such as 1,2,3");
    }
    let folder = args.model.folder()?;
    let model = args.model.decoder(&folder, &args.tool)?;
    let ops = match args.composed {
        true => Ops::Composed,
        false => Ops::for_device(model.device()),
    };
    let ids = Tensor::new(args.ids.as_slice(), model.device())?.unsqueeze(0)?;
    let logits = model
        .forward(&ids, &Pass::eval(ops))?
        .squeeze(0)?
        .to_dtype(LOGITS_DTYPE)?;
    let tensors = BTreeMap::from([("logits".to_string(), logits)]);
    Ok(llm_store::safetensors::write_file(
        &args.out,
        &tensors,
        &BTreeMap::new(),
    )?)
}
