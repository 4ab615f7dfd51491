//! Text from a model, one character at a time.
//!
//! ```text
//! repeat: scores = model(the last T characters)    one score for each character of the vocabulary
//!         sampler picks one of them                 temperature, top-k, one seeded draw
//!         it joins the text
//! ```
//!
//! Unlike [`llm_core::generate`], which stops at the end of the context, the model looks at a
//! window that slides: when the text is longer than T, its beginning is forgotten. Up to there a
//! cache keeps what was computed for earlier characters, and a step reads only the last one. Learned
//! positions number the characters of the window, so once it slides every character has another
//! position at every step, nothing can be kept, and a step reads all T.

use candle_core::{IndexOp, Tensor};
use llm_core::cache::KvCache;
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::sample::{Candidate, Sampler, SamplerConfig, candidates};

use crate::{Error, Result};

/// Continues a text without end; see [`write()`].
#[derive(Debug)]
pub struct Writer<'a> {
    model: &'a Decoder,
    config: SamplerConfig,
    sampler: Sampler,
    /// As long as the window stands still.
    cache: Option<KvCache>,
    all: Vec<u32>,
}

/// One character with what else it could have been.
#[derive(Clone, Debug, PartialEq)]
pub struct Pick {
    /// The character that was drawn.
    pub id: u32,
    /// What temperature and top-k left to draw from, best first; the probabilities sum to 1.
    pub candidates: Vec<Candidate>,
}

impl<'a> Writer<'a> {
    /// A writer behind `prompt`.
    ///
    /// # Errors
    /// An empty prompt, or sampling settings out of range.
    pub fn new(model: &'a Decoder, prompt: &[u32], config: SamplerConfig) -> Result<Self> {
        if prompt.is_empty() {
            return Err(Error::input(
                "prompt",
                "is empty, expected at least one character",
            ));
        }
        let (context, dtype) = (model.config().max_position_embeddings, model.dtype());
        Ok(Self {
            model,
            config,
            sampler: Sampler::new(config)?,
            cache: Some(KvCache::new(
                model.config(),
                1,
                context,
                dtype,
                model.device(),
            )?),
            all: prompt.to_vec(),
        })
    }

    // ANCHOR: pick
    /// Writes one character.
    ///
    /// # Errors
    /// As [`next_scores`], or scores that are not finite.
    pub fn pick(&mut self) -> Result<Pick> {
        if self.all.len() > self.model.config().max_position_embeddings {
            self.cache = None;
        }
        let scores = match &mut self.cache {
            Some(cache) => {
                let unread = &self.all[cache.len()..];
                scores_behind(self.model, unread, Some(cache))?
            }
            None => next_scores(self.model, &self.all)?,
        };
        let candidates = candidates(&scores, &self.all, &self.config)?;
        let id = self.sampler.next(&scores, &self.all)?;
        self.all.push(id);
        Ok(Pick { id, candidates })
    }
    // ANCHOR_END: pick
}

impl Iterator for Writer<'_> {
    type Item = Result<u32>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.pick().map(|pick| pick.id))
    }
}

/// The score of each character as the next one after `text`, of which the model sees the end.
///
/// # Shapes
/// Length V.
///
/// # Errors
/// No text, or an id outside the vocabulary.
pub fn next_scores(model: &Decoder, text: &[u32]) -> Result<Vec<f32>> {
    if text.is_empty() {
        return Err(Error::input(
            "text",
            "is empty, expected at least one character",
        ));
    }
    let context = model.config().max_position_embeddings;
    scores_behind(model, &text[text.len().saturating_sub(context)..], None)
}

/// The scores of what comes behind `seen`, and behind what the cache has read before.
fn scores_behind(model: &Decoder, seen: &[u32], cache: Option<&mut KvCache>) -> Result<Vec<f32>> {
    let ids = Tensor::new(seen, model.device())?.unsqueeze(0)?;
    let pass = Pass::eval(Ops::for_device(model.device()));
    let hidden = model.hidden(&ids, cache, &pass)?;
    let last = hidden.narrow(1, seen.len().saturating_sub(1), 1)?;
    Ok(model.logits(&last, &pass)?.i((0, 0))?.to_vec1()?)
}

/// The `count` characters that the model writes after `prompt`.
///
/// # Errors
/// As [`Writer::new`] and [`next_scores`].
pub fn write(
    model: &Decoder,
    prompt: &[u32],
    count: usize,
    config: SamplerConfig,
) -> Result<Vec<u32>> {
    Writer::new(model, prompt, config)?.take(count).collect()
}

/// As [`write()`] with the best character each time, found without a sampler.
///
/// # Errors
/// As [`write()`].
pub fn write_greedy(model: &Decoder, prompt: &[u32], count: usize) -> Result<Vec<u32>> {
    let mut all = prompt.to_vec();
    for _ in 0..count {
        let scores = next_scores(model, &all)?;
        let better = |best: usize, id: usize| if scores[id] > scores[best] { id } else { best };
        all.push((0..scores.len()).fold(0, better) as u32);
    }
    Ok(all.split_off(prompt.len()))
}
