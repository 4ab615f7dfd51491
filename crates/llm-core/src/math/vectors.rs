//! Vectors: products, lengths, angles, and their gradients by hand.
//!
//! ```text
//! a·b = Σᵢ aᵢ bᵢ        |a| = √(a·a)        cos(a, b) = a·b / (|a| |b|)
//! ```
//!
//! All of a language model is made of the first line. A score of attention is a dot product, a
//! linear layer is one for each output, a search over embeddings compares cosines.
//!
//! Each `…_backward` takes `d`, what a small change of the result does to the loss, and returns what
//! a small change of each input does. Two vectors of different lengths have no product: the result
//! is NaN, and no check lets that pass.
//!
//! ```
//! use llm_core::math::vectors::{cosine, dot, norm};
//! assert_eq!(dot(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 32.0);
//! assert_eq!(norm(&[3.0, 4.0]), 5.0);
//! assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0); // a right angle
//! ```

use ndarray::Array2;

use super::gradient::{compare, numeric};
use super::softmax::{log_sum_exp, softmax, softmax_backward};

/// Each number of `a` times `factor`.
fn scaled(a: &[f64], factor: f64) -> Vec<f64> {
    a.iter().map(|x| factor * x).collect()
}

/// The sum of two vectors; NaN where only one of them has a number.
fn plus(a: &[f64], b: &[f64]) -> Vec<f64> {
    let sum = |index: usize| match (a.get(index), b.get(index)) {
        (Some(x), Some(y)) => x + y,
        _ => f64::NAN,
    };
    (0..a.len().max(b.len())).map(sum).collect()
}

// ANCHOR: dot
/// How far two vectors point the same way, times both lengths.
///
/// # Shapes
/// `a [N]`, `b [N]` → a number.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::NAN;
    }
    let mut sum = 0.0;
    for (x, y) in a.iter().zip(b) {
        sum += x * y;
    }
    sum
}

/// The gradients of [`dot`]: each vector is the other's slope.
///
/// # Shapes
/// `a [N]`, `b [N]`, `d` a number → `[N]`, `[N]`.
pub fn dot_backward(a: &[f64], b: &[f64], d: f64) -> [Vec<f64>; 2] {
    // a₁ stands in the sum once, multiplied by b₁: one more of a₁ is b₁ more of the sum.
    [scaled(b, d), scaled(a, d)]
}
// ANCHOR_END: dot

// ANCHOR: norm
/// The length of a vector (Pythagoras in any number of dimensions).
///
/// # Shapes
/// `a [N]` → a number.
pub fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// The gradient of [`norm`]: the direction of the vector itself, of length 1.
///
/// # Shapes
/// `a [N]`, `d` a number → `[N]`.
pub fn norm_backward(a: &[f64], d: f64) -> Vec<f64> {
    let length = norm(a);
    // At zero every direction leads away equally fast: there is no slope, and 0 is the usual choice.
    scaled(a, if length == 0.0 { 0.0 } else { d / length })
}
// ANCHOR_END: norm

// ANCHOR: cosine
/// The cosine of the angle between two vectors: 1 the same way, 0 a right angle, −1 opposite ways.
/// NaN for a vector of zeros, which points nowhere.
///
/// # Shapes
/// `a [N]`, `b [N]` → a number from −1 to 1.
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / (norm(a) * norm(b))
}

/// The gradients of [`cosine`].
///
/// ```text
/// ∂cos/∂a = (b/|b| − cos · a/|a|) / |a|
/// ```
///
/// Moving `a` along itself changes its length and not the angle, so that part is taken out.
///
/// # Shapes
/// `a [N]`, `b [N]`, `d` a number → `[N]`, `[N]`.
pub fn cosine_backward(a: &[f64], b: &[f64], d: f64) -> [Vec<f64>; 2] {
    let cos = cosine(a, b);
    let one_side = |own: &[f64], other: &[f64]| {
        let length = norm(own);
        let towards = scaled(other, d / (norm(other) * length));
        plus(&towards, &scaled(own, -d * cos / (length * length)))
    };
    [one_side(a, b), one_side(b, a)]
}
// ANCHOR_END: cosine

