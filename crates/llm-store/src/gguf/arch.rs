//! The five model families in llama.cpp's words: names of tensors, order of rows, metadata.
//!
//! Llama and Mistral are its `llama`, whose rope turns neighbouring numbers of a head instead of
//! its two halves: the rows of q and k are put into that order. What its architectures cannot say
//! is refused by the name of the key.

use std::path::Path;

use llm_core::config::{Family, Llama3Scaling, MlpKind, ModelConfig};
use llm_core::ops::GeluKind;

use super::value::Value;
use crate::{Error, Result};

/// What happens to a tensor's numbers on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Rows become columns: GPT-2 stores its projections as `[in, out]`.
    Transpose,
    /// The rows of each of this many heads are put into the order of `llama`'s rope.
    Interleave(usize),
}

/// A tensor's name in the file, and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name in the file.
    pub name: String,
    /// What happens to the numbers.
    pub change: Change,
    /// The layer, for a tensor of one.
    pub layer: Option<usize>,
}

/// llama.cpp's name of the architecture.
pub fn name(family: Family) -> &'static str {
    match family {
        Family::Gpt2 => "gpt2",
        Family::Llama | Family::Mistral => "llama",
        Family::Qwen2 => "qwen2",
        Family::Qwen3 => "qwen3",
    }
}

/// Parts of names outside the layers: in the model, in the file.
const OUTSIDE: [(&str, &str); 6] = [
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
    ("transformer.wte", "token_embd"),
    ("transformer.wpe", "position_embd"),
    ("transformer.ln_f", "output_norm"),
];

/// Parts of names inside a layer: in the model, in the file.
const INSIDE: [(&str, &str); 17] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("ln_1", "attn_norm"),
    ("attn.c_attn", "attn_qkv"),
    ("attn.c_proj", "attn_output"),
    ("ln_2", "ffn_norm"),
    ("mlp.c_fc", "ffn_up"),
    ("mlp.c_proj", "ffn_down"),
];

