//! Scaled dot-product attention (Vaswani et al. 2017), one head at a time.
//!
//! ```text
//! attention(q, k, v) = softmax(q kᵀ / √D + mask) v
//! ```
//!
//! Each token asks a question (its row of `q`), every token has a label (its row of `k`) and
//! something to say (its row of `v`). The better a label fits a question, the larger the share of
//! that token's words in the answer.
//!
//! ```
//! use llm_core::math::attention::{Mask, attend};
//! use ndarray::array;
//! let x = array![[1.0, 0.0], [0.0, 1.0]];
//! let trace = attend(&x, &x, &x, 1.0 / 2f64.sqrt(), Mask::Causal);
//! assert_eq!(trace.weights[[0, 0]], 1.0); // the first token has only itself to read
//! assert_eq!(trace.weights[[0, 1]], 0.0); // and exactly nothing of the future
//! ```

use candle_core::{DType, Device, Tensor};
use ndarray::Array2;

use super::scale::gaussian;
use super::softmax::{softmax, softmax_backward};
use crate::Result;
use crate::ops::{AttentionSpec, Ops};
use crate::rng::ChaCha8Rng;

/// Which keys a query may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All of them: an encoder reads the whole sentence.
    None,
    /// Its own and all before it: a decoder must not see the token it is to guess.
    Causal,
    /// The last `n` up to its own: Mistral's sliding window.
    Window(usize),
}

impl Mask {
    /// Whether the query at `position` may read the key at position `key`.
    pub fn reads(self, position: usize, key: usize) -> bool {
        match self {
            Self::None => true,
            Self::Causal => key <= position,
            Self::Window(window) => key <= position && key + window > position,
        }
    }
}

/// Every matrix on the way from queries to answers.
#[derive(Clone, Debug)]
pub struct Trace {
    /// `q kᵀ`, how well each key fits each query: `[T, S]`
    pub scores: Array2<f64>,
    /// The scores times the scale: `[T, S]`
    pub scaled: Array2<f64>,
    /// The same with `-inf` where a query may not read: `[T, S]`
    pub masked: Array2<f64>,
    /// Each row turned into shares of 1: `[T, S]`
    pub weights: Array2<f64>,
    /// The values, mixed by the weights: `[T, D]`
    pub output: Array2<f64>,
}

impl Trace {
    /// Matrices of zeros, to be filled in.
    ///
    /// # Shapes
    /// T queries, S keys, values of D channels.
    fn zeros(t: usize, s: usize, d: usize) -> Self {
        Self {
            scores: Array2::zeros((t, s)),
            scaled: Array2::zeros((t, s)),
            masked: Array2::zeros((t, s)),
            weights: Array2::zeros((t, s)),
            output: Array2::zeros((t, d)),
        }
    }

    /// The largest distance of a row's sum of weights from 1.
    pub fn row_error(&self) -> f64 {
        self.weights
            .outer_iter()
            .map(|row| (row.sum() - 1.0).abs())
            .fold(0.0, f64::max)
    }

    /// The largest weight above the diagonal: what leaks from the future when T = S.
    pub fn leak(&self) -> f64 {
        let future = self
            .weights
            .indexed_iter()
            .filter(|((query, key), _)| key > query);
        future.map(|(_, weight)| weight.abs()).fold(0.0, f64::max)
    }

    /// The key that `query` reads most.
    pub fn most_read(&self, query: usize) -> usize {
        let row = self.weights.row(query);
        (0..row.len())
            .max_by(|&a, &b| row[a].total_cmp(&row[b]))
            .unwrap_or(0)
    }
}

/// Attention of one head.
///
/// Where there are more keys than queries (S > T), the queries are the last tokens: query `t` stands
/// at position `S − T + t`, as in generation with a cache.
///
/// # Shapes
/// `q [T, D]`, `k [S, D]`, `v [S, D]` → [`Trace`].
pub fn attend(q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, scale: f64, mask: Mask) -> Trace {
    attend_biased((q, k, v), scale, mask, |_position, _key| 0.0)
}

// ANCHOR: attend
/// [`attend`] with `bias(position, key)` added to each scaled score, before the mask: how
/// [ALiBi](super::positions::alibi_bias) tells attention where the words stand.
///
/// # Shapes
/// `q [T, D]`, `k [S, D]`, `v [S, D]` → [`Trace`].
pub fn attend_biased(
    (q, k, v): (&Array2<f64>, &Array2<f64>, &Array2<f64>),
    scale: f64,
    mask: Mask,
    bias: impl Fn(usize, usize) -> f64,
) -> Trace {
    let (t, d) = q.dim();
    let (s, _d) = k.dim();
    let mut trace = Trace::zeros(t, s, v.dim().1);
    for query in 0..t {
        let position = s - t + query;
        for key in 0..s {
            // The dot product is large when the two arrows point the same way.
            let mut score = 0.0;
            for channel in 0..d {
                score += q[[query, channel]] * k[[key, channel]];
            }
            trace.scores[[query, key]] = score;
            // A sum of D products spreads like √D. Unscaled, long heads would push softmax to 0 and
            // 1, where its gradient vanishes.
            trace.scaled[[query, key]] = score * scale;
            // -inf belongs here, before softmax; what comes out of softmax is exactly 0.
            trace.masked[[query, key]] = if mask.reads(position, key) {
                score * scale + bias(position, key)
            } else {
                f64::NEG_INFINITY
            };
        }
        let weights = softmax(&trace.masked.row(query).to_vec());
        for (key, weight) in weights.into_iter().enumerate() {
            trace.weights[[query, key]] = weight;
            // A hidden key adds 0 times its value: nothing.
            for channel in 0..v.dim().1 {
                trace.output[[query, channel]] += weight * v[[key, channel]];
            }
        }
    }
    trace
}
// ANCHOR_END: attend