/// The part of `a` that points along `b`: its shadow on the line through `b`.
///
/// ```text
/// p = (a·b / b·b) b
/// ```
///
/// What is left, `a − p`, is at right angles to `b`.
///
/// # Shapes
/// `a [N]`, `b [N]` → `[N]`.
pub fn projection(a: &[f64], b: &[f64]) -> Vec<f64> {
    scaled(b, dot(a, b) / dot(b, b))
}

/// The gradients of [`projection`].
///
/// # Shapes
/// `a [N]`, `b [N]`, `d [N]` → `[N]`, `[N]`.
pub fn projection_backward(a: &[f64], b: &[f64], d: &[f64]) -> [Vec<f64>; 2] {
    let (square, along) = (dot(b, b), dot(d, b));
    let share = dot(a, b) / square;
    // p = share · b. The share moves with a as b/b·b does, and with b as (a − 2 share b)/b·b does
    // (the quotient rule); b as the second factor brings share · d.
    let d_share_d_b = plus(&scaled(a, 1.0 / square), &scaled(b, -2.0 * share / square));
    let d_b = plus(&scaled(&d_share_d_b, along), &scaled(d, share));
    [scaled(b, along / square), d_b]
}

/// Every number of `a` times every number of `b`: a table of all pairs.
///
/// # Shapes
/// `a [M]`, `b [N]` → `[M, N]`.
pub fn outer(a: &[f64], b: &[f64]) -> Array2<f64> {
    Array2::from_shape_fn((a.len(), b.len()), |(row, column)| a[row] * b[column])
}

/// The gradients of [`outer`].
///
/// # Shapes
/// `a [M]`, `b [N]`, `d [M, N]` → `[M]`, `[N]`.
pub fn outer_backward(a: &[f64], b: &[f64], d: &Array2<f64>) -> [Vec<f64>; 2] {
    // a[m] stands in row m, once with each b[n]; b[n] in column n, once with each a[m].
    [matrix_vector(d, b), matrix_vector(&d.t().to_owned(), a)]
}

// ANCHOR: matrix_vector
/// A matrix moves a vector: one dot product for each row.
///
/// # Shapes
/// `matrix [M, N]`, `x [N]` → `[M]`.
pub fn matrix_vector(matrix: &Array2<f64>, x: &[f64]) -> Vec<f64> {
    let mut y = Vec::with_capacity(matrix.nrows());
    for row in matrix.outer_iter() {
        y.push(dot(&row.to_vec(), x));
    }
    y
}

/// The gradients of [`matrix_vector`].
///
/// # Shapes
/// `matrix [M, N]`, `x [N]`, `d [M]` → `[M, N]`, `[N]`.
pub fn matrix_vector_backward(
    matrix: &Array2<f64>,
    x: &[f64],
    d: &[f64],
) -> (Array2<f64>, Vec<f64>) {
    // matrix[m, n] multiplies x[n] on the way to y[m], so its slope is their product: a table of all
    // pairs. x[n] goes into every y[m]: all those ways are added, which is the matrix transposed.
    (outer(d, x), matrix_vector(&matrix.t().to_owned(), d))
}
// ANCHOR_END: matrix_vector

// ANCHOR: chain
/// Half the squared distance of `W x` from a goal, and its slopes: two steps and the chain rule.
#[derive(Clone, Debug)]
pub struct Chain {
    /// `y = W x`, the first step: `[M]`.
    pub y: Vec<f64>,
    /// `½ |y − goal|²`, the second.
    pub loss: f64,
    /// The slope of the second step alone, `y − goal`: `[M]`.
    pub d_y: Vec<f64>,
    /// The slope through both steps with respect to the matrix: `[M, N]`.
    pub d_matrix: Array2<f64>,
    /// The same with respect to the vector: `[N]`.
    pub d_x: Vec<f64>,
}

