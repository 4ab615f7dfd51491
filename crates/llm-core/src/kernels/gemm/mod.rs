//! The matrix product, with the same bits for every number of rows, chunks and threads.
//!
//! `C [M, N] = A [M, K] · B [K, N] + bias`. Each output is one chain of fused multiply-adds over
//! k = 0, 1, …, K − 1, started at zero, and the bias is added last. Whatever is tiled, packed, cut
//! along K or given to another thread, that chain stays: a cut stores the sums and loads them
//! again, which changes no bit. So a row has the same bits alone, in a chunk and in a batch.
//!
//! B is packed in panels of three registers' width, `[N / W][K][W]`, and A in blocks of as many
//! rows as the register file allows, `[M / R][K][R]`; the inner loop reads both front to back.
//! Rows left over are taken in blocks of 4, 2 and 1. The larger of the two is packed piece by
//! piece by the thread that needs the piece, into its second-level cache; the smaller one once.
//! A weight that stays the same keeps its [`Panels`], and one row then reads it at the speed of
//! memory.

mod pack;
mod pairs;
mod rounded;
mod tile;
mod tiles;
mod widen;

use std::mem::MaybeUninit;

use half::bf16;

pub(crate) use pack::{PanelSlots, Panels, View};
pub(crate) use rounded::{RoundedRight, has_rounded_products, rounded_product};
pub(crate) use widen::half_panels;

use super::pool::{self, Tiles};
use super::scratch::Scratch;
use super::simd::{Isa, Real};
use pack::{PanelView, pack_panels, pack_rows, panel_width};
use tile::{Left, Sides, Source, Task};

/// The most of K that a panel holds at once: with 48 columns of f32, 36 KiB of a first-level
/// cache of 48 KiB, where it stays while all rows of the task pass over it.
const K_BLOCK: usize = 192;
/// Rows of a task when B is packed on the way: it serves so many rows.
const ROWS_PER_PANEL: usize = 512;
/// Rows, and panels, of a task when B was packed before.
const ROWS_PER_GROUP: usize = 64;
const PANELS_PER_GROUP: usize = 8;
/// Tasks for each thread, so that the last ones end at nearly the same time.
const TASKS_PER_THREAD: usize = 4;
/// Multiply-adds that pay for handing a task to another thread, a few microseconds.
const WORTH_A_THREAD: usize = 1 << 17;
/// A panel read from memory costs about as much as this many rows of arithmetic on it.
const ROWS_OF_A_READ: usize = 4;

/// The right-hand side of a product.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a, E> {
    /// A matrix, packed as it is used.
    View(View<'a, E>),
    /// Panels made earlier.
    Panels(&'a Panels<E>),
    /// A matrix in bf16, widened as it is packed: the bits are those of the widened matrix.
    Half(View<'a, bf16>),
    /// Panels in bf16 made earlier, widened as they are read.
    HalfPanels(&'a Panels<bf16>),
}

/// More of K: columns to the right of A and rows below B, `C = [A, A'] · [B; B'] + bias`. The
/// chain of an output goes on over them.
///
/// # Shapes
/// `a [M, R]`, `b [R, N]`.
#[derive(Clone, Copy)]
pub(crate) struct Tail<'a, E> {
    pub(crate) a: View<'a, E>,
    pub(crate) b: View<'a, E>,
}

impl<E: Real> Right<'_, E> {
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::View(view) => (view.rows, view.columns),
            Self::Panels(panels) => (panels.rows, panels.columns),
            Self::Half(view) => (view.rows, view.columns),
            Self::HalfPanels(panels) => (panels.rows, panels.columns),
        }
    }
}

/// `A · B + bias` in row-major order.
///
/// # Shapes
/// `a [M, K]`, `b [K, N]`, `bias [N]` → `[M, N]`.
pub(crate) fn product<E: Real>(a: View<E>, b: Right<E>, bias: Option<&[E]>) -> Vec<E> {
    product_with_tail(a, b, None, bias)
}

