//! What a model is made of: the keys of Hugging Face's `config.json`, read strictly.
//!
//! One [`ModelConfig`] describes all five families. Keys that a family does not have (GPT-2 has no
//! rope) hold neutral values, so that layers ask for properties and never for a family's name.
//! Unknown keys are tolerated, since every release of the format adds some; a known key that asks
//! for arithmetic we do not have is an error.
//!
//! ```
//! use llm_core::config::ModelConfig;
//! let config = ModelConfig::from_json(
//!     r#"{"model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 32,
//!         "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
//!         "max_position_embeddings": 64}"#,
//! )?;
//! assert_eq!(config.head_dim, 4);
//! # Ok::<(), llm_core::Error>(())
//! ```

pub mod published;
mod read;
mod write;

use crate::ops::GeluKind;
use crate::{Error, Result};

/// The model families that one decoder serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// GPT-2: learned positions, layer norm, GELU, biases everywhere, tied head.
    Gpt2,
    /// Llama 1–3: rope, RMS norm, SwiGLU, grouped key-value heads.
    Llama,
    /// Mistral: Llama with a sliding window.
    Mistral,
    /// Qwen2 and Qwen2.5: Llama with biases on q, k and v.
    Qwen2,
    /// Qwen3: Llama with RMS norms on each head of q and k.
    Qwen3,
}

impl Family {
    /// All families with their `model_type` and `architectures` entry.
    pub const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Gpt2, "gpt2", "GPT2LMHeadModel"),
        (Self::Llama, "llama", "LlamaForCausalLM"),
        (Self::Mistral, "mistral", "MistralForCausalLM"),
        (Self::Qwen2, "qwen2", "Qwen2ForCausalLM"),
        (Self::Qwen3, "qwen3", "Qwen3ForCausalLM"),
    ];

    /// Hugging Face's `model_type`.
    pub fn model_type(self) -> &'static str {
        self.row().1
    }

    /// Hugging Face's class name.
    pub fn architecture(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (Self, &'static str, &'static str) {
        let [gpt2, llama, mistral, qwen2, qwen3] = Self::ALL;
        match self {
            Self::Gpt2 => gpt2,
            Self::Llama => llama,
            Self::Mistral => mistral,
            Self::Qwen2 => qwen2,
            Self::Qwen3 => qwen3,
        }
    }
}

/// The feed-forward layer's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlpKind {
    /// `down(silu(gate(x)) · up(x))`.
    SwiGlu,
    /// `down(gelu(up(x)))`.
    Gelu(GeluKind),
}

/// Llama 3's stretching of slow rope frequencies to a longer context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// Slow frequencies are divided by this.
    pub factor: f64,
    /// Wavelengths above `original / low` are divided in full.
    pub low_freq_factor: f64,
    /// Wavelengths below `original / high` stay.
    pub high_freq_factor: f64,
    /// The context length of the first training phase, in tokens.
    pub original_max_position_embeddings: usize,
}

/// Dropout probabilities of training, by place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DropoutConfig {
    /// After the embedding (`embd_pdrop`).
    pub embedding: f64,
    /// After the attention's and the feed-forward layer's last projection (`resid_pdrop`).
    pub residual: f64,
}

/// What a model is made of. Axis letters are those of [`crate::dims`].
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// `model_type`
    pub family: Family,
    /// V
    pub vocab_size: usize,
    /// C
    pub hidden_size: usize,
    /// F
    pub intermediate_size: usize,
    /// L
    pub num_hidden_layers: usize,
    /// H
    pub num_attention_heads: usize,
    /// K; divides H
    pub num_key_value_heads: usize,
    /// D; even where there is rope
    pub head_dim: usize,
    /// The longest context in tokens.
    pub max_position_embeddings: usize,
    /// ε inside the root of every norm.
    pub norm_eps: f64,
    /// Base of the rope frequencies; unused where positions are learned.
    pub rope_theta: f64,
    /// Long-context scaling of the rope frequencies.
    pub rope_scaling: Option<Llama3Scaling>,
    /// For each layer: a query reads this many keys at most, itself included.
    pub layer_windows: Vec<Option<usize>>,
    /// The head is the embedding table.
    pub tie_word_embeddings: bool,
    /// Biases on q, k and v.
    pub qkv_bias: bool,
    /// A bias on the attention's output projection.
    pub output_bias: bool,
    /// Biases in the feed-forward layer.
    pub mlp_bias: bool,
    /// The feed-forward layer's shape.
    pub mlp: MlpKind,
    /// Dropout in training.
    pub dropout: DropoutConfig,
    /// Standard deviation of initial weights.
    pub initializer_range: f64,
    /// The token that starts a text, if the model has one.
    pub bos_token_id: Option<u32>,
    /// The tokens that end a text.
    pub eos_token_ids: Vec<u32>,
}

/// Larger sizes than any published model has: a number beyond it is a mistake or an attack.
const MAX_SIZE: usize = 1 << 24;
/// More layers than any published model has.
const MAX_LAYERS: usize = 4096;

impl ModelConfig {
    /// Whether positions are a learned table (GPT-2) and not rope.
    pub fn learned_positions(&self) -> bool {
        self.family == Family::Gpt2
    }

    /// Whether norms subtract the mean and have a bias (GPT-2).
    pub fn layer_norm(&self) -> bool {
        self.family == Family::Gpt2
    }

