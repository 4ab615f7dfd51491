//! The shape of two arrays together. Lesson: 01_ndarray.
//!
//! ```text
//!    [5, 1, 3]
//! +     [4, 1]
//! =  [5, 4, 3]
//! ```
//!
//! Shapes are laid over each other at the right. A missing size counts as 1, and a 1 is repeated.

/// The shape of the result, or `None` if the two do not fit.
pub fn broadcast_shape(left: &[usize], right: &[usize]) -> Option<Vec<usize>> {
    let axes = left.len().max(right.len());
    let from_left = (0..axes).map(|axis| {
        let behind = axes - axis; // this axis and those to its right
        together(size(left, behind), size(right, behind))
    });
    from_left.collect()
}

/// The size on the axis that is the `behind`-th from the right, the last being the first.
fn size(shape: &[usize], behind: usize) -> usize {
    match shape.len().checked_sub(behind) {
        Some(axis) => shape[axis],
        None => 1,
    }
}

/// The size on one axis of the result, if the two fit there.
fn together(left: usize, right: usize) -> Option<usize> {
    match (left, right) {
        (left, right) if left == right => Some(left),
        (1, repeated) | (repeated, 1) => Some(repeated),
        _ => None,
    }
}
