//! One decoder for GPT-2, Llama, Mistral, Qwen2 and Qwen3.
//!
//! ids → embedding (+ learned positions) → L pre-norm blocks → norm → head → logits. A soft prompt
//! ([`crate::soft_prompt`]) is P more vectors before the first embedding.
//! Names are those of the published checkpoints; one table below maps them.

mod policy;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};

use super::init::initial_tensors;
use crate::cache::KvCache;
use crate::config::{Family, ModelConfig};
use crate::nn::{Block, BlockNames, Linear, LinearSpec, Norm, Pass, Positions, Proj};
use crate::ops::{Products, RopeTable};
use crate::params::{Mode, Parameters, Weights};
use crate::{Error, Result};

/// What the parts of a model are called in its file.
struct Names {
    embedding: &'static str,
    positions: &'static str,
    blocks: &'static str,
    block: BlockNames,
    norm: &'static str,
    head: &'static str,
}

const GPT2_NAMES: Names = Names {
    embedding: "transformer.wte.weight",
    positions: "transformer.wpe.weight",
    blocks: "transformer.h",
    block: BlockNames {
        norm1: "ln_1",
        attention: "attn",
        norm2: "ln_2",
        mlp: "mlp",
    },
    norm: "transformer.ln_f",
    head: "lm_head",
};

const LLAMA_NAMES: Names = Names {
    embedding: "model.embed_tokens.weight",
    positions: "",
    blocks: "model.layers",
    block: BlockNames {
        norm1: "input_layernorm",
        attention: "self_attn",
        norm2: "post_attention_layernorm",
        mlp: "mlp",
    },
    norm: "model.norm",
    head: "lm_head",
};

impl Names {
    fn of(family: Family) -> &'static Self {
        match family {
            Family::Gpt2 => &GPT2_NAMES,
            _ => &LLAMA_NAMES,
        }
    }
}

/// A causal language model.
#[derive(Debug)]
pub struct Decoder {
    config: ModelConfig,
    /// `[V, C]`
    embedding: Tensor,
    /// `[max positions, C]` where positions are learned
    positions: Option<Tensor>,
    /// `[P, C]` before every text, where there is one
    soft_prompt: Option<Tensor>,
    blocks: Vec<Block>,
    norm: Norm,
    /// `[V, C]`; the embedding itself where they are tied
    head: Linear,
    /// cos and sin of the positions seen so far, grown on demand.
    rope: Mutex<Arc<RopeTable>>,
    /// Every base tensor under its file name, as the layers hold it.
    tensors: BTreeMap<String, Tensor>,
    dtype: DType,
    device: Device,
}

impl Decoder {
    /// Builds the model from a checkpoint's tensors, converted to `dtype` on `device`.
    ///
    /// A frozen bf16 model on the CPU keeps its matrices in bf16 and computes in f32, with the
    /// results of the widened weights; see [`Decoder::set_products`] for the fast way.
    ///
    /// A tied model may or may not bring its head; one that equals the embedding is dropped.
    ///
    /// # Errors
    /// An invalid config; a missing, superfluous or misshapen tensor.
    pub fn load(
        config: &ModelConfig,
        mut tensors: BTreeMap<String, Tensor>,
        mode: Mode,
        dtype: DType,
        device: &Device,
    ) -> Result<(Self, Parameters)> {
        config.validate()?;
        if config.tie_word_embeddings {
            tensors.remove(&format!("{}.weight", Names::of(config.family).head));
        }
        let mut weights = Weights::new(tensors, mode, dtype, device);
        let activations = weights.activation_dtype();
        let model = Self::build(config, &mut weights, activations, device)?;
        Ok((model, weights.finish()?))
    }

    /// A model with random initial weights, a function of `seed` alone.
    ///
    /// # Errors
    /// An invalid config.
    pub fn init(
        config: &ModelConfig,
        seed: u64,
        mode: Mode,
        dtype: DType,
    ) -> Result<(Self, Parameters)> {
        let tensors = initial_tensors(config, seed, dtype)?;
        Self::load(config, tensors, mode, dtype, &Device::Cpu)
    }

    pub(super) fn build(
        config: &ModelConfig,
        weights: &mut Weights,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let names = Names::of(config.family);
        let (v, c) = (config.vocab_size, config.hidden_size);
        let embedding = weights.take(names.embedding, &[v, c])?;
        let positions = match config.learned_positions() {
            true => Some(weights.take(names.positions, &[config.max_position_embeddings, c])?),
            false => None,
        };
        let block = |layer: usize| {
            let prefix = format!("{}.{layer}", names.blocks);
            Block::load(weights, config, layer, &prefix, &names.block)
        };
        let blocks = (0..config.num_hidden_layers)
            .map(block)
            .collect::<Result<_>>()?;
        let norm = Norm::load(weights, config, names.norm, c)?;
        let head = match config.tie_word_embeddings {
            true => Linear::new(embedding.clone(), None),
            false => {
                let (inputs, outputs, bias, transposed) = (c, v, false, false);
                let spec = LinearSpec {
                    name: names.head,
                    inputs,
                    outputs,
                    bias,
                    transposed,
                };
                Linear::load(weights, &spec)?
            }
        };
        let rope = Mutex::new(Arc::new(RopeTable::new(0, &[])));
        let (config, device) = (config.clone(), device.clone());
        let tensors = weights.taken().clone();
        Ok(Self {
            config,
            embedding,
            positions,
            soft_prompt: None,
            blocks,
            norm,
            head,
            rope,
            tensors,
            dtype,
            device,
        })
    }

