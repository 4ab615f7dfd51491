//! `--model M [--adapter A]`: from a name to a model that runs.

use std::path::PathBuf;

use anyhow::Result;
use candle_core::DType;
use clap::Args;
use llm_core::model::Decoder;
use llm_core::params::Mode;
use llm_core::text::hf::HfTokenizer;
use llm_show::ToolArgs;
use llm_store::ModelFolder;
use llm_store::adapter::Tuned;

/// Which model, and what is added to it.
#[derive(Args, Clone, Debug)]
pub(crate) struct ModelArgs {
    /// A Hugging Face folder or a hub id (org/name)
    #[arg(long, value_name = "M", default_value = "output_models/deeper-tiny")]
    pub model: String,
    /// A folder of PEFT's to put on the model: a LoRA adapter or a soft prompt
    #[arg(long, value_name = "A")]
    pub adapter: Option<PathBuf>,
}

impl ModelArgs {
    /// Opens and checks the model's folder.
    pub(crate) fn folder(&self) -> Result<ModelFolder> {
        Ok(ModelFolder::open(&llm_hub::resolve(&self.model)?)?)
    }

    /// The model with its adapter, on the device and in the type that `tool` asks for.
    pub(crate) fn decoder(&self, folder: &ModelFolder, tool: &ToolArgs) -> Result<Decoder> {
        let chosen = llm_core::device::choose(tool.device.as_str())?;
        let dtype = llm_core::device::dtype(tool.dtype.as_str())?;
        let mut weather = llm_show::stderr_weather(&tool.look);
        weather.fact("device", &format!("{} ({})", name(&chosen), chosen.reason));
        weather.fact("dtype", dtype.as_str());
        let tensors = folder.tensors()?;
        let (mut model, _) =
            Decoder::load(&folder.config, tensors, Mode::Frozen, dtype, &chosen.device)?;
        if let Some(path) = &self.adapter {
            Tuned::read(path)?.put_on(&mut model)?;
        }
        Ok(model)
    }
}

/// Obeys `--threads`; call it before anything computes.
pub(crate) fn threads(tool: &ToolArgs) -> Result<()> {
    if let Some(threads) = tool.threads {
        llm_core::kernels::pool::set_threads(threads.get())?;
    }
    Ok(())
}

fn name(chosen: &llm_core::device::Chosen) -> &'static str {
    match chosen.device {
        candle_core::Device::Cpu => "cpu",
        candle_core::Device::Cuda(_) => "cuda",
        candle_core::Device::Metal(_) => "metal",
    }
}

/// The tokenizer of `folder`, checked against the model's vocabulary.
pub(crate) fn tokenizer(folder: &ModelFolder) -> Result<HfTokenizer> {
    let tokenizer = HfTokenizer::from_file(folder.tokenizer()?)?;
    tokenizer.check_vocab(folder.config.vocab_size)?;
    Ok(tokenizer)
}

/// The type that the logits of a run are written in.
pub(crate) const LOGITS_DTYPE: DType = DType::F32;
