//! Causal attention with grouped heads and a sliding window.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor};

use super::slices::{axes, float_type, gradient, output, saved, with_heads, with_values};
use super::tape;
use crate::dims::expect_shape;
use crate::kernels::attention::backward::gradients;
use crate::kernels::attention::forward::attend;
use crate::kernels::attention::{Inputs, RowSoftmax};
use crate::kernels::heads::Heads;
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};
use crate::{Error, Result};

const NAME: &str = "causal_attention";

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
    fn cost<E>(&self, q: &[usize], k: &[usize], products: usize) -> Cost {
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

    fn inputs<'a, E>(&self, q: Heads<'a, E>, k: Heads<'a, E>, v: Heads<'a, E>) -> Inputs<'a, E> {
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
            let inputs = self.spec.inputs(queries(q), keys(k), keys(v));
            Ok(gradients(inputs, rows, queries(out), queries(d_out)))
        })?;
        Ok((
            gradient(by_head.q, q)?,
            gradient(by_head.k, k)?,
            gradient(by_head.v, v)?,
        ))
    }
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

fn check(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> Result<()> {
    let [b, t, h, d] = axes("attention q", q, "B, T, H, D")?;
    let [_b, s, kv, _d] = axes("attention k", k, "B, S, K, D")?;
    expect_shape("attention k", k, &[b, s, kv, d])?;
    expect_shape("attention v", v, &[b, s, kv, d])?;
    let problem = if kv == 0 || h % kv != 0 {
        format!("{kv} key-value heads do not divide {h} query heads")
    } else if s < t {
        format!("{s} keys for {t} queries, expected at least as many keys")
    } else if !spec.scale.is_finite() {
        format!("scale is {}, expected a finite number", spec.scale)
    } else if spec.window == Some(0) {
        "window is 0, expected at least 1".into()
    } else {
        return Ok(());
    };
    Err(Error::input(NAME, problem))
}

fn apply<E: Real>(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> Result<Tensor> {
    let op = CausalAttention::<E> {
        spec: *spec,
        rows: OnceLock::new(),
    };
    Ok(tape::apply3(q, k, v, op)?)
}
