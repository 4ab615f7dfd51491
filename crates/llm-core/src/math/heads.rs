//! Many heads: cut the channels into H pieces, let each piece attend on its own, glue them together.
//!
//! ```text
//! headᵢ = attention(x Wqᵢᵀ, x Wkᵢᵀ, x Wvᵢᵀ)         y = concat(head₁ … head_H) Woᵀ
//! ```
//!
//! With fewer key-value heads than query heads, neighbours share one: query head `h` reads key-value
//! head `h / (H / K)`. `K = H` is multi-head, `K = 1` multi-query (Shazeer 2019), between is
//! grouped-query attention (Ainslie et al. 2023). Only K and V are cached, so the cache shrinks by H/K.
//!
//! ```
//! use llm_core::math::heads::{cache_bytes, concat, split};
//! use ndarray::array;
//! let x = array![[1.0, 2.0, 3.0, 4.0]];
//! let heads = split(&x, 2)?; // [H=2, T=1, D=2]: head 0 has 1 and 2, head 1 has 3 and 4
//! assert_eq!(heads[[1, 0, 0]], 3.0);
//! assert_eq!(concat(&heads), x);
//! assert!(split(&x, 3).unwrap_err().to_string().contains("1, 2, 4 do"));
//! assert_eq!(cache_bytes(28, 8, 128, 2), 114_688); // Qwen3-0.6B in bf16, for each token
//! # Ok::<(), llm_core::Error>(())
//! ```

use candle_core::{DType, Device, Tensor};
use ndarray::{Array2, Array3, Axis};

use super::attention::{AttentionGradients, Mask, Trace, attend, attend_backward};
use crate::ops::{AttentionSpec, Ops};
use crate::{Error, Result};

/// The numbers of heads that `channels` can be cut into.
pub fn divisors(channels: usize) -> Vec<usize> {
    (1..=channels)
        .filter(|&heads| channels.is_multiple_of(heads))
        .collect()
}

/// What [`divisors`] has to offer, for an error's text.
fn offers(channels: usize) -> String {
    let fitting: Vec<String> = divisors(channels).iter().map(usize::to_string).collect();
    fitting.join(", ")
}

// ANCHOR: split
/// Cuts each token's channels into `heads` runs of equal length.
///
/// # Shapes
/// `x [T, H·D]` → `[H, T, D]`.
///
/// # Errors
/// Channels that `heads` does not divide.
pub fn split(x: &Array2<f64>, heads: usize) -> Result<Array3<f64>> {
    let (t, c) = x.dim();
    if heads == 0 || !c.is_multiple_of(heads) {
        let problem = format!("{heads} does not divide the {c} channels; {} do", offers(c));
        return Err(Error::input("heads", problem));
    }
    let d = c / heads;
    // Head 0 has the first D channels, head 1 the next D. No number is changed, only its place.
    Ok(Array3::from_shape_fn(
        (heads, t, d),
        |(head, token, channel)| x[[token, head * d + channel]],
    ))
}
// ANCHOR_END: split

/// Glues the heads of each token together again: the inverse of [`split`].
///
/// # Shapes
/// `x [H, T, D]` → `[T, H·D]`.
pub fn concat(x: &Array3<f64>) -> Array2<f64> {
    let (h, t, d) = x.dim();
    Array2::from_shape_fn((t, h * d), |(token, channel)| {
        x[[channel / d, token, channel % d]]
    })
}

/// How many query heads share a key-value head.
///
/// # Errors
/// Key-value heads that do not divide the query heads.
pub(super) fn group(h: usize, k: usize) -> Result<usize> {
    if k == 0 || !h.is_multiple_of(k) {
        let problem = format!("{k} does not divide the {h} query heads; {} do", offers(h));
        return Err(Error::input("key-value heads", problem));
    }
    Ok(h / k)
}

/// One head of a stack.
fn head(x: &Array3<f64>, index: usize) -> Array2<f64> {
    x.index_axis(Axis(0), index).to_owned()
}

/// Each key-value head written down once for every query head that reads it: what multi-head
/// attention would have to store to give the same result.
///
/// # Shapes
/// `x [K, S, D]` → `[K·times, S, D]`.
pub fn repeat(x: &Array3<f64>, times: usize) -> Array3<f64> {
    let (k, s, d) = x.dim();
    Array3::from_shape_fn((k * times, s, d), |(head, token, channel)| {
        x[[head / times, token, channel]]
    })
}

/// The bytes that one more token costs in the cache: a key and a value of every key-value head in
/// every layer.
pub fn cache_bytes(layers: usize, kv_heads: usize, d: usize, bytes: usize) -> usize {
    2 * layers * kv_heads * d * bytes
}

/// Published models to compare: name, L, H, K, D, from their `config.json`.
pub const PUBLISHED: [(&str, [usize; 4]); 3] = [
    ("GPT-2 small", [12, 12, 12, 64]),
    ("Llama-3.1-8B", [32, 32, 8, 128]),
    ("Qwen3-0.6B", [28, 16, 8, 128]),
];

