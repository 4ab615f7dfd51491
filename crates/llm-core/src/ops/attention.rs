//! Causal attention with grouped heads and a sliding window.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, CustomOp3, DType, Layout, Shape, Tensor};

use super::slices::{axes, float_type, gradient, output, saved, values, with_heads, with_values};
use super::tape;
use crate::dims::expect_shape;
use crate::kernels::attention::backward::{Saved, d_packed, d_separate};
use crate::kernels::attention::forward::attend;
use crate::kernels::attention::{Inputs, RowSoftmax};
use crate::kernels::heads::Heads;
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};
use crate::{Error, Result};

const NAME: &str = "causal_attention";
const PACKED_NAME: &str = "causal_attention_packed";

/// What an attention call needs beside its tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSpec {
    /// Factor on q·k, usually 1/√D.
    pub scale: f64,
    /// A query at position p reads the keys after p − window; `None` reads all before it.
    pub window: Option<usize>,
}

impl AttentionSpec {
    /// Whether the query at `position` reads the key at position `key`.
    pub fn reads(&self, position: usize, key: usize) -> bool {
        key <= position && self.window.is_none_or(|window| key + window > position)
    }

    /// `products` matrix products over the pairs of query and key that are read, for q of
    /// `[B, T, H, D]` and k of `[B, S, K, D]`.
    pub(super) fn cost<E>(&self, q: &[usize], k: &[usize], products: usize) -> Cost {
        let (&[b, t, h, d], &[_b, s, kv, _d]) = (q, k) else {
            return Cost::default();
        };
        let window = self.window.unwrap_or(usize::MAX);
        let pairs: usize = (s - t + 1..=s).map(|before| before.min(window)).sum();
        Cost {
            flops: 2 * (products * pairs * b * h * d) as u64,
            // q, k, v and out; the backward pass reads d_out and writes dq, dk and dv beside them.
            ..Cost::touch::<E>(products.min(4) * b * d * (t * h + s * kv))
        }
    }

    pub(super) fn inputs<'a, E>(
        &self,
        q: Heads<'a, E>,
        k: Heads<'a, E>,
        v: Heads<'a, E>,
    ) -> Inputs<'a, E> {
        Inputs {
            q,
            k,
            v,
            scale: self.scale,
            window: self.window.unwrap_or(usize::MAX),
        }
    }
}

struct CausalAttention<E> {
    spec: AttentionSpec,
    rows: OnceLock<Vec<RowSoftmax<E>>>,
}

impl<E: Real> CustomOp3 for CausalAttention<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let _span = span(NAME, || {
            self.spec.cost::<E>(q_layout.dims(), k_layout.dims(), 2)
        });
        let (out, rows) = with_heads::<E, _>(q, q_layout, |q| {
            with_heads::<E, _>(k, k_layout, |k| {
                with_heads::<E, _>(v, v_layout, |v| attend(self.spec.inputs(q, k, v)))
            })
        })???;
        let _ = self.rows.set(rows);
        Ok(output(out, q_layout.shape()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        d_out: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let _span = span("causal_attention backward", || {
            self.spec.cost::<E>(q.dims(), k.dims(), 5)
        });
        let rows = saved(&self.rows, NAME)?;
        let ((b, t, h, d), (_b, s, kv, _d)) = (q.dims4()?, k.dims4()?);
        let by_head = with_values::<E, _, 5>([q, k, v, out, d_out], |[q, k, v, out, d_out]| {
            let queries = |x| Heads::contiguous(x, [b, t, h, d]);
            let keys = |x| Heads::contiguous(x, [b, s, kv, d]);
            Ok(d_separate(Saved {
                inputs: self.spec.inputs(queries(q), keys(k), keys(v)),
                rows,
                out: queries(out),
                d_out: queries(d_out),
            }))
        })?;
        let [dq, dk, dv] = by_head;
        Ok((gradient(dq, q)?, gradient(dk, k)?, gradient(dv, v)?))
    }
}

/// Queries, keys and values side by side in one tensor.
struct PackedAttention<E> {
    spec: AttentionSpec,
    heads: usize,
    kv_heads: usize,
    rows: OnceLock<Vec<RowSoftmax<E>>>,
}

impl<E: Real> PackedAttention<E> {
    /// # Shapes
    /// `qkv [B, T, (H + 2K) · D]`, `shape` = `[B, T, D]`.
    fn inputs<'a>(&self, qkv: &'a [E], shape: [usize; 3]) -> Inputs<'a, E> {
        let heads = [self.heads, self.kv_heads, self.kv_heads];
        let [q, k, v] = Heads::side_by_side(qkv, shape, heads);
        self.spec.inputs(q, k, v)
    }

    fn cost(&self, [b, t, d]: [usize; 3], products: usize) -> Cost {
        let (q, k) = ([b, t, self.heads, d], [b, t, self.kv_heads, d]);
        self.spec.cost::<E>(&q, &k, products)
    }

    /// B, T and D.
    fn shape(&self, qkv: &Shape) -> candle_core::Result<[usize; 3]> {
        let (b, t, width) = qkv.dims3()?;
        Ok([b, t, width / (self.heads + 2 * self.kv_heads)])
    }
}

