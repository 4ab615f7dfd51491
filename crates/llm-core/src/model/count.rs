//! How many parameters a model has, part by part, from its config alone.
//!
//! A projection from a to b numbers is a matrix of a · b weights and, with a bias, b more:
//! (a + 1) · b. Everything else is a table (V · C, T · C) or a vector of C. Two short cuts of
//! textbooks go wrong here: `2 V C + 12 L C²` forgets that the head may be the token table, that
//! key-value heads may be fewer than query heads, that gated feed-forward layers have three
//! matrices of a width of their own, and all biases and norms. Axis letters are those of
//! [`crate::dims`].
//!
//! ```
//! use llm_core::{config::ModelConfig, model::count};
//! let gpt2 = ModelConfig::from_json(
//!     r#"{"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024, "n_embd": 768,
//!         "n_layer": 12, "n_head": 12}"#,
//! )?;
//! assert_eq!(count::total(&gpt2), 124_439_808);
//! # Ok::<(), llm_core::Error>(())
//! ```

use crate::config::{Family, MlpKind, ModelConfig};
use crate::{Error, Result};

/// One part of a model, over all layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// How it is counted, in axis letters.
    pub formula: String,
    /// Its parameters.
    pub count: u64,
}

/// A matrix that a LoRA adapter can stand on, and how often there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// Its last name in checkpoints.
    pub name: &'static str,
    /// The numbers that it reads.
    pub inputs: u64,
    /// The numbers that it writes.
    pub outputs: u64,
    /// Whether it has a bias.
    pub bias: bool,
}

/// The sizes of a config as numbers that do not overflow when multiplied.
struct Sizes {
    vocabulary: u64,
    channels: u64,
    layers: u64,
    /// H · D
    queries: u64,
    /// K · D
    keys: u64,
    wide: u64,
}

impl Sizes {
    fn of(config: &ModelConfig) -> Self {
        let head = config.head_dim as u64;
        Self {
            vocabulary: config.vocab_size as u64,
            channels: config.hidden_size as u64,
            layers: config.num_hidden_layers as u64,
            queries: config.num_attention_heads as u64 * head,
            keys: config.num_key_value_heads as u64 * head,
            wide: config.intermediate_size as u64,
        }
    }
}

impl Part {
    fn new(name: &'static str, formula: impl Into<String>, count: u64) -> Self {
        let formula = formula.into();
        Self {
            name,
            formula,
            count,
        }
    }

    /// L projections from `a` to `b`, each an axis product with its size.
    fn projection(
        name: &'static str,
        layers: u64,
        a: (&str, u64),
        b: (&str, u64),
        bias: bool,
    ) -> Self {
        let formula = match bias {
            true => format!("L × ({} + 1) × {}", a.0, b.0),
            false => format!("L × {} × {}", a.0, b.0),
        };
        Self::new(name, formula, layers * (a.1 + u64::from(bias)) * b.1)
    }
}

// ANCHOR: parts
/// Every part of a model, in the order in which a token passes them.
pub fn parts(config: &ModelConfig) -> Vec<Part> {
    let sizes = Sizes::of(config);
    let (l, c) = (sizes.layers, sizes.channels);
    let mut parts = vec![Part::new("token embedding", "V × C", sizes.vocabulary * c)];
    if config.learned_positions() {
        let positions = config.max_position_embeddings as u64;
        parts.push(Part::new("position embedding", "T × C", positions * c));
    }
    parts.extend(attention(config, &sizes));
    parts.extend(feed_forward(config, &sizes));
    // A layer norm has a scale and a shift, an RMS norm a scale.
    let (vectors, norm) = if config.layer_norm() {
        ("2 × C", 2 * c)
    } else {
        ("C", c)
    };
    parts.push(Part::new(
        "norms of the blocks",
        format!("L × 2 × {vectors}"),
        l * 2 * norm,
    ));
    parts.push(Part::new("last norm", vectors, norm));
    parts.push(match config.tie_word_embeddings {
        true => Part::new("head", "the token embedding", 0),
        false => Part::new("head", "V × C", sizes.vocabulary * c),
    });
    parts
}
// ANCHOR_END: parts

