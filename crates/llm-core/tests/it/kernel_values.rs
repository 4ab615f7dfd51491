//! Infinities, NaN and denormals in every argument and gradient of every kernel: the composed
//! version in f64 says what becomes of them.

use candle_core::{DType, Device, Tensor};
use llm_core::kernels::simd::{Isa, with_isa};
use llm_core::ops::Ops;

use crate::kernel_shapes::operations;
use crate::ops::{Case, random, values};

/// Rows and lengths with a rest on every instruction set.
const SHAPES: [(usize, usize); 3] = [(1, 3), (5, 19), (9, 33)];
/// Chains of a few dozen roundings.
const F32: f64 = 2e-6;
const F64: f64 = 1e-12;
/// Roundings to the grid of denormals, in units of it: one for each term of the longest sum.
const DENORMAL_STEPS: f64 = 140.0;
/// Of five rows, which one has no target in the cases.
const IGNORED_ROW_OF_FIVE: usize = 3;

/// A number type with its accuracy and its denormals.
#[derive(Clone, Copy)]
struct Kind {
    dtype: DType,
    tolerance: f64,
    least: f64,
    /// Makes numbers of size 1 denormal.
    shrink: f64,
}

fn kinds() -> [Kind; 2] {
    let (single, double) = (f64::from(f32::from_bits(1)), f64::from_bits(1));
    [
        (DType::F32, F32, single, 1e-40),
        (DType::F64, F64, double, 1e-310),
    ]
    .map(|(dtype, tolerance, least, shrink)| Kind {
        dtype,
        tolerance,
        least,
        shrink,
    })
}

/// What goes into a case: its arguments and the gradient of its result, in f64.
#[derive(Clone)]
struct Inputs(Vec<Tensor>);

impl Inputs {
    fn new(case: &Case) -> Self {
        let mut all = case.arguments(DType::F64);
        let y = (case.run)(Ops::Composed, &all).unwrap();
        let g = random(99, y.dims(), DType::F32);
        all.push(g.to_dtype(DType::F64).unwrap());
        Self(all)
    }

    fn edit(&self, which: usize, f: impl Fn(usize, f64) -> f64) -> Self {
        let mut all = self.0.clone();
        let edited = values(&all[which]).into_iter().enumerate();
        let edited: Vec<f64> = edited.map(|(i, x)| f(i, x)).collect();
        all[which] = Tensor::from_vec(edited, all[which].shape(), &Device::Cpu).unwrap();
        Self(all)
    }

    /// The same numbers after rounding to `dtype`.
    fn rounded(&self, dtype: DType) -> Self {
        let round = |x: &Tensor| x.to_dtype(dtype).unwrap().to_dtype(DType::F64).unwrap();
        Self(self.0.iter().map(round).collect())
    }

    /// The result, then the gradients of the arguments.
    fn results(&self, case: &Case, ops: Ops, dtype: DType) -> Vec<Vec<f64>> {
        let all: Vec<Tensor> = self.0.iter().map(|x| x.to_dtype(dtype).unwrap()).collect();
        let (g, arguments) = all.split_last().unwrap();
        case.results_of(ops, arguments, |y| (y * g).unwrap())
    }
}

/// An infinity or NaN in place of one number.
#[derive(Clone, Copy)]
struct Spoilt {
    input: usize,
    at: usize,
    bad: f64,
}

impl Spoilt {
    fn put(self, inputs: &Inputs) -> Inputs {
        inputs.edit(self.input, |i, x| if i == self.at { self.bad } else { x })
    }

    /// The number that a kernel may give where the composed version has NaN. Both kinds are better
    /// than that one's ∞ · 0: far out GELU is flat or a line, and a row of cross-entropy that is
    /// ignored is not looked at.
    fn instead_of_nan(self, case: &Case, inputs: &Inputs, result: usize, at: usize) -> Option<f64> {
        if case.name.starts_with("cross_entropy") {
            return (result == 1 && is_ignored(inputs, at)).then_some(0.0);
        }
        let gelu = case.name.starts_with("gelu") && self.input == 0 && self.at == at;
        match (gelu, result, self.bad) {
            (true, _, f64::NEG_INFINITY) => Some(0.0),
            (true, 1, f64::INFINITY) => Some(values(&inputs.0[1])[at]),
            _ => None,
        }
    }
}

