//! Causal attention on the GPU: products by cuBLAS with a softmax of ours between them, and one
//! kernel for the few queries of a decoding step.

use std::sync::Mutex;

use candle_core::{Result as CandleResult, Tensor};

use super::nodes::{Given, Made, Node1, Node2, Node3, final1, final2, final3};
use super::with_storage;
use crate::Result;
use crate::kernels::cuda::{self as kernel, LARGEST_HEAD, Scores, both, dense};
use crate::ops::regrouped::{self, Softmax};
use crate::ops::{AttentionSpec, tape};

/// Up to here a query reads keys and values where they lie in the cache; with more of them tensor
/// cores pay for the copy.
const FEW_QUERIES: usize = 16;

/// # Shapes
/// `q [B, T, H, D]`, `k` and `v [B, S, K, D]` → `[B, T, H, D]`.
pub(in crate::ops) fn causal_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    spec: &AttentionSpec,
) -> Result<Tensor> {
    let (_b, t, _h, d) = q.dims4()?;
    let trains = [q, k, v].into_iter().any(Tensor::track_op);
    let in_place = k.stride() == v.stride() && k.stride().last() == Some(&1);
    if !trains && t <= FEW_QUERIES && d <= LARGEST_HEAD && in_place {
        return few(q, k, v, spec);
    }
    let spec = *spec;
    let given = [q, k, v].map(Tensor::detach);
    let y = regrouped::forward(given.each_ref(), &spec, &OnGpu)?;
    if !trains {
        return Ok(y);
    }
    // Handed over once: an operation lives as long as the graph, and so would the output.
    let finished = Mutex::new(Some(y));
    let finished = move |_: [Given; 3]| -> Made {
        let Some(y) = finished.lock().ok().and_then(|mut y| y.take()) else {
            candle_core::bail!("causal_attention: the output was taken before");
        };
        with_storage(&y, |(storage, layout)| {
            Ok((kernel::copy(storage, layout)?, layout.shape().clone()))
        })
    };
    let op = Node3::new("causal_attention", finished, move |qkv, dy| {
        let values = qkv.map(Tensor::detach);
        let slopes = regrouped::backward(values.each_ref(), &dy.detach(), &spec, &OnGpu)?;
        let mut slopes = slopes.into_iter().zip(qkv);
        Ok(std::array::from_fn(|_| {
            let (slope, x) = slopes.next()?;
            x.track_op().then_some(slope)
        }))
    });
    Ok(tape::apply3(q, k, v, op)?)
}

/// # Shapes
/// `qkv [B, T, (H + 2K) · D]` → `[B, T, H · D]`.
pub(in crate::ops) fn packed(
    qkv: &Tensor,
    (h, kv): (usize, usize),
    spec: &AttentionSpec,
) -> Result<Tensor> {
    let (b, t, width) = qkv.dims3()?;
    let d = width / (h + 2 * kv);
    let by_head = tape::reshape(qkv, (b, t, h + 2 * kv, d))?;
    let part = |first, count| tape::narrow(&by_head, 2, first, count);
    let read = causal_attention(&part(0, h)?, &part(h, kv)?, &part(h + kv, kv)?, spec)?;
    Ok(tape::reshape(&read, (b, t, h * d))?)
}

/// # Shapes
/// As [`causal_attention`], T at most [`FEW_QUERIES`].
fn few(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> Result<Tensor> {
    let (b, t, h, d) = q.dims4()?;
    let of = (spec.window, spec.scale);
    let forward = move |[q, k, v]: [Given; 3]| -> Made {
        let q = dense(q.0, q.1)?;
        let y = kernel::attend((&q, [b, t, h, d]), [k, v], of)?;
        Ok((y, (b, t, h, d).into()))
    };
    let op = Node3::new("attend", forward, final3);
    Ok(q.apply_op3_no_bwd(k, v, &op)?)
}

/// The kernels of attention.cu.
struct OnGpu;

impl Softmax for OnGpu {
    fn forward(&self, scores: &Tensor, t: usize, spec: &AttentionSpec) -> CandleResult<Tensor> {
        let of = scores_of(scores, t, spec)?;
        let forward = move |scores: Given| -> Made {
            let weights = kernel::causal_softmax(&dense(scores.0, scores.1)?, &of)?;
            Ok((weights, scores.1.shape().clone()))
        };
        scores.apply_op1_no_bwd(&Node1::new("causal_softmax", forward, final1))
    }

    fn backward(
        &self,
        [weights, d_weights]: [&Tensor; 2],
        t: usize,
        spec: &AttentionSpec,
    ) -> CandleResult<Tensor> {
        let of = scores_of(weights, t, spec)?;
        let backward = move |weights: Given, d_weights: Given| -> Made {
            let shape = weights.1.shape().clone();
            let (weights, d_weights) = both(weights, d_weights)?;
            let d_scores = kernel::causal_softmax_grad(&weights, &d_weights, &of)?;
            Ok((d_scores, shape))
        };
        let op = Node2::new("causal_softmax_grad", backward, final2);
        weights.apply_op2_no_bwd(d_weights, &op)
    }
}

fn scores_of(scores: &Tensor, t: usize, spec: &AttentionSpec) -> CandleResult<Scores> {
    let (_heads, _rows, s) = scores.dims3()?;
    Ok(Scores {
        t,
        s,
        window: spec.window,
        scale: spec.scale,
    })
}
