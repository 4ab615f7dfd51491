//! Products of matrices: by the batch, with vectors, and their gradients.

use ndarray::ArrayD;

use super::{
    ShapeError, broadcast_shape, index_of, place, repeated_strides, shaped, size, sum_to, values,
};

/// How many numbers a column of the right factor has: a vector is one column.
pub(super) fn column_length(shape: &[usize]) -> usize {
    size(shape, if shape.len() > 1 { -2 } else { -1 })
}

/// A shape with the axis that a vector lacks: one row on the left side, one column on the right.
fn as_matrices(shape: &[usize], is_left: bool) -> Vec<usize> {
    match (shape, is_left) {
        (&[k], true) => vec![1, k],
        (&[k], false) => vec![k, 1],
        _ => shape.to_vec(),
    }
}

/// The shape of a product of matrices.
///
/// # Errors
/// As [`matmul`].
pub fn product_shape(left: &[usize], right: &[usize]) -> Result<Vec<usize>, ShapeError> {
    let both = || (left.to_vec(), right.to_vec());
    if left.is_empty() || right.is_empty() {
        let (left, right) = both();
        return Err(ShapeError::NoAxis { left, right });
    }
    if size(left, -1) != column_length(right) {
        let (left, right) = both();
        return Err(ShapeError::Inner { left, right });
    }
    let before = |shape: &[usize]| shape[..shape.len().saturating_sub(2)].to_vec();
    let mut shape = match broadcast_shape(&before(left), &before(right)) {
        Ok(shape) => shape,
        Err(ShapeError::Broadcast { axis, .. }) => {
            let (left, right) = both();
            let axis = axis - 2; // the two axes of the matrices stand behind it
            return Err(ShapeError::Batch { left, right, axis });
        }
        Err(other) => return Err(other),
    };
    // Rows come from the left, columns from the right; a vector brings neither.
    shape.extend((left.len() > 1).then(|| size(left, -2)));
    shape.extend((right.len() > 1).then(|| size(right, -1)));
    Ok(shape)
}

// ANCHOR: matmul
/// The product of matrices, one for each index of the axes before the last two, which broadcast.
///
/// ```text
/// out[.., m, n] = Σₖ left[.., m, k] · right[.., k, n]
/// ```
///
/// An array of one axis is a row on the left and a column on the right, as in NumPy, and the result
/// lacks that axis.
///
/// # Shapes
/// `left [.., M, K]`, `right [.., K, N]` → `[.., M, N]`.
///
/// # Errors
/// [`ShapeError::Inner`], [`ShapeError::Batch`] and, for a number, [`ShapeError::NoAxis`].
pub fn matmul(left: &ArrayD<f64>, right: &ArrayD<f64>) -> Result<ArrayD<f64>, ShapeError> {
    let shape = product_shape(left.shape(), right.shape())?;
    let left_shape = as_matrices(left.shape(), true);
    let right_shape = as_matrices(right.shape(), false);
    let (left_batch, [m, k]) = apart(&left_shape);
    let (right_batch, [_k, n]) = apart(&right_shape);
    // Which matrix of each side meets in the result: a side with fewer is read again, by stride 0.
    let batch = broadcast_shape(left_batch, right_batch)?;
    let left_steps = repeated_strides(left_batch, &batch);
    let right_steps = repeated_strides(right_batch, &batch);
    let (left, right) = (values(left), values(right));
    let mut out = Vec::new();
    for step in 0..batch.iter().product() {
        let index = index_of(step, &batch);
        let l = &left[place(&index, &left_steps) * m * k..];
        let r = &right[place(&index, &right_steps) * k * n..];
        for row in 0..m {
            for column in 0..n {
                let mut sum = 0.0;
                for inner in 0..k {
                    sum += l[row * k + inner] * r[inner * n + column];
                }
                out.push(sum);
            }
        }
    }
    Ok(shaped(&shape, &out))
}
// ANCHOR_END: matmul

/// The axes before the matrices, and the two of the matrices; `shape` has at least two.
fn apart(shape: &[usize]) -> (&[usize], [usize; 2]) {
    let before = shape.len() - 2;
    (&shape[..before], [shape[before], shape[before + 1]])
}

/// The gradients of a product of matrices with respect to both factors.
///
/// ```text
/// d_left = d_out · rightᵀ         d_right = leftᵀ · d_out
/// ```
///
/// Each is summed over the axes along which its factor was repeated.
///
/// # Shapes
/// `left [.., M, K]`, `right [.., K, N]`, `d_out [.., M, N]` → those of `left` and `right`.
///
/// # Errors
/// As [`matmul`], and [`ShapeError::Sum`] for a `d_out` that cannot be summed to its shape.
pub fn matmul_backward(
    left: &ArrayD<f64>,
    right: &ArrayD<f64>,
    d_out: &ArrayD<f64>,
) -> Result<[ArrayD<f64>; 2], ShapeError> {
    let left_shape = as_matrices(left.shape(), true);
    let right_shape = as_matrices(right.shape(), false);
    // One gradient for each number of the product. A sum would also take a shape that the product
    // broadcasts to, which is not what anybody means here.
    let out = product_shape(left.shape(), right.shape())?;
    if d_out.shape() != out {
        let from = d_out.shape().to_vec();
        return Err(ShapeError::Sum { from, to: out });
    }
    let d_shape = product_shape(&left_shape, &right_shape)?;
    let l = shaped(&left_shape, &values(left));
    let r = shaped(&right_shape, &values(right));
    let d = shaped(&d_shape, &values(d_out));
    let d_left = sum_to(&matmul(&d, &transposed(&r))?, &left_shape)?;
    let d_right = sum_to(&matmul(&transposed(&l), &d)?, &right_shape)?;
    // Back from matrices to the vectors that they may have been.
    Ok([
        shaped(left.shape(), &values(&d_left)),
        shaped(right.shape(), &values(&d_right)),
    ])
}

/// The same numbers read with the last two strides swapped: rows become columns, nothing moves.
///
/// # Shapes
/// `[.., M, N]` → `[.., N, M]`; an array of fewer axes stays as it is.
pub fn transposed(array: &ArrayD<f64>) -> ArrayD<f64> {
    let mut array = array.clone();
    if let Some(row) = array.ndim().checked_sub(2) {
        array.swap_axes(row, row + 1);
    }
    array
}

/// `(rightᵀ · leftᵀ)ᵀ`, which is the product as well: [`matmul`] found the other way round.
///
/// # Shapes
/// As [`matmul`].
///
/// # Errors
/// As [`matmul`].
pub fn turned_product(left: &ArrayD<f64>, right: &ArrayD<f64>) -> Result<ArrayD<f64>, ShapeError> {
    let turned = matmul(&transposed(right), &transposed(left))?;
    // A vector among the two leaves no matrix that could be turned back.
    let matrices = left.ndim() > 1 && right.ndim() > 1;
    Ok(if matrices {
        transposed(&turned)
    } else {
        turned
    })
}
