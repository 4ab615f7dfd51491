//! Reading `config.json`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{DropoutConfig, Family, Llama3Scaling, MlpKind, ModelConfig};
use crate::ops::GeluKind;
use crate::{Error, Result};

/// The JSON object with typed access; every error names the key.
struct Keys<'a>(&'a Map<String, Value>);

impl Keys<'_> {
    fn get<T: for<'de> Deserialize<'de>>(&self, key: &str) -> Result<Option<T>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|_| Error::config(key, format!("is {value}, expected another type"))),
        }
    }

    fn or<T: for<'de> Deserialize<'de>>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    fn need<T: for<'de> Deserialize<'de>>(&self, key: &str) -> Result<T> {
        self.get(key)?
            .ok_or_else(|| Error::config(key, "is missing"))
    }

    /// Fails when `key` is set to something else than `only`: arithmetic that we do not have.
    fn only(&self, key: &str, only: &Value) -> Result<()> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if value == only => Ok(()),
            Some(value) => Err(Error::config(
                key,
                format!("is {value}, only {only} is supported"),
            )),
        }
    }
}

impl ModelConfig {
    /// Reads and validates the text of a `config.json`.
    ///
    /// # Errors
    /// Text that is not a JSON object, an unknown `model_type`, a missing or mistyped key, a
    /// feature we do not have, or a value out of range.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| Error::text("config.json", format!("is not JSON: {e}")))?;
        let Value::Object(map) = &value else {
            return Err(Error::text("config.json", "is not a JSON object"));
        };
        let keys = Keys(map);
        let model_type: String = keys.need("model_type")?;
        let found = Family::ALL.iter().find(|(_, name, _)| *name == model_type);
        let Some(&(family, ..)) = found else {
            let known = Family::ALL.map(|(_, name, _)| name).join(", ");
            return Err(Error::config(
                "model_type",
                format!("is `{model_type}`, expected one of {known}"),
            ));
        };
        let config = match family {
            Family::Gpt2 => gpt2(&keys)?,
            _ => llama_like(&keys, family)?,
        };
        config.validate()?;
        Ok(config)
    }
}

fn gpt2(keys: &Keys) -> Result<ModelConfig> {
    keys.only("scale_attn_weights", &Value::Bool(true))?;
    keys.only("scale_attn_by_inverse_layer_idx", &Value::Bool(false))?;
    keys.only("add_cross_attention", &Value::Bool(false))?;
    let hidden_size: usize = keys.need("n_embd")?;
    let heads: usize = keys.need("n_head")?;
    if heads == 0 || !hidden_size.is_multiple_of(heads) {
        return Err(Error::config(
            "n_head",
            format!("is {heads}, expected a divisor of n_embd {hidden_size}"),
        ));
    }
    let layers: usize = keys.need("n_layer")?;
    let activation: String = keys.or("activation_function", "gelu_new".into())?;
    let mlp = match activation.as_str() {
        "gelu_new" | "gelu_pytorch_tanh" => MlpKind::Gelu(GeluKind::Tanh),
        "gelu" => MlpKind::Gelu(GeluKind::Erf),
        other => {
            let problem = format!("is `{other}`, expected gelu_new or gelu");
            return Err(Error::config("activation_function", problem));
        }
    };
    Ok(ModelConfig {
        family: Family::Gpt2,
        vocab_size: keys.need("vocab_size")?,
        hidden_size,
        intermediate_size: keys.or("n_inner", 4usize.saturating_mul(hidden_size))?,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim: hidden_size / heads,
        max_position_embeddings: keys.need("n_positions")?,
        norm_eps: keys.or("layer_norm_epsilon", 1e-5)?,
        rope_theta: 1.0,
        rope_scaling: None,
        layer_windows: windows(layers, |_| None),
        tie_word_embeddings: keys.or("tie_word_embeddings", true)?,
        qkv_bias: true,
        output_bias: true,
        mlp_bias: true,
        mlp,
        dropout: DropoutConfig {
            embedding: keys.or("embd_pdrop", 0.1)?,
            residual: keys.or("resid_pdrop", 0.1)?,
        },
        initializer_range: keys.or("initializer_range", 0.02)?,
        bos_token_id: keys.get("bos_token_id")?,
        eos_token_ids: eos(keys)?,
    })
}

