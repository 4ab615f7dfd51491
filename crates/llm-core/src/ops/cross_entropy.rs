//! Cross-entropy over the vocabulary with an ignored label.

use candle_core::Tensor;

use super::IGNORE_INDEX;
use crate::{Error, Result};

/// Fails on a target that is neither ignored nor an index of the last axis.
pub(super) fn check_targets(logits: &Tensor, targets: &[i64]) -> Result<()> {
    let (n, v) = logits.dims2()?;
    if targets.len() != n {
        return Err(Error::input(
            "targets",
            format!("{} for {n} rows of logits", targets.len()),
        ));
    }
    let bad = |&&t: &&i64| t != IGNORE_INDEX && !(0..v as i64).contains(&t);
    match targets.iter().find(bad) {
        Some(t) => Err(Error::input(
            "target",
            format!("{t} is not in 0..{v} or {IGNORE_INDEX}"),
        )),
        None => Ok(()),
    }
}

pub(super) fn cross_entropy(logits: &Tensor, targets: &[i64], scale: f64) -> Result<Tensor> {
    super::composed::cross_entropy(logits, targets, scale)
}