/// As [`product`] with a longer K.
///
/// # Shapes
/// `a [M, K]`, `b [K, N]`, `tail` of R more, `bias [N]` → `[M, N]`.
pub(crate) fn product_with_tail<E: Real>(
    a: View<E>,
    b: Right<E>,
    tail: Option<Tail<E>>,
    bias: Option<&[E]>,
) -> Vec<E> {
    let (m, (_, n)) = (a.rows, b.shape());
    assert!(
        bias.is_none_or(|bias| bias.len() == n),
        "a bias of another length than the columns"
    );
    check_tail(tail, (m, n));
    let sum = Sum { a, tail, bias };
    let mut out: Vec<E> = Vec::with_capacity(m * n);
    run(&sum, b, &mut out.spare_capacity_mut()[..m * n]);
    // SAFETY: `run` wrote every element.
    unsafe { out.set_len(m * n) };
    out
}

fn check_tail<E>(tail: Option<Tail<E>>, (m, n): (usize, usize)) {
    assert!(
        tail.is_none_or(|t| (t.a.rows, t.a.columns, t.b.columns) == (m, t.b.rows, n)),
        "a tail of another size than its product"
    );
}

/// A product without its right-hand side.
struct Sum<'a, E> {
    a: View<'a, E>,
    tail: Option<Tail<'a, E>>,
    bias: Option<&'a [E]>,
}

/// Fills `out` completely.
fn run<E: Real>(sum: &Sum<E>, b: Right<E>, out: &mut [MaybeUninit<E>]) {
    let (isa, a) = (Isa::active(), sum.a);
    let (m, k, (b_rows, n)) = (a.rows, a.columns, b.shape());
    assert!(k == b_rows, "A has {k} columns and B {b_rows} rows");
    let width = panel_width::<E>(isa);
    let (unpacked, unpacked_half);
    let b = match b {
        Right::Panels(panels) if panels.width == width => Source::Panels(panels.view()),
        Right::Panels(panels) => {
            // Made on another set than this thread is forced onto: lay the matrix out again.
            unpacked = panels.unpack();
            Source::View(View::row_major(&unpacked, k, n))
        }
        Right::View(view) => Source::View(view),
        Right::HalfPanels(panels) if panels.width == width => Source::HalfPanels(panels.view()),
        Right::HalfPanels(panels) => {
            unpacked_half = panels.unpack();
            Source::Half(View::row_major(&unpacked_half, k, n))
        }
        Right::Half(view) => Source::Half(view),
    };
    let (mut packed_a, mut packed_b);
    let by_group = matches!(b, Source::View(_) | Source::Half(_)) && m > n;
    let b = if by_group {
        packed_b = Scratch::new(n.div_ceil(width) * k * width);
        pack_panels(isa, b, k, &mut packed_b);
        Source::Panels(PanelView::new(&packed_b, k, width))
    } else {
        b
    };
    let a = if by_group || a.is_row_major() {
        Left::View(a)
    } else {
        packed_a = Scratch::new(m * k);
        pack_rows(isa, a, &mut packed_a);
        Left::Packed(&packed_a, k)
    };
    let tile = match by_group {
        true => (ROWS_PER_GROUP, PANELS_PER_GROUP * width),
        false => (rows_per_panel(m, n.div_ceil(width)), width),
    };
    let task = Task {
        sides: Sides { a, b },
        tail: sum.tail.map(|tail| Sides {
            a: Left::View(tail.a),
            b: Source::View(tail.b),
        }),
        bias: sum.bias,
    };
    let cost = tile.1 * k.max(1) * (tile.0.min(m) + ROWS_OF_A_READ);
    let grain = WORTH_A_THREAD.div_ceil(cost.max(1));
    pool::for_each(Tiles::new(out, (m, n), tile), grain, |_, tile| {
        task.run(isa, tile)
    });
}

