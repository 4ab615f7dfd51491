//! The transpose in registers against plain loops.

use super::super::*;

/// What is around the square and must stay.
const MARK: f64 = -7.0;

/// The transpose of a square of numbers, all different, between rows `apart` as far as given.
struct Square {
    source_apart: usize,
    target_apart: usize,
}

impl<E: Real> Kernel<E> for Square {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, s: S) {
        // Beyond the lanes of a row, and no longer than the last row's end.
        let (from, to) = (S::LANES + self.source_apart, S::LANES + self.target_apart);
        let len = |stride: usize| (S::LANES - 1) * stride + S::LANES;
        let source: Vec<E> = (0..len(from)).map(|i| E::from_f64(i as f64)).collect();
        let mut target = vec![E::from_f64(MARK); len(to)];
        s.transpose_block(&source, from, &mut target, to);
        for (i, value) in target.into_iter().enumerate() {
            let (c, r) = (i / to, i % to);
            let expected = match r < S::LANES {
                true => source[r * from + c],
                false => E::from_f64(MARK),
            };
            assert!(
                value == expected,
                "{} lanes, strides {from}, {to}: ({c}, {r})",
                S::LANES
            );
        }
    }
}

#[test]
fn squares_are_transposed_at_any_stride_and_nothing_else_is_written() {
    for source_apart in [0, 1, 3, 13, 32, 83] {
        for target_apart in [0, 1, 2, 17, 31, 97] {
            for isa in Isa::available() {
                isa.run::<f32, _>(Square {
                    source_apart,
                    target_apart,
                });
                isa.run::<f64, _>(Square {
                    source_apart,
                    target_apart,
                });
            }
        }
    }
}

/// Bits travel unchanged, those of denormals and of NaN with a payload too.
#[test]
fn a_transpose_moves_bits() {
    struct Twice([u32; MAX_LANES * MAX_LANES]);
    impl Kernel<f32> for Twice {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd<E = f32>>(self, s: S) {
            let there: Vec<f32> = self.0.map(f32::from_bits)[..S::LANES * S::LANES].to_vec();
            let (mut back, mut once) = (vec![0.0; there.len()], vec![0.0; there.len()]);
            s.transpose_block(&there, S::LANES, &mut once, S::LANES);
            s.transpose_block(&once, S::LANES, &mut back, S::LANES);
            for (i, (a, b)) in there.iter().zip(&back).enumerate() {
                assert_eq!(a.to_bits(), b.to_bits(), "{} lanes, {i}", S::LANES);
            }
        }
    }
    for isa in Isa::available() {
        isa.run(Twice(std::array::from_fn(|i| {
            (i as u32).wrapping_mul(2_654_435_761)
        })));
    }
}
