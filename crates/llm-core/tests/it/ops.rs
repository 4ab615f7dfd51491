//! The operations that the other modules test: each with shapes that no vector width divides.

use candle_core::{DType, Device, Tensor, Var};
use llm_core::Result;
use llm_core::ops::{AttentionSpec, GeluKind, IGNORE_INDEX, Ops, RopeTable};
use llm_core::rng::{Purpose, normal, stream};

/// A function of tensors built from one operation.
type Function = Box<dyn Fn(Ops, &[Tensor]) -> Result<Tensor>>;

/// One operation with the shapes of its tensor arguments.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) shapes: Vec<Vec<usize>>,
    pub(crate) run: Function,
}

pub(crate) fn case(
    name: &str,
    shapes: &[&[usize]],
    run: impl Fn(Ops, &[Tensor]) -> Result<Tensor> + 'static,
) -> Case {
    let shapes = shapes.iter().map(|shape| shape.to_vec()).collect();
    Case {
        name: name.into(),
        shapes,
        run: Box::new(run),
    }
}

/// Sizes of an attention call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    pub(crate) b: usize,
    pub(crate) t: usize,
    pub(crate) s: usize,
    pub(crate) h: usize,
    pub(crate) kv: usize,
    pub(crate) d: usize,
    pub(crate) window: Option<usize>,
}

impl Attention {
    pub(crate) fn spec(self) -> AttentionSpec {
        AttentionSpec {
            scale: 1.0 / (self.d as f64).sqrt(),
            window: self.window,
        }
    }

    pub(crate) fn shapes(self) -> [Vec<usize>; 3] {
        let keys = vec![self.b, self.s, self.kv, self.d];
        [vec![self.b, self.t, self.h, self.d], keys.clone(), keys]
    }

    fn case(self) -> Case {
        let run =
            move |ops: Ops, x: &[Tensor]| ops.causal_attention(&x[0], &x[1], &x[2], &self.spec());
        Case {
            name: format!("{self:?}"),
            shapes: self.shapes().into(),
            run: Box::new(run),
        }
    }
}

/// Blocks of 96 keys are crossed, groups of 1, 2 and 4 heads, windows inside and across blocks,
/// cached keys, one query, head sizes below, at and above a vector.
pub(crate) const ATTENTIONS: [Attention; 12] = [
    Attention {
        b: 1,
        t: 1,
        s: 1,
        h: 1,
        kv: 1,
        d: 3,
        window: None,
    },
    Attention {
        b: 2,
        t: 7,
        s: 7,
        h: 2,
        kv: 1,
        d: 5,
        window: None,
    },
    Attention {
        b: 1,
        t: 67,
        s: 67,
        h: 2,
        kv: 2,
        d: 4,
        window: None,
    },
    Attention {
        b: 1,
        t: 67,
        s: 67,
        h: 4,
        kv: 1,
        d: 2,
        window: Some(1),
    },
    Attention {
        b: 1,
        t: 66,
        s: 131,
        h: 4,
        kv: 2,
        d: 3,
        window: Some(65),
    },
    Attention {
        b: 2,
        t: 9,
        s: 70,
        h: 4,
        kv: 2,
        d: 6,
        window: None,
    },
    Attention {
        b: 1,
        t: 5,
        s: 140,
        h: 1,
        kv: 1,
        d: 17,
        window: Some(3),
    },
    Attention {
        b: 2,
        t: 1,
        s: 65,
        h: 4,
        kv: 4,
        d: 16,
        window: None,
    },
    Attention {
        b: 1,
        t: 65,
        s: 65,
        h: 1,
        kv: 1,
        d: 33,
        window: Some(20),
    },
    Attention {
        b: 1,
        t: 200,
        s: 200,
        h: 2,
        kv: 1,
        d: 40,
        window: None,
    },
    Attention {
        b: 1,
        t: 130,
        s: 230,
        h: 1,
        kv: 1,
        d: 1,
        window: Some(97),
    },
    Attention {
        b: 1,
        t: 98,
        s: 98,
        h: 2,
        kv: 2,
        d: 64,
        window: None,
    },
];

