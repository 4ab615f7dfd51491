//! BERTScore (Zhang et al. 2020): texts compared by the vectors that an encoder gives their tokens.
//!
//! Each token of the prediction is matched with the most similar token of the reference, by the
//! cosine of their vectors; the mean of these cosines is the precision. The same from the reference
//! to the prediction is the recall, and F1 their harmonic mean. Paraphrases score high although they
//! share no words. A score says something only beside scores by the same encoder and layer.
//!
//! Read in this order: `tokens` (text → ids), `config` and `weights` (a folder → tensors), `encoder`
//! (ids → vectors), `matching` (vectors → scores), `layers` (which layer for which model).
//!
//! The numbers are those of the package `bert-score`, without its rescaling by a baseline:
//!
//! - the vectors of a layer in the middle, which for published models is known to agree best with
//!   people; all layers where nothing is known;
//! - begin and end token take part as partners, but have no weight of their own;
//! - a text without tokens has no score: precision, recall and F1 are 0;
//! - a token without any similar partner counts 0, never less;
//! - with `idf`, a token weighs `ln((N + 1) / (n + 1))` when `n` of the `N` references have it.
//!
//! ```no_run
//! use llm_bertscore::{BertScore, Options};
//! # fn main() -> llm_bertscore::Result<()> {
//! let scorer = BertScore::open("roberta-large".as_ref(), &Options::default())?;
//! let scores = scorer.score(&[("it is cold", "the weather is freezing")], |_done| ())?;
//! println!("{:.3}", scores[0].f1);
//! # Ok(()) }
//! ```

mod config;
mod encoder;
mod layers;
mod matching;
mod tokens;
mod weights;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

pub use llm_store::{Error, Result};
pub use matching::Score;

use config::Config;
use encoder::Encoder;
use matching::{Side, TokenWeights, match_greedily};
use tokens::Tokens;
use weights::Weights;

/// Tokens of one pass through the encoder: enough rows that reading the weights does not dominate,
/// few enough that the attention of 16 heads over 512 tokens stays below 150 MB.
const BATCH_TOKENS: usize = 4096;
/// Tokens whose vectors are kept at once: 64 MiB at 1024 channels.
const KEPT_TOKENS: usize = 16_384;

/// How to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// Layers to go through, 0 to all; `None` takes the published choice for a known model and all
    /// layers of an unknown one.
    pub layers: Option<usize>,
    /// Whether rare tokens weigh more.
    pub idf: bool,
    /// Whether a blank is put before each text. Byte-level tokenizers read a first word with a blank
    /// as the word that it is elsewhere. `bert-score` did so for RoBERTa until version 4 of
    /// transformers; with version 5 the tokenizer's own `add_prefix_space` decides, as here without
    /// this.
    pub prefix_space: bool,
    /// Where to compute.
    pub device: Device,
    /// The number type of weights and vectors.
    pub dtype: DType,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            layers: None,
            idf: false,
            prefix_space: false,
            device: Device::Cpu,
            dtype: DType::F32,
        }
    }
}

/// An encoder with its tokenizer, ready to compare texts.
pub struct BertScore {
    folder: PathBuf,
    encoder: Encoder,
    tokens: Tokens,
    idf: bool,
}

/// The token ids of a prediction and of its reference.
type IdPair = [Vec<u32>; 2];

