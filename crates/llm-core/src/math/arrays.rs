//! Arrays of any shape: strides, broadcasting, products of matrices.
//!
//! Memory is one long row of numbers. A *shape* says how many steps there are along each axis, a
//! *stride* how many numbers one step jumps over:
//!
//! ```text
//! place of [i, j, k] = i · stride₀ + j · stride₁ + k · stride₂
//! ```
//!
//! Everything here follows from that line. A stride of 0 repeats an axis without copying it, which
//! is all that *broadcasting* is.
//!
//! ```
//! use llm_core::math::arrays::{add, matmul};
//! use ndarray::{ArrayD, array};
//! let rows = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].into_dyn();
//! let row = array![10.0, 20.0, 30.0].into_dyn();
//! let sum = array![[11.0, 22.0, 33.0], [14.0, 25.0, 36.0]].into_dyn();
//! assert_eq!(add(&rows, &row).unwrap(), sum);
//! let batch = matmul(&ArrayD::ones(vec![32, 10, 4]), &ArrayD::ones(vec![4, 8])).unwrap();
//! assert_eq!(batch.shape(), [32, 10, 8]);
//! ```

mod matmul;

use ndarray::{ArrayD, Dimension, IxDyn};

pub use matmul::{matmul, matmul_backward, product_shape, transposed, turned_product};

use super::gradient::compare;

/// Two shapes that do not fit. Each message names both and says what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Two sizes on one axis that are neither equal nor 1.
    #[error(
        "shapes {left:?} and {right:?} do not broadcast: axis {axis} has {} and {}, \
         expected equal sizes or a 1", size(left, *axis), size(right, *axis)
    )]
    Broadcast {
        /// One shape.
        left: Vec<usize>,
        /// The other.
        right: Vec<usize>,
        /// Where they clash, counted from the right: the last axis is −1.
        axis: isize,
    },
    /// A row of the left array and a column of the right one differ in length.
    #[error(
        "cannot multiply {left:?} by {right:?}: a row of the left has {} numbers, a column of the \
         right {}, expected equal", size(left, -1), matmul::column_length(right)
    )]
    Inner {
        /// The left shape.
        left: Vec<usize>,
        /// The right shape.
        right: Vec<usize>,
    },
    /// The axes before the matrices do not broadcast.
    #[error(
        "cannot multiply {left:?} by {right:?}: axis {axis}, before the matrices, has {} and {}, \
         expected equal sizes or a 1", size(left, *axis), size(right, *axis)
    )]
    Batch {
        /// The left shape.
        left: Vec<usize>,
        /// The right shape.
        right: Vec<usize>,
        /// Where they clash, counted from the right.
        axis: isize,
    },
    /// A number in a product of matrices.
    #[error("cannot multiply {left:?} by {right:?}: both need at least one axis")]
    NoAxis {
        /// The left shape.
        left: Vec<usize>,
        /// The right shape.
        right: Vec<usize>,
    },
    /// More numbers than wanted.
    #[error("an array of shape {shape:?} is too large here, expected at most {most} numbers")]
    Large {
        /// The shape.
        shape: Vec<usize>,
        /// How many numbers it may have.
        most: usize,
    },
    /// A sum back to a shape that was never broadcast to this one.
    #[error("{from:?} cannot be summed to {to:?}: that shape does not broadcast to it")]
    Sum {
        /// The shape of the array.
        from: Vec<usize>,
        /// The shape asked for.
        to: Vec<usize>,
    },
}

/// The size on an axis counted from the right (−1 is the last); a missing axis counts as 1.
fn size(shape: &[usize], axis: isize) -> usize {
    let index = shape.len().checked_add_signed(axis);
    index.map_or(1, |index| shape[index])
}

// ANCHOR: strides
/// How many numbers one step along each axis jumps over, rows one after the other in memory.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    // The last axis steps by 1. A step on any other axis passes all numbers of the axis after it.
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Where the element at `index` stands in memory.
pub fn place(index: &[usize], strides: &[usize]) -> usize {
    let mut place = 0;
    for (step, stride) in index.iter().zip(strides) {
        place += step * stride;
    }
    place
}
// ANCHOR_END: strides

// ANCHOR: broadcast
/// The shape of two arrays combined element by element.
///
/// Shapes are laid over each other at their right ends. On each axis the sizes are equal, or one of
/// them is 1 (or missing) and that array is repeated.
///
/// # Errors
/// [`ShapeError::Broadcast`].
pub fn broadcast_shape(left: &[usize], right: &[usize]) -> Result<Vec<usize>, ShapeError> {
    let mut shape = Vec::new();
    let axes = left.len().max(right.len()) as isize;
    for axis in -axes..0 {
        match (size(left, axis), size(right, axis)) {
            (l, r) if l == r => shape.push(l),
            (1, repeated) | (repeated, 1) => shape.push(repeated),
            _ => {
                let (left, right) = (left.to_vec(), right.to_vec());
                return Err(ShapeError::Broadcast { left, right, axis });
            }
        }
    }
    Ok(shape)
}

