//! The lowest loss that any model can reach on the windows of a text, and why it is not zero.
//!
//! A window begins in the middle of the text, so its first characters are guessed from almost
//! nothing: after a lone `e` come a space, an `r`, an `n`, … and nobody can know which. The best
//! possible guess after a context is the share of each character that does follow it, and the loss
//! of that guess is the entropy of these shares. Averaged over all windows that is
//!
//! ```text
//! floor[p] = − 1/W Σ over contexts c of p + 1 characters  Σ over x  count(c x) ln( count(c x) / count(c) )
//! floor    = 1/T Σ floor[p]
//! ```
//!
//! for W windows and the positions p = 0 … T − 1. It is exact, not an estimate: with learned positions a
//! model knows p and the p + 1 characters that it sees, and nothing else. `floor[p]` falls with p, since
//! more is seen, and is 0 from the place on where every context of the text is unique.
//!
//! ```
//! use llm_train::chars::{floor, windows::Windows};
//! // "hello hello": only a lone `l` is followed by two things, once each, in 7 windows of 4.
//! let windows = Windows::new(vec![2, 1, 3, 3, 4, 0, 2, 1, 3, 3, 4], 4, 1)?;
//! let by_hand = 2.0 * f64::ln(2.0) / 28.0;
//! assert!((floor::floor(&windows) - by_hand).abs() < 1e-15);
//! # Ok::<(), llm_train::Error>(())
//! ```

use std::collections::BTreeMap;

use llm_core::math::loss::least_surprise;

use super::mean;
use super::windows::Windows;

/// Counts of what comes next.
type Counts = BTreeMap<u32, usize>;

/// The lowest mean loss in nats for a character.
pub fn floor(windows: &Windows) -> f64 {
    mean(&floor_by_position(windows))
}

// ANCHOR: floor
/// The lowest mean loss at each position of a window.
///
/// # Shapes
/// Length T.
pub fn floor_by_position(windows: &Windows) -> Vec<f64> {
    let at = |position: usize| {
        let mut follows: BTreeMap<&[u32], Counts> = BTreeMap::new();
        for window in 0..windows.count() {
            let (x, y) = windows.pair(window);
            let next = follows.entry(&x[..=position]).or_default();
            *next.entry(y[position]).or_default() += 1;
        }
        let surprise = follows
            .values()
            .fold(0.0, |sum, next| sum + least_surprise(next));
        surprise / windows.count() as f64
    };
    (0..windows.context()).map(at).collect()
}
// ANCHOR_END: floor

/// The loss of a model that has learned how common each character is, and nothing else: the
/// entropy of the text's character counts in nats.
///
/// ```
/// let half = llm_train::chars::floor::unigram_entropy(&[0, 1, 1, 0]);
/// assert!((half - f64::ln(2.0)).abs() < 1e-15);
/// ```
pub fn unigram_entropy(ids: &[u32]) -> f64 {
    let mut counts = Counts::new();
    for &id in ids {
        *counts.entry(id).or_default() += 1;
    }
    least_surprise(&counts) / ids.len().max(1) as f64
}