    /// What the model is made of.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where its tensors are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The number type of its activations, caches and adapters; that of its tensors, but for a
    /// frozen bf16 model on the CPU.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The most tokens of a text that it reads: the context without the soft prompt.
    pub fn context(&self) -> usize {
        let context = self.config.max_position_embeddings;
        context.saturating_sub(self.virtual_tokens())
    }

    /// P, the vectors of the soft prompt; 0 without one.
    pub fn virtual_tokens(&self) -> usize {
        let first = |prompt: &Tensor| prompt.dims().first().copied();
        self.soft_prompt.as_ref().and_then(first).unwrap_or(0)
    }

    /// The logits of every position.
    ///
    /// # Shapes
    /// `ids [B, T]` of u32 → `[B, T, V]`.
    ///
    /// # Errors
    /// An id outside the vocabulary, or more tokens than the context holds.
    pub fn forward(&self, ids: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.logits(&self.hidden(ids, None, pass)?, pass)
    }

    /// The final hidden state of every position; with a cache, of the tokens after the cached ones.
    /// Under a [packed](Pass::packed) pass positions begin anew in each document. A soft prompt is
    /// read before the first token, and its own states are left out.
    ///
    /// # Shapes
    /// `ids [B, T]` of u32 → `[B, T, C]`.
    ///
    /// # Errors
    /// An id outside the vocabulary, or more tokens than context or cache hold.
    pub fn hidden(
        &self,
        ids: &Tensor,
        mut cache: Option<&mut KvCache>,
        pass: &Pass,
    ) -> Result<Tensor> {
        let offset = cache.as_ref().map_or(0, |cache| cache.len());
        let mut x = self.embedded(ids, offset, cache.is_some(), pass)?;
        let (_b, t, _c) = x.dims3()?;
        let rope = self.rope_table(offset + t);
        let at = Positions {
            offset,
            rope: rope.as_deref(),
        };
        for (layer, block) in self.blocks.iter().enumerate() {
            let cache = cache.as_mut().and_then(|cache| cache.layer_mut(layer));
            x = match cache {
                Some(cache) => block.forward(&x, &at, Some(cache), pass)?,
                None => {
                    let (block, rope) = (block.clone(), rope.clone());
                    pass.segment(&x, move |x, pass| {
                        let rope = rope.as_deref();
                        block.forward(x, &Positions { offset, rope }, None, pass)
                    })?
                }
            };
        }
        if let Some(cache) = cache {
            cache.advance(t);
        }
        let (_b, text) = ids.dims2()?;
        if text < t {
            x = pass.ops.narrow(&x, 1, t - text, text)?;
        }
        self.norm.forward(&x, pass)
    }

    /// What the first block reads: a soft prompt where `offset` is 0, then the tokens.
    ///
    /// # Shapes
    /// `ids [B, T]` → `[B, P + T, C]`, P being 0 behind cached tokens.
    fn embedded(&self, ids: &Tensor, offset: usize, cached: bool, pass: &Pass) -> Result<Tensor> {
        let (b, t) = ids.dims2()?;
        let prompt = self.soft_prompt.as_ref().filter(|_| offset == 0);
        let t = t + prompt.map_or(0, |_| self.virtual_tokens());
        let context = self.config.max_position_embeddings;
        if offset + t > context {
            let problem = format!("{} tokens do not fit the context of {context}", offset + t);
            return Err(Error::input("context", problem));
        }
        if let Some(segments) = pass.segments()
            && (cached || segments.shape() != (b, t))
        {
            let problem = format!("expected those of [B={b}, T={t}], and no cache beside them");
            return Err(Error::input("segments", problem));
        }
        let mut x = pass
            .ops
            .embedding(&self.embedding, ids)?
            .to_dtype(self.dtype)?;
        if let Some(prompt) = prompt {
            x = pass.ops.prepend(prompt, &x)?;
        }
        if let Some(table) = &self.positions {
            let positions = position_ids((b, t), offset, pass, ids.device())?;
            let placed = pass.ops.embedding(table, &positions)?;
            x = pass.ops.add(&x, &placed.to_dtype(self.dtype)?)?;
        }
        pass.dropout(&x, self.config.dropout.embedding)
    }

