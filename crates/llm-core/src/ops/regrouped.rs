//! Causal attention as batched products, without a copy of keys and values for each query head.
//!
//! The query heads that read one key-value head lie one after another, as more rows of one matrix:
//! with `G = H / K` a product per key-value head is `[G·T, D] · [D, S]`. The backward pass makes the
//! weights again from q and k, so a layer keeps q, k, v and nothing of size `T · S`:
//!
//! `P = softmax(s q kᵀ)`, `dv = Pᵀ dy`, `dS = s P ∘ (dP − rowsum(P ∘ dP))` with `dP = dy vᵀ`,
//! `dq = dS k`, `dk = dSᵀ q`; dk and dv are sums over the group because its rows are one matrix.

use candle_core::{Result, Tensor};

use super::AttentionSpec;

/// Softmax over the keys that a query reads.
pub(super) trait Softmax {
    /// The weights of raw scores, row r of a matrix being query `r % t`; 0 where a key is not read.
    ///
    /// # Shapes
    /// `scores [B·K, G·T, S]` → the same.
    fn forward(&self, scores: &Tensor, t: usize, spec: &AttentionSpec) -> Result<Tensor>;

    /// The gradient of the raw scores from weights and their gradient.
    ///
    /// # Shapes
    /// Two of `[B·K, G·T, S]` → the same.
    fn backward(&self, weights: [&Tensor; 2], t: usize, spec: &AttentionSpec) -> Result<Tensor>;
}

/// # Shapes
/// `q [B, T, H, D]`, `k` and `v [B, S, K, D]` → `[B, T, H, D]`.
pub(super) fn forward(
    [q, k, v]: [&Tensor; 3],
    spec: &AttentionSpec,
    softmax: &impl Softmax,
) -> Result<Tensor> {
    let kv = k.dim(2)?;
    let (rows, keys) = (grouped(q, kv)?, by_head(k)?);
    let weights = weights(&rows, &keys, q.dim(1)?, spec, softmax)?;
    ungrouped(&weights.matmul(&by_head(v)?)?, q)
}

/// The gradients of q, k and v.
///
/// # Shapes
/// As [`forward`], `dy [B, T, H, D]`.
pub(super) fn backward(
    [q, k, v]: [&Tensor; 3],
    dy: &Tensor,
    spec: &AttentionSpec,
    softmax: &impl Softmax,
) -> Result<[Tensor; 3]> {
    let (kv, t) = (k.dim(2)?, q.dim(1)?);
    let (rows, keys, values) = (grouped(q, kv)?, by_head(k)?, by_head(v)?);
    let dy = grouped(dy, kv)?;
    let weights = weights(&rows, &keys, t, spec, softmax)?;
    let dv = weights.t()?.matmul(&dy)?;
    let d_weights = dy.matmul(&values.t()?)?;
    let d_scores = softmax.backward([&weights, &d_weights], t, spec)?;
    let dq = d_scores.matmul(&keys)?;
    let dk = d_scores.t()?.matmul(&rows)?;
    Ok([ungrouped(&dq, q)?, by_token(&dk, k)?, by_token(&dv, v)?])
}

fn weights(
    rows: &Tensor,
    keys: &Tensor,
    t: usize,
    spec: &AttentionSpec,
    softmax: &impl Softmax,
) -> Result<Tensor> {
    softmax.forward(&rows.matmul(&keys.t()?)?, t, spec)
}

/// # Shapes
/// `x [B, T, H, D]` → `[B·K, G·T, D]`.
fn grouped(x: &Tensor, kv: usize) -> Result<Tensor> {
    let (b, t, h, d) = x.dims4()?;
    let group = h / kv;
    let x = x.contiguous()?.reshape((b, t, kv, group, d))?;
    let x = x.permute((0, 2, 3, 1, 4))?.contiguous()?;
    x.reshape((b * kv, group * t, d))
}

/// # Shapes
/// `x [B·K, G·T, D]` → that of `like [B, T, H, D]`.
fn ungrouped(x: &Tensor, like: &Tensor) -> Result<Tensor> {
    let (b, t, h, d) = like.dims4()?;
    let kv = x.dim(0)? / b;
    let x = x.reshape((b, kv, h / kv, t, d))?;
    x.permute((0, 3, 1, 2, 4))?
        .contiguous()?
        .reshape((b, t, h, d))
}

