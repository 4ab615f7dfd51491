//! Why several heads: an experiment.
//!
//! A token wants to know one thing of one word and another thing of another word: the first half of
//! word A's channels, and the second half of word B's. One row of weights gives one average
//! `a A + (1 − a) B`, in which both words lie on top of each other, and no matrix after it can take
//! them apart. Two heads bring two averages.
//!
//! How much is lost is measured against the *best* output matrix, by least squares over many drawn
//! words. So the figure is a bound for every training, not the result of one.

use ndarray::{Array2, Axis, concatenate, s};

use super::attention::{Mask, attend};
use super::linear::linear;
use super::scale::gaussian;
use crate::rng::ChaCha8Rng;

/// Words in the sentence; A is the first, B the last.
const WORDS: usize = 4;
/// C; a head of two has half of them.
const CHANNELS: usize = 8;
/// Next to this score `exp` of any other is nothing.
const HIDDEN: f64 = -700.0;

/// One reading by real attention: a query whose scores give word A the share `a`, B the rest.
///
/// # Shapes
/// `words [T, D]` → `[1, D]`.
fn read(words: &Array2<f64>, a: f64) -> Array2<f64> {
    // Softmax undoes the logarithm: scores ln a and ln (1 − a) become shares a and 1 − a.
    let mut scores = Array2::from_elem((WORDS, 1), HIDDEN);
    scores[[0, 0]] = a.ln().max(HIDDEN);
    scores[[WORDS - 1, 0]] = (1.0 - a).ln().max(HIDDEN);
    attend(&Array2::ones((1, 1)), &scores, words, 1.0, Mask::None).output
}

/// The share of what is wanted that the best linear map from `read` to `wanted` does not give.
///
/// # Shapes
/// `read [N, I]`, `wanted [N, O]` → 0 for all there, 1 for nothing.
pub fn lost(read: &Array2<f64>, wanted: &Array2<f64>) -> f64 {
    // Least squares: the best map M solves (rᵀ r) M = rᵀ w.
    let map = solve(read.t().dot(read), read.t().dot(wanted));
    let missing = wanted - &linear(read, &map.reversed_axes(), None);
    let share = missing.mapv(|x| x * x).sum() / wanted.mapv(|x| x * x).sum();
    // What is left of an exact answer are squares of rounding errors.
    if share < f64::EPSILON { 0.0 } else { share }
}

/// Solves `a x = b` by Gauss and Jordan: clear each column in every row but one.
///
/// # Shapes
/// `a [N, N]`, `b [N, O]` → `[N, O]`.
fn solve(mut a: Array2<f64>, mut b: Array2<f64>) -> Array2<f64> {
    let (n, _n) = a.dim();
    for column in 0..n {
        // `a` is a sum of squares here, so its diagonal is positive: no rows need to be swapped.
        let (pivot_row, answer) = (a.row(column).to_owned(), b.row(column).to_owned());
        for row in (0..n).filter(|&row| row != column) {
            let factor = a[[row, column]] / pivot_row[column];
            a.row_mut(row).scaled_add(-factor, &pivot_row);
            b.row_mut(row).scaled_add(-factor, &answer);
        }
    }
    for row in 0..n {
        let pivot = a[[row, row]];
        b.row_mut(row).mapv_inplace(|x| x / pivot);
    }
    b
}

/// What one head of all channels loses when it spends a share `a` on word A, for each of `shares`;
/// and what two heads of half the channels lose, one on each word. All read the same sentences.
pub fn one_and_two_heads(rng: &mut ChaCha8Rng, shares: &[f64], draws: usize) -> (Vec<f64>, f64) {
    let half = CHANNELS / 2;
    let sentences = Vec::from_iter((0..draws).map(|_| gaussian(rng, WORDS, CHANNELS, 1.0)));
    let rows = |row: &dyn Fn(&Array2<f64>) -> Array2<f64>| {
        let mut all = Array2::zeros((draws, CHANNELS));
        for (draw, words) in sentences.iter().enumerate() {
            all.row_mut(draw).assign(&row(words).row(0));
        }
        all
    };
    // What the value projection of each of two heads keeps: its half of the channels.
    let halves = |words: &Array2<f64>| {
        [s![.., ..half], s![.., half..]].map(|half| words.slice(half).to_owned())
    };
    let wanted = rows(&|words| {
        let [first, second] = halves(words);
        concatenate![
            Axis(1),
            first.slice(s![..1, ..]),
            second.slice(s![WORDS - 1.., ..])
        ]
    });
    let two = rows(&|words| {
        let [first, second] = halves(words);
        concatenate![Axis(1), read(&first, 1.0), read(&second, 0.0)]
    });
    let one = |&a: &f64| lost(&rows(&|words| read(words, a)), &wanted);
    (shares.iter().map(one).collect(), lost(&two, &wanted))
}
