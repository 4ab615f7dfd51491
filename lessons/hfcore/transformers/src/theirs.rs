//! candle-transformers' Qwen3 on the tensors of our decoder.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, ensure};
use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::{Activation, VarBuilder};
use candle_transformers::models::qwen3::{Config, ModelForCausalLM};
use llm_core::config::{Family, ModelConfig};

/// Another implementation of the same model.
pub struct Theirs(ModelForCausalLM);

/// What keeps their Qwen3 from running a model; nothing where it can.
pub fn obstacle(config: &ModelConfig) -> Option<&'static str> {
    if config.family != Family::Qwen3 {
        return Some("the comparison is with their Qwen3, and this is another family");
    }
    if config.layer_windows.iter().any(Option::is_some) {
        return Some("their Qwen3 has no sliding window");
    }
    (config.rope_scaling.is_some() || config.output_bias != config.qkv_bias)
        .then_some("their Qwen3 has no such rope scaling or biases")
}

impl Theirs {
    /// The model of `config` on `tensors`, which are shared and not copied where they are f32.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn new(config: &ModelConfig, tensors: &BTreeMap<String, Tensor>) -> Result<Self> {
        let settings = Config {
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            head_dim: config.head_dim,
            attention_bias: config.qkv_bias,
            num_key_value_heads: config.num_key_value_heads,
            max_position_embeddings: config.max_position_embeddings,
            sliding_window: None,
            max_window_layers: config.num_hidden_layers,
            tie_word_embeddings: config.tie_word_embeddings,
            rope_theta: config.rope_theta,
            rms_norm_eps: config.norm_eps,
            use_sliding_window: false,
            hidden_act: Activation::Silu,
        };
        let tensors: HashMap<String, Tensor> = tensors.clone().into_iter().collect();
        let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        Ok(Self(ModelForCausalLM::new(&settings, builder)?))
    }

    /// The logits of every position: it answers with those of the last one, so tokens are fed one by
    /// one, and its cache keeps what it has read.
    ///
    /// # Shapes
    /// T ids → `[T, V]`.
    ///
    /// # Errors
    /// What the model reports.
    pub fn logits(&mut self, ids: &[u32]) -> Result<Tensor> {
        ensure!(!ids.is_empty(), "expected at least one token");
        self.0.clear_kv_cache();
        let mut rows = Vec::with_capacity(ids.len());
        for (place, &id) in ids.iter().enumerate() {
            let token = Tensor::new(&[[id]], &Device::Cpu)?;
            rows.push(self.0.forward(&token, place)?.i((0, 0))?);
        }
        Ok(Tensor::stack(&rows, 0)?)
    }
}
