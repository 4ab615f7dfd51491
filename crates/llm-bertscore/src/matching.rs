//! From the vectors of two texts to precision, recall and F1.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{D, DType, Tensor};

/// How well a prediction and its reference match.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// The weighted mean, over the prediction's tokens, of the largest cosine with a token of the
    /// reference.
    pub precision: f64,
    /// The same from the reference to the prediction.
    pub recall: f64,
    /// Their harmonic mean, 0 when both are 0.
    pub f1: f64,
}

/// What each token counts.
pub(crate) struct TokenWeights {
    known: BTreeMap<u32, f64>,
    other: f64,
}

impl TokenWeights {
    /// 1 for every token but `ends`, which count nothing.
    pub(crate) fn even(ends: [u32; 2]) -> Self {
        Self {
            known: ends.map(|id| (id, 0.0)).into(),
            other: 1.0,
        }
    }

    /// `ln((N + 1) / (n + 1))` for a token in `n` of `N` references; begin and end, which all have,
    /// come to 0.
    pub(crate) fn of_references<'a>(references: impl Iterator<Item = &'a Vec<u32>>) -> Self {
        let mut containing: BTreeMap<u32, usize> = BTreeMap::new();
        let mut number = 0;
        for ids in references {
            number += 1;
            let different: BTreeSet<u32> = ids.iter().copied().collect();
            for id in different {
                *containing.entry(id).or_default() += 1;
            }
        }
        let rarity = |n: usize| ((number + 1) as f64 / (n + 1) as f64).ln();
        Self {
            known: containing.iter().map(|(&id, &n)| (id, rarity(n))).collect(),
            other: rarity(0),
        }
    }

    /// The weights of a text's tokens.
    pub(crate) fn of(&self, ids: &[u32]) -> Vec<f64> {
        let weight = |id: &u32| self.known.get(id).copied().unwrap_or(self.other);
        ids.iter().map(weight).collect()
    }
}

/// One text.
pub(crate) struct Side<'a> {
    /// Unit vectors `[T, C]`.
    pub(crate) vectors: &'a Tensor,
    /// What each of the T tokens counts.
    pub(crate) weights: Vec<f64>,
}

/// Rows of length 1.
///
/// # Shapes
/// `rows [T, C]` → `[T, C]`.
pub(crate) fn unit(rows: &Tensor) -> candle_core::Result<Tensor> {
    let length = rows.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    rows.broadcast_div(&length)
}

/// The score of two texts; `None` when a vector is not finite.
pub(crate) fn match_greedily(
    prediction: &Side,
    reference: &Side,
) -> candle_core::Result<Option<Score>> {
    let cosines = prediction
        .vectors
        .matmul(&reference.vectors.t()?.contiguous()?)?;
    let cosines = cosines.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    if !cosines.iter().flatten().all(|cosine| cosine.is_finite()) {
        return Ok(None);
    }
    // Not below 0: a token without any similar partner has no partner.
    let mut by_reference = vec![0.0_f64; reference.weights.len()];
    let mut by_prediction = vec![0.0_f64; prediction.weights.len()];
    for (row, best) in cosines.iter().zip(&mut by_prediction) {
        for (&cosine, other_best) in row.iter().zip(&mut by_reference) {
            *best = best.max(cosine);
            *other_best = other_best.max(cosine);
        }
    }
    let precision = weighted_mean(&by_prediction, &prediction.weights);
    let recall = weighted_mean(&by_reference, &reference.weights);
    let sum = precision + recall;
    let f1 = match sum > 0.0 {
        true => 2.0 * precision * recall / sum,
        false => 0.0,
    };
    Ok(Some(Score {
        precision,
        recall,
        f1,
    }))
}

/// 0 when nothing counts.
fn weighted_mean(values: &[f64], weights: &[f64]) -> f64 {
    let total: f64 = weights.iter().sum();
    let sum: f64 = values.iter().zip(weights).map(|(v, w)| v * w).sum();
    if total > 0.0 { sum / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn side<const T: usize>(rows: &[[f64; 2]; T], weights: &[f64]) -> (Tensor, Vec<f64>) {
        (Tensor::new(rows, &Device::Cpu).unwrap(), weights.to_vec())
    }

    fn score(prediction: (Tensor, Vec<f64>), reference: (Tensor, Vec<f64>)) -> Option<Score> {
        let side = |of: &(Tensor, Vec<f64>)| (unit(&of.0).unwrap(), of.1.clone());
        let (p, r) = (side(&prediction), side(&reference));
        let prediction = Side {
            vectors: &p.0,
            weights: p.1,
        };
        let reference = Side {
            vectors: &r.0,
            weights: r.1,
        };
        match_greedily(&prediction, &reference).unwrap()
    }

    #[test]
    fn each_token_takes_its_best_partner() {
        // Cosines of (3, 4) with the axes: 0.6 and 0.8.
        let prediction = side(&[[3.0, 4.0]], &[1.0]);
        let reference = side(&[[1.0, 0.0], [0.0, 2.0]], &[1.0, 3.0]);
        let found = score(prediction, reference).unwrap();
        assert!((found.precision - 0.8).abs() < 1e-15);
        assert!((found.recall - (0.6 + 3.0 * 0.8) / 4.0).abs() < 1e-15);
    }

    #[test]
    fn opposites_count_nothing_and_nan_is_told() {
        let opposite = score(side(&[[1.0, 0.0]], &[1.0]), side(&[[-1.0, 0.0]], &[1.0]));
        assert_eq!(opposite, Some(Score::default()));
        let zero = score(side(&[[0.0, 0.0]], &[1.0]), side(&[[1.0, 0.0]], &[1.0]));
        assert_eq!(zero, None);
    }

    #[test]
    fn rare_tokens_weigh_more() {
        let references = [vec![0, 5, 5, 1], vec![0, 6, 1], vec![0, 5, 1]];
        let weights = TokenWeights::of_references(references.iter());
        let expected = [0.0, f64::ln(4.0 / 3.0), f64::ln(4.0 / 2.0), f64::ln(4.0)];
        assert_eq!(weights.of(&[0, 5, 6, 9]), expected);
    }
}
