//! The product whose sides are rounded to bf16 and whose sums are f32.
//!
//! Two instructions multiply so, and they sum in different orders, which is the only difference:
//!
//! | instruction | order of a sum | where |
//! |---|---|---|
//! | tiles (AMX-BF16) | [`tiles`](super::tiles) | Intel servers since 2023 |
//! | pairs (AVX512-BF16) | [`pairs`](super::pairs) | AMD since Zen 4; elsewhere emulated, slowly |
//!
//! K is walked in order in both, so the bits of a row do not depend on the rows beside it, and a
//! [`Tail`] in f32 goes on with the same sums.

use std::mem::MaybeUninit;

use half::bf16;

use super::super::pool::Tile;
use super::super::scratch::Scratch;
use super::super::simd::{Isa, PairDot, Simd, TileDot};
use super::pack::{REGISTERS, View, block_rows, pack_panel, pack_rows};
use super::tile::{add_packed, load_width};
use super::{Tail, check_tail, pairs, tiles};

/// The right-hand side of a [`rounded_product`].
#[derive(Clone, Copy)]
pub(crate) enum RoundedRight<'a, E> {
    /// In bf16 already.
    Half(View<'a, bf16>),
    /// To be rounded.
    Wide(View<'a, E>),
}

/// Whether this machine multiplies bf16 by an instruction of its own.
pub(crate) fn has_rounded_products() -> bool {
    PairDot::detect().is_some()
}

/// `round(A) · round(B) + A' · B' + bias`, sides rounded to the nearest bf16 and the tail in f32.
///
/// # Shapes
/// `a [M, K]`, `b [K, N]`, `tail` of R more, `bias [N]` → `[M, N]`.
pub(crate) fn rounded_product(
    a: View<f32>,
    b: RoundedRight<f32>,
    tail: Option<Tail<f32>>,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let tiles = TileDot::detect().filter(|_| Isa::active() == Isa::Avx512);
    match (tiles, b) {
        (Some(dot), RoundedRight::Half(b)) => tiles::product(dot, a, b, tail, bias),
        (Some(dot), RoundedRight::Wide(b)) => tiles::product(dot, a, b, tail, bias),
        (None, RoundedRight::Half(b)) => pairs::product(a, b, tail, bias),
        (None, RoundedRight::Wide(b)) => {
            let rounded = b.map(bf16::from_f32);
            pairs::product(a, b.over(&rounded), tail, bias)
        }
    }
}

/// What is added to the sums: a tail and a bias.
pub(super) struct Rest<'a> {
    /// B' and A' in row blocks.
    tail: Option<(View<'a, f32>, Scratch<f32>)>,
    bias: Option<&'a [f32]>,
}

impl<'a> Rest<'a> {
    pub(super) fn new(
        tail: Option<Tail<'a, f32>>,
        bias: Option<&'a [f32]>,
        shape: (usize, usize),
    ) -> Self {
        check_tail(tail, shape);
        assert!(
            bias.is_none_or(|bias| bias.len() == shape.1),
            "a bias that does not fit"
        );
        let tail = tail.map(|tail| {
            let mut packed = Scratch::new(tail.a.rows * tail.a.columns);
            pack_rows(Isa::active(), tail.a, &mut packed);
            (tail.b, packed)
        });
        Self { tail, bias }
    }

    /// The panel of B' that starts at `column`.
    #[inline(always)]
    pub(super) fn panel<S: Simd<E = f32>>(&self, s: S, column: usize) -> Option<Scratch<f32>> {
        let (b, _) = self.tail.as_ref()?;
        let mut panel = Scratch::new(b.rows * REGISTERS * S::LANES);
        pack_panel(s, *b, (0, column), &mut panel);
        Some(panel)
    }

    /// `sums [rows, W] += A' · panel` for rows of the product from `row` on.
    #[inline(always)]
    pub(super) fn add_tail<S: Simd<E = f32>>(
        &self,
        s: S,
        panel: Option<&[f32]>,
        row: usize,
        sums: &mut [f32],
    ) {
        let (Some((b, a)), Some(panel)) = (&self.tail, panel) else {
            return;
        };
        let width = REGISTERS * S::LANES;
        for_row_blocks(sums.len() / width, S::TILE_ROWS, |block, done| {
            let start = (row + done) * b.rows;
            let a = &a[start..start + block * b.rows];
            let sums = &mut sums[done * width..(done + block) * width];
            match block {
                8 => add_tail::<S, 8>(s, a, panel, sums),
                4 => add_tail::<S, 4>(s, a, panel, sums),
                2 => add_tail::<S, 2>(s, a, panel, sums),
                _ => add_tail::<S, 1>(s, a, panel, sums),
            }
        });
    }

    /// Writes sums `[rows, width]` with the bias to `out`, from (row, column) `at` of the tile on.
    #[inline(always)]
    pub(super) fn emit(
        &self,
        out: &mut Tile<MaybeUninit<f32>>,
        at: (usize, usize),
        width: usize,
        sums: &[f32],
    ) {
        let (column, count) = (out.column + at.1, width.min(out.columns - at.1));
        for (row, sums) in sums.chunks_exact(width).enumerate() {
            let [out] = out.rows_mut::<1>((at.0 + row, at.1), count);
            let out = out.iter_mut().zip(sums);
            match self.bias {
                Some(bias) => {
                    out.zip(&bias[column..column + count])
                        .for_each(|((out, &sum), &b)| {
                            out.write(sum + b);
                        })
                }
                None => out.for_each(|(out, &sum)| {
                    out.write(sum);
                }),
            }
        }
    }
}

/// Calls `work` with the size and the first row of each block of `rows` rows.
#[inline(always)]
pub(super) fn for_row_blocks(rows: usize, most: usize, mut work: impl FnMut(usize, usize)) {
    let mut done = 0;
    while done < rows {
        let block = block_rows(rows - done, most);
        work(block, done);
        done += block;
    }
}

/// `sums [R, W] += a [K][R] · b [K][W]` in f32.
#[inline(always)]
fn add_tail<S: Simd<E = f32>, const R: usize>(s: S, a: &[f32], b: &[f32], sums: &mut [f32]) {
    let mut tile = [[s.zero(); REGISTERS]; R];
    let width = REGISTERS * S::LANES;
    for (tile, sums) in tile.iter_mut().zip(sums.chunks_exact(width)) {
        *tile = load_width(s, sums);
    }
    add_packed::<S, R>(s, a, b, &mut tile);
    for (tile, sums) in tile.iter().zip(sums.chunks_exact_mut(width)) {
        for (&v, sums) in tile.iter().zip(sums.chunks_exact_mut(S::LANES)) {
            s.store(sums, v);
        }
    }
}

/// A denormal number as the zero of its sign, as the instructions read and write it.
#[inline(always)]
pub(super) fn flush(value: f32) -> f32 {
    if value.is_subnormal() {
        0f32.copysign(value)
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::super::pairs::tests::noise;
    use super::*;

    #[test]
    fn a_row_has_the_same_bits_in_every_batch_and_the_tail_is_exact() {
        let (m, k, n, r) = (67, 131, 70, 5);
        let (a, b) = (noise(m * k, 1, false), noise(k * n, 2, false));
        let b: Vec<bf16> = b.into_iter().map(bf16::from_f32).collect();
        let b = RoundedRight::Half(View::row_major(&b, n, k).transposed());
        let (tail_a, tail_b) = (noise(m * r, 3, false), noise(r * n, 4, false));
        let tail_b = View::row_major(&tail_b, r, n);
        let run = |rows: std::ops::Range<usize>| {
            let (a, t) = (
                &a[rows.start * k..rows.end * k],
                &tail_a[rows.start * r..rows.end * r],
            );
            let tail = Tail {
                a: View::row_major(t, rows.len(), r),
                b: tail_b,
            };
            rounded_product(View::row_major(a, rows.len(), k), b, Some(tail), None)
        };
        let all = run(0..m);
        for rows in [0..1, 5..8, 60..67, 1..66] {
            let part = run(rows.clone());
            assert_eq!(part, all[rows.start * n..rows.end * n], "{rows:?}");
        }
        let base = rounded_product(View::row_major(&a, m, k), b, None, None);
        if Isa::active() == Isa::Portable {
            return; // its tail rounds twice a step
        }
        for (i, &got) in all.iter().enumerate() {
            let row = &tail_a[i / n * r..][..r];
            let sum = row
                .iter()
                .enumerate()
                .fold(base[i], |sum, (j, &x)| x.mul_add(tail_b.get(j, i % n), sum));
            assert_eq!(got, sum, "output {i}");
        }
    }

    #[test]
    fn a_side_in_f32_is_rounded_and_any_side_may_be_transposed() {
        let (m, k, n) = (37, 70, 51);
        let (a, b) = (noise(m * k, 1, false), noise(k * n, 2, false));
        let rounded: Vec<bf16> = b.iter().map(|&value| bf16::from_f32(value)).collect();
        for isa in Isa::available() {
            crate::kernels::simd::with_isa(isa, || {
                let right = View::row_major(&b, k, n);
                let half = RoundedRight::Half(right.over(&rounded));
                let lefts = [
                    View::row_major(&a, m, k),
                    View::row_major(&a, k, m).transposed(),
                ];
                for left in lefts {
                    let expected = rounded_product(left, half, None, None);
                    let found = rounded_product(left, RoundedRight::Wide(right), None, None);
                    assert_eq!(found, expected, "{isa:?}");
                    let copy: Vec<f32> = (0..m * k).map(|i| left.get(i / k, i % k)).collect();
                    let copy = View::row_major(&copy, m, k);
                    assert_eq!(rounded_product(copy, half, None, None), expected, "{isa:?}");
                }
            });
        }
    }
}
