//! The workloads of `deeper bench`, by the names and flags that ask for them.

use anyhow::{Result, bail};
use candle_core::DType;
use llm_benches::attention::{Attention, AttentionShape, Part};
use llm_benches::decode::{Decode, DecodeShape, random};
use llm_benches::lora::{LoraShape, LoraStep};
use llm_benches::train::TrainStep;
use llm_benches::{GptShape, Place, Workload};
use llm_core::config::ModelConfig;

use super::{BenchArgs, BenchSize, What};
use crate::model::ModelArgs;

/// Heads and their size of `bench attention`.
const HEADS: [usize; 2] = [12, 64];

/// A workload by its name.
pub(super) type Named = (String, Box<dyn Workload>);

/// B and T of a workload with `--config`.
fn sizes(args: &BenchArgs) -> [usize; 2] {
    [args.batch.unwrap_or(1), args.tokens.unwrap_or(256)].map(|n| n as usize)
}

fn config(path: &std::path::Path) -> Result<ModelConfig> {
    let text = std::fs::read_to_string(path).map_err(llm_train::Error::io(path))?;
    Ok(ModelConfig::from_json(&text)?)
}

/// What the flags ask for, at one size.
pub(super) fn workloads(args: &BenchArgs, size: BenchSize, place: &Place) -> Result<Vec<Named>> {
    Ok(match args.what {
        What::Train => vec![train(args, size, place)?],
        What::Lora => vec![lora(args, size, place)?],
        What::Attention => {
            let [heads, head_size] = HEADS;
            let tokens = size.tokens();
            let mut all: Vec<Named> = Vec::new();
            for (name, part) in [("forward", Part::Forward), ("step", Part::Step)] {
                let shape = AttentionShape {
                    heads,
                    head_size,
                    tokens,
                    part,
                };
                let name = format!("attention {name} H={heads}/D={head_size}/T={tokens}");
                all.push((name, Box::new(Attention::on(shape, place)?)));
            }
            all
        }
        What::Decode => vec![decode(args, size, place)?],
    })
}

fn train(args: &BenchArgs, size: BenchSize, place: &Place) -> Result<Named> {
    if let Some(path) = &args.config {
        let (config, [batch, tokens]) = (config(path)?, sizes(args));
        let (l, c) = (config.num_hidden_layers, config.hidden_size);
        let name = format!("train L={l}/C={c}/T={tokens}/B={batch}");
        let work = TrainStep::of(&config, [batch, tokens], (place, place.ops()))?;
        return Ok((name, Box::new(work)));
    }
    let Some(shape) = GptShape::named(size.name()) else {
        bail!("no shape is called {}", size.name());
    };
    let work = TrainStep::on(&shape, place)?;
    Ok((format!("train {}", shape.label()), Box::new(work)))
}

fn lora(args: &BenchArgs, size: BenchSize, place: &Place) -> Result<Named> {
    let half = args.bf16 || (!place.device.is_cpu() && place.dtype == DType::BF16);
    let dtype = if half { "bf16" } else { "f32" };
    let Some(mut shape) = LoraShape::named(size.name(), dtype) else {
        bail!("no shape is called {}", size.name());
    };
    if let Some(path) = &args.config {
        [shape.batch, shape.tokens] = sizes(args);
        (shape.config, shape.sizes) = (Some(path.clone()), None);
    }
    let name = format!("lora {}", shape.label()?);
    Ok((name, Box::new(LoraStep::on(&shape, place)?)))
}

fn decode(args: &BenchArgs, size: BenchSize, place: &Place) -> Result<Named> {
    let Some(shape) = DecodeShape::named(size.name()) else {
        bail!("no shape is called {}", size.name());
    };
    let batch = args.batch.unwrap_or(1) as usize;
    let (model, name) = match (&args.model, &args.config) {
        (Some(model), _) => {
            let named = ModelArgs {
                model: model.clone(),
                adapter: None,
            };
            (named.decoder(&named.folder()?, &args.tool)?, model.clone())
        }
        (None, Some(path)) => {
            let config = config(path)?;
            let (l, c) = (config.num_hidden_layers, config.hidden_size);
            (random(&config, place)?, format!("L={l}/C={c}"))
        }
        (None, None) => {
            let context = args.context.unwrap_or(shape.context);
            let shape = DecodeShape { context, ..shape };
            (shape.model_on(place)?, shape.label())
        }
    };
    let longest = model.config().max_position_embeddings.saturating_sub(1);
    let context = args.context.unwrap_or(shape.context.min(longest));
    if context > longest {
        bail!("--context is {context}, expected at most {longest} for this model");
    }
    let mut name = match (&args.model, &args.config) {
        (None, None) => format!("decode {name}"),
        _ => format!("decode {name}/S={context}"),
    };
    if batch > 1 {
        name.push_str(&format!("/B={batch}"));
    }
    Ok((name, Box::new(Decode::batch(model, context, batch)?)))
}
