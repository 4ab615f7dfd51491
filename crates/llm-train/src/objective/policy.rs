//! Answers that the policy draws and a check rewards.

use candle_core::Device;
use llm_core::generate::{Continuation, GenerateConfig, generate_group};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::{IGNORE_INDEX, Ops};
use llm_core::rng::Purpose;
use llm_core::sample::SamplerConfig;
use serde::{Deserialize, Serialize};

use super::{Grpo, Measures, StepSize, advantages};
use crate::batch::{Batch, collate};
use crate::bootstrap::Part;
use crate::evaluate::greedy;
use crate::labels::Example;
use crate::prompt::Codec;
use crate::synth::Check;
use crate::trainer::place_seed;
use crate::{Error, Result};

/// A prompt with what its answer must fulfil.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Its token ids, as generation reads them.
    pub prompt: Vec<u32>,
    /// What an answer must fulfil: the reward is 1 or 0.
    pub check: Check,
}

/// The objective of GRPO.
#[derive(Clone, Copy, Debug)]
pub struct Rewarded<'a> {
    /// The loss.
    pub loss: Grpo,
    /// The policy: the model whose weights train.
    pub policy: &'a Decoder,
    /// The frozen start, where the loss has a KL term.
    pub reference: Option<&'a Decoder>,
    /// Text of tokens, and the tokens that end an answer.
    pub codec: &'a Codec,
    /// What is asked, one for each row of the plan.
    pub asked: &'a [Asked],
    /// What is asked to measure.
    pub held_out: &'a [Asked],
    /// Answers to each prompt.
    pub group: usize,
    /// Optimizer steps on the same answers.
    pub iterations: u64,
    /// Divides the logits where answers are drawn and rated.
    pub temperature: f64,
    /// Whether advantages are divided by their standard deviation.
    pub scale_rewards: bool,
}

/// An answer beside the others of its group.
#[derive(Clone, Debug, PartialEq)]
pub struct Graded {
    /// Its tokens, with the one that ended it.
    pub tokens: Vec<u32>,
    /// Whether it came to its own end.
    pub finished: bool,
    /// Its text.
    pub text: String,
    /// 1 where its check holds, else 0.
    pub reward: f64,
    /// What the reward is worth in the group.
    pub advantage: f64,
}

/// An answer that was drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// Which row was asked.
    pub row: usize,
    /// The answer, with the token that ended it.
    pub tokens: Vec<u32>,
    /// What its reward was worth in its group.
    pub advantage: f64,
}

/// Answers that go through the model together, and what was said of their tokens before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MicroBatch {
    /// The answers, groups side by side.
    pub answers: Vec<Drawn>,
    /// log p of every position of the batch under the policy that drew them; empty until the first
    /// step has computed it.
    pub old: Vec<f64>,
    /// The same under the frozen start; empty where the loss has no KL term.
    pub reference: Vec<f64>,
}

/// The answers of one window of prompts. A checkpoint holds them as long as steps are left on them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Optimizer steps made on them.
    pub steps: u64,
    /// The micro-batches.
    pub micro_batches: Vec<MicroBatch>,
}