/// # Shapes
/// `x [B, S, K, D]` → `[B·K, S, D]`.
fn by_head(x: &Tensor) -> Result<Tensor> {
    let (b, s, kv, d) = x.dims4()?;
    x.transpose(1, 2)?.contiguous()?.reshape((b * kv, s, d))
}

/// # Shapes
/// `x [B·K, S, D]` → that of `like [B, S, K, D]`.
fn by_token(x: &Tensor, like: &Tensor) -> Result<Tensor> {
    let (b, s, kv, d) = like.dims4()?;
    x.reshape((b, kv, s, d))?.transpose(1, 2)?.contiguous()
}

#[cfg(test)]
mod tests {
    use candle_core::{D, DType, Device, Var};

    use super::*;
    use crate::ops::Ops;

    /// Sums in another order, in f64.
    const ROUNDING: f64 = 1e-13;

    /// The kernels' softmax in basic operations.
    struct Plain;

    impl Softmax for Plain {
        fn forward(&self, scores: &Tensor, t: usize, spec: &AttentionSpec) -> Result<Tensor> {
            let (_heads, rows, s) = scores.dims3()?;
            let reads = (0..rows).flat_map(|row| (0..s).map(move |key| (s - t + row % t, key)));
            let hidden: Vec<f64> = reads
                .map(|(at, key)| if spec.reads(at, key) { 0.0 } else { -1e300 })
                .collect();
            let hidden = Tensor::from_vec(hidden, (1, rows, s), &Device::Cpu)?;
            let scores = (scores * spec.scale)?.broadcast_add(&hidden)?;
            let weights = scores
                .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
                .exp()?;
            weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)
        }

        fn backward(
            &self,
            [p, dp]: [&Tensor; 2],
            _: usize,
            spec: &AttentionSpec,
        ) -> Result<Tensor> {
            let dot = (p * dp)?.sum_keepdim(D::Minus1)?;
            (p * dp.broadcast_sub(&dot)?)? * spec.scale
        }
    }

    fn numbers(shape: (usize, usize, usize, usize), salt: f64) -> Var {
        let (b, t, h, d) = shape;
        let values = (0..b * t * h * d).map(|i| (i as f64 * 1.7 + salt).sin());
        Var::from_vec(values.collect::<Vec<f64>>(), shape, &Device::Cpu).unwrap()
    }

    fn assert_close(found: &Tensor, expected: &Tensor, what: &str) {
        assert_eq!(found.dims(), expected.dims(), "{what}");
        let error = (found - expected)
            .unwrap()
            .abs()
            .unwrap()
            .max_all()
            .unwrap();
        let error = error.to_scalar::<f64>().unwrap();
        assert!(error <= ROUNDING, "{what}: {error:e} is above {ROUNDING:e}");
    }

    #[test]
    fn regrouped_attention_and_its_gradients_are_those_of_the_composed_one() {
        // b, t, s, heads, kv, d, window
        let cases = [
            (1, 5, 5, 2, 2, 4, None),
            (2, 4, 7, 6, 2, 3, None),
            (2, 6, 6, 4, 1, 2, Some(3)),
            (1, 1, 9, 4, 2, 4, Some(4)),
        ];
        for (b, t, s, h, kv, d, window) in cases {
            let spec = AttentionSpec { scale: 0.4, window };
            let q = numbers((b, t, h, d), 0.0);
            let (k, v) = (numbers((b, s, kv, d), 1.0), numbers((b, s, kv, d), 2.0));
            let expected = Ops::Composed.causal_attention(&q, &k, &v, &spec).unwrap();
            let given = [q.as_tensor(), k.as_tensor(), v.as_tensor()];
            let y = forward(given, &spec, &Plain).unwrap();
            assert_close(&y, &expected, "output");
            let dy = numbers((b, t, h, d), 3.0);
            let slow = (expected * dy.as_tensor()).unwrap().sum_all().unwrap();
            let slow = slow.backward().unwrap();
            let fast = backward(given, &dy, &spec, &Plain).unwrap();
            for ((fast, x), what) in fast.iter().zip(given).zip(["dq", "dk", "dv"]) {
                assert_close(fast, slow.get(x).unwrap(), what);
            }
            assert_eq!(y.dtype(), DType::F64);
        }
    }
}
