//! Nodes that keep less than the chain of operations that they stand for: the same bits, forward
//! and backward, whether weights train or not.

use candle_core::{DType, Tensor, Var};
use llm_core::kernels::simd::{Isa, with_isa};
use llm_core::ops::{AttentionSpec, GatedMlp, Ops, PackedWeight, Placing, RopeTable, record};

use crate::ops::{random, values};

const DTYPES: [DType; 2] = [DType::F32, DType::F64];
/// Rows on both sides of the height of a tile, and where weights are packed for keeps.
const ROWS: [usize; 4] = [1, 7, 64, 67];

fn everywhere(test: impl Fn(DType)) {
    for isa in Isa::available() {
        for dtype in DTYPES {
            with_isa(isa, || test(dtype));
        }
    }
}

fn bits(x: &Tensor) -> Vec<u64> {
    values(x).into_iter().map(f64::to_bits).collect()
}

/// What `f` makes of variables, and the gradients of `of` for a gradient of ones.
fn run(of: &[&Var], f: impl FnOnce() -> Tensor) -> Vec<Vec<u64>> {
    let (y, tape) = record(f);
    assert!(tape.is_complete(&y));
    let gradients = tape.backward(&y).unwrap();
    let of = of.iter().map(|var| bits(gradients.get(var).unwrap()));
    [bits(&y)].into_iter().chain(of).collect()
}

struct Weights {
    norm: Tensor,
    gate: PackedWeight,
    up: PackedWeight,
    down: PackedWeight,
    bias: Tensor,
}

const C: usize = 37;
const F: usize = 53;

impl Weights {
    /// All matrices in `stored`, all else in `dtype`.
    fn new(dtype: DType, stored: DType) -> Self {
        let matrix = |seed, shape: &[usize]| {
            PackedWeight::new(random(seed, shape, dtype).to_dtype(stored).unwrap())
        };
        Self {
            norm: random(1, &[C], dtype),
            gate: matrix(2, &[F, C]),
            up: matrix(3, &[F, C]),
            down: matrix(4, &[C, F]),
            bias: random(5, &[C], dtype),
        }
    }

    fn mlp(&self) -> GatedMlp<'_> {
        GatedMlp {
            norm: &self.norm,
            eps: 1e-6,
            gate: (&self.gate, None),
            up: (&self.up, None),
            down: (&self.down, Some(&self.bias)),
        }
    }

    fn chain(&self, x: &Tensor) -> Tensor {
        let ops = Ops::Fused;
        let normed = ops.rms_norm(x, &self.norm, 1e-6).unwrap();
        let gate = ops.packed_linear(&normed, &self.gate, None).unwrap();
        let up = ops.packed_linear(&normed, &self.up, None).unwrap();
        let gated = ops.swiglu(&gate, &up).unwrap();
        let down = ops.packed_linear(&gated, &self.down, Some(&self.bias));
        ops.add(x, &down.unwrap()).unwrap()
    }
}

fn var(seed: u64, shape: &[usize], dtype: DType) -> Var {
    Var::from_tensor(&random(seed, shape, dtype)).unwrap()
}

#[test]
fn a_frozen_feed_forward_half_is_its_chain() {
    everywhere(|dtype| {
        for stored in [dtype, DType::BF16] {
            if stored == DType::BF16 && dtype != DType::F32 {
                continue;
            }
            let weights = Weights::new(dtype, stored);
            for rows in ROWS {
                let x = var(6, &[rows, C], dtype);
                let node = run(&[&x], || Ops::Fused.gated_mlp(&x, &weights.mlp()).unwrap());
                let chain = run(&[&x], || weights.chain(&x));
                assert_eq!(node, chain, "{dtype:?} over {stored:?}, {rows} rows");
            }
        }
    });
}

#[test]
fn a_feed_forward_half_that_trains_in_part_gets_all_gradients() {
    for dtype in DTYPES {
        let mut weights = Weights::new(dtype, dtype);
        let (x, up) = (var(6, &[9, C], dtype), var(7, &[F, C], dtype));
        weights.up = PackedWeight::new(up.as_tensor().clone());
        let of = [&x, &up];
        let node = run(&of, || Ops::Fused.gated_mlp(&x, &weights.mlp()).unwrap());
        assert_eq!(node, run(&of, || weights.chain(&x)), "{dtype:?}");
    }
}

#[test]
fn a_projection_into_the_stream_is_projection_and_sum() {
    everywhere(|dtype| {
        let (weight, bias) = (random(1, &[C, F], dtype), random(2, &[C], dtype));
        let trained = Var::from_tensor(&weight).unwrap();
        let frozen = PackedWeight::new(weight);
        let trains = PackedWeight::new(trained.as_tensor().clone());
        let ops = Ops::Fused;
        for rows in ROWS {
            let (stream, x) = (var(3, &[rows, C], dtype), var(4, &[rows, F], dtype));
            for (weight, of) in [
                (&frozen, vec![&stream, &x]),
                (&trains, vec![&stream, &x, &trained]),
            ] {
                let node = run(&of, || {
                    ops.add_linear(&stream, &x, weight, Some(&bias)).unwrap()
                });
                let chain = run(&of, || {
                    let y = ops.packed_linear(&x, weight, Some(&bias)).unwrap();
                    ops.add(&stream, &y).unwrap()
                });
                assert_eq!(node, chain, "{dtype:?}, {rows} rows");
            }
        }
    });
}

