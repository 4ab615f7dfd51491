//! Laying matrices out in the order in which the tile reads them.

use std::sync::OnceLock;

use super::super::pool::{self, Chunks};
use super::super::simd::{Isa, Kernel, Real, Simd};

/// Registers side by side in a panel.
pub(super) const REGISTERS: usize = 3;
/// Values of one matrix row that a transposing copy takes at once: with 48 rows of f32, 12 KiB
/// of the first-level cache are written.
const LINE: usize = 64;
/// Rows that it reads side by side, as many streams as the prefetcher can follow.
const TOGETHER: usize = 8;
/// Elements that pay for handing a piece of packing to another thread.
const WORTH_A_THREAD: usize = 1 << 15;

/// A matrix in memory: element (r, c) is `data[r · row_stride + c · column_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, E> {
    data: &'a [E],
    pub(super) rows: usize,
    pub(super) columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, E: Real> View<'a, E> {
    /// `data` as `rows` rows of `columns` neighbours.
    pub(crate) fn row_major(data: &'a [E], rows: usize, columns: usize) -> Self {
        assert!(
            data.len() == rows * columns,
            "a slice of another size than its matrix"
        );
        Self {
            data,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// The same memory read as the transposed matrix.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Element (`row`, `column`).
    #[cfg(test)]
    pub(super) fn get(&self, row: usize, column: usize) -> E {
        self.data[row * self.row_stride + column * self.column_stride]
    }

    /// Copies the block at (`row`, `column`) with `size` = (rows, columns) to `target`, columns
    /// one after the other, `lead` elements apart; `lead` ≥ rows.
    #[inline(always)]
    pub(super) fn columns_to(
        &self,
        at: (usize, usize),
        size: (usize, usize),
        target: &mut [E],
        lead: usize,
    ) {
        if self.row_stride == 1 {
            for (c, target) in target.chunks_mut(lead).take(size.1).enumerate() {
                let start = at.0 + (at.1 + c) * self.column_stride;
                target[..size.0].copy_from_slice(&self.data[start..start + size.0]);
            }
            return;
        }
        for (step, target) in target.chunks_mut(lead * LINE).enumerate() {
            let first = step * LINE;
            if first >= size.1 {
                return;
            }
            let count = LINE.min(size.1 - first);
            let source = |r: usize| {
                let start = (at.0 + r) * self.row_stride + at.1 + first;
                &self.data[start..start + count]
            };
            let whole = size.0 - size.0 % TOGETHER;
            for r in (0..whole).step_by(TOGETHER) {
                let rows: [&[E]; TOGETHER] = std::array::from_fn(|i| source(r + i));
                for (c, target) in target.chunks_mut(lead).take(count).enumerate() {
                    target[r..r + TOGETHER].copy_from_slice(&rows.map(|row| row[c]));
                }
            }
            for r in whole..size.0 {
                for (target, &value) in target.chunks_mut(lead).zip(source(r)) {
                    target[r] = value;
                }
            }
        }
    }
}

/// The width of a panel on `isa`.
pub(super) fn panel_width<E: Real>(isa: Isa) -> usize {
    struct Width;
    impl<E: Real> Kernel<E> for Width {
        type Output = usize;

        #[inline(always)]
        fn run<S: Simd<E = E>>(self, _simd: S) -> usize {
            REGISTERS * S::LANES
        }
    }
    isa.run::<E, _>(Width)
}

/// Rows of the next block when `left` rows are still to do and a tile takes `most`.
#[inline(always)]
pub(super) fn block_rows(left: usize, most: usize) -> usize {
    let mut rows = most;
    while rows > left {
        rows /= 2;
    }
    rows
}

/// The panels of a matrix `[K, N]`: `[N / W][K][W]`, the last one filled up with zeros.
#[derive(Debug)]
pub(crate) struct Panels<E> {
    data: Vec<E>,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) width: usize,
}

/// Room for the panels of a weight of either type.
#[derive(Debug, Default)]
pub(crate) struct PanelSlots {
    pub(crate) f32: OnceLock<Panels<f32>>,
    pub(crate) f64: OnceLock<Panels<f64>>,
}

impl<E: Real> Panels<E> {
    /// Packs `matrix` for the active instruction set.
    pub(crate) fn new(matrix: View<E>) -> Self {
        let isa = Isa::active();
        let (rows, columns, width) = (matrix.rows, matrix.columns, panel_width::<E>(isa));
        let size = rows * width;
        let grain = WORTH_A_THREAD.div_ceil(size.max(1));
        let data = pool::build(
            columns.div_ceil(width) * size,
            size,
            grain,
            |index, panel| {
                pack_panel(matrix, (0, index * width), width, panel);
            },
        );
        Self {
            data,
            rows,
            columns,
            width,
        }
    }

    /// Rows `from..to` of the panel that starts at `column`.
    #[inline(always)]
    pub(super) fn part(&self, column: usize, from: usize, to: usize) -> &[E] {
        let start = column / self.width * self.rows;
        &self.data[(start + from) * self.width..(start + to) * self.width]
    }

    /// The matrix in row-major order.
    pub(super) fn unpack(&self) -> Vec<E> {
        let mut matrix = Vec::with_capacity(self.rows * self.columns);
        for row in 0..self.rows {
            for column in (0..self.columns).step_by(self.width) {
                let count = self.width.min(self.columns - column);
                matrix.extend_from_slice(&self.part(column, row, row + 1)[..count]);
            }
        }
        matrix
    }
}

/// Copies the part of `matrix` that starts at (row, column) `at` into one panel; `panel` says how
/// many rows. Columns outside the matrix become zeros.
#[inline(always)]
pub(super) fn pack_panel<E: Real>(
    matrix: View<E>,
    at: (usize, usize),
    width: usize,
    panel: &mut [E],
) {
    let (rows, columns) = (panel.len() / width, width.min(matrix.columns - at.1));
    if columns < width {
        panel.fill(E::ZERO);
    }
    matrix
        .transposed()
        .columns_to((at.1, at.0), (columns, rows), panel, width);
}

/// Copies all of `matrix` into row blocks `[K][R]`, one after the other.
pub(super) fn pack_rows<E: Real>(isa: Isa, matrix: View<E>, target: &mut [E]) {
    let most = tile_rows::<E>(isa);
    let k = matrix.columns;
    let grain = WORTH_A_THREAD.div_ceil((most * k).max(1));
    pool::for_each(Chunks::new(target, most * k), grain, |index, target| {
        let rows = target.len() / k;
        pack_row_group(matrix, (index * most, 0), (rows, k), target, most);
    });
}

/// Copies the part of `matrix` at `at` with `size` = (rows, columns) into row blocks.
#[inline(always)]
pub(super) fn pack_row_group<E: Real>(
    matrix: View<E>,
    at: (usize, usize),
    size: (usize, usize),
    target: &mut [E],
    most: usize,
) {
    let mut done = 0;
    while done < size.0 {
        let rows = block_rows(size.0 - done, most);
        let block = &mut target[done * size.1..(done + rows) * size.1];
        matrix.columns_to((at.0 + done, at.1), (rows, size.1), block, rows);
        done += rows;
    }
}

fn tile_rows<E: Real>(isa: Isa) -> usize {
    struct Rows;
    impl<E: Real> Kernel<E> for Rows {
        type Output = usize;

        #[inline(always)]
        fn run<S: Simd<E = E>>(self, _simd: S) -> usize {
            S::TILE_ROWS
        }
    }
    isa.run::<E, _>(Rows)
}
