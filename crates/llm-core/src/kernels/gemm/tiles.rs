//! The rounded product by tiles of 16 rows, 16 columns and 32 of K.
//!
//! A sum takes K in steps of 32. Within a step the even places are one chain of fused
//! multiply-adds from zero and the odd places another; the two are added, then joined to the sum.
//! Denormal numbers count as zero throughout. Rows and K are filled up with zeros, which change no
//! bit of a sum that is not a zero.
//!
//! Both sides are rounded once, into tiles that lie in the order in which they are read; B in
//! groups of columns, so that a large one never stands in memory twice. A task keeps its block of
//! A in the second-level cache while the panels of B pass over it, a block of K at a time.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::pool::{self, Chunks, Tile, Tiles};
use super::super::scratch::Scratch;
use super::super::simd::{
    Isa, Kernel, Simd, TILE, TILE_SLOTS, TILES_ACROSS, TileCorner, TileDot, TileOrder, TileSource,
};
use super::pack::View;
use super::rounded::Rest;
use super::{Tail, WORTH_A_THREAD};

/// Elements along K of a tile.
const DEPTH: usize = 2 * TILE;
/// Columns of a panel.
const WIDTH: usize = TILES_ACROSS * TILE;
/// Slots of a panel for each tile along K.
const PANEL_SLOTS: usize = TILES_ACROSS * TILE_SLOTS;
/// Slots of a cache line, at which tiles start.
const LINE: usize = 16;
/// Tiles along K that are taken at once: a panel of so many is 48 KiB.
const K_TILES: usize = 16;
/// Rows and panels of a task: its block of A is 128 KiB at once.
const ROWS: usize = 8 * TILE;
const PANELS: usize = 16;
/// Rows of tiles that are packed together, so that lines across them are read whole.
const PACKED_TOGETHER: usize = 4;
/// The most slots of B that are packed at once: 16 MiB.
const MOST_SLOTS: usize = 4 << 20;

/// As [`rounded_product`](super::rounded_product).
pub(super) fn product<T: TileSource>(
    dot: TileDot,
    a: View<f32>,
    b: View<T>,
    tail: Option<Tail<f32>>,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(k == b.rows, "sides do not fit");
    let (isa, b, depth) = (Isa::active(), b.transposed(), k.div_ceil(DEPTH));
    let mut left = Packed::new(m.div_ceil(TILE) * depth * TILE_SLOTS);
    pack_left(dot, a, depth, left.slots());
    let panel = depth * PANEL_SLOTS;
    let group = (MOST_SLOTS / panel.max(1)).clamp(1, n.div_ceil(WIDTH).max(1)) * WIDTH;
    let mut right = Packed::new(group / WIDTH * panel);
    let rest = Rest::new(tail, bias, (m, n));
    let mut out: Vec<f32> = Vec::with_capacity(m * n);
    let spare = &mut out.spare_capacity_mut()[..m * n];
    for first in (0..n).step_by(group) {
        let columns = first..n.min(first + group);
        let right = &mut right.slots()[..columns.len().div_ceil(WIDTH) * panel];
        pack_right(dot, b, first, right);
        let task = Task {
            dot,
            a: left.slots(),
            b: right,
            first,
            depth,
            rest: &rest,
        };
        let cost = ROWS.min(m) * (PANELS * WIDTH).min(columns.len()) * k.max(1);
        let grain = WORTH_A_THREAD.div_ceil(cost.max(1));
        let tiles = Tiles::new(spare, (m, n), (ROWS, PANELS * WIDTH)).within(columns);
        pool::for_each(tiles, grain, |_, out| isa.run(Work { task: &task, out }));
    }
    // SAFETY: the tiles of all groups cover `out`, and each task writes all of its tile.
    unsafe { out.set_len(m * n) };
    out
}

/// Slots that start at a cache line.
struct Packed {
    buffer: Scratch<f32>,
    len: usize,
}

impl Packed {
    fn new(len: usize) -> Self {
        let buffer = Scratch::new(len + LINE);
        Self { buffer, len }
    }

