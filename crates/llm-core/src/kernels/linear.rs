//! What a projection needs beside the matrix product.

use super::pool::{self, Chunks};
use super::simd::{Isa, Kernel, Real, Simd};

/// Columns that one task sums: a few cache lines, so that rows are read in whole lines.
const COLUMNS: usize = 256;
/// Rows that are summed on their own before they join the total, which keeps rounding errors of
/// long columns small.
const ROWS: usize = 64;
/// Elements that pay for handing a task to another thread.
const WORTH_A_THREAD: usize = 1 << 15;

/// The sum of each column of `matrix`, row after row in blocks of 64 rows: the gradient of a bias.
///
/// # Shapes
/// `matrix [N, O]` → `[O]`.
pub(crate) fn column_sums<E: Real>(matrix: &[E], columns: usize) -> Vec<E> {
    let isa = Isa::active();
    let rows = matrix.len().checked_div(columns).unwrap_or(0);
    let grain = WORTH_A_THREAD.div_ceil((rows * COLUMNS).max(1));
    let mut sums = vec![E::ZERO; columns];
    pool::for_each(Chunks::new(&mut sums, COLUMNS), grain, |index, sums| {
        isa.run(ColumnSums {
            matrix,
            columns,
            first: index * COLUMNS,
            sums,
        });
    });
    sums
}

struct ColumnSums<'a, E> {
    matrix: &'a [E],
    columns: usize,
    first: usize,
    sums: &'a mut [E],
}

impl<E: Real> Kernel<E> for ColumnSums<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, _simd: S) {
        let mut block = [E::ZERO; COLUMNS];
        let block = &mut block[..self.sums.len()];
        for rows in self.matrix.chunks(ROWS * self.columns) {
            block.fill(E::ZERO);
            for row in rows.chunks_exact(self.columns) {
                let row = &row[self.first..self.first + block.len()];
                block
                    .iter_mut()
                    .zip(row)
                    .for_each(|(sum, &value)| *sum += value);
            }
            self.sums
                .iter_mut()
                .zip(&*block)
                .for_each(|(sum, &value)| *sum += value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_summed_in_row_blocks() {
        for (rows, columns) in [
            (0, 3),
            (3, 0),
            (1, 1),
            (63, 2),
            (64, 255),
            (65, 257),
            (200, 700),
        ] {
            let matrix: Vec<f64> = (0..rows * columns).map(|i| (i as f64).sin()).collect();
            let sums = column_sums(&matrix, columns);
            let sum_of = |from: usize, to: usize, c: usize| -> f64 {
                (from..to).fold(0.0, |sum, r| sum + matrix[r * columns + c])
            };
            for (c, &sum) in sums.iter().enumerate() {
                let starts = (0..rows).step_by(ROWS);
                let expected = starts.fold(0.0, |sum, r| sum + sum_of(r, rows.min(r + ROWS), c));
                assert_eq!(sum, expected, "column {c} of ({rows}, {columns})");
            }
            assert_eq!(sums.len(), columns);
        }
    }
}