/// Whether the logit `at` stands in a row without a target.
fn is_ignored(inputs: &Inputs, at: usize) -> bool {
    at / inputs.0[0].dims()[1] % 5 == IGNORED_ROW_OF_FIVE
}

/// A number found, the one expected, and where: in which result at which place.
type Agree<'a> = dyn Fn((f64, f64), (usize, usize)) -> bool + 'a;

/// Compares on every instruction set of `kind` with what the composed version makes of
/// `reference`. Finite numbers are near to each other, relative to the largest or `floor`; what
/// the others have to be, `agree` says.
fn compare(case: &Case, [inputs, reference]: [&Inputs; 2], kind: Kind, floor: f64, agree: &Agree) {
    let expected = reference
        .rounded(kind.dtype)
        .results(case, Ops::Composed, DType::F64);
    let sets = match kind.dtype {
        DType::F32 => Isa::available(),
        _ => vec![Isa::Portable],
    };
    for isa in sets {
        let found = with_isa(isa, || inputs.results(case, Ops::Fused, kind.dtype));
        for (result, (a, b)) in found.iter().zip(&expected).enumerate() {
            let finite = b.iter().filter(|b| b.is_finite());
            let scale = finite.fold(floor, |max: f64, b| max.max(b.abs()));
            let tolerance = kind.tolerance * scale + DENORMAL_STEPS * kind.least;
            for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
                let near = (a - b).abs() <= tolerance;
                assert!(
                    if b.is_finite() {
                        near
                    } else {
                        agree((a, b), (result, i))
                    },
                    "{isa:?} {:?} {}: result {result} is {a:e} at {i}, not {b:e} ± {tolerance:e}",
                    kind.dtype,
                    case.name
                );
            }
        }
    }
}

fn all_operations() -> impl Iterator<Item = (Case, Inputs)> {
    let cases = SHAPES
        .into_iter()
        .flat_map(|(rows, length)| operations(rows, length));
    cases.map(|case| {
        let inputs = Inputs::new(&case);
        (case, inputs)
    })
}

#[test]
fn what_is_denormal_is_not_flushed() {
    for (case, inputs) in all_operations() {
        for kind in kinds() {
            for which in 0..inputs.0.len() {
                let tiny = inputs.edit(which, |_, x| x * kind.shrink);
                compare(&case, [&tiny; 2], kind, 0.0, &|_, _| false);
            }
        }
    }
}

/// NaN stays NaN, an infinity has the sign that it has in the composed version, and where two
/// infinities meet in another order than there, the result is at least not a number like others.
#[test]
fn what_is_infinite_or_nan_comes_out_where_it_should() {
    for (case, inputs) in all_operations() {
        for (input, tensor) in inputs.0.iter().enumerate() {
            let count = tensor.elem_count();
            for at in [0, count / 2, count - 1] {
                for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                    let spoilt = Spoilt { input, at, bad };
                    let with = spoilt.put(&inputs);
                    let unread = case.name.starts_with("cross_entropy")
                        && input == 0
                        && is_ignored(&inputs, at);
                    let reference = if unread { &inputs } else { &with };
                    for kind in kinds() {
                        let rounded = inputs.rounded(kind.dtype);
                        compare(
                            &case,
                            [&with, reference],
                            kind,
                            1.0,
                            &|(a, b), (result, i)| {
                                let instead = spoilt.instead_of_nan(&case, &rounded, result, i);
                                match (b.is_nan(), bad.is_nan()) {
                                    (false, _) => a == b,
                                    (true, true) => a.is_nan() || instead == Some(a),
                                    (true, false) => !a.is_finite() || instead == Some(a),
                                }
                            },
                        );
                    }
                }
            }
        }
    }
}

/// A NaN that meets a saturating function is not taken for a large number on the way back.
#[test]
fn the_slope_of_gelu_at_nan_is_nan() {
    for isa in Isa::available() {
        with_isa(isa, || {
            for case in operations(1, 1)
                .iter()
                .filter(|case| case.name.starts_with("gelu"))
            {
                let spoilt = Inputs::new(case).edit(0, |_, _| f64::NAN);
                for dtype in [DType::F32, DType::F64] {
                    let [y, dx] = &spoilt.results(case, Ops::Fused, dtype)[..] else {
                        panic!("{}: expected y and dx", case.name)
                    };
                    assert!(y[0].is_nan() && dx[0].is_nan(), "{isa:?} {}", case.name);
                }
            }
        });
    }
}
