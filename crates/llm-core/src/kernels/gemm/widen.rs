//! A right-hand side in bf16, widened exactly while it is packed: the bits of a product are those
//! of the widened matrix, which never stands in memory as a whole.

use half::bf16;

use super::super::pool::{self, Chunks};
use super::super::scratch::Scratch;
use super::super::simd::{Isa, Real, Simd};
use super::pack::{Panels, REGISTERS, View, pack_panel, panel_width};
use super::tile::Source;

/// Values of a row that are widened at once before they are transposed: with 48 rows of f32, a
/// quarter of the first-level cache.
const LINE: usize = 64;

impl<E: Real> Source<'_, E> {
    /// Lays the part that starts at (row, column) `at` out as one panel in `E`; `panel` says how
    /// many rows. Columns outside the matrix become zeros.
    #[inline(always)]
    pub(super) fn pack<S: Simd<E = E>>(&self, s: S, at: (usize, usize), panel: &mut [E]) {
        let width = REGISTERS * S::LANES;
        match self {
            Self::View(view) => pack_panel(s, *view, at, panel),
            Self::Half(view) => pack_half(s, *view, at, panel),
            Self::Panels(panels) => {
                panel.copy_from_slice(panels.part(at.1, at.0, at.0 + panel.len() / width));
            }
            Self::HalfPanels(panels) => {
                widen(panels.part(at.1, at.0, at.0 + panel.len() / width), panel);
            }
        }
    }
}

/// `target[i] = source[i]`
#[inline(always)]
fn widen<E: Real>(source: &[bf16], target: &mut [E]) {
    target
        .iter_mut()
        .zip(source)
        .for_each(|(target, &value)| *target = E::widen(value));
}

/// As [`pack_panel`], from bf16.
#[inline(always)]
fn pack_half<S: Simd>(s: S, matrix: View<bf16>, at: (usize, usize), panel: &mut [S::E]) {
    let width = REGISTERS * S::LANES;
    let columns = width.min(matrix.columns - at.1);
    if matrix.is_row_major() {
        // Rows of neighbours, as they go into the panel.
        for (row, target) in panel.chunks_exact_mut(width).enumerate() {
            widen(matrix.row(at.0 + row, at.1, at.1 + columns), target);
            target[columns..].fill(S::E::ZERO);
        }
        return;
    }
    let mut lines = Scratch::new(columns * LINE);
    for (step, panel) in panel.chunks_mut(LINE * width).enumerate() {
        let count = panel.len() / width;
        for (column, line) in lines.chunks_exact_mut(count).take(columns).enumerate() {
            widen(
                &matrix.from(at.0 + step * LINE, at.1 + column)[..count],
                line,
            );
        }
        let lines = View::row_major(&lines[..columns * count], columns, count);
        pack_panel(s, lines.transposed(), (0, 0), panel);
    }
}

/// The panels of a bf16 matrix for f32 on the other side, in bf16.
///
/// # Shapes
/// `matrix [K, N]`.
pub(crate) fn half_panels(matrix: View<bf16>) -> Panels<bf16> {
    let (rows, columns) = (matrix.rows, matrix.columns);
    let width = panel_width::<f32>(Isa::active());
    let mut data = vec![bf16::ZERO; columns.div_ceil(width) * rows * width];
    pool::for_each(Chunks::new(&mut data, rows * width), 1, |index, panel| {
        let first = index * width;
        for column in 0..width.min(columns - first) {
            for (row, target) in panel.chunks_exact_mut(width).enumerate() {
                target[column] = matrix.from(row, first + column)[0];
            }
        }
    });
    Panels {
        data,
        rows,
        columns,
        width,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Right, Tail, View, product, product_with_tail};
    use super::*;
    use crate::kernels::simd::with_isa;

    fn noise(count: usize, salt: u32) -> Vec<f32> {
        let mut state = salt;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    const SHAPES: [(usize, usize, usize); 9] = [
        (1, 1, 1),
        (1, 3, 47),
        (2, 48, 48),
        (7, 49, 130),
        (67, 65, 3),
        (3, 2051, 50),
        (4, 0, 5),
        (5, 4, 0),
        (600, 70, 100),
    ];

    #[test]
    fn a_bf16_side_gives_the_bits_of_the_widened_one() {
        for isa in Isa::available() {
            for (m, k, n) in SHAPES {
                let a = noise(m * k, 1);
                let a = View::row_major(&a, m, k);
                let half: Vec<bf16> = noise(k * n, 2).into_iter().map(bf16::from_f32).collect();
                let wide: Vec<f32> = half.iter().map(|value| value.to_f32()).collect();
                let (tail_a, tail_b) = (noise(m * 3, 3), noise(3 * n, 4));
                let tail = Tail {
                    a: View::row_major(&tail_a, m, 3),
                    b: View::row_major(&tail_b, n, 3).transposed(),
                };
                let both = [
                    (View::row_major(&half, k, n), View::row_major(&wide, k, n)),
                    (
                        View::row_major(&half, n, k).transposed(),
                        View::row_major(&wide, n, k).transposed(),
                    ),
                ];
                for (half, wide) in both {
                    with_isa(isa, || {
                        let panels = half_panels(half);
                        for tail in [None, Some(tail)] {
                            let expected = product_with_tail(a, Right::View(wide), tail, None);
                            for right in [Right::Half(half), Right::HalfPanels(&panels)] {
                                let got = product_with_tail(a, right, tail, None);
                                assert_eq!(got, expected, "{isa:?} ({m}, {k}, {n})");
                            }
                        }
                    });
                }
            }
        }
    }

    #[test]
    fn a_tail_is_more_of_k() {
        let (m, k, r, n) = (70, 33, 5, 61);
        let (a, b) = (noise(m * (k + r), 1), noise((k + r) * n, 2));
        let part = |from: usize, to: usize| -> Vec<f32> {
            a.chunks_exact(k + r)
                .flat_map(|row| row[from..to].to_vec())
                .collect()
        };
        let (head, rest) = (part(0, k), part(k, k + r));
        let tail = Tail {
            a: View::row_major(&rest, m, r),
            b: View::row_major(&b[k * n..], r, n),
        };
        let bias = noise(n, 3);
        let got = product_with_tail(
            View::row_major(&head, m, k),
            Right::View(View::row_major(&b[..k * n], k, n)),
            Some(tail),
            Some(&bias),
        );
        let b = Right::View(View::row_major(&b, k + r, n));
        assert_eq!(got, product(View::row_major(&a, m, k + r), b, Some(&bias)));
    }

    #[test]
    fn half_panels_of_another_set_are_laid_out_again() {
        let half: Vec<bf16> = noise(5 * 50, 2).into_iter().map(bf16::from_f32).collect();
        let (a, half) = (noise(3 * 5, 1), View::row_major(&half, 5, 50));
        let a = View::row_major(&a, 3, 5);
        for made in Isa::available() {
            let panels = with_isa(made, || half_panels(half));
            for isa in Isa::available() {
                with_isa(isa, || {
                    let expected = product(a, Right::Half(half), None);
                    assert_eq!(product(a, Right::HalfPanels(&panels), None), expected);
                });
            }
        }
    }
}
