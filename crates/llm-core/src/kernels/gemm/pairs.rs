//! The rounded product by pairs along K.
//!
//! AVX512-BF16 multiplies two neighbours along K at a time, twice the rate of f32. A sum takes the
//! products of a pair one after the other, the odd one first, each as a fused multiply-add in f32
//! whose denormal inputs and results count as zero. Without the instruction that is emulated.
//!
//! Two bf16 neighbours lie in one *slot*, the memory of an f32 that is never computed with.

use std::mem::MaybeUninit;

use half::bf16;

use super::super::pool::{self, Chunks, Tile, Tiles};
use super::super::scratch::Scratch;
use super::super::simd::{Isa, Kernel, PairDot, Simd};
use super::pack::{REGISTERS, View, pack_panel, pack_row_group, panel_width};
use super::rounded::{Rest, flush, for_row_blocks};
use super::{Tail, WORTH_A_THREAD, rows_per_panel};

/// The most pairs along K that a panel holds at once: with 48 columns, half of a first-level cache
/// of 48 KiB.
const PAIR_BLOCK: usize = 128;
/// Pairs of a row that are gathered at once before they are transposed.
const LINE: usize = 64;

/// As [`rounded_product`](super::rounded_product) with a right side in bf16.
pub(super) fn product(
    a: View<f32>,
    b: View<bf16>,
    tail: Option<Tail<f32>>,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let isa = Isa::active();
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(k == b.rows, "sides do not fit");
    let rows;
    let a = match a.is_row_major() {
        true => a,
        false => {
            rows = a.to_rows();
            View::row_major(&rows, m, k)
        }
    };
    let task = Task {
        a: &slots_of_rows(isa, a),
        pairs: k.div_ceil(2),
        b,
        dot: PairDot::detect().filter(|_| isa == Isa::Avx512),
        rest: Rest::new(tail, bias, (m, n)),
    };
    let width = panel_width::<f32>(isa);
    let tile = (rows_per_panel(m, n.div_ceil(width)), width);
    let grain = WORTH_A_THREAD.div_ceil((width * k * tile.0.min(m)).max(1));
    let mut out: Vec<f32> = Vec::with_capacity(m * n);
    let spare = &mut out.spare_capacity_mut()[..m * n];
    pool::for_each(Tiles::new(spare, (m, n), tile), grain, |_, out| {
        isa.run(Work { task: &task, out });
    });
    // SAFETY: the tiles cover `out`, and each task writes all of its tile.
    unsafe { out.set_len(m * n) };
    out
}

/// Two neighbours in one slot.
#[inline(always)]
fn slot(even: bf16, odd: bf16) -> f32 {
    f32::from_bits(u32::from(even.to_bits()) | u32::from(odd.to_bits()) << 16)
}

/// Both neighbours of a slot, widened; denormal ones are zero.
#[inline(always)]
fn neighbours(slot: f32) -> [f32; 2] {
    let bits = slot.to_bits();
    [bits << 16, bits & 0xffff_0000].map(|bits| flush(f32::from_bits(bits)))
}

/// The nearest bf16, to even where two are equally near; NaN stays NaN.
#[inline(always)]
fn round(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // The sum of a NaN's bits might wrap into another number.
    if value.is_nan() {
        bits >> 16 | 0x40
    } else {
        rounded
    }
}

/// `matrix`, rounded, in row blocks of slots `[K / 2][R]`, one after the other.
fn slots_of_rows(isa: Isa, matrix: View<f32>) -> Scratch<f32> {
    struct Group<'a, 'o> {
        matrix: View<'a, f32>,
        first: usize,
        target: &'o mut [f32],
    }
    impl Kernel<f32> for Group<'_, '_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd<E = f32>>(self, _simd: S) {
            let k = self.matrix.columns;
            let pairs = k.div_ceil(2);
            let rows = self.target.len() / pairs;
            let mut lines = Scratch::new(rows * pairs);
            for (r, line) in lines.chunks_exact_mut(pairs).enumerate() {
                let row = self.matrix.row(self.first + r, 0, k);
                for (slot, pair) in line.iter_mut().zip(row.chunks_exact(2)) {
                    *slot = f32::from_bits(round(pair[0]) | round(pair[1]) << 16);
                }
                if k % 2 == 1 {
                    line[pairs - 1] = f32::from_bits(round(row[k - 1]));
                }
            }
            let lines = View::row_major(&lines[..], rows, pairs);
            pack_row_group(lines, (0, 0), (rows, pairs), self.target, S::TILE_ROWS);
        }
    }
    let pairs = matrix.columns.div_ceil(2);
    // Blocks of 8 rows, the most of any set, hold whole tiles of every set.
    let mut slots = Scratch::new(matrix.rows * pairs);
    pool::for_each(Chunks::new(&mut slots, 8 * pairs), 1, |index, target| {
        isa.run(Group {
            matrix,
            first: index * 8,
            target,
        });
    });
    slots
}

