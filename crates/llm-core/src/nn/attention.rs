//! Multi-head causal attention with grouped key-value heads.

use candle_core::Tensor;

use super::{LinearSpec, Norm, Pass, Proj};
use crate::Result;
use crate::cache::LayerCache;
use crate::config::ModelConfig;
use crate::ops::{AttentionSpec, RopeTable};
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
        let read = match (&self.qkv, cache) {
            // Nothing happens to q, k and v between projection and attention.
            (Qkv::Packed(packed), None)
                if self.qk_norm.is_none() && at.rope.is_none() && pass.segments().is_none() =>
            {
                let qkv = packed.forward(x, pass)?;
                let (h, k) = (self.heads, self.kv_heads);
                pass.ops.causal_attention_packed(&qkv, h, k, &self.spec)?
            }
            (_, cache) => self.read(x, at, cache, pass)?,
        };
        self.output.forward(&read, pass)
    }

    /// What each head reads.
    ///
    /// # Shapes
    /// `x [B, T, C]` → `[B, T, H · D]`.
    fn read(
        &self,
        x: &Tensor,
        at: &Positions,
        cache: Option<&mut LayerCache>,
        pass: &Pass,
    ) -> Result<Tensor> {
        let (b, t, _c) = x.dims3()?;
        let (mut q, mut k, v) = self.project(x, pass)?;
        if let Some((q_norm, k_norm)) = &self.qk_norm {
            q = q_norm.forward(&q, pass)?;
            k = k_norm.forward(&k, pass)?;
        }
        if let Some(table) = at.rope {
            let turn = |x: &Tensor| match pass.segments() {
                Some(segments) => pass.ops.rope_at(x, table, segments.positions()),
                None => pass.ops.rope(x, table, at.offset),
            };
            (q, k) = (turn(&q)?, turn(&k)?);
        }
        let (k, v) = match cache {
            Some(cache) => cache.extend(at.offset, &k, &v)?,
            None => (k, v),
        };
        let read = match pass.segments() {
            Some(segments) => pass
                .ops
                .segmented_attention([&q, &k, &v], &self.spec, segments)?,
            None => pass.ops.causal_attention(&q, &k, &v, &self.spec)?,
        };
        pass.ops.reshape(&read, (b, t, self.heads * self.head_dim))
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
