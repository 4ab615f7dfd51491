//! Pairs of answers beside a frozen start.

use llm_core::nn::Pass;
use llm_core::ops::Ops;

use super::{Compared, Dpo, HeldOut, Measures};
use crate::Result;
use crate::batch::{Batch, collate};
use crate::bootstrap::Part;
use crate::labels::Example;
use crate::model::LanguageModel;

/// The objective of DPO: two neighbouring examples are a pair, the chosen answer first.
#[derive(Clone, Copy, Debug)]
pub struct Preferred<'a> {
    /// The loss.
    pub loss: Dpo,
    /// What the frozen start says of each pair to train on: see [`pair_sums`].
    pub reference: &'a [[f64; 2]],
    /// The same of held-out pairs.
    pub held_out_reference: &'a [[f64; 2]],
}

/// The summed log-probability of the tokens that count in each example, by pairs of neighbours.
/// For the model that a run starts from these are the reference: computed once, exact, and no
/// second model has to be kept.
///
/// # Errors
/// What the model reports.
pub fn pair_sums(
    model: &impl LanguageModel,
    examples: &[Example],
    batch_size: usize,
    data: (u32, &candle_core::Device),
) -> Result<Vec<[f64; 2]>> {
    let (pad, device) = data;
    let pass = Pass::eval(Ops::for_device(device));
    let mut all = Vec::with_capacity(examples.len() / 2);
    for chunk in examples.chunks(2 * batch_size.max(1)) {
        let rows: Vec<&Example> = chunk.iter().collect();
        let batch = collate(&rows, pad, device)?;
        let log_probs = model.log_probs(&batch, 1.0, &pass)?;
        all.extend(sums_of_pairs(&batch, &log_probs));
    }
    Ok(all)
}

/// The sums of the rows of a batch, by pairs of neighbours.
pub(super) fn sums_of_pairs(batch: &Batch, log_probs: &[f64]) -> Vec<[f64; 2]> {
    let t = positions(batch);
    let sums: Vec<f64> = log_probs.chunks(t).map(|row| row.iter().sum()).collect();
    let pairs = sums.chunks_exact(2);
    pairs.map(|pair| [pair[0], pair[1]]).collect()
}

/// T of a batch, at least 1.
pub(super) fn positions(batch: &Batch) -> usize {
    batch.ids.dims().last().copied().unwrap_or(0).max(1)
}

/// What is logged of some pairs, under TRL's names.
pub(super) fn measure(pairs: &[Compared]) -> Measures {
    let mut measures = Measures::default();
    for pair in pairs {
        let [chosen, rejected] = pair.rewards;
        measures.add("rewards/chosen", chosen, 1.0);
        measures.add("rewards/rejected", rejected, 1.0);
        measures.add("rewards/margins", pair.margin(), 1.0);
        let right = f64::from(u8::from(pair.is_right()));
        measures.add("rewards/accuracies", right, 1.0);
    }
    measures
}

impl Preferred<'_> {
    /// The loss of each held-out pair.
    pub(super) fn held_out(
        &self,
        model: &impl LanguageModel,
        data: HeldOut,
    ) -> Result<(Vec<Part>, Measures)> {
        let HeldOut {
            examples,
            batch_size,
            pad,
            device,
            ..
        } = data;
        let sums = pair_sums(model, examples, batch_size, (pad, device))?;
        let pairs = sums.into_iter().zip(self.held_out_reference);
        let compared: Vec<Compared> = pairs
            .map(|(policy, &reference)| self.loss.pair(policy, reference))
            .collect();
        let part = |pair: &Compared| Part {
            sum: pair.loss,
            weight: 1.0,
        };
        let parts = compared.iter().map(part).collect();
        Ok((parts, measure(&compared)))
    }
}