/// The gradients of [`attend`].
#[derive(Clone, Debug)]
pub struct AttentionGradients {
    /// `[T, D]`
    pub q: Array2<f64>,
    /// `[S, D]`
    pub k: Array2<f64>,
    /// `[S, D]`
    pub v: Array2<f64>,
}

// ANCHOR: backward
/// Walks the steps of [`attend`] backwards: mix, softmax, scale, dot product.
///
/// ```text
/// output = weights v            dV = weightsᵀ dO         dWeights = dO vᵀ
/// weights = softmax(scaled)     dScaled = softmax backwards, row by row
/// scaled = scale · q kᵀ         dQ = scale · dScaled k   dK = scale · dScaledᵀ q
/// ```
///
/// # Shapes
/// `q [T, D]`, `k [S, D]`, `v [S, D]`, `weights [T, S]`, `d_output [T, D]`.
pub fn attend_backward(
    (q, k, v): (&Array2<f64>, &Array2<f64>, &Array2<f64>),
    weights: &Array2<f64>,
    scale: f64,
    d_output: &Array2<f64>,
) -> AttentionGradients {
    let (t, d) = q.dim();
    let (s, _d) = k.dim();
    let mut gradients = AttentionGradients {
        q: Array2::zeros(q.dim()),
        k: Array2::zeros(k.dim()),
        v: Array2::zeros(v.dim()),
    };
    for query in 0..t {
        let mut d_weights = vec![0.0; s];
        for (key, d_weight) in d_weights.iter_mut().enumerate() {
            for channel in 0..v.dim().1 {
                let d_out = d_output[[query, channel]];
                // output += weight · value: each factor's gradient is the other one times d_out.
                *d_weight += d_out * v[[key, channel]];
                gradients.v[[key, channel]] += d_out * weights[[query, key]];
            }
        }
        // A hidden key has weight 0, so its score gets gradient 0: the mask needs no step of its own.
        let d_scores = softmax_backward(&weights.row(query).to_vec(), &d_weights);
        for (key, d_score) in d_scores.into_iter().enumerate() {
            for channel in 0..d {
                gradients.q[[query, channel]] += scale * d_score * k[[key, channel]];
                gradients.k[[key, channel]] += scale * d_score * q[[query, channel]];
            }
        }
    }
    gradients
}
// ANCHOR_END: backward

/// A seeded vector for each word of a text, as an embedding table that nobody trained. A word that
/// comes again has the vector of its first time: without positions the two cannot be told apart.
///
/// # Shapes
/// T words → `[T, C]`.
pub fn word_vectors(words: &[String], c: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    let mut x = gaussian(rng, words.len(), c, 1.0);
    for row in 0..words.len() {
        let first = words.iter().position(|word| *word == words[row]);
        let vector = x.row(first.unwrap_or(row)).to_owned();
        x.row_mut(row).assign(&vector);
    }
    x
}

/// Causal [`attend`] as the one operation of [`crate::ops`] that models run, on `device` in `dtype`.
///
/// # Shapes
/// `q`, `k` and `v [T, D]` → `[T, D]`, row-major.
///
/// # Errors
/// What the tensor library reports.
pub fn attend_with_ops(
    (q, k, v): (&Array2<f64>, &Array2<f64>, &Array2<f64>),
    scale: f64,
    dtype: DType,
    device: &Device,
) -> Result<Vec<f64>> {
    let tensor = |x: &Array2<f64>| -> Result<Tensor> {
        let (t, d) = x.dim();
        let values: Vec<f64> = x.iter().copied().collect();
        // One batch, one head: [B, T, H, D].
        Ok(Tensor::from_vec(values, (1, t, 1, d), &Device::Cpu)?
            .to_dtype(dtype)?
            .to_device(device)?)
    };
    let spec = AttentionSpec {
        scale,
        window: None,
    };
    let (q, k, v) = (tensor(q)?, tensor(k)?, tensor(v)?);
    let output = Ops::for_device(device).causal_attention(&q, &k, &v, &spec)?;
    Ok(output
        .to_device(&Device::Cpu)?
        .to_dtype(DType::F64)?
        .flatten_all()?
        .to_vec1()?)
}
