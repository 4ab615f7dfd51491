//! Multi-head causal attention with grouped key-value heads.

use candle_core::Tensor;

use super::{LinearSpec, Norm, Pass, Proj};
use crate::Result;
use crate::cache::LayerCache;
use crate::config::ModelConfig;
use crate::ops::{AttentionSpec, Placing, RopeTable};
use crate::params::Weights;

/// Query, key and value projections as the model file has them.
#[derive(Clone, Debug)]
enum Qkv {
    /// One matrix `[3C, C]` (GPT-2).
    Packed(Proj),
    /// Three matrices `[H·D, C]`, `[K·D, C]`, `[K·D, C]`.
    Split { q: Proj, k: Proj, v: Proj },
}

/// The attention half of a block.
#[derive(Clone, Debug)]
pub struct Attention {
    qkv: Qkv,
    /// Norms over each head of q and k (Qwen3).
    qk_norm: Option<(Norm, Norm)>,
    /// `[C, H·D]`
    output: Proj,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    spec: AttentionSpec,
}

/// Where the tokens of a pass stand.
#[derive(Debug)]
pub struct Positions<'a> {
    /// Tokens before the first one of this pass.
    pub offset: usize,
    /// cos and sin of at least `offset + T` positions; `None` where positions are learned.
    pub rope: Option<&'a RopeTable>,
}