impl Rewarded<'_> {
    /// Draws and rewards answers to these rows, `batch_size` rows a micro-batch. Which answers are
    /// drawn follows from the weights, the run's seed and the step.
    ///
    /// # Errors
    /// A row that does not exist, or what the model reports.
    pub(super) fn draw(
        &self,
        rows: &[usize],
        batch_size: usize,
        (seed, step): (u64, u64),
        pad: u32,
    ) -> Result<(Rollout, Measures)> {
        let (mut rollout, mut measures) = (Rollout::default(), Measures::default());
        let mut place = 0;
        for rows in rows.chunks(batch_size.max(1)) {
            let mut micro_batch = MicroBatch::default();
            for &row in rows {
                let seeds: Vec<u64> = (0..self.group)
                    .map(|index| place_seed(seed, Purpose::Sample, step, place + index))
                    .collect();
                place += self.group;
                let answers = self.answers(row, &seeds, &mut measures)?;
                micro_batch.answers.extend(answers);
            }
            if let Some(reference) = self.reference {
                let batch = self.batch(&micro_batch, pad, reference.device())?;
                let pass = Pass::eval(Ops::for_device(reference.device()));
                let (ids, targets) = (&batch.ids, &batch.targets);
                micro_batch.reference =
                    reference.log_probs(ids, targets, self.temperature, &pass)?;
            }
            rollout.micro_batches.push(micro_batch);
        }
        Ok((rollout, measures))
    }

    /// One group of answers, with what is logged of it.
    fn answers(&self, row: usize, seeds: &[u64], measures: &mut Measures) -> Result<Vec<Drawn>> {
        let group = self.group(row, seeds)?;
        let rewards: Vec<f64> = group.iter().map(|answer| answer.reward).collect();
        let plain = advantages(&rewards, rewards.len(), false);
        let squares: f64 = plain.iter().map(|a| a * a).sum();
        let std = (squares / (rewards.len().max(2) - 1) as f64).sqrt();
        let alike = f64::from(u8::from(squares == 0.0));
        measures.add("reward_std", std, 1.0);
        measures.add("frac_reward_zero_std", alike, 1.0);
        for answer in &group {
            measures.add("reward", answer.reward, 1.0);
            let length = answer.tokens.len() as f64;
            measures.add("completions/mean_length", length, 1.0);
            let cut = f64::from(u8::from(!answer.finished));
            measures.add("completions/clipped_ratio", cut, 1.0);
        }
        let drawn = |answer: Graded| Drawn {
            row,
            tokens: answer.tokens,
            advantage: answer.advantage,
        };
        Ok(group.into_iter().map(drawn).collect())
    }

    /// Answers to one question, one for each seed, with their rewards and advantages.
    ///
    /// # Errors
    /// A row that does not exist, or what the model reports.
    pub fn group(&self, row: usize, seeds: &[u64]) -> Result<Vec<Graded>> {
        let asked = self.asked(row)?;
        let config = GenerateConfig {
            max_new_tokens: self.loss.max_completion_length,
            stop_tokens: self.codec.stop_tokens().to_vec(),
            sampler: SamplerConfig {
                temperature: self.temperature,
                ..SamplerConfig::default()
            },
        };
        let drawn = generate_group(self.policy, &asked.prompt, &config, seeds)?;
        let texts = drawn.iter().map(|answer| self.codec.decode(&answer.tokens));
        let texts = texts.collect::<Result<Vec<String>>>()?;
        let reward = |text: &String| f64::from(u8::from(asked.check.holds(text)));
        let rewards: Vec<f64> = texts.iter().map(reward).collect();
        let advantages = advantages(&rewards, rewards.len(), self.scale_rewards);
        let judged = texts.into_iter().zip(rewards).zip(advantages);
        let graded = |(answer, ((text, reward), advantage)): (Continuation, _)| Graded {
            tokens: answer.tokens,
            finished: answer.finished,
            text,
            reward,
            advantage,
        };
        Ok(drawn.into_iter().zip(judged).map(graded).collect())
    }

    fn asked(&self, row: usize) -> Result<&Asked> {
        let problem = || Error::input("batch", format!("there is no question {row}"));
        self.asked.get(row).ok_or_else(problem)
    }

    /// The batch of a micro-batch's prompts with their answers; only the answers count.
    ///
    /// # Errors
    /// A row that does not exist, or what the tensor library reports.
    pub(super) fn batch(
        &self,
        micro_batch: &MicroBatch,
        pad: u32,
        device: &Device,
    ) -> Result<Batch> {
        let example = |answer: &Drawn| -> Result<Example> {
            let mut ids = self.asked(answer.row)?.prompt.clone();
            let mut labels = vec![IGNORE_INDEX; ids.len()];
            labels.extend(answer.tokens.iter().map(|&id| i64::from(id)));
            ids.extend(&answer.tokens);
            Ok(Example { ids, labels })
        };
        let examples = micro_batch.answers.iter().map(example);
        let examples = examples.collect::<Result<Vec<Example>>>()?;
        collate(&examples.iter().collect::<Vec<_>>(), pad, device)
    }

    /// How much a step on these answers reads.
    pub(super) fn size(rollout: &Rollout) -> StepSize {
        let answers = || rollout.micro_batches.iter().flat_map(|one| &one.answers);
        StepSize {
            answers: answers().count(),
            tokens: answers().map(|answer| answer.tokens.len()).sum(),
        }
    }

    /// Whether each held-out question is missed by the policy's greedy answer: 1 or 0.
    pub(super) fn held_out(&self) -> Result<(Vec<Part>, Measures)> {
        let (mut parts, mut measures) = (Vec::new(), Measures::default());
        for asked in self.held_out {
            let stop = self.codec.stop_tokens();
            let most = self.loss.max_completion_length;
            let tokens = greedy(self.policy, &asked.prompt, stop, most)?;
            let right = asked.check.holds(&self.codec.decode(&tokens)?);
            parts.push(Part {
                sum: f64::from(u8::from(!right)),
                weight: 1.0,
            });
            measures.add("reward", f64::from(u8::from(right)), 1.0);
        }
        Ok((parts, measures))
    }
}