/// Where the tensor that the model calls `name` goes; `None` for a name that is in no table.
pub fn target(config: &ModelConfig, name: &str) -> Option<Target> {
    let (module, part) = name.rsplit_once('.')?;
    let find = |table: &[(&str, &'static str)], module: &str| {
        let row = table.iter().find(|row| row.0 == module);
        row.map(|row| row.1)
    };
    if let Some(found) = find(&OUTSIDE, module) {
        return Some(Target {
            name: format!("{found}.{part}"),
            change: Change::None,
            layer: None,
        });
    }
    let layers = ["model.layers.", "transformer.h."];
    let inside = layers.iter().find_map(|start| module.strip_prefix(start))?;
    let (layer, module) = inside.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let interleaved = matches!(config.family, Family::Llama | Family::Mistral);
    let change = match module {
        "self_attn.q_proj" if interleaved => Change::Interleave(config.num_attention_heads),
        "self_attn.k_proj" if interleaved => Change::Interleave(config.num_key_value_heads),
        "attn.c_attn" | "attn.c_proj" | "mlp.c_fc" | "mlp.c_proj" if part == "weight" => {
            Change::Transpose
        }
        _ => Change::None,
    };
    Some(Target {
        name: format!("blk.{layer}.{}.{part}", find(&INSIDE, module)?),
        change,
        layer: Some(layer),
    })
}

/// Puts rows into the order of `llama`'s rope: of each head's D rows, row `j` of the first half and
/// row `j` of the second stand side by side.
///
/// # Shapes
/// `rows` is `[H D, columns]`, flat; so is the result.
pub fn interleave(rows: &[f32], heads: usize, columns: usize) -> Vec<f32> {
    let head = rows.len() / heads.max(1);
    let half = head / 2;
    let mut out = Vec::with_capacity(rows.len());
    for head in rows.chunks_exact(head.max(1)) {
        let (first, second) = head.split_at(half);
        let rows = first.chunks_exact(columns.max(1));
        for (a, b) in rows.zip(second.chunks_exact(columns.max(1))) {
            out.extend_from_slice(a);
            out.extend_from_slice(b);
        }
    }
    out
}

/// The keys and values that describe a model of `config`, without its tokenizer.
///
/// # Errors
/// Arithmetic that llama.cpp's architecture does not have; `path` is for the message.
pub fn metadata(path: &Path, config: &ModelConfig) -> Result<Vec<(String, Value)>> {
    refuse(path, config)?;
    let arch = name(config.family);
    let mut out = vec![("general.architecture".into(), Value::String(arch.into()))];
    let number = |n: usize| Value::U32(n as u32); // `validate` keeps every size below 2^24
    let mut set = |key: &str, value: Value| out.push((format!("{arch}.{key}"), value));
    set("vocab_size", number(config.vocab_size));
    set("context_length", number(context_length(config)));
    set("embedding_length", number(config.hidden_size));
    set("block_count", number(config.num_hidden_layers));
    set("feed_forward_length", number(config.intermediate_size));
    set("attention.head_count", number(config.num_attention_heads));
    if config.layer_norm() {
        let eps = Value::F32(config.norm_eps as f32);
        set("attention.layer_norm_epsilon", eps);
        return Ok(out);
    }
    set(
        "attention.head_count_kv",
        number(config.num_key_value_heads),
    );
    set("attention.key_length", number(config.head_dim));
    set("attention.value_length", number(config.head_dim));
    let eps = Value::F32(config.norm_eps as f32);
    set("attention.layer_norm_rms_epsilon", eps);
    set("rope.dimension_count", number(config.head_dim));
    set("rope.freq_base", Value::F32(config.rope_theta as f32));
    Ok(out)
}

/// The context that llama.cpp computes as this model does. Its `llama` and `qwen` have no sliding
/// window, so it ends where the smallest window does.
pub fn context_length(config: &ModelConfig) -> usize {
    let windows = config.layer_windows.iter().flatten().copied();
    let window = windows.min().unwrap_or(usize::MAX);
    config.max_position_embeddings.min(window)
}

fn refuse(path: &Path, config: &ModelConfig) -> Result<()> {
    let unsupported = |key: &str, value: &str| {
        let arch = name(config.family);
        Err(Error::not_in_gguf(
            path,
            format!("`{key}` is {value} in a {arch} model"),
        ))
    };
    if config.mlp == MlpKind::Gelu(GeluKind::Erf) {
        return unsupported("activation_function", "gelu (exact)");
    }
    let llama = matches!(config.family, Family::Llama | Family::Mistral);
    if config.rope_scaling.is_some() && !llama {
        return unsupported("rope_scaling", "llama3");
    }
    if config.family == Family::Qwen3 && (config.qkv_bias || config.output_bias) {
        return unsupported("attention_bias", "true");
    }
    Ok(())
}

/// By how much llama.cpp divides each rope frequency, a tensor of its own.
///
/// # Shapes
/// Length D/2.
pub fn rope_factors(config: &ModelConfig) -> Option<Vec<f32>> {
    let scaling: Llama3Scaling = config.rope_scaling?;
    let original = scaling.original_max_position_embeddings as f64;
    let (low, high) = (scaling.low_freq_factor, scaling.high_freq_factor);
    let factor = |pair: usize| {
        let exponent = (2 * pair) as f64 / config.head_dim as f64;
        let wavelength = 2.0 * std::f64::consts::PI * config.rope_theta.powf(exponent);
        if wavelength < original / high {
            return 1.0;
        }
        if wavelength > original / low {
            return scaling.factor as f32;
        }
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 / ((1.0 - smooth) / scaling.factor + smooth)) as f32
    };
    Some((0..config.head_dim / 2).map(factor).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_a_head_become_neighbours() {
        // Two heads of four rows of one column
        let rows = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0];
        let expected = [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0];
        assert_eq!(interleave(&rows, 2, 1), expected);
        // One head of two rows of two columns is in order already
        assert_eq!(interleave(&rows[..4], 1, 2), rows[..4]);
    }
}