fn attention(config: &ModelConfig, sizes: &Sizes) -> Vec<Part> {
    let (l, bias) = (sizes.layers, config.qkv_bias);
    let (c, queries, keys) = (
        ("C", sizes.channels),
        ("H × D", sizes.queries),
        ("K × D", sizes.keys),
    );
    let mut parts = vec![
        Part::projection("queries", l, c, queries, bias),
        Part::projection("keys", l, c, keys, bias),
        Part::projection("values", l, c, keys, bias),
        Part::projection("attention output", l, queries, c, config.output_bias),
    ];
    if config.qk_norm() {
        parts.push(Part::new(
            "norms of q and k",
            "L × 2 × D",
            l * 2 * config.head_dim as u64,
        ));
    }
    parts
}

fn feed_forward(config: &ModelConfig, sizes: &Sizes) -> Vec<Part> {
    let (l, bias) = (sizes.layers, config.mlp_bias);
    let (c, wide) = (("C", sizes.channels), ("F", sizes.wide));
    let mut parts = Vec::new();
    if config.mlp == MlpKind::SwiGlu {
        parts.push(Part::projection("feed-forward gate", l, c, wide, bias));
    }
    parts.push(Part::projection("feed-forward up", l, c, wide, bias));
    parts.push(Part::projection("feed-forward down", l, wide, c, bias));
    parts
}

/// The number of parameters.
pub fn total(config: &ModelConfig) -> u64 {
    parts(config).iter().map(|part| part.count).sum()
}

/// The projections of one block under their names in checkpoints. GPT-2 keeps q, k and v in one
/// matrix, and calls the last matrix of either half `c_proj`.
pub fn projections(config: &ModelConfig) -> Vec<Projection> {
    let sizes = Sizes::of(config);
    let (c, queries, keys, wide) = (sizes.channels, sizes.queries, sizes.keys, sizes.wide);
    let (qkv, out, mlp) = (config.qkv_bias, config.output_bias, config.mlp_bias);
    let row = |(name, inputs, outputs, bias)| Projection {
        name,
        inputs,
        outputs,
        bias,
    };
    match config.family {
        Family::Gpt2 => [
            ("c_attn", c, queries + 2 * keys, qkv),
            ("c_proj", queries, c, out),
            ("c_fc", c, wide, mlp),
            ("c_proj", wide, c, mlp),
        ]
        .map(row)
        .to_vec(),
        _ => [
            ("q_proj", c, queries, qkv),
            ("k_proj", c, keys, qkv),
            ("v_proj", c, keys, qkv),
            ("o_proj", queries, c, out),
            ("gate_proj", c, wide, mlp),
            ("up_proj", c, wide, mlp),
            ("down_proj", wide, c, mlp),
        ]
        .map(row)
        .to_vec(),
    }
}

/// The weights of the blocks' matrices, without biases: what quantization shrinks.
pub fn block_weights(config: &ModelConfig) -> u64 {
    let weights = projections(config)
        .into_iter()
        .map(|p| p.inputs * p.outputs);
    config.num_hidden_layers as u64 * weights.sum::<u64>()
}

// ANCHOR: lora
/// The parameters of an adapter of rank `r` on the projections named in `targets`: A is R x in and
/// B is out x R, so R · (in + out) a matrix.
///
/// # Errors
/// A target that the family does not have.
pub fn lora(config: &ModelConfig, r: u64, targets: &[&str]) -> Result<u64> {
    let all = projections(config);
    for target in targets {
        if !all.iter().any(|projection| projection.name == *target) {
            let mut names: Vec<&str> = all.iter().map(|projection| projection.name).collect();
            names.sort_unstable();
            names.dedup();
            let problem = format!("names `{target}`, expected one of {}", names.join(", "));
            return Err(Error::config("target_modules", problem));
        }
    }
    let chosen = all
        .iter()
        .filter(|projection| targets.contains(&projection.name));
    let sides: u64 = chosen
        .map(|projection| projection.inputs + projection.outputs)
        .sum();
    Ok(config.num_hidden_layers as u64 * r * sides)
}
// ANCHOR_END: lora