/// Lays the slots of `matrix` that start at (pair, column) `at` out as one panel. What is outside
/// the matrix becomes zeros.
#[inline(always)]
fn pack_pairs<S: Simd<E = f32>>(s: S, matrix: View<bf16>, at: (usize, usize), panel: &mut [f32]) {
    let width = REGISTERS * S::LANES;
    let columns = width.min(matrix.columns - at.1);
    let zero = bf16::ZERO;
    if matrix.is_row_major() {
        for (pair, target) in panel.chunks_exact_mut(width).enumerate() {
            let row = 2 * (at.0 + pair);
            let even = matrix.row(row, at.1, at.1 + columns);
            match row + 1 < matrix.rows {
                true => {
                    let odd = matrix.row(row + 1, at.1, at.1 + columns);
                    let both = even.iter().zip(odd);
                    target
                        .iter_mut()
                        .zip(both)
                        .for_each(|(t, (&a, &b))| *t = slot(a, b));
                }
                false => target
                    .iter_mut()
                    .zip(even)
                    .for_each(|(t, &a)| *t = slot(a, zero)),
            }
            target[columns..].fill(0.0);
        }
        return;
    }
    let mut lines = Scratch::new(columns * LINE);
    for (step, panel) in panel.chunks_mut(LINE * width).enumerate() {
        let count = panel.len() / width;
        let first = 2 * (at.0 + step * LINE);
        let values = (2 * count).min(matrix.rows - first);
        for (column, line) in lines.chunks_exact_mut(count).take(columns).enumerate() {
            let row = &matrix.from(first, at.1 + column)[..values];
            let pairs = row.chunks_exact(2);
            if let [last] = pairs.remainder() {
                line[count - 1] = slot(*last, zero);
            }
            line.iter_mut()
                .zip(pairs)
                .for_each(|(t, pair)| *t = slot(pair[0], pair[1]));
        }
        let lines = View::row_major(&lines[..columns * count], columns, count);
        pack_panel(s, lines.transposed(), (0, 0), panel);
    }
}

/// What all tasks of a product share.
struct Task<'a> {
    /// Row blocks of slots.
    a: &'a [f32],
    /// ⌈K / 2⌉
    pairs: usize,
    b: View<'a, bf16>,
    /// The instruction, if the machine has it.
    dot: Option<PairDot>,
    rest: Rest<'a>,
}

/// A task inside the instruction set: one panel of B.
struct Work<'a, 'o> {
    task: &'a Task<'a>,
    out: Tile<'o, MaybeUninit<f32>>,
}

impl Kernel<f32> for Work<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = f32>>(self, s: S) {
        let Self { task, mut out } = self;
        let (width, rows, pairs) = (REGISTERS * S::LANES, out.rows, task.pairs);
        let mut sums = Scratch::new(rows * width);
        sums.fill(0.0);
        let mut panel = Scratch::new(PAIR_BLOCK.min(pairs) * width);
        for from in (0..pairs).step_by(PAIR_BLOCK) {
            let to = pairs.min(from + PAIR_BLOCK);
            let panel = &mut panel[..(to - from) * width];
            pack_pairs(s, task.b, (from, out.column), panel);
            for_row_blocks(rows, S::TILE_ROWS, |block, done| {
                let start = (out.row + done) * pairs;
                let a = &task.a[start + block * from..start + block * to];
                let sums = &mut sums[done * width..(done + block) * width];
                add_pairs(task.dot, block, a, panel, sums);
            });
        }
        let tail = task.rest.panel(s, out.column);
        task.rest.add_tail(s, tail.as_deref(), out.row, &mut sums);
        task.rest.emit(&mut out, (0, 0), width, &sums);
    }
}

