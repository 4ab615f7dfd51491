//! Laying matrices out in the order in which the tile reads them.

use std::sync::OnceLock;

use half::bf16;

use super::super::pool::{self, Chunks};
use super::super::simd::{Isa, Kernel, Real, Simd};
use super::tile::Source;

/// Registers side by side in a panel.
pub(super) const REGISTERS: usize = 3;
/// Elements that pay for handing a piece of packing to another thread.
const WORTH_A_THREAD: usize = 1 << 15;

/// A matrix in memory: element (r, c) is `data[r · row_stride + c · column_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, E> {
    data: &'a [E],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a, E: Copy> View<'a, E> {
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

    /// The same matrix over other memory of the same layout.
    pub(super) fn over<'b, T>(&self, data: &'b [T]) -> View<'b, T> {
        assert!(data.len() == self.data.len(), "memory of another size");
        View {
            data,
            rows: self.rows,
            columns: self.columns,
            row_stride: self.row_stride,
            column_stride: self.column_stride,
        }
    }

    /// `f` of every element, in the order of the memory.
    pub(super) fn map<T>(&self, f: impl Fn(E) -> T) -> Vec<T> {
        self.data.iter().map(|&value| f(value)).collect()
    }

    /// The elements row by row.
    pub(super) fn to_rows(self) -> Vec<E> {
        let row = |r: usize| (0..self.columns).map(move |c| self.from(r, c)[0]);
        (0..self.rows).flat_map(row).collect()
    }

    /// Element (`row`, `column`).
    #[cfg(test)]
    pub(super) fn get(&self, row: usize, column: usize) -> E {
        self.data[row * self.row_stride + column * self.column_stride]
    }

    /// Whether the elements of a row lie side by side.
    #[inline(always)]
    pub(super) fn is_row_major(&self) -> bool {
        self.column_stride == 1
    }

    /// Elements `from..to` of row `row` of a row-major view.
    #[inline(always)]
    pub(super) fn row(&self, row: usize, from: usize, to: usize) -> &'a [E] {
        let start = row * self.row_stride;
        &self.data[start + from..start + to]
    }

    /// The memory from element (`row`, `column`) on.
    #[inline(always)]
    pub(super) fn from(&self, row: usize, column: usize) -> &'a [E] {
        &self.data[row * self.row_stride + column * self.column_stride..]
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
    pub(super) data: Vec<E>,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) width: usize,
}

/// Room for the panels of a weight of any type.
#[derive(Debug, Default)]
pub(crate) struct PanelSlots {
    pub(crate) f32: OnceLock<Panels<f32>>,
    pub(crate) f64: OnceLock<Panels<f64>>,
    /// Of a weight in bf16, for f32 on the other side.
    pub(crate) bf16: OnceLock<Panels<bf16>>,
}

/// Panels in borrowed memory.
#[derive(Clone, Copy)]
pub(super) struct PanelView<'a, E> {
    data: &'a [E],
    rows: usize,
    width: usize,
}

impl<E: Real> Panels<E> {
    /// Packs `matrix` for the active instruction set.
    pub(crate) fn new(matrix: View<E>) -> Self {
        let isa = Isa::active();
        let (rows, columns, width) = (matrix.rows, matrix.columns, panel_width::<E>(isa));
        let mut data = vec![E::ZERO; columns.div_ceil(width) * rows * width];
        pack_panels(isa, Source::View(matrix), rows, &mut data);
        Self {
            data,
            rows,
            columns,
            width,
        }
    }
}

impl<E: Copy> Panels<E> {
    pub(super) fn view(&self) -> PanelView<'_, E> {
        PanelView::new(&self.data, self.rows, self.width)
    }

    /// The matrix in row-major order.
    pub(super) fn unpack(&self) -> Vec<E> {
        let mut matrix = Vec::with_capacity(self.rows * self.columns);
        for row in 0..self.rows {
            for column in (0..self.columns).step_by(self.width) {
                let count = self.width.min(self.columns - column);
                matrix.extend_from_slice(&self.view().part(column, row, row + 1)[..count]);
            }
        }
        matrix
    }
}

impl<'a, E> PanelView<'a, E> {
    /// Panels of `rows` rows and `width` columns each.
    pub(super) fn new(data: &'a [E], rows: usize, width: usize) -> Self {
        Self { data, rows, width }
    }

