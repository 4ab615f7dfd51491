//! The micro-batches of one optimizer step with the loss of each.

use candle_core::{Device, Tensor};
use llm_core::nn::Pass;
use llm_core::ops::{IGNORE_INDEX, LogProbLoss};

use super::preference::{measure, positions, sums_of_pairs};
use super::{
    Compared, Dpo, Grpo, Measures, MicroBatch, Objective, Rewarded, Rollout, StepSize,
    TokenLogProbs,
};
use crate::batch::Batch;
use crate::batching::Plan;
use crate::labels::Example;
use crate::model::LanguageModel;
use crate::{Error, Result};

/// The micro-batches of one optimizer step.
pub(crate) struct Window {
    /// What the model reads.
    pub(crate) batches: Vec<Batch>,
    /// What was measured before the step.
    pub(crate) measures: Measures,
    terms: Terms,
}

/// What losses need beside the batches.
enum Terms {
    Tokens {
        /// 1 / supervised tokens of the window.
        scale: f64,
    },
    Pairs {
        loss: Dpo,
        /// What the frozen start says of each pair, by micro-batch.
        reference: Vec<Vec<[f64; 2]>>,
    },
    Answers {
        loss: Grpo,
        temperature: f64,
        rollout: Rollout,
        size: StepSize,
    },
}

/// What rows of a data set become batches with.
pub(crate) struct Rows<'a> {
    /// The examples.
    pub(crate) examples: &'a [Example],
    /// How they become batches.
    pub(crate) plan: &'a Plan,
    /// Rows of a micro-batch.
    pub(crate) batch_size: usize,
    /// The token that fills short rows.
    pub(crate) pad: u32,
    /// Where batches go.
    pub(crate) device: &'a Device,
}

impl Rows<'_> {
    fn batches(&self, rows: &[usize]) -> Result<Vec<Batch>> {
        let batch = |rows: &[usize]| self.plan.batch(self.examples, rows, self.pad, self.device);
        rows.chunks(self.batch_size).map(batch).collect()
    }
}

impl Window {
    /// The window of these rows; `place` is the run's seed and the steps done.
    ///
    /// # Errors
    /// Rows that do not exist, or what the model reports that draws answers.
    pub(crate) fn of_rows(
        objective: &Objective,
        rows: &[usize],
        with: &Rows,
        place: (u64, u64),
    ) -> Result<Self> {
        let measures = Measures::default();
        match objective {
            Objective::Tokens => {
                let batches = with.batches(rows)?;
                let supervised: usize = batches.iter().map(|batch| batch.supervised).sum();
                let scale = 1.0 / supervised as f64;
                Ok(Self {
                    batches,
                    measures,
                    terms: Terms::Tokens { scale },
                })
            }
            Objective::Preferred(preferred) => {
                let pair = |&row: &usize| {
                    let problem = || Error::input("batch", format!("there is no pair {row}"));
                    preferred.reference.get(row).copied().ok_or_else(problem)
                };
                let micro = |rows: &[usize]| rows.iter().map(pair).collect::<Result<Vec<_>>>();
                let reference = rows.chunks(with.batch_size).map(micro);
                let loss = preferred.loss;
                Ok(Self {
                    batches: with.batches(rows)?,
                    measures,
                    terms: Terms::Pairs {
                        loss,
                        reference: reference.collect::<Result<_>>()?,
                    },
                })
            }
            Objective::Rewarded(rewarded) => {
                let (rollout, measures) = rewarded.draw(rows, with.batch_size, place, with.pad)?;
                let window = Self::again(rewarded, rollout, with)?;
                Ok(Self { measures, ..window })
            }
        }
    }

    /// The window of answers that were drawn before.
    ///
    /// # Errors
    /// Answers to rows that do not exist.
    pub(crate) fn again(rewarded: &Rewarded, rollout: Rollout, with: &Rows) -> Result<Self> {
        let batch = |one: &MicroBatch| rewarded.batch(one, with.pad, with.device);
        let batches = rollout.micro_batches.iter().map(batch);
        Ok(Self {
            batches: batches.collect::<Result<_>>()?,
            measures: Measures::default(),
            terms: Terms::Answers {
                loss: rewarded.loss,
                temperature: rewarded.temperature,
                size: Rewarded::size(&rollout),
                rollout,
            },
        })
    }

    /// Tokens that count.
    pub(crate) fn supervised(&self) -> usize {
        self.batches.iter().map(|batch| batch.supervised).sum()
    }

    /// Makes the loss of tokens a mean over so many of them: those of all processes.
    pub(crate) fn divide_by(&mut self, supervised: f64) {
        if let Terms::Tokens { scale } = &mut self.terms {
            *scale = 1.0 / supervised;
        }
    }