impl<E: Real> CustomOp1 for PackedAttention<E> {
    fn name(&self) -> &'static str {
        PACKED_NAME
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let [b, t, d] = self.shape(layout.shape())?;
        let _span = span(NAME, || self.cost([b, t, d], 2));
        let (out, rows) = attend(self.inputs(&values::<E>(qkv, layout)?, [b, t, d]));
        let _ = self.rows.set(rows);
        Ok(output(out, &Shape::from((b, t, self.heads * d))))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        out: &Tensor,
        d_out: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let rows = saved(&self.rows, PACKED_NAME)?;
        let [b, t, d] = self.shape(qkv.shape())?;
        let _span = span("causal_attention backward", || self.cost([b, t, d], 5));
        let d_qkv = with_values::<E, _, 3>([qkv, out, d_out], |[qkv, out, d_out]| {
            let by_head = |x| Heads::contiguous(x, [b, t, self.heads, d]);
            Ok(d_packed(Saved {
                inputs: self.inputs(qkv, [b, t, d]),
                rows,
                out: by_head(out),
                d_out: by_head(d_out),
            }))
        })?;
        gradient(d_qkv, qkv)
    }
}

pub(super) fn causal_attention_packed(
    qkv: &Tensor,
    (heads, kv_heads): (usize, usize),
    spec: &AttentionSpec,
) -> Result<Tensor> {
    fn apply<E: Real>(
        qkv: &Tensor,
        (heads, kv_heads): (usize, usize),
        spec: &AttentionSpec,
    ) -> Result<Tensor> {
        let op = PackedAttention::<E> {
            spec: *spec,
            heads,
            kv_heads,
            rows: OnceLock::new(),
        };
        Ok(tape::apply1(qkv, op)?)
    }
    match float_type(PACKED_NAME, &[qkv])? {
        DType::F32 => apply::<f32>(qkv, (heads, kv_heads), spec),
        _ => apply::<f64>(qkv, (heads, kv_heads), spec),
    }
}

/// Fails unless `qkv` holds that many heads of one size.
///
/// # Shapes
/// `qkv [B, T, (H + 2K) · D]`.
pub(super) fn check_packed(
    qkv: &Tensor,
    (heads, kv_heads): (usize, usize),
    spec: &AttentionSpec,
) -> Result<()> {
    check_spec(PACKED_NAME, (heads, kv_heads), spec)?;
    let [_b, _t, width] = axes("attention qkv", qkv, "B, T, (H + 2K) · D")?;
    if !width.is_multiple_of(heads + 2 * kv_heads) {
        let problem = format!(
            "has shape {:?}, whose last axis is not {heads} + 2 · {kv_heads} heads of one size",
            qkv.dims()
        );
        return Err(Error::tensor("attention qkv", problem));
    }
    Ok(())
}

pub(super) fn causal_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    spec: &AttentionSpec,
) -> Result<Tensor> {
    check(q, k, v, spec)?;
    match float_type(NAME, &[q, k, v])? {
        DType::F32 => apply::<f32>(q, k, v, spec),
        _ => apply::<f64>(q, k, v, spec),
    }
}

pub(super) fn check(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> Result<()> {
    let [b, t, h, d] = axes("attention q", q, "B, T, H, D")?;
    let [_b, s, kv, _d] = axes("attention k", k, "B, S, K, D")?;
    expect_shape("attention k", k, &[b, s, kv, d])?;
    expect_shape("attention v", v, &[b, s, kv, d])?;
    if s < t {
        let problem = format!("{s} keys for {t} queries, expected at least as many keys");
        return Err(Error::input(NAME, problem));
    }
    check_spec(NAME, (h, kv), spec)
}

pub(super) fn check_spec(name: &str, (h, kv): (usize, usize), spec: &AttentionSpec) -> Result<()> {
    let problem = if kv == 0 || h % kv != 0 {
        format!("{kv} key-value heads do not divide {h} query heads")
    } else if !spec.scale.is_finite() {
        format!("scale is {}, expected a finite number", spec.scale)
    } else if spec.window == Some(0) {
        "window is 0, expected at least 1".into()
    } else {
        return Ok(());
    };
    Err(Error::input(name, problem))
}

fn apply<E: Real>(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> Result<Tensor> {
    let op = CausalAttention::<E> {
        spec: *spec,
        rows: OnceLock::new(),
    };
    Ok(tape::apply3(q, k, v, op)?)
}
