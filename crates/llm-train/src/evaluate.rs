//! What a model does on rows that it was not trained on.
//!
//! The held-out loss is `Σ −log p / Σ tokens` over **all** supervised tokens of the set, not a mean
//! of batch means, so it does not depend on the batch size; perplexity is its exponential.
//! Exact match generates greedily from exactly the token ids that a training row's prompt has,
//! looks only at the new tokens (the prompt can never be part of the answer), and compares after
//! stripping white space at both ends.

use candle_core::Device;
use llm_core::generate::{GenerateConfig, generate};
use llm_core::model::Decoder;
use llm_core::ops::Ops;
use llm_core::sample::SamplerConfig;
use serde::Serialize;

use crate::Result;
use crate::batch::collate;
use crate::bootstrap::Part;
use crate::labels::Example;
use crate::model::{LanguageModel, row_losses};
use crate::processes::Processes;

/// Loss of each example: its sum over the supervised tokens, and their number.
///
/// # Errors
/// What the model reports.
pub fn example_losses(
    model: &impl LanguageModel,
    examples: &[Example],
    batch_size: usize,
    pad: u32,
    device: &Device,
) -> Result<Vec<Part>> {
    let mut parts = Vec::with_capacity(examples.len());
    for chunk in examples.chunks(batch_size.max(1)) {
        let rows: Vec<&Example> = chunk.iter().collect();
        let batch = collate(&rows, pad, device)?;
        let sums = row_losses(model, &batch, Ops::for_device(device))?;
        let part = |(sum, row): (f64, &&Example)| Part {
            sum,
            weight: row.supervised() as f64,
        };
        parts.extend(sums.into_iter().zip(&rows).map(part));
    }
    Ok(parts)
}

/// As [`example_losses`], each of the processes for its share of the examples; every process gets
/// those of all. A row's bits do not depend on its neighbours, so they are those of one process.
///
/// # Errors
/// As [`example_losses`], in every process alike; or another process's error.
pub fn shared_losses(
    processes: &Processes,
    model: &impl LanguageModel,
    examples: &[Example],
    batch_size: usize,
    pad: u32,
    device: &Device,
) -> Result<Vec<Part>> {
    let share = processes.share(examples.len());
    let own = example_losses(model, &examples[share.clone()], batch_size, pad, device);
    let own = processes.agree(own)?;
    if processes.is_alone() {
        return Ok(own);
    }
    let mut sums = vec![0.0; examples.len()];
    for (sum, part) in sums[share].iter_mut().zip(&own) {
        *sum = part.sum;
    }
    processes.sum_numbers(&mut sums)?; // of one number and zeros
    let part = |(sum, row): (f64, &Example)| Part {
        sum,
        weight: row.supervised() as f64,
    };
    Ok(sums.into_iter().zip(examples).map(part).collect())
}

/// The loss per supervised token of a whole set.
pub fn mean_loss(parts: &[Part]) -> f64 {
    let (sum, weight) = parts
        .iter()
        .fold((0.0, 0.0), |(s, w), part| (s + part.sum, w + part.weight));
    sum / weight
}

/// What a model answered to one held-out prompt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The prompt as it stands in the data.
    pub prompt: String,
    /// The answer of the data.
    pub expected: String,
    /// The answer of the model.
    pub answer: String,
    /// Whether both are the same after stripping white space.
    pub exact: bool,
}

/// Whether an answer is the expected one, white space at the ends aside.
pub fn exact_match(answer: &str, expected: &str) -> bool {
    answer.trim() == expected.trim()
}

/// The new tokens that the model says after `prompt`, chosen greedily, up to a stop token.
///
/// # Errors
/// A prompt that fills the context, or what the model reports.
pub fn greedy(
    model: &Decoder,
    prompt: &[u32],
    stop_tokens: &[u32],
    max_new_tokens: usize,
) -> Result<Vec<u32>> {
    let config = GenerateConfig {
        max_new_tokens,
        stop_tokens: stop_tokens.to_vec(),
        sampler: SamplerConfig {
            temperature: 0.0,
            ..SamplerConfig::default()
        },
    };
    Ok(generate(model, prompt, &config)?.collect::<llm_core::Result<_>>()?)
}