/// Forward through both steps, then backward: the slope behind a step is handed to the step before
/// it, which multiplies its own into it. Training a network is this, many steps deep.
///
/// # Shapes
/// `matrix [M, N]`, `x [N]`, `goal [M]`.
pub fn chain(matrix: &Array2<f64>, x: &[f64], goal: &[f64]) -> Chain {
    let y = matrix_vector(matrix, x);
    let apart = plus(&y, &scaled(goal, -1.0));
    let loss = 0.5 * dot(&apart, &apart);
    let d_y = apart;
    let (d_matrix, d_x) = matrix_vector_backward(matrix, x, &d_y);
    Chain {
        y,
        loss,
        d_y,
        d_matrix,
        d_x,
    }
}
// ANCHOR_END: chain

/// One gradient, found in two ways.
#[derive(Clone, Debug)]
pub struct Slopes {
    /// What was differentiated.
    pub name: &'static str,
    /// By the formula: `[N]`.
    pub by_hand: Vec<f64>,
    /// By moving each number a little: `[N]`.
    pub measured: Vec<f64>,
}

impl Slopes {
    /// The largest difference, as a share of the largest slope where that is above 1.
    pub fn apart(&self) -> f64 {
        let difference = compare(&self.by_hand, &self.measured);
        difference.largest / difference.size.max(1.0)
    }
}

/// The gradients of this page and of softmax with respect to `a`, measured with h = 1e-5 beside.
///
/// A result of several numbers has several slopes for each input. It is made one number first, its
/// first number once, its second twice and so on; these weights are the `d` of the backward step.
///
/// # Shapes
/// `a [N]`, `b [N]`.
pub fn slopes(a: &[f64], b: &[f64]) -> Vec<Slopes> {
    let measure = |f: &dyn Fn(&[f64]) -> f64| numeric(a, 1e-5, f);
    let d: Vec<f64> = (1..=a.len()).map(|n| n as f64).collect();
    let matrix = outer(&d, b);
    let [dot_a, _] = dot_backward(a, b, 1.0);
    let [cosine_a, _] = cosine_backward(a, b, 1.0);
    let [projection_a, _] = projection_backward(a, b, &d);
    let [outer_a, _] = outer_backward(a, b, &matrix);
    let (_, matrix_a) = matrix_vector_backward(&matrix, a, &d);
    let softmax_a = softmax_backward(&softmax(a), &d);
    let pairs = [
        ("a · b", dot_a, measure(&|a| dot(a, b))),
        ("|a|", norm_backward(a, 1.0), measure(&norm)),
        ("cos(a, b)", cosine_a, measure(&|a| cosine(a, b))),
        (
            "a along b",
            projection_a,
            measure(&|a| dot(&d, &projection(a, b))),
        ),
        ("a bᵀ", outer_a, measure(&|a| (outer(a, b) * &matrix).sum())),
        (
            "M a",
            matrix_a,
            measure(&|a| dot(&d, &matrix_vector(&matrix, a))),
        ),
        ("softmax(a)", softmax_a, measure(&|a| dot(&d, &softmax(a)))),
    ];
    let slopes = pairs.map(|(name, by_hand, measured)| Slopes {
        name,
        by_hand,
        measured,
    });
    slopes.into()
}

/// The softplus `ln(1 + eˣ)`, a smooth step from 0 to x, and its slope, the sigmoid `1 / (1 + e⁻ˣ)`.
///
/// It is `ln Σ exp` of the scores x and 0, and its slope is the share that softmax gives to x.
///
/// # Shapes
/// a number → two numbers.
pub fn softplus(x: f64) -> (f64, f64) {
    let scores = [x, 0.0];
    let slope = softmax(&scores)[0];
    (log_sum_exp(&scores), slope)
}

/// The tangent of a curve at `at`: the line that has its height and its slope there.
pub fn tangent(at: f64, (height, slope): (f64, f64)) -> impl Fn(f64) -> f64 {
    move |x| height + slope * (x - at)
}
