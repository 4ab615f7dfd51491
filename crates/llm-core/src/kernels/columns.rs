//! Rows times a factor for each column.

use super::pool::{Chunks, for_each};
use super::rows::{grain, zip_map};
use super::simd::{Isa, Kernel, Real, Simd};

/// Elements of a product that one task makes.
const SHARE: usize = 16 * 1024;

/// `y = x ⊙ factors + bias`, the same factors and bias for each row.
///
/// # Shapes
/// `x [N, O]`, `factors [O]`, `bias [O]` → `[N, O]`.
pub(crate) fn multiplied<E: Real>(x: &[E], factors: &[E], bias: Option<&[E]>) -> Vec<E> {
    let columns = factors.len();
    let mut y = vec![E::ZERO; x.len()];
    if columns == 0 {
        return y;
    }
    let isa = Isa::active();
    for_each(Chunks::new(&mut y, columns), grain(columns), |row, y| {
        let x = &x[row * columns..][..y.len()];
        isa.run(Row {
            x,
            factors,
            bias,
            y,
        });
    });
    y
}

struct Row<'a, E> {
    x: &'a [E],
    factors: &'a [E],
    bias: Option<&'a [E]>,
    y: &'a mut [E],
}

impl<E: Real> Kernel<E> for Row<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, simd: S) {
        match self.bias {
            // A product and a sum, each rounded: a factor of 1 gives the bits of `x + b`.
            Some(bias) => zip_map(simd, [self.x, self.factors, bias], self.y, |[x, f, b]| {
                simd.add(simd.mul(x, f), b)
            }),
            None => zip_map(simd, [self.x, self.factors], self.y, |[x, f]| {
                simd.mul(x, f)
            }),
        }
    }
}

/// `a ⊙ b`, element by element.
///
/// # Shapes
/// `a [..]`, `b [..]` → `[..]`.
pub(crate) fn products<E: Real>(a: &[E], b: &[E]) -> Vec<E> {
    struct Products<'a, E>(&'a [E], &'a [E], &'a mut [E]);
    impl<E: Real> Kernel<E> for Products<'_, E> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd<E = E>>(self, simd: S) {
            zip_map(simd, [self.0, self.1], self.2, |[a, b]| simd.mul(a, b));
        }
    }
    let mut out = vec![E::ZERO; a.len()];
    let isa = Isa::active();
    for_each(Chunks::new(&mut out, SHARE), 1, |index, out| {
        let start = index * SHARE;
        let end = start + out.len();
        isa.run(Products(&a[start..end], &b[start..end], out));
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::with_isa;

    #[test]
    fn every_instruction_set_multiplies_columns_alike() {
        for (rows, columns) in [(0, 3), (3, 0), (1, 1), (3, 5), (40, 67), (9, 4096)] {
            let wave = |count: usize, step: f32| -> Vec<f32> {
                (0..count).map(|i| (i as f32 * step).sin()).collect()
            };
            let (x, factors) = (wave(rows * columns, 0.7), wave(columns, 1.3));
            let bias = wave(columns, 0.4);
            let plain: Vec<f32> = (0..rows * columns)
                .map(|i| x[i] * factors[i % columns] + bias[i % columns])
                .collect();
            for isa in Isa::available() {
                let y = with_isa(isa, || multiplied(&x, &factors, Some(&bias)));
                assert_eq!(y, plain, "{isa:?} {rows} x {columns}");
                let bare = with_isa(isa, || multiplied(&x, &factors, None));
                let expected: Vec<f32> = (0..rows * columns)
                    .map(|i| x[i] * factors[i % columns])
                    .collect();
                assert_eq!(bare, expected, "{isa:?} {rows} x {columns} without a bias");
            }
        }
    }

    #[test]
    fn products_are_element_by_element() {
        let a: Vec<f64> = (0..40_000).map(|i| f64::from(i).cos()).collect();
        let b: Vec<f64> = (0..40_000).map(|i| f64::from(i).sin()).collect();
        let expected: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a * b).collect();
        assert_eq!(products(&a, &b), expected);
        assert!(products::<f32>(&[], &[]).is_empty());
    }
}