    fn slots(&mut self) -> &mut [f32] {
        let skip = self.buffer.as_ptr().align_offset(LINE * size_of::<f32>());
        let skip = skip.min(LINE);
        &mut self.buffer[skip..skip + self.len]
    }
}

/// Lays A out as `[M / 16][K / 32]` tiles, in parallel.
fn pack_left(dot: TileDot, a: View<f32>, depth: usize, target: &mut [f32]) {
    let size = depth * TILE_SLOTS;
    let chunks = Chunks::new(target, PACKED_TOGETHER * size);
    pool::for_each(chunks, 1, |index, target| {
        for step in 0..depth {
            for (row, tiles) in target.chunks_exact_mut(size).enumerate() {
                let at = ((index * PACKED_TOGETHER + row) * TILE, step * DEPTH);
                let tile = &mut tiles[step * TILE_SLOTS..][..TILE_SLOTS];
                dot.pack(corner(a, at), TileOrder::Left, tile);
            }
        }
    });
}

/// Lays the columns of B from `first` on out as panels `[K / 32][3]` of tiles, in parallel; `b` is
/// the transposed matrix.
fn pack_right<T: TileSource>(dot: TileDot, b: View<T>, first: usize, target: &mut [f32]) {
    let panel = b.columns.div_ceil(DEPTH) * PANEL_SLOTS;
    pool::for_each(Chunks::new(target, panel), 1, |index, panel| {
        for (tile, target) in panel.chunks_exact_mut(TILE_SLOTS).enumerate() {
            let column = first + index * WIDTH + tile % TILES_ACROSS * TILE;
            match column < b.rows {
                true => {
                    let at = (column, tile / TILES_ACROSS * DEPTH);
                    dot.pack(corner(b, at), TileOrder::Right, target);
                }
                false => target.fill(0.0),
            }
        }
    });
}

/// The part of a matrix `[R, K]` that starts at (row, place along K) `at`.
#[inline(always)]
fn corner<T: Copy>(matrix: View<'_, T>, at: (usize, usize)) -> TileCorner<'_, T> {
    let along_k = matrix.is_row_major();
    assert!(along_k || matrix.row_stride == 1, "a matrix with gaps");
    TileCorner {
        data: matrix.from(at.0, at.1),
        stride: matrix.row_stride.max(matrix.column_stride),
        rows: matrix.rows - at.0,
        depth: matrix.columns - at.1,
        along_k,
    }
}

/// What all tasks of a group of columns share.
struct Task<'a> {
    dot: TileDot,
    /// `[M / 16][K / 32]` tiles.
    a: &'a [f32],
    /// Panels of the group.
    b: &'a [f32],
    /// The first column of the group.
    first: usize,
    /// Tiles along K.
    depth: usize,
    rest: &'a Rest<'a>,
}

impl Task<'_> {
    /// The tiles `steps` along K of the rows from `row` on.
    #[inline(always)]
    fn left(&self, row: usize, steps: &Range<usize>) -> &[f32] {
        let start = row / TILE * self.depth;
        &self.a[(start + steps.start) * TILE_SLOTS..(start + steps.end) * TILE_SLOTS]
    }

    /// The tiles `steps` along K of the panel that starts at `column`.
    #[inline(always)]
    fn right(&self, column: usize, steps: &Range<usize>) -> &[f32] {
        let start = (column - self.first) / WIDTH * self.depth;
        &self.b[(start + steps.start) * PANEL_SLOTS..(start + steps.end) * PANEL_SLOTS]
    }
}

/// A task inside the instruction set.
struct Work<'a, 'o> {
    task: &'a Task<'a>,
    out: Tile<'o, MaybeUninit<f32>>,
}

