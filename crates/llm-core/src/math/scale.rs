//! Why attention divides its scores by √D: an experiment.
//!
//! If the D numbers of a query and of a key are draws from N(0, 1), their product sums D terms of
//! variance 1, so scores spread with variance D. Softmax of numbers that far apart gives nearly all
//! to one key, and where it does, its gradient is nearly nothing. Divided by √D, scores keep
//! variance 1 for every head size.

use ndarray::Array2;

use super::softmax::{entropy, softmax};
use crate::rng::{ChaCha8Rng, standard_normal};

/// The product of two fresh arrows of `d` draws each.
fn score(rng: &mut ChaCha8Rng, d: usize) -> f64 {
    (0..d)
        .map(|_| standard_normal(rng) * standard_normal(rng))
        .sum()
}

/// The variance of `draws` scores, before any scaling.
///
/// The mean of a score is known to be 0, so this is the mean square.
pub fn score_variance(rng: &mut ChaCha8Rng, d: usize, draws: usize) -> f64 {
    (0..draws).map(|_| score(rng, d).powi(2)).sum::<f64>() / draws as f64
}

/// N(0, `std`²) draws.
///
/// # Shapes
/// → `[rows, columns]`.
pub fn gaussian(rng: &mut ChaCha8Rng, rows: usize, columns: usize, std: f64) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || std * standard_normal(rng))
}

/// How one query spreads its attention on average: entropy in nats and largest share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// 0 when one key gets all, ln `keys` when all get alike.
    pub entropy: f64,
    /// The largest share.
    pub largest: f64,
}

/// The average [`Spread`] over `rows` queries of `keys` random scores, first unscaled, then divided
/// by √D. Both see the same draws.
pub fn spread(rng: &mut ChaCha8Rng, d: usize, keys: usize, rows: usize) -> [Spread; 2] {
    let mut spreads = [Spread {
        entropy: 0.0,
        largest: 0.0,
    }; 2];
    for _ in 0..rows {
        let scores: Vec<f64> = (0..keys).map(|_| score(rng, d)).collect();
        for (spread, scale) in spreads.iter_mut().zip([1.0, 1.0 / (d as f64).sqrt()]) {
            let scaled: Vec<f64> = scores.iter().map(|score| score * scale).collect();
            let shares = softmax(&scaled);
            spread.entropy += entropy(&shares) / rows as f64;
            spread.largest += shares.into_iter().fold(0.0, f64::max) / rows as f64;
        }
    }
    spreads
}
