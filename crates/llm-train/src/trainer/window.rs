//! The rows of one step that are this process's, as micro-batches.

use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::rng::{Purpose, stream};
use rand::Rng;

use super::{LoopSettings, Trainer};
use crate::Result;
use crate::batch::Batch;
use crate::model::LanguageModel;
use crate::order::Walk;

/// How far the dropout seeds of successive steps are apart (an odd constant).
const STEP_STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A process's share of a step's rows.
pub(super) struct Window<'a, M> {
    model: &'a M,
    settings: LoopSettings,
    ops: Ops,
    /// Steps done before this one.
    step: u64,
    /// The share's first row in the window.
    first: usize,
    /// 1 / supervised tokens of all processes.
    scale: f64,
    /// The micro-batches; none where there are fewer rows than processes.
    pub(super) batches: Vec<Batch>,
    /// Tokens that all processes read.
    pub(super) tokens: usize,
}

impl<'a, M: LanguageModel> Trainer<'a, M> {
    /// The next window. Every process takes the same rows off the walk, and keeps its share.
    pub(super) fn window(&self, walk: &mut Walk) -> Result<Window<'a, M>> {
        let LoopSettings {
            batch_size,
            accumulation,
            pad,
            ..
        } = self.settings;
        let input = crate::monitor::input::timed();
        let rows = walk.take(batch_size * accumulation);
        let share = self.processes.share(rows.len());
        let first = share.start;
        let batches = rows[share]
            .chunks(batch_size)
            .map(|rows| self.plan.batch(self.train, rows, pad, &self.device))
            .collect::<Result<Vec<Batch>>>();
        drop(input);
        let counted = batches.map(|batches| {
            let supervised: usize = batches.iter().map(|batch| batch.supervised).sum();
            let tokens: usize = batches.iter().map(|batch| batch.tokens).sum();
            (batches, [supervised as f64, tokens as f64])
        });
        let (batches, [supervised, tokens]) = self.processes.sums(counted)?;
        Ok(Window {
            model: self.model,
            settings: self.settings.clone(),
            ops: Ops::for_device(&self.device),
            step: self.progress.step,
            first,
            scale: 1.0 / supervised,
            batches,
            tokens: tokens as usize,
        })
    }
}

impl<M: LanguageModel> Window<'_, M> {
    /// The loss of a micro-batch: Σ −log p of its tokens ÷ the tokens of the whole step.
    pub(super) fn loss(&self, micro: usize) -> Result<candle_core::Tensor> {
        let (settings, batch) = (&self.settings, &self.batches[micro]);
        let place = place(self.first, micro, settings);
        let pass = Pass::train(self.ops, dropout_seed(settings.seed, self.step, place))
            .recomputing(settings.gradient_checkpointing)
            .packed(batch.segments.clone());
        Ok(self.model.loss(batch, &pass, self.scale)?)
    }
}

/// The number of a micro-batch in its window, for its dropout masks: where a share begins with a
/// whole micro-batch, the one that it has when one process computes the window; elsewhere another
/// one for each row that a micro-batch can begin with.
fn place(first: usize, micro: usize, settings: &LoopSettings) -> usize {
    let size = settings.batch_size;
    match first.is_multiple_of(size) {
        true => first / size + micro,
        false => settings.accumulation + first + micro * size,
    }
}

/// The seed of the dropout masks of one micro-batch: a function of the run's seed and the place.
pub(crate) fn dropout_seed(seed: u64, step: u64, place: usize) -> u64 {
    let mut rng = stream(
        seed.wrapping_add(step.wrapping_mul(STEP_STRIDE)),
        Purpose::Dropout,
    );
    rng.set_word_pos(place as u128 * 2); // one u64 is two words
    rng.random()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_micro_batches_of_a_window_share_their_masks() {
        let settings = |batch_size, accumulation| LoopSettings {
            seed: 3,
            total_steps: 1,
            batch_size,
            accumulation,
            logging_steps: 1,
            eval_steps: 0,
            save_steps: 0,
            patience: None,
            save_best: 0,
            pad: 0,
            gradient_checkpointing: false,
        };
        for (batch_size, accumulation) in [(1, 1), (4, 1), (4, 3), (3, 5), (8, 2)] {
            let settings = settings(batch_size, accumulation);
            let rows = batch_size * accumulation;
            for size in 1..=6 {
                let mut places = Vec::new();
                let (each, left) = (rows / size, rows % size);
                let mut first = 0;
                for rank in 0..size {
                    let share = each + usize::from(rank < left);
                    let micros = share.div_ceil(batch_size);
                    places.extend((0..micros).map(|micro| place(first, micro, &settings)));
                    first += share;
                }
                let count = places.len();
                places.sort_unstable();
                places.dedup();
                assert_eq!(places.len(), count, "{rows} rows, {size} processes");
                if accumulation.is_multiple_of(size) {
                    assert_eq!(places, (0..accumulation).collect::<Vec<_>>());
                }
            }
        }
    }
}