    /// Whether each head of q and k is normed before rope (Qwen3).
    pub fn qk_norm(&self) -> bool {
        self.family == Family::Qwen3
    }

    /// Fails on numbers that no model can have.
    ///
    /// # Errors
    /// The first key that is out of range, with what was expected.
    pub fn validate(&self) -> Result<()> {
        self.validate_sizes()?;
        self.validate_numbers()?;
        if self.layer_windows.len() != self.num_hidden_layers {
            let (found, layers) = (self.layer_windows.len(), self.num_hidden_layers);
            return Err(Error::config(
                "layer_types",
                format!("has {found} entries, expected {layers}"),
            ));
        }
        if self.layer_windows.contains(&Some(0)) {
            return Err(Error::config("sliding_window", "is 0, expected at least 1"));
        }
        for id in self.eos_token_ids.iter().chain(&self.bos_token_id) {
            if *id as usize >= self.vocab_size {
                let problem = format!("is {id}, expected less than vocab_size {}", self.vocab_size);
                return Err(Error::config("bos/eos_token_id", problem));
            }
        }
        Ok(())
    }

    fn validate_sizes(&self) -> Result<()> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (key, value) in sizes {
            if value == 0 || value > MAX_SIZE {
                return Err(Error::config(
                    key,
                    format!("is {value}, expected 1..={MAX_SIZE}"),
                ));
            }
        }
        if self.num_hidden_layers == 0 || self.num_hidden_layers > MAX_LAYERS {
            let problem = format!("is {}, expected 1..={MAX_LAYERS}", self.num_hidden_layers);
            return Err(Error::config("num_hidden_layers", problem));
        }
        let (h, k) = (self.num_attention_heads, self.num_key_value_heads);
        if h % k != 0 {
            let problem = format!("is {k}, expected a divisor of num_attention_heads {h}");
            return Err(Error::config("num_key_value_heads", problem));
        }
        if !self.learned_positions() && !self.head_dim.is_multiple_of(2) {
            let problem = format!("is {}, expected an even number for rope", self.head_dim);
            return Err(Error::config("head_dim", problem));
        }
        if self.num_attention_heads * self.head_dim > MAX_SIZE {
            let problem = format!("times head_dim {} is beyond {MAX_SIZE}", self.head_dim);
            return Err(Error::config("num_attention_heads", problem));
        }
        Ok(())
    }

    fn validate_numbers(&self) -> Result<()> {
        let positive = |key: &str, value: f64| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(Error::config(
                key,
                format!("is {value}, expected a positive number"),
            )),
        };
        positive("norm_eps", self.norm_eps)?;
        positive("rope_theta", self.rope_theta)?;
        if !(0.0..=1.0).contains(&self.initializer_range) {
            let problem = format!("is {}, expected 0 to 1", self.initializer_range);
            return Err(Error::config("initializer_range", problem));
        }
        for p in [self.dropout.embedding, self.dropout.residual] {
            if !(0.0..1.0).contains(&p) {
                return Err(Error::config(
                    "dropout",
                    format!("is {p}, expected 0 <= p < 1"),
                ));
            }
        }
        if let Some(scaling) = self.rope_scaling {
            positive("rope_scaling.factor", scaling.factor)?;
            positive("rope_scaling.low_freq_factor", scaling.low_freq_factor)?;
            positive("rope_scaling.high_freq_factor", scaling.high_freq_factor)?;
            if scaling.high_freq_factor <= scaling.low_freq_factor {
                let problem = "is not above low_freq_factor";
                return Err(Error::config("rope_scaling.high_freq_factor", problem));
            }
            if scaling.original_max_position_embeddings == 0 {
                let key = "rope_scaling.original_max_position_embeddings";
                return Err(Error::config(key, "is 0, expected at least 1"));
            }
        }
        Ok(())
    }

    /// The rope frequencies in radians per token, scaled where the config says so.
    ///
    /// Rounded to f32 after every operation, in the order of the published implementations, since
    /// an angle is thousands of frequencies. The power is taken in f64 and rounded once, so that
    /// every platform's mathematics library gives the same bits.
    ///
    /// # Shapes
    /// Length D/2.
    pub fn inverse_frequencies(&self) -> Vec<f32> {
        let (base, d) = (f64::from(self.rope_theta as f32), self.head_dim as f32);
        let power = |exponent: f32| base.powf(f64::from(exponent)) as f32;
        let plain = (0..self.head_dim / 2).map(|i| 1.0 / power((2 * i) as f32 / d));
        match self.rope_scaling {
            None => plain.collect(),
            Some(scaling) => plain.map(|frequency| scaling.apply(frequency)).collect(),
        }
    }
}

impl Llama3Scaling {
    /// The scaled `frequency`: unchanged when fast, divided by the factor when slow, blended
    /// between.
    fn apply(&self, frequency: f32) -> f32 {
        let original = self.original_max_position_embeddings as f32;
        let (factor, low, high) = (
            self.factor as f32,
            self.low_freq_factor as f32,
            self.high_freq_factor as f32,
        );
        // A quotient of a number and a tensor is a reciprocal and a product there.
        let wavelength = frequency.recip() * (2.0 * std::f32::consts::PI);
        if wavelength < original / high {
            return frequency;
        }
        if wavelength > original / low {
            return frequency / factor;
        }
        let smooth = (wavelength.recip() * original - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}