/// `sums [R, W] += a [pairs][R] · b [pairs][W]`
#[inline(always)]
fn add_pairs(dot: Option<PairDot>, rows: usize, a: &[f32], b: &[f32], sums: &mut [f32]) {
    match dot {
        Some(dot) => dot.add_rows(rows, a, b, sums),
        None => emulated(rows, a, b, sums),
    }
}

/// What the instruction computes, in plain arithmetic.
fn emulated(rows: usize, a: &[f32], b: &[f32], sums: &mut [f32]) {
    let width = sums.len() / rows;
    for (a, b) in a.chunks_exact(rows).zip(b.chunks_exact(width)) {
        for (sums, &a) in sums.chunks_exact_mut(width).zip(a) {
            let [a_even, a_odd] = neighbours(a);
            for (sum, &b) in sums.iter_mut().zip(b) {
                let [b_even, b_odd] = neighbours(b);
                let odd = flush(a_odd.mul_add(b_odd, flush(*sum)));
                *sum = flush(a_even.mul_add(b_even, odd));
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kernels::simd::with_isa;

    /// Numbers of all sizes; with `odd_ones` also NaN, infinities, zeros and denormals.
    pub(in super::super) fn noise(count: usize, salt: u32, odd_ones: bool) -> Vec<f32> {
        let mut state = salt;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        (0..count)
            .map(|_| match (odd_ones, next() % 64) {
                (true, 0) => f32::NAN,
                (true, 1) => f32::INFINITY,
                (true, 2) => f32::NEG_INFINITY,
                (true, 3) => 1e-39,
                (true, 4) => -0.0,
                (true, 5) => f32::MAX,
                (true, 6) => 1.3e-38,
                _ => (next() as f32 / 8_388_608.0 - 1.0) * 2f32.powi(next() as i32 % 9 - 4),
            })
            .collect()
    }

    /// The definition of the module page with plain loops over f32 matrices.
    fn plain(a: View<f32>, b: View<bf16>, bias: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        for (m, n) in (0..a.rows).flat_map(|m| (0..b.columns).map(move |n| (m, n))) {
            let mut sum = 0f32;
            for k in (0..a.columns).step_by(2) {
                for k in [k + 1, k] {
                    let (x, y) = match k < a.columns {
                        true => (bf16::from_f32(a.get(m, k)), b.get(k, n)),
                        false => (bf16::ZERO, bf16::ZERO),
                    };
                    sum = flush(flush(x.to_f32()).mul_add(flush(y.to_f32()), flush(sum)));
                }
            }
            out.push(sum + bias[n]);
        }
        out
    }

    pub(in super::super) fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
    }

    #[test]
    fn every_output_is_the_chain_of_pairs_bit_for_bit() {
        let shapes = [
            (1, 1, 1),
            (1, 3, 47),
            (2, 48, 48),
            (7, 49, 130),
            (67, 5, 3),
            (13, 2 * PAIR_BLOCK + 3, 50),
            (600, 7, 100),
            (4, 0, 5),
            (0, 4, 5),
            (5, 4, 0),
        ];
        for isa in Isa::available() {
            for ((m, k, n), odd_ones) in shapes.into_iter().zip([false, true].into_iter().cycle()) {
                let a = noise(m * k, 1, odd_ones);
                let a = View::row_major(&a, m, k);
                let b: Vec<bf16> = noise(k * n, 2, odd_ones)
                    .into_iter()
                    .map(bf16::from_f32)
                    .collect();
                let bias = noise(n, 3, false);
                for b in [
                    View::row_major(&b, k, n),
                    View::row_major(&b, n, k).transposed(),
                ] {
                    let expected = plain(a, b, &bias);
                    let got = with_isa(isa, || product(a, b, None, Some(&bias)));
                    let wrong = (0..m * n).find(|&i| !same(got[i], expected[i]));
                    let pair = wrong.map(|i| (got[i], expected[i]));
                    assert_eq!(wrong, None, "{isa:?} ({m}, {k}, {n}) {pair:?}");
                }
            }
        }
    }

    #[test]
    fn rounding_is_to_the_nearest_even() {
        for bits in (0..=u32::MAX).step_by(65_521) {
            let value = f32::from_bits(bits);
            let expected = bf16::from_f32(value);
            let got = bf16::from_bits(round(value) as u16);
            assert!(
                got == expected || got.is_nan() && expected.is_nan(),
                "{bits:08x}"
            );
        }
    }
}
