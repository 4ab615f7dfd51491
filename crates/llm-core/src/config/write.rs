//! Writing `config.json`, in the keys of each family.

use serde_json::{Map, Value, json};

use super::{Family, MlpKind, ModelConfig};
use crate::ops::GeluKind;

impl ModelConfig {
    /// The text of a `config.json` that Hugging Face transformers and [`ModelConfig::from_json`]
    /// read back to the same model.
    pub fn to_json(&self) -> String {
        let mut map = Map::new();
        let mut set = |key: &str, value: Value| {
            map.insert(key.into(), value);
        };
        set("architectures", json!([self.family.architecture()]));
        set("model_type", json!(self.family.model_type()));
        set("vocab_size", json!(self.vocab_size));
        set("bos_token_id", json!(self.bos_token_id));
        set(
            "eos_token_id",
            match self.eos_token_ids.as_slice() {
                [] => Value::Null,
                [one] => json!(one),
                several => json!(several),
            },
        );
        set("initializer_range", json!(self.initializer_range));
        set("tie_word_embeddings", json!(self.tie_word_embeddings));
        match self.family {
            Family::Gpt2 => self.write_gpt2(&mut set),
            _ => self.write_llama_like(&mut set),
        }
        format!("{:#}\n", Value::Object(map))
    }

    fn write_gpt2(&self, set: &mut impl FnMut(&str, Value)) {
        let activation = match self.mlp {
            MlpKind::Gelu(GeluKind::Erf) => "gelu",
            _ => "gelu_new",
        };
        set("n_embd", json!(self.hidden_size));
        set("n_inner", json!(self.intermediate_size));
        set("n_layer", json!(self.num_hidden_layers));
        set("n_head", json!(self.num_attention_heads));
        set("n_positions", json!(self.max_position_embeddings));
        set("layer_norm_epsilon", json!(self.norm_eps));
        set("activation_function", json!(activation));
        set("embd_pdrop", json!(self.dropout.embedding));
        set("resid_pdrop", json!(self.dropout.residual));
        // Attention weights are never dropped here: the fused kernel does not keep them.
        set("attn_pdrop", json!(0.0));
    }

    fn write_llama_like(&self, set: &mut impl FnMut(&str, Value)) {
        set("hidden_size", json!(self.hidden_size));
        set("intermediate_size", json!(self.intermediate_size));
        set("num_hidden_layers", json!(self.num_hidden_layers));
        set("num_attention_heads", json!(self.num_attention_heads));
        set("num_key_value_heads", json!(self.num_key_value_heads));
        set("head_dim", json!(self.head_dim));
        set("hidden_act", json!("silu"));
        set(
            "max_position_embeddings",
            json!(self.max_position_embeddings),
        );
        set("rms_norm_eps", json!(self.norm_eps));
        set("rope_theta", json!(self.rope_theta));
        if let Some(scaling) = self.rope_scaling {
            set(
                "rope_scaling",
                json!({
                    "rope_type": "llama3",
                    "factor": scaling.factor,
                    "low_freq_factor": scaling.low_freq_factor,
                    "high_freq_factor": scaling.high_freq_factor,
                    "original_max_position_embeddings": scaling.original_max_position_embeddings,
                }),
            );
        }
        let window = self.layer_windows.iter().flatten().next();
        match self.family {
            Family::Mistral => set("sliding_window", json!(window)),
            Family::Qwen2 | Family::Qwen3 => {
                let kind = |w: &Option<usize>| match w {
                    Some(_) => "sliding_attention",
                    None => "full_attention",
                };
                set("use_sliding_window", json!(window.is_some()));
                set("sliding_window", json!(window));
                let types: Vec<_> = self.layer_windows.iter().map(kind).collect();
                set("layer_types", json!(types));
            }
            _ => {}
        }
        if matches!(self.family, Family::Llama | Family::Qwen3) {
            set("attention_bias", json!(self.output_bias));
        }
        if self.family == Family::Llama {
            set("mlp_bias", json!(self.mlp_bias));
        }
    }
}