impl Attention {
    /// Layer `layer` of a model, from the tensors under `name`.
    ///
    /// # Errors
    /// A missing tensor or a wrong shape.
    pub fn load(
        weights: &mut Weights,
        config: &ModelConfig,
        layer: usize,
        name: &str,
    ) -> Result<Self> {
        let (h, k, d, c) = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
            config.hidden_size,
        );
        let mut projection = |part: &str, inputs, outputs, bias| {
            let name = format!("{name}.{part}");
            let transposed = config.learned_positions();
            Proj::load(
                weights,
                &LinearSpec {
                    name: &name,
                    inputs,
                    outputs,
                    bias,
                    transposed,
                },
            )
        };
        let (qkv, output) = if config.learned_positions() {
            let packed = projection("c_attn", c, 3 * h * d, config.qkv_bias)?;
            (
                Qkv::Packed(packed),
                projection("c_proj", h * d, c, config.output_bias)?,
            )
        } else {
            let q = projection("q_proj", c, h * d, config.qkv_bias)?;
            let k_proj = projection("k_proj", c, k * d, config.qkv_bias)?;
            let v = projection("v_proj", c, k * d, config.qkv_bias)?;
            let output = projection("o_proj", h * d, c, config.output_bias)?;
            (Qkv::Split { q, k: k_proj, v }, output)
        };
        let mut head_norm = |part: &str| Norm::load(weights, config, &format!("{name}.{part}"), d);
        let qk_norm = match config.qk_norm() {
            true => Some((head_norm("q_norm")?, head_norm("k_norm")?)),
            false => None,
        };
        let window = config.layer_windows.get(layer).copied().flatten();
        let spec = AttentionSpec {
            scale: 1.0 / (d as f64).sqrt(),
            window,
        };
        Ok(Self {
            qkv,
            qk_norm,
            output,
            heads: h,
            kv_heads: k,
            head_dim: d,
            spec,
        })
    }

    /// Reads `x` and, with a cache, everything before it.
    ///
    /// # Shapes
    /// `x [B, T, C]` → `[B, T, C]`.
    pub fn forward(
        &self,
        x: &Tensor,
        at: &Positions,
        cache: Option<&mut LayerCache>,
        pass: &Pass,
    ) -> Result<Tensor> {
        self.output.forward(&self.read(x, at, cache, pass)?, pass)
    }

    /// What the heads read, before the output projection.
    ///
    /// # Shapes
    /// `x [B, T, C]` → `[B, T, H · D]`.
    pub(super) fn read(
        &self,
        x: &Tensor,
        at: &Positions,
        cache: Option<&mut LayerCache>,
        pass: &Pass,
    ) -> Result<Tensor> {
        if let (Qkv::Packed(packed), None, None, None, None) =
            (&self.qkv, &cache, &self.qk_norm, at.rope, pass.segments())
        {
            // Nothing happens to q, k and v between projection and attention.
            let qkv = packed.forward(x, pass)?;
            let (h, k) = (self.heads, self.kv_heads);
            return pass.ops.causal_attention_packed(&qkv, h, k, &self.spec);
        }
        let (b, t, _c) = x.dims3()?;
        let (q, k, v) = self.project(x, pass)?;
        let read = match (cache, self.placing(at), pass.segments()) {
            (None, Some(placing), None) => {
                pass.ops
                    .placed_attention([&q, &k, &v], &placing, &self.spec)?
            }
            (cache, _, segments) => {
                let (q_norm, k_norm) = self.qk_norm.as_ref().map(|(q, k)| (q, k)).unzip();
                let q = placed(&q, q_norm, at, pass)?;
                let k = placed(&k, k_norm, at, pass)?;
                let (k, v) = match cache {
                    Some(cache) => cache.extend(at.offset, &k, &v)?,
                    None => (k, v),
                };
                match segments {
                    Some(segments) => {
                        pass.ops
                            .segmented_attention([&q, &k, &v], &self.spec, segments)?
                    }
                    None => pass.ops.causal_attention(&q, &k, &v, &self.spec)?,
                }
            }
        };
        pass.ops.reshape(&read, (b, t, self.heads * self.head_dim))
    }

    /// How queries and keys are placed, where that is rotation after root-mean-square norms of one ε
    /// or none.
    fn placing<'a>(&'a self, at: &Positions<'a>) -> Option<Placing<'a>> {
        let norms = match &self.qk_norm {
            None => None,
            Some((
                Norm::Rms { weight: q, eps },
                Norm::Rms {
                    weight: k,
                    eps: same,
                },
            )) if eps == same => Some((q, k, *eps)),
            Some(_) => return None,
        };
        let (rope, offset) = (at.rope?, at.offset);
        Some(Placing {
            norms,
            rope,
            offset,
        })
    }

    /// `[C, H · D]`
    pub(super) fn output(&self) -> &Proj {
        &self.output
    }

    /// # Shapes
    /// `x [B, T, C]` → `[B, T, H, D]`, `[B, T, K, D]`, `[B, T, K, D]`.
    fn project(&self, x: &Tensor, pass: &Pass) -> Result<(Tensor, Tensor, Tensor)> {
        let (b, t, _c) = x.dims3()?;
        let (h, k, d) = (self.heads, self.kv_heads, self.head_dim);
        let by_head = |x: &Tensor, heads| pass.ops.reshape(x, (b, t, heads, d));
        match &self.qkv {
            Qkv::Packed(packed) => {
                let qkv = by_head(&packed.forward(x, pass)?, 3 * h)?;
                let part = |i: usize| pass.ops.narrow(&qkv, 2, i * h, h);
                Ok((part(0)?, part(1)?, part(2)?))
            }
            Qkv::Split { q, k: k_proj, v } => Ok((
                by_head(&q.forward(x, pass)?, h)?,
                by_head(&k_proj.forward(x, pass)?, k)?,
                by_head(&v.forward(x, pass)?, k)?,
            )),
        }
    }

    /// The projections with their last name, in file order.
    pub fn projections_mut(&mut self) -> Vec<(&'static str, &mut Proj)> {
        match &mut self.qkv {
            Qkv::Packed(packed) => vec![("c_attn", packed), ("c_proj", &mut self.output)],
            Qkv::Split { q, k, v } => vec![
                ("q_proj", q),
                ("k_proj", k),
                ("v_proj", v),
                ("o_proj", &mut self.output),
            ],
        }
    }
}

/// Queries or keys under their norm and turned to their positions, where the model has these.
///
/// # Shapes
/// `x [B, T, H, D]` → `[B, T, H, D]`.
fn placed(x: &Tensor, norm: Option<&Norm>, at: &Positions, pass: &Pass) -> Result<Tensor> {
    let x = match norm {
        Some(norm) => norm.forward(x, pass)?,
        None => x.clone(),
    };
    match (at.rope, pass.segments()) {
        (Some(table), Some(segments)) => pass.ops.rope_at(&x, table, segments.positions()),
        (Some(table), None) => pass.ops.rope(&x, table, at.offset),
        (None, _) => Ok(x),
    }
}
