//! The sizes that are measured.

use llm_core::config::ModelConfig;
use serde::Deserialize;

/// V of the named shapes: the characters of a small English text.
pub const VOCABULARY: usize = 65;

/// A GPT and its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GptShape {
    /// L
    pub layers: usize,
    /// H
    pub heads: usize,
    /// C
    pub channels: usize,
    /// T
    pub tokens: usize,
    /// B
    pub batch: usize,
    /// V
    #[serde(default = "characters")]
    pub vocabulary: usize,
}

fn characters() -> usize {
    VOCABULARY
}

/// A few thousand parameters, for tests.
pub const TINY: GptShape = GptShape::new([2, 2, 16, 8, 2]);
/// 0.8 million parameters: nanoGPT's recipe for a laptop.
pub const SMALL: GptShape = GptShape::new([4, 4, 128, 64, 12]);
/// 10.7 million parameters.
pub const LARGE: GptShape = GptShape::new([6, 6, 384, 256, 8]);

/// The two training shapes that the project compares itself on.
pub const GPT_SHAPES: [GptShape; 2] = [SMALL, LARGE];

impl GptShape {
    /// L, H, C, T, B over characters.
    pub const fn new([layers, heads, channels, tokens, batch]: [usize; 5]) -> Self {
        Self {
            layers,
            heads,
            channels,
            tokens,
            batch,
            vocabulary: VOCABULARY,
        }
    }

    /// The shape called `tiny`, `small` or `large`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "tiny" => Some(TINY),
            "small" => Some(SMALL),
            "large" => Some(LARGE),
            _ => None,
        }
    }

    /// The sizes by their letters.
    pub fn label(&self) -> String {
        let Self {
            layers,
            channels,
            tokens,
            batch,
            ..
        } = self;
        format!("L={layers}/C={channels}/T={tokens}/B={batch}")
    }

    /// The model's configuration, without dropout.
    ///
    /// # Errors
    /// Sizes that do not fit together.
    pub fn config(&self) -> llm_core::Result<ModelConfig> {
        ModelConfig::from_json(&format!(
            r#"{{"model_type": "gpt2", "vocab_size": {}, "n_positions": {}, "n_embd": {},
                "n_layer": {}, "n_head": {}, "embd_pdrop": 0.0, "resid_pdrop": 0.0}}"#,
            self.vocabulary, self.tokens, self.channels, self.layers, self.heads
        ))
    }

    /// Token ids and next-token targets of one batch, the same for every run.
    pub fn batch(&self) -> (Vec<u32>, Vec<i64>) {
        let count = self.batch * self.tokens;
        (
            (0..count).map(|i| token(i, self.vocabulary)).collect(),
            (0..count)
                .map(|i| i64::from(token(i + 1, self.vocabulary)))
                .collect(),
        )
    }
}

/// A token id for place `i`. A linear congruence is enough: the work does not depend on the values.
pub fn token(i: usize, vocabulary: usize) -> u32 {
    u32::try_from((i * 7919 + 13) % vocabulary.max(1)).unwrap_or(0)
}