/// Rows of a task: all there are, up to a limit, but few enough for every thread to get work.
fn rows_per_panel(m: usize, panels: usize) -> usize {
    let tasks = TASKS_PER_THREAD * pool::threads();
    let mut rows = ROWS_PER_PANEL;
    while rows > ROWS_PER_GROUP && m.div_ceil(rows) * panels < tasks {
        rows /= 2;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::with_isa;

    fn noise<E: Real>(count: usize, salt: u64) -> Vec<E> {
        let mut state = salt;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963);
            (state >> 40) as f64 / 8_388_608.0 - 1.0
        };
        (0..count).map(|_| E::from_f64(next())).collect()
    }

    /// The chain of the module page with plain loops; `once` says whether a step rounds once.
    fn chain(a: View<f32>, b: View<f32>, bias: Option<&[f32]>, once: bool) -> Vec<f32> {
        let mut out = Vec::new();
        for m in 0..a.rows {
            for n in 0..b.columns {
                let mut sum = 0f32;
                for k in 0..a.columns {
                    let (x, y) = (a.get(m, k), b.get(k, n));
                    sum = if once { x.mul_add(y, sum) } else { x * y + sum };
                }
                out.push(sum + bias.map_or(0.0, |bias| bias[n]));
            }
        }
        out
    }

    /// Shapes that touch every tail, both ways of tiling, and a K of more than one block.
    const SHAPES: [(usize, usize, usize); 12] = [
        (1, 1, 1),
        (1, 3, 47),
        (2, 48, 48),
        (7, 49, 130),
        (67, 5, 3),
        (130, 47, 49),
        (3, 2 * K_BLOCK + 3, 50),
        (70, K_BLOCK + 1, 13),
        (4, 0, 5),
        (0, 4, 5),
        (5, 4, 0),
        (600, 7, 700),
    ];

    #[test]
    fn every_output_is_the_chain_bit_for_bit() {
        for isa in Isa::available() {
            for (m, k, n) in SHAPES {
                let (a, b) = (noise(m * k, 1), noise(k * n, 2));
                let bias: Vec<f32> = noise(n, 3);
                // Row-major and transposed memory on both sides.
                let lefts = [
                    View::row_major(&a, m, k),
                    View::row_major(&a, k, m).transposed(),
                ];
                let rights = [
                    View::row_major(&b, k, n),
                    View::row_major(&b, n, k).transposed(),
                ];
                for (left, right) in lefts.into_iter().zip(rights) {
                    with_isa(isa, || {
                        let expected = chain(left, right, Some(&bias), isa != Isa::Portable);
                        let panels = Panels::new(right);
                        for right in [Right::View(right), Right::Panels(&panels)] {
                            let out = product(left, right, Some(&bias));
                            assert_eq!(out.len(), m * n);
                            let wrong =
                                (0..m * n).find(|&i| out[i].to_bits() != expected[i].to_bits());
                            assert_eq!(wrong, None, "{isa:?} ({m}, {k}, {n})");
                        }
                    });
                }
            }
        }
    }

    #[test]
    fn panels_of_another_set_are_laid_out_again() {
        let (a, b): (Vec<f32>, Vec<f32>) = (noise(3 * 5, 1), noise(5 * 50, 2));
        let (a, b) = (View::row_major(&a, 3, 5), View::row_major(&b, 5, 50));
        for made in Isa::available() {
            let panels = with_isa(made, || Panels::new(b));
            for isa in Isa::available() {
                with_isa(isa, || {
                    let expected = product(a, Right::View(b), None);
                    assert_eq!(product(a, Right::Panels(&panels), None), expected);
                });
            }
        }
    }

    #[test]
    fn f64_has_the_accuracy_of_f64() {
        const RELATIVE: f64 = 1e-14;
        let (m, k, n) = (9, 200, 31);
        let (a, b): (Vec<f64>, Vec<f64>) = (noise(m * k, 1), noise(k * n, 2));
        let (left, right) = (View::row_major(&a, m, k), View::row_major(&b, k, n));
        let out = product(left, Right::View(right), None);
        for (i, &value) in out.iter().enumerate() {
            let terms = (0..k).map(|k| left.get(i / n, k) * right.get(k, i % n));
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
            assert!(
                (value - sum).abs() <= RELATIVE * size,
                "{i}: {value} not {sum}"
            );
        }
    }
}