    /// Tokens that are not padding.
    pub(crate) fn tokens(&self) -> usize {
        self.batches.iter().map(|batch| batch.tokens).sum()
    }

    /// Whether dropout belongs into a training pass: where probabilities are compared with those of
    /// another pass, a mask would be taken for a difference.
    pub(crate) fn drops_out(&self) -> bool {
        matches!(self.terms, Terms::Tokens { .. })
    }

    /// The loss of a micro-batch, its share of the whole window's, and what is measured beside it.
    ///
    /// # Errors
    /// What the model reports, or answers whose numbers are of another batch.
    pub(crate) fn loss(
        &mut self,
        model: &impl LanguageModel,
        micro: usize,
        pass: &Pass,
    ) -> Result<(Tensor, Measures)> {
        let batch = &self.batches[micro];
        let mut seen = Measures::default();
        let loss = match &mut self.terms {
            Terms::Tokens { scale } => model.loss(batch, pass, *scale)?,
            Terms::Pairs { loss, reference } => {
                let pairs: usize = reference.iter().map(Vec::len).sum();
                let (loss, reference) = (*loss, &reference[micro]);
                model.log_prob_loss(batch, 1.0, pass, &mut |log_probs| {
                    let sums = sums_of_pairs(batch, log_probs);
                    let compared = sums.into_iter().zip(reference);
                    let compared: Vec<Compared> = compared
                        .map(|(policy, &reference)| loss.pair(policy, reference))
                        .collect();
                    seen = measure(&compared);
                    Ok(of_pairs(&compared, pairs, positions(batch)))
                })?
            }
            Terms::Answers {
                loss,
                temperature,
                rollout,
                size,
            } => {
                let (loss, size) = (*loss, *size);
                let answers = &mut rollout.micro_batches[micro];
                model.log_prob_loss(batch, *temperature, pass, &mut |log_probs| {
                    if answers.old.is_empty() {
                        answers.old = log_probs.to_vec();
                    }
                    let (known, measures) = of_answers(loss, batch, log_probs, (&*answers, size))?;
                    seen = measures;
                    Ok(known)
                })?
            }
        };
        Ok((loss, seen))
    }

    /// The answers, for one more step if `iterations` leave one.
    pub(crate) fn into_rollout(self, iterations: u64) -> Option<Rollout> {
        match self.terms {
            Terms::Answers { rollout, .. } => {
                let steps = rollout.steps + 1;
                (steps < iterations).then_some(Rollout { steps, ..rollout })
            }
            _ => None,
        }
    }
}

/// The mean over the window's `pairs`, as a function of each of T positions of each answer.
fn of_pairs(compared: &[Compared], pairs: usize, t: usize) -> LogProbLoss {
    let share = 1.0 / pairs.max(1) as f64;
    let rows = compared.iter().flat_map(|pair| pair.slopes);
    let slopes = rows.flat_map(|slope| std::iter::repeat_n(share * slope, t));
    LogProbLoss {
        value: share * compared.iter().map(|pair| pair.loss).sum::<f64>(),
        slopes: slopes.collect(),
    }
}

/// The weighted sum over the tokens of a micro-batch's answers.
fn of_answers(
    loss: Grpo,
    batch: &Batch,
    log_probs: &[f64],
    (answers, size): (&MicroBatch, StepSize),
) -> llm_core::Result<(LogProbLoss, Measures)> {
    let n = log_probs.len();
    let (old, reference) = (&answers.old, &answers.reference);
    if old.len() != n || !(reference.is_empty() || reference.len() == n) {
        let problem = format!("have {} log-probabilities for {n} positions", old.len());
        return Err(llm_core::Error::input("drawn answers", problem));
    }
    let t = positions(batch);
    let mut measures = Measures::default();
    let (mut value, mut slopes) = (0.0, vec![0.0; n]);
    for (row, answer) in answers.answers.iter().enumerate() {
        let weight = loss.weight(answer.tokens.len(), size);
        let counted = |&place: &usize| batch.targets.get(place) != Some(&IGNORE_INDEX);
        for place in (row * t..((row + 1) * t).min(n)).filter(counted) {
            let token = loss.token(
                TokenLogProbs {
                    policy: log_probs[place],
                    old: old[place],
                    reference: reference.get(place).copied(),
                },
                answer.advantage,
            );
            value += weight * token.loss;
            slopes[place] = weight * token.slope;
            if !reference.is_empty() {
                measures.add("kl", token.kl, 1.0);
            }
            let clipped = f64::from(u8::from(token.clipped));
            measures.add("clip_ratio/region_mean", clipped, 1.0);
        }
    }
    Ok((LogProbLoss { value, slopes }, measures))
}

#[cfg(test)]
mod tests;