/// The strides with which an array of `shape` is read as one of shape `to`, which it broadcasts to.
///
/// An axis that is repeated has stride 0: the next step along it meets the same number again.
fn repeated_strides(shape: &[usize], to: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    let missing = to.len() - shape.len();
    let mut repeated = vec![0; to.len()];
    for axis in missing..to.len() {
        if shape[axis - missing] == to[axis] {
            repeated[axis] = own[axis - missing];
        }
    }
    repeated
}
// ANCHOR_END: broadcast

/// The index of the element that stands at `place`, last axis fastest: the way back from [`place`].
pub fn index_of(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        let size = shape[axis].max(1); // an axis of size 0 has no element to look for
        // What is left over along this axis; the whole rounds are steps along the one before.
        index[axis] = place % size;
        place /= size;
    }
    index
}

/// The numbers in the order of their indices, whatever the array's own layout is.
fn values(array: &ArrayD<f64>) -> Vec<f64> {
    array.iter().copied().collect()
}

/// Numbers in the order of their indices under a shape of as many.
fn shaped(shape: &[usize], values: &[f64]) -> ArrayD<f64> {
    let strides = strides(shape);
    ArrayD::from_shape_fn(IxDyn(shape), |index| values[place(index.slice(), &strides)])
}

/// `operation(l, r)` for each pair of elements after broadcasting.
///
/// # Shapes
/// `left [..]`, `right [..]` → [`broadcast_shape`].
///
/// # Errors
/// [`ShapeError::Broadcast`].
pub fn combine(
    left: &ArrayD<f64>,
    right: &ArrayD<f64>,
    operation: impl Fn(f64, f64) -> f64,
) -> Result<ArrayD<f64>, ShapeError> {
    let shape = broadcast_shape(left.shape(), right.shape())?;
    let left_strides = repeated_strides(left.shape(), &shape);
    let right_strides = repeated_strides(right.shape(), &shape);
    let (left, right) = (values(left), values(right));
    let mut result = Vec::new();
    // One index walks over the result; the two strides say which number each array has there.
    for step in 0..shape.iter().product() {
        let index = index_of(step, &shape);
        let l = left[place(&index, &left_strides)];
        let r = right[place(&index, &right_strides)];
        result.push(operation(l, r));
    }
    Ok(shaped(&shape, &result))
}

/// The sum, broadcast: [`combine`] with `+`.
///
/// # Errors
/// [`ShapeError::Broadcast`].
pub fn add(left: &ArrayD<f64>, right: &ArrayD<f64>) -> Result<ArrayD<f64>, ShapeError> {
    combine(left, right, |l, r| l + r)
}

/// An array that counts by `unit` in the order of its indices: `unit, 2 unit, 3 unit, ..`
///
/// # Errors
/// [`ShapeError::Large`] for more than `most` numbers.
pub fn counting(shape: &[usize], unit: f64, most: usize) -> Result<ArrayD<f64>, ShapeError> {
    // A product of sizes that a person typed may be larger than any usize.
    let times = |count: usize, &size: &usize| count.checked_mul(size);
    let count = shape.iter().try_fold(1, times);
    match count.filter(|&count| count <= most) {
        Some(count) => {
            let values: Vec<f64> = (1..=count).map(|n| n as f64 * unit).collect();
            Ok(shaped(shape, &values))
        }
        None => {
            let shape = shape.to_vec();
            Err(ShapeError::Large { shape, most })
        }
    }
}

/// The largest difference between elements of one index; infinite for two different shapes.
pub fn distance(left: &ArrayD<f64>, right: &ArrayD<f64>) -> f64 {
    if left.shape() != right.shape() {
        return f64::INFINITY;
    }
    compare(&values(left), &values(right)).largest
}

// ANCHOR: sum_to
/// Sums an array over every axis along which `shape` would be repeated: the gradient of
/// broadcasting. A number that was read n times gets the sum of n gradients.
///
/// # Shapes
/// `array [..]`, which `shape` broadcasts to → `shape`.
///
/// # Errors
/// [`ShapeError::Sum`].
pub fn sum_to(array: &ArrayD<f64>, shape: &[usize]) -> Result<ArrayD<f64>, ShapeError> {
    let from = array.shape();
    if broadcast_shape(from, shape).as_deref() != Ok(from) {
        let (from, to) = (from.to_vec(), shape.to_vec());
        return Err(ShapeError::Sum { from, to });
    }
    let steps = repeated_strides(shape, from);
    let mut sums = vec![0.0; shape.iter().product()];
    // As in `combine`, but writing: where reading met one number n times, n values are added up.
    for (step, value) in array.iter().enumerate() {
        sums[place(&index_of(step, from), &steps)] += value;
    }
    Ok(shaped(shape, &sums))
}
// ANCHOR_END: sum_to