    /// Scores of every token of the vocabulary.
    ///
    /// # Shapes
    /// `hidden [.., C]` → `[.., V]`.
    pub fn logits(&self, hidden: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.head.forward(hidden, pass)
    }

    /// `scale · Σ −log p(target)` over the positions with a target, without all logits at once;
    /// see [`crate::ops::Ops::cross_entropy`] for targets and scale.
    ///
    /// # Shapes
    /// `ids [B, T]` of u32, `targets` of length B · T → a scalar.
    ///
    /// # Errors
    /// As [`Decoder::forward`], or a target outside the vocabulary.
    pub fn next_token_loss(
        &self,
        ids: &Tensor,
        targets: &[i64],
        scale: f64,
        pass: &Pass,
    ) -> Result<Tensor> {
        let hidden = self.hidden(ids, None, pass)?;
        pass.ops
            .linear_cross_entropy(&hidden, self.head.packed(), targets, scale)
    }

    /// The token embedding.
    ///
    /// # Shapes
    /// `[V, C]`.
    pub(crate) fn embedding(&self) -> &Tensor {
        &self.embedding
    }

    /// Reads the rows of `prompt` before every text from now on; `None` reads texts alone.
    ///
    /// # Shapes
    /// `prompt [P, C]`.
    pub(crate) fn set_soft_prompt(&mut self, prompt: Option<Tensor>) {
        self.soft_prompt = prompt;
    }

    /// The table of at least `positions` rows. It doubles when it is too short, so that a long
    /// context costs memory only when a long text is read.
    fn rope_table(&self, positions: usize) -> Option<Arc<RopeTable>> {
        if self.config.learned_positions() {
            return None;
        }
        let mut table = self.rope.lock().unwrap_or_else(PoisonError::into_inner);
        if table.positions() < positions {
            let rows = positions
                .next_power_of_two()
                .min(self.config.max_position_embeddings);
            *table = Arc::new(RopeTable::new(rows, &self.config.inverse_frequencies()));
        }
        Some(table.clone())
    }

    /// The projections that can take an adapter, with their full module names.
    pub fn projections_mut(&mut self) -> impl Iterator<Item = (String, &mut Proj)> {
        let names = Names::of(self.config.family);
        self.blocks
            .iter_mut()
            .enumerate()
            .flat_map(move |(layer, block)| {
                let prefix = format!("{}.{layer}", names.blocks);
                let (attention, mlp) = (names.block.attention, names.block.mlp);
                let inner = block
                    .attention
                    .projections_mut()
                    .into_iter()
                    .map(move |p| (attention, p));
                let outer = block
                    .mlp
                    .projections_mut()
                    .into_iter()
                    .map(move |p| (mlp, p));
                let all: Vec<_> = inner.chain(outer).collect();
                all.into_iter()
                    .map(move |(half, (part, p))| (format!("{prefix}.{half}.{part}"), p))
            })
    }

    /// How the model multiplies by its bf16 matrices.
    pub fn products(&self) -> Products {
        self.head.products()
    }

    /// How the model multiplies by its bf16 matrices from now on; other types are always exact.
    pub fn set_products(&mut self, products: Products) {
        self.head.set_products(products);
        for (_name, projection) in self.projections_mut() {
            projection.base_mut().set_products(products);
        }
    }

    /// The base weights under the names and in the layout of a checkpoint file.
    ///
    /// # Errors
    /// No memory for the copies of transposed matrices.
    pub fn named_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = self.tensors.clone();
        if self.config.family == Family::Gpt2 {
            for (name, tensor) in &mut tensors {
                if name.starts_with(GPT2_NAMES.blocks) && tensor.rank() == 2 {
                    *tensor = tensor.t()?.contiguous()?;
                }
            }
        }
        Ok(tensors)
    }

    /// Replaces the weight of a projection, in the model and in [`Decoder::named_tensors`].
    pub(crate) fn set_weights(&mut self, weights: BTreeMap<String, Tensor>) {
        for (name, projection) in self.projections_mut() {
            if let Some(weight) = weights.get(&name) {
                projection.base_mut().set_weight(weight.clone());
            }
        }
        for (name, weight) in weights {
            self.tensors.insert(format!("{name}.weight"), weight);
        }
    }
}

/// Where each token stands in its text.
///
/// # Shapes
/// `[B, T]` of u32.
fn position_ids(
    (b, t): (usize, usize),
    offset: usize,
    pass: &Pass,
    device: &Device,
) -> Result<Tensor> {
    if let Some(segments) = pass.segments() {
        return Ok(Tensor::from_slice(segments.positions(), (b, t), device)?);
    }
    let first = offset as u32;
    let row = Tensor::arange(first, first + t as u32, device)?;
    Ok(row.broadcast_as((b, t))?.contiguous()?)
}
