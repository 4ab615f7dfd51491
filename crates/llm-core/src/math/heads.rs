//! Many heads: cut the channels into H pieces, let each piece attend on its own, glue them together.
//!
//! With fewer key-value heads than query heads, neighbours share one: query head `h` reads key-value
//! head `h / (H / K)`. `K = H` is multi-head, `K = 1` multi-query (Shazeer 2019), between is
//! grouped-query attention (Ainslie et al. 2023). Only K and V are cached, so the cache shrinks by H/K.

use ndarray::{Array2, Array3, Axis};

use super::attention::{AttentionGradients, Mask, attend, attend_backward};
use crate::{Error, Result};

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
        return Err(Error::input(
            "heads",
            format!("{heads} does not divide the {c} channels"),
        ));
    }
    let d = c / heads;
    Ok(Array3::from_shape_fn(
        (heads, t, d),
        |(head, token, channel)| x[[token, head * d + channel]],
    ))
}

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
fn group(h: usize, k: usize) -> Result<usize> {
    if k == 0 || !h.is_multiple_of(k) {
        let problem = format!("{k} does not divide the {h} query heads");
        return Err(Error::input("key-value heads", problem));
    }
    Ok(h / k)
}

/// One head of a stack.
fn head(x: &Array3<f64>, index: usize) -> Array2<f64> {
    x.index_axis(Axis(0), index).to_owned()
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
    let (h, _t, _d) = q.dim();
    let group = group(h, k.dim().0)?;
    let mut output = Array3::zeros(q.dim());
    for index in 0..h {
        let shared = index / group;
        let trace = attend(
            &head(q, index),
            &head(k, shared),
            &head(v, shared),
            scale,
            mask,
        );
        output.index_axis_mut(Axis(0), index).assign(&trace.output);
    }
    Ok(output)
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