// ANCHOR: attend
/// Attention of each head, with every matrix on the way.
///
/// # Shapes
/// `q [H, T, D]`, `k` and `v [K, S, D]` → H traces.
///
/// # Errors
/// Key-value heads that do not divide the query heads.
pub fn trace_heads(
    q: &Array3<f64>,
    k: &Array3<f64>,
    v: &Array3<f64>,
    scale: f64,
    mask: Mask,
) -> Result<Vec<Trace>> {
    let (h, _t, _d) = q.dim();
    let group = group(h, k.dim().0)?;
    let mut traces = Vec::new();
    for index in 0..h {
        // The whole of grouped-query attention is this one division.
        let shared = index / group;
        let (q, k, v) = (head(q, index), head(k, shared), head(v, shared));
        traces.push(attend(&q, &k, &v, scale, mask));
    }
    Ok(traces)
}
// ANCHOR_END: attend

/// What the heads read.
///
/// # Shapes
/// H traces of T tokens → `[H, T, D]`.
pub(super) fn outputs(traces: &[Trace], shape: (usize, usize, usize)) -> Array3<f64> {
    let mut output = Array3::zeros(shape);
    for (index, trace) in traces.iter().enumerate() {
        output.index_axis_mut(Axis(0), index).assign(&trace.output);
    }
    output
}

/// Attention of all heads.
///
/// # Shapes
/// `q [H, T, D]`, `k` and `v [K, S, D]` → `[H, T, D]`.
///
/// # Errors
/// Key-value heads that do not divide the query heads.
pub fn attend_heads(
    q: &Array3<f64>,
    k: &Array3<f64>,
    v: &Array3<f64>,
    scale: f64,
    mask: Mask,
) -> Result<Array3<f64>> {
    Ok(outputs(&trace_heads(q, k, v, scale, mask)?, q.dim()))
}

/// The gradients of [`attend_heads`] with respect to q, k and v. A shared head collects the
/// gradients of all query heads that read it.
///
/// # Shapes
/// `q` and `d_output [H, T, D]`, `k` and `v [K, S, D]` → as q, k, v.
///
/// # Errors
/// Key-value heads that do not divide the query heads.
pub fn attend_heads_backward(
    (q, k, v): (&Array3<f64>, &Array3<f64>, &Array3<f64>),
    scale: f64,
    mask: Mask,
    d_output: &Array3<f64>,
) -> Result<(Array3<f64>, Array3<f64>, Array3<f64>)> {
    let (h, _t, _d) = q.dim();
    let group = group(h, k.dim().0)?;
    let mut d = (
        Array3::zeros(q.dim()),
        Array3::zeros(k.dim()),
        Array3::zeros(v.dim()),
    );
    for index in 0..h {
        let shared = index / group;
        let (q, k, v) = (head(q, index), head(k, shared), head(v, shared));
        let weights = attend(&q, &k, &v, scale, mask).weights;
        let AttentionGradients { q, k, v } =
            attend_backward((&q, &k, &v), &weights, scale, &head(d_output, index));
        d.0.index_axis_mut(Axis(0), index).assign(&q);
        let collect = |into: &mut Array3<f64>, part: &Array2<f64>| {
            into.index_axis_mut(Axis(0), shared)
                .zip_mut_with(part, |sum, x| *sum += x);
        };
        collect(&mut d.1, &k);
        collect(&mut d.2, &v);
    }
    Ok(d)
}

/// Causal [`attend_heads`] as the one operation of [`crate::ops`] that models run.
///
/// # Shapes
/// `q [H, T, D]`, `k` and `v [K, T, D]` → `[H, T, D]`.
///
/// # Errors
/// What the tensor library reports.
pub fn attend_heads_with_ops(
    (q, k, v): (&Array3<f64>, &Array3<f64>, &Array3<f64>),
    scale: f64,
    dtype: DType,
    device: &Device,
) -> Result<Array3<f64>> {
    // The operation wants tokens before heads, one batch: [1, T, H, D].
    let tensor = |x: &Array3<f64>| -> Result<Tensor> {
        let values: Vec<f64> = x.iter().copied().collect();
        let x = Tensor::from_vec(values, x.dim(), &Device::Cpu)?.transpose(0, 1)?;
        Ok(x.unsqueeze(0)?.to_dtype(dtype)?.to_device(device)?)
    };
    let (q_dim, q, k, v) = (q.dim(), tensor(q)?, tensor(k)?, tensor(v)?);
    let window = None;
    let spec = AttentionSpec { scale, window };
    let output = Ops::for_device(device).causal_attention(&q, &k, &v, &spec)?;
    let output = output.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    let values = output.squeeze(0)?.transpose(0, 1)?.flatten_all()?;
    let output = Array3::from_shape_vec(q_dim, values.to_vec1()?);
    output.map_err(|error| Error::input("attention output", error.to_string()))
}
