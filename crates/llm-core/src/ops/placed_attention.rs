//! Attention over heads that are normed and turned to their positions on the way, as one node.
//!
//! As a chain, queries and keys stand in memory up to three times until the backward pass: as they
//! were projected, normed, and turned. Where their norms do not train the first is enough: norm and
//! rotation are computed again from it, and undone for the gradient. The bits are those of the chain.

use std::borrow::Cow;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor};

use super::attention::{AttentionSpec, check};
use super::rope::{Rope, RopeTable, Turns, angles};
use super::slices::{check_eps, float_type, gradient, output, saved, values, with_values};
use super::{Ops, tape};
use crate::dims::expect_shape;
use crate::kernels::attention::RowSoftmax;
use crate::kernels::attention::backward::{Saved, d_separate};
use crate::kernels::attention::forward::attend;
use crate::kernels::heads::Heads;
use crate::kernels::norm::Norm;
use crate::kernels::rope::rotate;
use crate::kernels::simd::Real;
use crate::profile::span;
use crate::{Error, Result};

const NAME: &str = "causal_attention";

/// What happens to queries and keys before attention.
#[derive(Clone, Copy, Debug)]
pub struct Placing<'a> {
    /// Weights `[D]` of the norms of queries and keys, and what is inside their roots.
    pub norms: Option<(&'a Tensor, &'a Tensor, f64)>,
    /// The rotation.
    pub rope: &'a RopeTable,
    /// The position of the first token.
    pub offset: usize,
}

/// The same with an operation for each step.
pub(super) fn chain(
    ops: Ops,
    [q, k, v]: [&Tensor; 3],
    placing: &Placing,
    spec: &AttentionSpec,
) -> Result<Tensor> {
    let place = |x: &Tensor, norm: Option<&Tensor>, eps| {
        let x = match norm {
            Some(weight) => ops.rms_norm(x, weight, eps)?,
            None => x.clone(),
        };
        ops.rope(&x, placing.rope, placing.offset)
    };
    let (q_norm, k_norm, eps) = parts(placing);
    let (q, k) = (place(q, q_norm, eps)?, place(k, k_norm, eps)?);
    ops.causal_attention(&q, &k, v, spec)
}

fn parts<'a>(placing: &Placing<'a>) -> (Option<&'a Tensor>, Option<&'a Tensor>, f64) {
    match placing.norms {
        Some((q, k, eps)) => (Some(q), Some(k), eps),
        None => (None, None, 0.0),
    }
}

pub(super) fn placed_attention(
    qkv: [&Tensor; 3],
    placing: &Placing,
    spec: &AttentionSpec,
) -> Result<Tensor> {
    let (q_norm, k_norm, eps) = parts(placing);
    let norms: Vec<&Tensor> = q_norm.into_iter().chain(k_norm).collect();
    if norms.iter().any(|norm| norm.track_op()) {
        return chain(Ops::Fused, qkv, placing, spec);
    }
    let [q, k, v] = qkv;
    check(q, k, v, spec)?;
    let (d, turns) = angles(q, placing.rope, placing.offset)?;
    if q.dim(1)? != k.dim(1)? {
        return Err(Error::input(
            NAME,
            "has other numbers of queries and keys to place",
        ));
    }
    check_eps(NAME, eps)?;
    for norm in &norms {
        expect_shape("attention norm", norm, &[d])?;
    }
    let floats: Vec<&Tensor> = qkv.into_iter().chain(norms).collect();
    match float_type(NAME, &floats)? {
        DType::F32 => apply::<f32>(qkv, (q_norm, k_norm, eps), turns, spec),
        _ => apply::<f64>(qkv, (q_norm, k_norm, eps), turns, spec),
    }
}

fn apply<E: Real>(
    [q, k, v]: [&Tensor; 3],
    (q_norm, k_norm, eps): (Option<&Tensor>, Option<&Tensor>, f64),
    turns: Turns,
    spec: &AttentionSpec,
) -> Result<Tensor> {
    let weight = |norm: Option<&Tensor>| norm.map(Tensor::to_vec1).transpose();
    let rope = Rope::new(turns);
    let op = PlacedAttention::<E> {
        spec: *spec,
        q_norm: weight(q_norm)?,
        k_norm: weight(k_norm)?,
        eps,
        back: rope.back(),
        rope,
        rows: OnceLock::new(),
    };
    Ok(tape::apply3(q, k, v, op)?)
}

struct PlacedAttention<E> {
    spec: AttentionSpec,
    /// `[D]`
    q_norm: Option<Vec<E>>,
    /// `[D]`
    k_norm: Option<Vec<E>>,
    eps: f64,
    rope: Rope<E>,
    /// The rotation the other way.
    back: Rope<E>,
    rows: OnceLock<Vec<RowSoftmax<E>>>,
}

impl<E: Real> PlacedAttention<E> {
    fn norm<'a>(&self, weight: &'a [E]) -> Norm<'a, E> {
        Norm::root_mean_square(weight, self.eps)
    }

    /// Heads under their norm and turned.
    ///
    /// # Shapes
    /// `x` of `[B, T, H, D]`.
    fn place(&self, x: &[E], norm: Option<&[E]>, shape: [usize; 4]) -> Vec<E> {
        let normed: Cow<[E]> = match norm {
            Some(weight) => self.norm(weight).forward(x).0.into(),
            None => x.into(),
        };
        rotate(Heads::contiguous(&normed, shape), self.rope.angles())
    }

    /// The gradient of heads for that of the placed ones.
    fn unplace(&self, d: &[E], x: &[E], norm: Option<&[E]>, shape: [usize; 4]) -> Vec<E> {
        let d_normed = rotate(Heads::contiguous(d, shape), self.back.angles());
        match norm {
            Some(weight) => {
                let norm = self.norm(weight);
                let (_normed, stats) = norm.forward(x);
                norm.backward(x, &stats, &d_normed).x
            }
            None => d_normed,
        }
    }
}

impl<E: Real> CustomOp3 for PlacedAttention<E> {
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
        let queries = q_layout.shape().dims4()?.into();
        let keys = k_layout.shape().dims4()?.into();
        let q = self.place(&values(q, q_layout)?, self.q_norm.as_deref(), queries);
        let k = self.place(&values(k, k_layout)?, self.k_norm.as_deref(), keys);
        let v = values(v, v_layout)?;
        let (out, rows) = attend(self.spec.inputs(
            Heads::contiguous(&q, queries),
            Heads::contiguous(&k, keys),
            Heads::contiguous(&v, keys),
        ));
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
        let (queries, keys) = (q.dims4()?.into(), k.dims4()?.into());
        let [dq, dk, dv] =
            with_values::<E, _, 5>([q, k, v, out, d_out], |[q, k, v, out, d_out]| {
                let (q_norm, k_norm) = (self.q_norm.as_deref(), self.k_norm.as_deref());
                let placed_q = self.place(q, q_norm, queries);
                let placed_k = self.place(k, k_norm, keys);
                let [dq, dk, dv] = d_separate(Saved {
                    inputs: self.spec.inputs(
                        Heads::contiguous(&placed_q, queries),
                        Heads::contiguous(&placed_k, keys),
                        Heads::contiguous(v, keys),
                    ),
                    rows,
                    out: Heads::contiguous(out, queries),
                    d_out: Heads::contiguous(d_out, queries),
                });
                let dq = self.unplace(&dq, q, q_norm, queries);
                let dk = self.unplace(&dk, k, k_norm, keys);
                Ok([dq, dk, dv])
            })?;
        Ok((gradient(dq, q)?, gradient(dk, k)?, gradient(dv, v)?))
    }
}