impl BertScore {
    /// Reads a Hugging Face folder with `config.json`, `tokenizer.json` and safetensors of a BERT
    /// or RoBERTa encoder; weights of a head are left alone.
    ///
    /// # Errors
    /// Something is missing, malformed or of another architecture, or more layers are asked for
    /// than there are.
    pub fn open(folder: &Path, options: &Options) -> Result<Self> {
        let config = Config::read(folder)?;
        let layers = layers::choose(folder, &config, options.layers)?;
        let weights = Weights::open(folder, options.dtype, &options.device)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            tokens: Tokens::read(folder, &config, options.prefix_space)?,
            encoder: Encoder::load(&config, &weights, layers)?,
            idf: options.idf,
        })
    }

    /// How many layers the texts go through.
    pub fn layers(&self) -> usize {
        self.encoder.layers()
    }

    /// The scores of pairs of a prediction and its reference, in their order. `progress` hears how
    /// many pairs are done.
    ///
    /// Texts longer than the encoder's context are cut at its end. With `idf`, weights are counted
    /// over the references of this call.
    ///
    /// # Errors
    /// A text that the tokenizer refuses, or vectors that are not finite.
    pub fn score(
        &self,
        pairs: &[(&str, &str)],
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<Score>> {
        let encode = |&(prediction, reference): &(&str, &str)| -> Result<IdPair> {
            Ok([self.tokens.encode(prediction)?, self.tokens.encode(reference)?])
        };
        let ids = pairs.iter().map(encode).collect::<Result<Vec<_>>>()?;
        let weights = match self.idf {
            true => TokenWeights::of_references(ids.iter().map(|[_, reference]| reference)),
            false => TokenWeights::even(self.tokens.ends()),
        };
        let mut scores = Vec::with_capacity(ids.len());
        for portion in portions(&ids, KEPT_TOKENS) {
            let vectors = self.vectors(portion)?;
            for pair in portion {
                scores.push(self.score_pair(pair, &vectors, &weights)?);
            }
            progress(scores.len());
        }
        Ok(scores)
    }

    fn score_pair(
        &self,
        pair: &IdPair,
        vectors: &BTreeMap<&[u32], Tensor>,
        weights: &TokenWeights,
    ) -> Result<Score> {
        let side = |ids: &Vec<u32>| -> Option<Side<'_>> {
            Some(Side {
                vectors: vectors.get(ids.as_slice())?,
                weights: weights.of(ids),
            })
        };
        let [prediction, reference] = pair;
        let only_ends = self.tokens.ends().len();
        let empty = prediction.len() == only_ends || reference.len() == only_ends;
        match (empty, side(prediction), side(reference)) {
            (false, Some(prediction), Some(reference)) => {
                let score = match_greedily(&prediction, &reference);
                let score = score.map_err(|error| self.candle(error))?;
                score.ok_or_else(|| Error::Malformed {
                    path: self.folder.clone(),
                    problem: "gives vectors with NaN or of length 0, which have no direction".into(),
                })
            }
            _ => Ok(Score::default()),
        }
    }

    /// The unit vectors of every text of a portion, by its ids.
    ///
    /// Texts of one length go through the encoder together, so nothing is padded and no text can
    /// feel its neighbours.
    fn vectors<'a>(&self, portion: &'a [IdPair]) -> Result<BTreeMap<&'a [u32], Tensor>> {
        let texts: BTreeSet<&[u32]> = portion.iter().flatten().map(Vec::as_slice).collect();
        let mut by_length: Vec<&[u32]> = texts.into_iter().collect();
        by_length.sort_by_key(|ids| ids.len());
        let mut vectors = BTreeMap::new();
        for group in by_length.chunk_by(|a, b| a.len() == b.len()) {
            let length = group.first().map_or(1, |ids| ids.len().max(1));
            for batch in group.chunks((BATCH_TOKENS / length).max(1)) {
                let hidden = self.encoder.forward(batch);
                let hidden = hidden.map_err(|source| Error::Core {
                    path: self.folder.clone(),
                    source,
                })?;
                for (index, ids) in batch.iter().enumerate() {
                    let unit = hidden.get(index).and_then(|rows| matching::unit(&rows));
                    vectors.insert(*ids, unit.map_err(|error| self.candle(error))?);
                }
            }
        }
        Ok(vectors)
    }

    fn candle(&self, source: candle_core::Error) -> Error {
        Error::Candle {
            path: self.folder.clone(),
            source,
        }
    }
}

/// Neighbouring pairs with at most `tokens` tokens together, at least one pair each.
fn portions(ids: &[IdPair], tokens: usize) -> Vec<&[IdPair]> {
    let mut portions = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (index, [prediction, reference]) in ids.iter().enumerate() {
        let own = prediction.len() + reference.len();
        if sum + own > tokens && index > start {
            portions.push(&ids[start..index]);
            (start, sum) = (index, 0);
        }
        sum += own;
    }
    if start < ids.len() {
        portions.push(&ids[start..]);
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_bounded_and_lose_nothing() {
        let ids: Vec<IdPair> = [3, 9, 1, 1, 1, 30, 2]
            .map(|n| [vec![0; n], vec![0; n]])
            .to_vec();
        let lengths: Vec<usize> = portions(&ids, 20).iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [1, 2, 2, 1, 1]);
        assert!(portions(&[], 20).is_empty());
    }
}
