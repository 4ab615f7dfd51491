//! One task of a product: a rectangle of the output, on one thread.

use std::mem::MaybeUninit;

use super::super::pool::Tile;
use super::super::scratch::Scratch;
use super::super::simd::{Isa, Kernel, Real, Simd};
use super::pack::{REGISTERS, View, block_rows, pack_panel, pack_row_group};
use super::{K_BLOCK, Right};

/// The left-hand side.
#[derive(Clone, Copy)]
pub(super) enum Left<'a, E> {
    /// A matrix, packed as it is used.
    View(View<'a, E>),
    /// Row blocks of the whole matrix, and K.
    Packed(&'a [E], usize),
}

/// What all tasks of a product share.
pub(super) struct Task<'a, E> {
    pub(super) a: Left<'a, E>,
    pub(super) b: Right<'a, E>,
    pub(super) bias: Option<&'a [E]>,
}

impl<E: Real> Task<'_, E> {
    /// Writes every element of `out`.
    pub(super) fn run(&self, isa: Isa, out: Tile<MaybeUninit<E>>) {
        isa.run(Work { task: self, out });
    }
}

/// A task inside the instruction set.
struct Work<'a, 'o, E> {
    task: &'a Task<'a, E>,
    out: Tile<'o, MaybeUninit<E>>,
}

impl<E: Real> Kernel<E> for Work<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(mut self, s: S) {
        let width = REGISTERS * S::LANES;
        let k = match self.task.a {
            Left::View(view) => view.columns,
            Left::Packed(_, k) => k,
        };
        let panels = self.out.columns.div_ceil(width);
        // [panel][row][width]
        let mut sums = Scratch::new(panels * self.out.rows * width);
        sums.fill(E::ZERO);
        let step = k.div_ceil(k.div_ceil(K_BLOCK).max(1)).max(1);
        for from in (0..k).step_by(step) {
            self.add_block(s, (from, k.min(from + step)), &mut sums);
        }
        let each = self.out.rows * width;
        for (index, sums) in sums.chunks(each.max(1)).take(panels).enumerate() {
            self.emit(index * width, width, sums);
        }
    }
}

impl<E: Real> Work<'_, '_, E> {
    /// Adds the products over `k.0..k.1` to the sums of all rows and panels.
    #[inline(always)]
    fn add_block<S: Simd<E = E>>(&self, s: S, k: (usize, usize), sums: &mut [E]) {
        let width = REGISTERS * S::LANES;
        let (rows, count) = (self.out.rows, k.1 - k.0);
        let mut a_part = match self.task.a {
            Left::View(_) => Scratch::new(rows * count),
            Left::Packed(..) => Scratch::new(0),
        };
        if let Left::View(view) = self.task.a {
            pack_row_group(
                view,
                (self.out.row, k.0),
                (rows, count),
                &mut a_part,
                S::TILE_ROWS,
            );
        }
        let mut b_part = match self.task.b {
            Right::View(_) => Scratch::new(count * width),
            Right::Panels(_) => Scratch::new(0),
        };
        for (index, sums) in sums.chunks_mut(rows * width).enumerate() {
            let column = self.out.column + index * width;
            let b = match self.task.b {
                Right::Panels(panels) => panels.part(column, k.0, k.1),
                Right::View(view) => {
                    pack_panel(view, (k.0, column), width, &mut b_part);
                    &b_part[..]
                }
            };
            let mut done = 0;
            while done < rows {
                let block = block_rows(rows - done, S::TILE_ROWS);
                let a = match self.task.a {
                    Left::View(_) => &a_part[done * count..(done + block) * count],
                    Left::Packed(all, whole) => {
                        let start = (self.out.row + done) * whole;
                        &all[start + block * k.0..start + block * k.1]
                    }
                };
                add_rows(
                    s,
                    block,
                    a,
                    b,
                    &mut sums[done * width..(done + block) * width],
                );
                done += block;
            }
        }
    }

    /// Writes the sums of the panel that starts at `column` of the tile, with the bias.
    #[inline(always)]
    fn emit(&mut self, column: usize, width: usize, sums: &[E]) {
        let count = width.min(self.out.columns - column);
        let first = self.out.column + column;
        let bias = self.task.bias.map(|bias| &bias[first..first + count]);
        for (row, sums) in sums.chunks_exact(width).enumerate() {
            let out = &mut self.out.row_mut(row)[column..column + count];
            match bias {
                Some(bias) => out
                    .iter_mut()
                    .zip(sums)
                    .zip(bias)
                    .for_each(|((out, &sum), &b)| {
                        out.write(sum + b);
                    }),
                None => out.iter_mut().zip(sums).for_each(|(out, &sum)| {
                    out.write(sum);
                }),
            }
        }
    }
}

#[inline(always)]
fn add_rows<S: Simd>(s: S, rows: usize, a: &[S::E], b: &[S::E], sums: &mut [S::E]) {
    match rows {
        8 => add_tile::<S, 8>(s, a, b, sums),
        4 => add_tile::<S, 4>(s, a, b, sums),
        2 => add_tile::<S, 2>(s, a, b, sums),
        _ => add_tile::<S, 1>(s, a, b, sums),
    }
}

/// The inner loop: `sums [R, W] += a [K][R] · b [K][W]`, one chain over k for each sum.
#[inline(always)]
fn add_tile<S: Simd, const R: usize>(s: S, a: &[S::E], b: &[S::E], sums: &mut [S::E]) {
    let width = REGISTERS * S::LANES;
    let mut tile = [[s.zero(); REGISTERS]; R];
    for (tile, sums) in tile.iter_mut().zip(sums.chunks_exact(width)) {
        *tile = load_width(s, sums);
    }
    for (a, b) in a.chunks_exact(R).zip(b.chunks_exact(width)) {
        let b = load_width(s, b);
        for (tile, &a) in tile.iter_mut().zip(a) {
            let a = s.splat(a);
            for (sum, &b) in tile.iter_mut().zip(&b) {
                *sum = s.mul_add(a, b, *sum);
            }
        }
    }
    for (tile, sums) in tile.iter().zip(sums.chunks_exact_mut(width)) {
        for (&v, sums) in tile.iter().zip(sums.chunks_exact_mut(S::LANES)) {
            s.store(sums, v);
        }
    }
}

#[inline(always)]
fn load_width<S: Simd>(s: S, source: &[S::E]) -> [S::V; REGISTERS] {
    [
        s.load(source),
        s.load(&source[S::LANES..]),
        s.load(&source[2 * S::LANES..]),
    ]
}