impl Kernel<f32> for Work<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = f32>>(self, s: S) {
        let Self { task, mut out } = self;
        let panels = out.columns.div_ceil(WIDTH);
        let blocks = task.depth.div_ceil(K_TILES).max(1);
        // Sums wait between blocks of K; with one block they leave at once.
        let waiting = if blocks == 1 { 1 } else { panels };
        let size = out.rows.next_multiple_of(TILE) * WIDTH;
        let mut sums = Packed::new(waiting * size);
        let sums = sums.slots();
        for block in 0..blocks {
            let steps = block * K_TILES..task.depth.min((block + 1) * K_TILES);
            for panel in 0..panels {
                let sums = &mut sums[panel % waiting * size..][..size];
                if block == 0 {
                    sums.fill(0.0);
                }
                let at = panel * WIDTH;
                let right = task.right(out.column + at, &steps);
                task.dot.with_tiles(|| {
                    for (row, sums) in sums.chunks_exact_mut(TILE * WIDTH).enumerate() {
                        let left = task.left(out.row + row * TILE, &steps);
                        task.dot.add(left, right, sums);
                    }
                });
                if block + 1 == blocks {
                    let sums = &mut sums[..out.rows * WIDTH];
                    let tail = task.rest.panel(s, out.column + at);
                    task.rest.add_tail(s, tail.as_deref(), out.row, sums);
                    task.rest.emit(&mut out, (0, at), WIDTH, sums);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::super::pairs::tests::{noise, same};
    use super::super::rounded::flush;
    use super::*;

    /// The definition of the module page with plain loops.
    fn plain(a: View<f32>, b: View<f32>, bias: &[f32]) -> Vec<f32> {
        let half = |value: f32| flush(bf16::from_f32(flush(value)).to_f32());
        let place = |m: usize, k: usize, n: usize| match k < a.columns {
            true => (half(a.get(m, k)), half(b.get(k, n))),
            false => (0.0, 0.0),
        };
        let mut out = Vec::new();
        for (m, n) in (0..a.rows).flat_map(|m| (0..b.columns).map(move |n| (m, n))) {
            let mut sum = 0f32;
            for step in (0..a.columns).step_by(DEPTH) {
                let chain = |odd: usize| {
                    (step + odd..step + DEPTH).step_by(2).fold(0f32, |sum, k| {
                        let (x, y) = place(m, k, n);
                        flush(x.mul_add(y, sum))
                    })
                };
                sum = flush(sum + flush(chain(0) + chain(1)));
            }
            out.push(sum + bias[n]);
        }
        out
    }

    #[test]
    fn every_output_is_the_sum_of_tiles_bit_for_bit() {
        let Some(dot) = TileDot::detect() else {
            return; // what it computes cannot be compared without it
        };
        let shapes = [
            (1, 1, 1),
            (1, 3, 47),
            (16, 32, 48),
            (17, 49, 130),
            (67, 5, 3),
            (13, 2 * DEPTH + 3, 50),
            (600, 7, 100),
            (130, 2 * K_TILES * DEPTH + 9, PANELS * WIDTH + 50),
            // Each panel is a group of its own.
            (2, 2 * DEPTH * MOST_SLOTS / (3 * PANEL_SLOTS), 50),
            (4, 0, 5),
            (0, 4, 5),
            (5, 4, 0),
        ];
        for ((m, k, n), odd_ones) in shapes.into_iter().zip([false, true].into_iter().cycle()) {
            let (a, b) = (noise(m * k, 1, odd_ones), noise(k * n, 2, odd_ones));
            let bias = noise(n, 3, false);
            let lefts = [
                View::row_major(&a, m, k),
                View::row_major(&a, k, m).transposed(),
            ];
            let rights = [
                View::row_major(&b, k, n),
                View::row_major(&b, n, k).transposed(),
            ];
            for (a, b) in lefts.into_iter().zip(rights) {
                let expected = plain(a, b, &bias);
                let got = product(dot, a, b, None, Some(&bias));
                let wrong = (0..m * n).find(|&i| !same(got[i], expected[i]));
                let pair = wrong.map(|i| (got[i], expected[i]));
                assert_eq!(wrong, None, "({m}, {k}, {n}) {pair:?}");
            }
        }
    }
}