/// Every operation but the linear projection.
pub(crate) fn cases() -> Vec<Case> {
    let table = RopeTable::new(40, &[1.0, 0.3, 0.07, 0.01, 0.002]);
    let ids = Tensor::new(&[[3u32, 0, 3], [6, 3, 1]], &Device::Cpu).unwrap();
    let targets = [2, IGNORE_INDEX, 0, 36, 2, IGNORE_INDEX];
    let mut cases = vec![
        case("rms_norm", &[&[5, 7, 19], &[19]], |o, x| {
            o.rms_norm(&x[0], &x[1], 1e-5)
        }),
        case("layer_norm", &[&[5, 7, 19], &[19], &[19]], |o, x| {
            o.layer_norm(&x[0], &x[1], &x[2], 1e-5)
        }),
        case("rope", &[&[2, 5, 3, 10]], move |o, x| {
            o.rope(&x[0], &table, 35)
        }),
        case("gelu_tanh", &[&[3, 67]], |o, x| {
            o.gelu(&x[0], GeluKind::Tanh)
        }),
        case("gelu_erf", &[&[3, 67]], |o, x| o.gelu(&x[0], GeluKind::Erf)),
        case("swiglu", &[&[3, 67], &[3, 67]], |o, x| {
            o.swiglu(&x[0], &x[1])
        }),
        case("cross_entropy", &[&[6, 37]], move |o, x| {
            o.cross_entropy(&x[0], &targets, 0.25)
        }),
        case("dropout", &[&[3, 67]], |o, x| o.dropout(&x[0], 0.3, 11)),
        case("packed attention", &[&[2, 101, 30]], |o, x| {
            let spec = AttentionSpec {
                scale: 0.4,
                window: Some(99),
            };
            o.causal_attention_packed(&x[0], 4, 1, &spec)
        }),
        case("embedding", &[&[7, 5]], move |o, x| {
            o.embedding(&x[0], &ids)
        }),
    ];
    cases.extend(ATTENTIONS.map(Attention::case));
    cases
}

/// Draws from N(0, 1), the same for the same `salt`.
pub(crate) fn random(salt: u64, shape: &[usize], dtype: DType) -> Tensor {
    normal(&mut stream(salt, Purpose::Demo), 1.0, shape, dtype).unwrap()
}

impl Case {
    /// Arguments in f32's range of digits, so that f32 and f64 runs see the same numbers.
    pub(crate) fn arguments(&self, dtype: DType) -> Vec<Tensor> {
        let argument = |(i, shape): (usize, &Vec<usize>)| {
            random(i as u64 + 1, shape, DType::F32)
                .to_dtype(dtype)
                .unwrap()
        };
        self.shapes.iter().enumerate().map(argument).collect()
    }

    /// `Σ run(arguments) · G` for a fixed random `G`: a scalar whose gradient is the backward
    /// pass of `G`.
    pub(crate) fn loss(&self, ops: Ops, arguments: &[Tensor]) -> Tensor {
        let y = (self.run)(ops, arguments).unwrap();
        let g = random(99, y.dims(), DType::F32)
            .to_dtype(y.dtype())
            .unwrap();
        (y * g).unwrap().sum_all().unwrap()
    }

    /// The result, then the gradient of each argument, all as f64.
    pub(crate) fn results(&self, ops: Ops, dtype: DType) -> Vec<Vec<f64>> {
        self.results_of(ops, &self.arguments(dtype), |y| {
            let g = random(99, y.dims(), DType::F32).to_dtype(y.dtype());
            (y * g.unwrap()).unwrap()
        })
    }

    /// As [`Case::results`] for `arguments` where they lie, and the sum of what `weigh` makes of
    /// the result.
    pub(crate) fn results_of(
        &self,
        ops: Ops,
        arguments: &[Tensor],
        weigh: impl Fn(&Tensor) -> Tensor,
    ) -> Vec<Vec<f64>> {
        // A Var keeps the strides of its tensor.
        let vars: Vec<Var> = arguments
            .iter()
            .map(|x| Var::from_tensor(x).unwrap())
            .collect();
        let arguments: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = (self.run)(ops, &arguments).unwrap();
        let gradients = weigh(&y).sum_all().unwrap().backward().unwrap();
        let mut results = vec![values(&y)];
        for (i, var) in vars.iter().enumerate() {
            let gradient = gradients.get(var);
            let gradient = gradient.unwrap_or_else(|| panic!("{}: no gradient {i}", self.name));
            assert_eq!(gradient.dims(), var.dims(), "{}: gradient {i}", self.name);
            results.push(values(gradient));
        }
        results
    }
}

/// All elements as f64.
pub(crate) fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

/// Fails unless max|a − b| ≤ `tolerance` · max|b|, naming where the largest difference is.
pub(crate) fn assert_close(what: &str, a: &[f64], b: &[f64], tolerance: f64) -> f64 {
    assert_eq!(a.len(), b.len(), "{what}: lengths");
    let scale = b.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    let difference = |i: usize| (a[i] - b[i]).abs();
    let worst = (0..a.len()).max_by(|&i, &j| difference(i).total_cmp(&difference(j)));
    let Some(worst) = worst else { return 0.0 };
    let error = difference(worst) / scale.max(f64::MIN_POSITIVE);
    assert!(
        error <= tolerance,
        "{what}: {error:.3e} of max|ref| {scale:.3e} at element {worst} ({} for {}) > {tolerance:e}",
        a[worst],
        b[worst]
    );
    error
}