/// Queries, keys and values of two texts, and the norms of queries and keys.
fn heads(tokens: usize, dtype: DType) -> ([Var; 3], [Var; 2]) {
    let qkv =
        [(1, 4), (2, 2), (3, 2)].map(|(seed, heads)| var(seed, &[2, tokens, heads, 6], dtype));
    (qkv, [4, 5].map(|seed| var(seed, &[6], dtype)))
}

const SPEC: AttentionSpec = AttentionSpec {
    scale: 0.4,
    window: Some(40),
};

#[test]
fn heads_placed_on_the_way_are_placed_heads() {
    let table = RopeTable::new(80, &[1.0, 0.3, 0.07]);
    everywhere(|dtype| {
        for tokens in [1, 5, 67] {
            let ([q, k, v], norms) = heads(tokens, dtype);
            let frozen = norms.each_ref().map(|norm| norm.as_detached_tensor());
            for norms in [Some((&frozen[0], &frozen[1], 1e-6)), None] {
                let placing = Placing {
                    norms,
                    rope: &table,
                    offset: 9,
                };
                let (ops, of) = (Ops::Fused, [&q, &k, &v]);
                let node = run(&of, || {
                    ops.placed_attention([&q, &k, &v], &placing, &SPEC).unwrap()
                });
                let chain = run(&of, || {
                    let place = |x: &Tensor, norm: usize| {
                        let x = match norms {
                            Some(_) => ops.rms_norm(x, &frozen[norm], 1e-6).unwrap(),
                            None => x.clone(),
                        };
                        ops.rope(&x, &table, 9).unwrap()
                    };
                    ops.causal_attention(&place(&q, 0), &place(&k, 1), &v, &SPEC)
                        .unwrap()
                });
                assert_eq!(node, chain, "{dtype:?}, {tokens} tokens");
            }
        }
    });
}

#[test]
fn norms_of_heads_that_train_get_gradients() {
    let table = RopeTable::new(80, &[1.0, 0.3, 0.07]);
    let ([q, k, v], [q_norm, k_norm]) = heads(5, DType::F32);
    let placing = Placing {
        norms: Some((&q_norm, &k_norm, 1e-6)),
        rope: &table,
        offset: 0,
    };
    let (y, tape) = record(|| {
        Ops::Fused
            .placed_attention([&q, &k, &v], &placing, &SPEC)
            .unwrap()
    });
    let gradients = tape.backward(&y).unwrap();
    for var in [&q, &k, &v, &q_norm, &k_norm] {
        assert!(
            values(gradients.get(var).unwrap())
                .iter()
                .any(|&x| x != 0.0)
        );
    }
}

#[test]
fn composed_says_the_same() {
    const TOLERANCE: f64 = 1e-12; // sums of a few dozen f64
    let close = |a: &Tensor, b: &Tensor| {
        let far = |(a, b): (f64, f64)| (a - b).abs() > TOLERANCE * b.abs().max(1.0);
        assert!(!values(a).into_iter().zip(values(b)).any(far));
    };
    let dtype = DType::F64;
    let weights = Weights::new(dtype, dtype);
    let x = random(6, &[9, C], dtype);
    let [fused, composed] =
        [Ops::Fused, Ops::Composed].map(|ops| ops.gated_mlp(&x, &weights.mlp()).unwrap());
    close(&fused, &composed);
    let inner = random(7, &[9, F], dtype);
    let [fused, composed] = [Ops::Fused, Ops::Composed].map(|ops| {
        let bias = Some(&weights.bias);
        ops.add_linear(&x, &inner, &weights.down, bias).unwrap()
    });
    close(&fused, &composed);
    let table = RopeTable::new(9, &[1.0, 0.3, 0.07]);
    let ([q, k, v], norms) = heads(5, dtype);
    let placing = Placing {
        norms: Some((&norms[0], &norms[1], 1e-6)),
        rope: &table,
        offset: 4,
    };
    let [fused, composed] = [Ops::Fused, Ops::Composed]
        .map(|ops| ops.placed_attention([&q, &k, &v], &placing, &SPEC).unwrap());
    close(&fused, &composed);
}

#[test]
fn what_does_not_fit_is_named() {
    let weights = Weights::new(DType::F32, DType::F32);
    let x = random(6, &[3, C + 1], DType::F32);
    assert!(Ops::Fused.gated_mlp(&x, &weights.mlp()).is_err());
    let x = random(6, &[3, C], DType::F32);
    let mut mlp = weights.mlp();
    mlp.up = (&weights.down, None);
    let error = Ops::Fused.gated_mlp(&x, &mlp).unwrap_err().to_string();
    assert!(error.contains("37"), "{error}");
    let stream = random(7, &[2, C], DType::F32);
    let inner = random(8, &[3, F], DType::F32);
    let added = Ops::Fused.add_linear(&stream, &inner, &weights.down, None);
    assert!(added.unwrap_err().to_string().contains("residual"));
}