    /// Rows `from..to` of the panel that starts at `column`.
    #[inline(always)]
    pub(super) fn part(&self, column: usize, from: usize, to: usize) -> &'a [E] {
        let start = column / self.width * self.rows;
        &self.data[(start + from) * self.width..(start + to) * self.width]
    }
}

/// Packs all of `matrix`, which has `rows` rows, into panels, in parallel.
pub(super) fn pack_panels<E: Real>(isa: Isa, matrix: Source<E>, rows: usize, target: &mut [E]) {
    let width = panel_width::<E>(isa);
    let size = rows * width;
    let grain = WORTH_A_THREAD.div_ceil(size.max(1));
    pool::for_each(Chunks::new(target, size), grain, |index, panel| {
        let at = (0, index * width);
        isa.run(PackPanel { matrix, at, panel });
    });
}

struct PackPanel<'a, 'p, E> {
    matrix: Source<'a, E>,
    at: (usize, usize),
    panel: &'p mut [E],
}

impl<E: Real> Kernel<E> for PackPanel<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, s: S) {
        self.matrix.pack(s, self.at, self.panel);
    }
}

/// Copies the part of `matrix` that starts at (row, column) `at` into one panel; `panel` says how
/// many rows. Columns outside the matrix become zeros.
#[inline(always)]
pub(super) fn pack_panel<S: Simd>(
    s: S,
    matrix: View<S::E>,
    at: (usize, usize),
    panel: &mut [S::E],
) {
    let width = REGISTERS * S::LANES;
    let columns = width.min(matrix.columns - at.1);
    if columns < width {
        panel.fill(S::E::ZERO);
    }
    if !matrix.is_row_major() {
        return transpose(s, matrix, at, columns, panel);
    }
    for (k, target) in panel.chunks_exact_mut(width).enumerate() {
        let source = matrix.row(at.0 + k, at.1, at.1 + columns);
        if columns < width {
            target[..columns].copy_from_slice(source);
            continue;
        }
        for (target, source) in target
            .chunks_exact_mut(S::LANES)
            .zip(source.chunks_exact(S::LANES))
        {
            s.store(target, s.load(source));
        }
    }
}

/// As [`pack_panel`] for a matrix whose columns lie side by side in memory, by square blocks that
/// are transposed in registers.
#[inline(always)]
fn transpose<S: Simd>(
    s: S,
    matrix: View<S::E>,
    at: (usize, usize),
    columns: usize,
    panel: &mut [S::E],
) {
    let width = REGISTERS * S::LANES;
    let rows = panel.len() / width;
    let (whole_rows, whole) = (rows - rows % S::LANES, columns - columns % S::LANES);
    for column in (0..whole).step_by(S::LANES) {
        for row in (0..whole_rows).step_by(S::LANES) {
            let source = matrix.from(at.0 + row, at.1 + column);
            let target = &mut panel[row * width + column..];
            s.transpose_block(source, matrix.column_stride, target, width);
        }
    }
    for column in 0..columns {
        let from = if column < whole { whole_rows } else { 0 };
        if from < rows {
            let source = matrix.from(at.0 + from, at.1 + column);
            let target = panel[from * width..].chunks_exact_mut(width);
            target
                .zip(source)
                .for_each(|(target, &value)| target[column] = value);
        }
    }
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
        let at = (at.0 + done, at.1);
        match rows {
            8 => pack_rows_of::<E, 8>(matrix, at, block),
            4 => pack_rows_of::<E, 4>(matrix, at, block),
            2 => pack_rows_of::<E, 2>(matrix, at, block),
            _ => pack_rows_of::<E, 1>(matrix, at, block),
        }
        done += rows;
    }
}

/// `R` rows of `matrix` from `at` on as one block `[K][R]`.
#[inline(always)]
fn pack_rows_of<E: Real, const R: usize>(matrix: View<E>, at: (usize, usize), block: &mut [E]) {
    let (targets, _) = block.as_chunks_mut::<R>();
    if matrix.row_stride == 1 {
        let columns = matrix.from(at.0, at.1).chunks(matrix.column_stride);
        for (target, column) in targets.iter_mut().zip(columns) {
            target.copy_from_slice(&column[..R]);
        }
        return;
    }
    for (k, target) in targets.iter_mut().enumerate() {
        *target = std::array::from_fn(|r| matrix.from(at.0 + r, at.1 + k)[0]);
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