fn llama_like(keys: &Keys, family: Family) -> Result<ModelConfig> {
    keys.only("hidden_act", &Value::String("silu".into()))?;
    let hidden_size: usize = keys.need("hidden_size")?;
    let heads: usize = keys.need("num_attention_heads")?;
    let layers: usize = keys.need("num_hidden_layers")?;
    let attention_bias = match family {
        Family::Llama | Family::Qwen3 => keys.or("attention_bias", false)?,
        _ => false,
    };
    let (rope_theta, rope_scaling) = rope(keys)?;
    Ok(ModelConfig {
        family,
        vocab_size: keys.need("vocab_size")?,
        hidden_size,
        intermediate_size: keys.need("intermediate_size")?,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: keys.or("num_key_value_heads", heads)?,
        head_dim: head_dim(keys, family, hidden_size, heads)?,
        max_position_embeddings: keys.need("max_position_embeddings")?,
        norm_eps: keys.or("rms_norm_eps", 1e-6)?,
        rope_theta,
        rope_scaling,
        layer_windows: layer_windows(keys, family, layers)?,
        tie_word_embeddings: keys.or("tie_word_embeddings", false)?,
        qkv_bias: attention_bias || family == Family::Qwen2,
        output_bias: attention_bias,
        mlp_bias: family == Family::Llama && keys.or("mlp_bias", false)?,
        mlp: MlpKind::SwiGlu,
        dropout: DropoutConfig::default(),
        initializer_range: keys.or("initializer_range", 0.02)?,
        bos_token_id: keys.get("bos_token_id")?,
        eos_token_ids: eos(keys)?,
    })
}

fn head_dim(keys: &Keys, family: Family, hidden_size: usize, heads: usize) -> Result<usize> {
    // Qwen3 is the one family whose head size does not follow from the width when it is left out.
    let default = match family {
        Family::Qwen3 => 128,
        _ => hidden_size.checked_div(heads).unwrap_or(0),
    };
    keys.or("head_dim", default)
}

/// `windows(l)` for each layer, without trusting the number of layers.
fn windows(layers: usize, window: impl Fn(usize) -> Option<usize>) -> Vec<Option<usize>> {
    (0..layers.min(super::MAX_LAYERS)).map(window).collect()
}

fn layer_windows(keys: &Keys, family: Family, layers: usize) -> Result<Vec<Option<usize>>> {
    let window: Option<usize> = keys.get("sliding_window")?;
    match family {
        Family::Mistral => Ok(windows(layers, |_| window)),
        Family::Qwen2 | Family::Qwen3 if keys.or("use_sliding_window", false)? => {
            if let Some(types) = keys.get::<Vec<String>>("layer_types")? {
                let windowed = |kind: &String| match kind.as_str() {
                    "sliding_attention" => Ok(window),
                    "full_attention" => Ok(None),
                    other => Err(Error::config(
                        "layer_types",
                        format!("has `{other}`, expected full_attention or sliding_attention"),
                    )),
                };
                return types.iter().map(windowed).collect();
            }
            let first = keys.or("max_window_layers", 28)?;
            Ok(windows(layers, |layer| window.filter(|_| layer >= first)))
        }
        _ => Ok(windows(layers, |_| None)),
    }
}

/// Base and scaling, from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling`.
fn rope(keys: &Keys) -> Result<(f64, Option<Llama3Scaling>)> {
    let scaling = match keys.get::<Map<String, Value>>("rope_parameters")? {
        Some(parameters) => Some(parameters),
        None => keys.get::<Map<String, Value>>("rope_scaling")?,
    };
    let top: f64 = keys.or("rope_theta", 10_000.0)?;
    let Some(map) = scaling else {
        return Ok((top, None));
    };
    let scaling = Keys(&map);
    let theta = scaling.or("rope_theta", top)?;
    let old_name: String = scaling.or("type", "default".into())?;
    let kind: String = scaling.or("rope_type", old_name)?;
    scaling.only("partial_rotary_factor", &serde_json::json!(1.0))?;
    match kind.as_str() {
        "default" => Ok((theta, None)),
        "llama3" => Ok((
            theta,
            Some(Llama3Scaling {
                factor: scaling.need("factor")?,
                low_freq_factor: scaling.need("low_freq_factor")?,
                high_freq_factor: scaling.need("high_freq_factor")?,
                original_max_position_embeddings: scaling
                    .need("original_max_position_embeddings")?,
            }),
        )),
        other => {
            let problem = format!("is `{other}`, expected default or llama3");
            Err(Error::config("rope_scaling.rope_type", problem))
        }
    }
}

fn eos(keys: &Keys) -> Result<Vec<u32>> {
    match keys.0.get("eos_token_id") {
        Some(Value::Array(_)) => keys.or("eos_token_id", Vec::new()),
        _ => Ok(keys.get("eos_token_id")?.into_iter().collect()),
    }
}
