//! The product of two matrices. Lesson: 01_ndarray.
//!
//! ```text
//! out[m, n] = Σₖ left[m, k] · right[k, n]
//! ```
//!
//! A matrix lies in memory row after row: one step along a row is one place on, one step down a
//! column is a whole row on.

/// `left [M, K]` times `right [K, N]`, all three row after row.
pub fn matmul(left: &[f64], right: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let mut out = Vec::new();
    for row in 0..m {
        for column in 0..n {
            let pairs = (0..k).map(|step| {
                let l = left[place([row, step], k)];
                let r = right[place(in_right(step, column), n)];
                l * r
            });
            out.push(pairs.sum());
        }
    }
    out
}

/// Where the element [row, column] of a matrix of `columns` columns lies.
fn place([row, column]: [usize; 2], columns: usize) -> usize {
    todo!("how many numbers lie before [{row}, {column}] if a row has {columns}?")
}

/// The row and the column of the element of the right matrix that is met in step `step`.
fn in_right(step: usize, column: usize) -> [usize; 2] {
    todo!("which element of the right matrix comes in step {step} towards column {column}?")
}
