//! The rows of one step that are this process's, as micro-batches.

use candle_core::Tensor;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::rng::{Purpose, stream};
use rand::Rng;

use super::{LoopSettings, Trainer};
use crate::Result;
use crate::model::LanguageModel;
use crate::objective::{Measures, Objective, Rows, Window};
use crate::order::Walk;

/// How far the seeds of successive steps are apart (an odd constant).
const STEP_STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A process's share of a step's rows.
pub(super) struct Share {
    /// The micro-batches; none where there are fewer rows than processes.
    pub(super) window: Window,
    /// Tokens that all processes read.
    pub(super) tokens: usize,
    /// The share's first row in the window.
    first: usize,
}

/// How a window is read.
pub(super) struct Reading<'a, M> {
    model: &'a M,
    settings: LoopSettings,
    ops: Ops,
    /// Steps done before this one.
    step: u64,
}

impl<'a, M: LanguageModel> Trainer<'a, M> {
    /// The next window. Every process takes the same rows off the walk, and keeps its share.
    pub(super) fn window(&mut self, walk: &mut Walk) -> Result<Share> {
        let input = crate::monitor::input::timed();
        let own = self.own_window(walk);
        drop(input);
        let counted = own.map(|(window, first)| {
            let counts = [window.supervised() as f64, window.tokens() as f64];
            ((window, first), counts)
        });
        let ((mut window, first), [supervised, tokens]) = self.processes.sums(counted)?;
        window.divide_by(supervised);
        Ok(Share {
            window,
            tokens: tokens as usize,
            first,
        })
    }

    /// This process's share of the next rows, and its first row among them; or once more the
    /// answers that steps are left on.
    fn own_window(&mut self, walk: &mut Walk) -> Result<(Window, usize)> {
        let LoopSettings {
            seed,
            batch_size,
            accumulation,
            pad,
            ..
        } = self.settings;
        let with = Rows {
            examples: self.train,
            plan: self.plan,
            batch_size,
            pad,
            device: &self.device,
        };
        let left = self.progress.rollout.take();
        if let (Objective::Rewarded(rewarded), Some(rollout)) = (&self.objective, left) {
            return Ok((Window::again(rewarded, rollout, &with)?, 0));
        }
        let rows = walk.take(batch_size * accumulation);
        let share = self.processes.share(rows.len());
        let first = share.start;
        let place = (seed, self.progress.step);
        let window = Window::of_rows(&self.objective, &rows[share], &with, place)?;
        Ok((window, first))
    }

    /// How the next window is read.
    pub(super) fn reading(&self) -> Reading<'a, M> {
        Reading {
            model: self.model,
            settings: self.settings.clone(),
            ops: Ops::for_device(&self.device),
            step: self.progress.step,
        }
    }
}

impl Share {
    /// The loss of a micro-batch, its part of the whole step's, and what is measured beside it.
    pub(super) fn loss<M: LanguageModel>(
        &mut self,
        reading: &Reading<M>,
        micro: usize,
    ) -> Result<(Tensor, Measures)> {
        let settings = &reading.settings;
        let place = place(self.first, micro, settings);
        let pass = match self.window.drops_out() {
            true => Pass::train(
                reading.ops,
                dropout_seed(settings.seed, reading.step, place),
            ),
            false => Pass::eval(reading.ops),
        };
        let pass = pass
            .recomputing(settings.gradient_checkpointing)
            .packed(self.window.batches[micro].segments.clone());
        self.window.loss(reading.model, micro, &pass)
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
    place_seed(seed, Purpose::Dropout, step, place)
}

/// A seed for one of many places in a step: a function of the run's seed and the place.
pub(crate) fn place_seed(seed: u64, purpose: Purpose, step: u64, place: usize) -> u64 {
    let mut rng = stream(seed.wrapping_add(step.wrapping_mul(STEP_STRIDE)), purpose);
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
