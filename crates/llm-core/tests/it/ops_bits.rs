//! The same bits alone, in chunks, in a batch, through strides and on any number of threads.

use std::process::Command;

use candle_core::{DType, Tensor};
use llm_core::kernels::simd::{Isa, with_isa};
use llm_core::ops::{GeluKind, Ops, RopeTable};

use crate::ops::{ATTENTIONS, Attention, cases, random, values};

const DTYPES: [DType; 2] = [DType::F32, DType::F64];

/// Widened values keep all bits that count; zeros of both signs would not differ, so they are
/// made to.
fn bits(x: &Tensor) -> Vec<u64> {
    values(x).into_iter().map(f64::to_bits).collect()
}

fn everywhere(test: impl Fn(DType)) {
    for isa in Isa::available() {
        for dtype in DTYPES {
            with_isa(isa, || test(dtype));
        }
    }
}

/// `f` of all rows, of each row alone and of chunks that no block size divides.
fn same_rows(what: &str, x: &Tensor, axis: usize, f: impl Fn(&Tensor, usize) -> Tensor) {
    let rows = x.dim(axis).unwrap();
    let whole = f(x, 0);
    for chunk in [1, 2, 5, 33] {
        for first in (0..rows).step_by(chunk) {
            let count = chunk.min(rows - first);
            let part = f(&x.narrow(axis, first, count).unwrap(), first);
            let expected = whole.narrow(axis, first, count).unwrap();
            assert_eq!(
                bits(&part),
                bits(&expected),
                "{what}: rows {first}..{}",
                first + count
            );
        }
    }
}

#[test]
fn rows_do_not_know_their_neighbours() {
    let table = RopeTable::new(80, &[1.0, 0.3, 0.07]);
    everywhere(|dtype| {
        let ops = Ops::Fused;
        let (w, b) = (random(1, &[37], dtype), random(2, &[37], dtype));
        let x = random(3, &[67, 37], dtype);
        same_rows("rms_norm", &x, 0, |x, _| ops.rms_norm(x, &w, 1e-6).unwrap());
        same_rows("layer_norm", &x, 0, |x, _| {
            ops.layer_norm(x, &w, &b, 1e-6).unwrap()
        });
        same_rows("gelu_tanh", &x, 0, |x, _| {
            ops.gelu(x, GeluKind::Tanh).unwrap()
        });
        same_rows("gelu_erf", &x, 0, |x, _| {
            ops.gelu(x, GeluKind::Erf).unwrap()
        });
        let up = random(4, &[67, 37], dtype);
        same_rows("swiglu", &x, 0, |x, first| {
            ops.swiglu(x, &up.narrow(0, first, x.dim(0).unwrap()).unwrap())
                .unwrap()
        });
        let ids = Tensor::from_vec(
            (0..67u32).map(|i| i * 7 % 67).collect(),
            (67, 1),
            x.device(),
        );
        same_rows("embedding", &ids.unwrap(), 0, |ids, _| {
            ops.embedding(&x, ids).unwrap()
        });
        let heads = random(5, &[1, 67, 2, 6], dtype);
        same_rows("rope", &heads, 1, |x, first| {
            ops.rope(x, &table, 7 + first).unwrap()
        });
    });
}

#[test]
fn a_row_of_cross_entropy_does_not_know_its_neighbours() {
    everywhere(|dtype| {
        let x = random(3, &[9, 2100], dtype);
        let rows: Vec<f64> = (0..9)
            .map(|row| {
                let logits = x.narrow(0, row, 1).unwrap();
                values(
                    &Ops::Fused
                        .cross_entropy(&logits, &[row as i64], 1.0)
                        .unwrap(),
                )[0]
            })
            .collect();
        let mut targets = [-100; 9];
        for (row, &alone) in rows.iter().enumerate() {
            targets[row] = row as i64;
            let among = values(&Ops::Fused.cross_entropy(&x, &targets, 1.0).unwrap())[0];
            assert_eq!(among, alone, "row {row}");
            targets[row] = -100;
        }
    });
}

fn attention_inputs(a: Attention, dtype: DType) -> [Tensor; 3] {
    let mut salt = 0;
    a.shapes().map(|shape| {
        salt += 1;
        random(salt, &shape, dtype)
    })
}

/// Queries one at a time and in chunks, each with the keys up to its own position: what decoding
/// and chunked prefill do.
#[test]
fn a_query_is_the_same_alone_in_chunks_and_whole() {
    let odd = |t| Attention {
        b: 1,
        t,
        s: t,
        h: 2,
        kv: 1,
        d: 11,
        window: Some(t.div_ceil(2)),
    };
    let ragged = (1..=67).step_by(6).map(odd);
    everywhere(|dtype| {
        for a in ATTENTIONS.into_iter().chain(ragged.clone()) {
            let [q, k, v] = attention_inputs(a, dtype);
            let offset = a.s - a.t;
            same_rows(&format!("{a:?}"), &q, 1, |q, first| {
                let keys = offset + first + q.dim(1).unwrap();
                let (k, v) = (k.narrow(1, 0, keys).unwrap(), v.narrow(1, 0, keys).unwrap());
                Ops::Fused.causal_attention(q, &k, &v, &a.spec()).unwrap()
            });
        }
    });
}

#[test]
fn a_text_is_the_same_alone_and_in_a_batch() {
    let a = Attention {
        b: 3,
        t: 40,
        s: 70,
        h: 4,
        kv: 2,
        d: 11,
        window: Some(50),
    };
    everywhere(|dtype| {
        let [q, k, v] = attention_inputs(a, dtype);
        same_rows("batch", &q, 0, |q, first| {
            let count = q.dim(0).unwrap();
            let (k, v) = (
                k.narrow(0, first, count).unwrap(),
                v.narrow(0, first, count).unwrap(),
            );
            Ops::Fused.causal_attention(q, &k, &v, &a.spec()).unwrap()
        });
    });
}

/// Heads as narrow views of one packed projection, and swapped axes.
#[test]
fn views_give_the_bits_of_copies() {
    let table = RopeTable::new(80, &[1.0, 0.3, 0.07]);
    everywhere(|dtype| {
        let ops = Ops::Fused;
        let packed = random(1, &[2, 9, 8, 6], dtype);
        let part = |first, heads| packed.narrow(2, first, heads).unwrap();
        let (q, k, v) = (part(0, 4), part(4, 2), part(6, 2));
        let spec = Attention {
            b: 2,
            t: 9,
            s: 9,
            h: 4,
            kv: 2,
            d: 6,
            window: None,
        }
        .spec();
        let views = ops.causal_attention(&q, &k, &v, &spec).unwrap();
        let [q2, k2, v2] = [&q, &k, &v].map(|x| x.contiguous().unwrap());
        assert_eq!(
            bits(&views),
            bits(&ops.causal_attention(&q2, &k2, &v2, &spec).unwrap())
        );
        let swapped = q
            .transpose(1, 3)
            .unwrap()
            .contiguous()
            .unwrap()
            .transpose(1, 3)
            .unwrap();
        let views = ops.causal_attention(&swapped, &k, &v, &spec).unwrap();
        assert_eq!(
            bits(&views),
            bits(&ops.causal_attention(&q2, &k2, &v2, &spec).unwrap())
        );
        for x in [&q, &swapped] {
            let rope = |x: &Tensor| bits(&ops.rope(x, &table, 3).unwrap());
            assert_eq!(rope(x), rope(&q2));
        }
        let x = random(2, &[19, 23], dtype).t().unwrap();
        let copy = x.contiguous().unwrap();
        let w = random(3, &[19], dtype);
        let same = |f: &dyn Fn(&Tensor) -> Tensor| assert_eq!(bits(&f(&x)), bits(&f(&copy)));
        same(&|x| ops.rms_norm(x, &w, 1e-6).unwrap());
        same(&|x| ops.layer_norm(x, &w, &w, 1e-6).unwrap());
        same(&|x| ops.gelu(x, GeluKind::Erf).unwrap());
        same(&|x| ops.swiglu(x, &copy).unwrap());
        same(&|x| ops.dropout(x, 0.5, 3).unwrap());
        same(&|x| ops.cross_entropy(x, &[1; 23], 1.0).unwrap());
        let ids = Tensor::new(&[[2u32, 22]], x.device()).unwrap();
        same(&|x| ops.embedding(x, &ids).unwrap());
    });
}

#[test]
fn the_dropout_mask_is_that_of_the_composed_operation() {
    for dtype in DTYPES {
        let x = random(1, &[40_000], dtype);
        let [fused, composed] =
            [Ops::Fused, Ops::Composed].map(|ops| ops.dropout(&x, 0.37, 5).unwrap());
        assert_eq!(bits(&fused), bits(&composed));
        let dropped = values(&fused).iter().filter(|&&x| x == 0.0).count() as f64 / 40_000.0;
        // Six standard deviations of a share of 40,000 draws.
        assert!(
            (dropped - 0.37).abs() < 0.015,
            "{dropped} dropped for p = 0.37"
        );
    }
}

const DIGEST: &str = "digest of all operations: ";

/// Prints a digest of every result and gradient, and of sizes that keep several threads busy.
#[test]
fn digest_of_all_operations() {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |values: &[f64]| {
        for bits in values.iter().map(|x| x.to_bits()) {
            digest = (digest ^ bits).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for case in cases() {
        for dtype in DTYPES {
            case.results(Ops::Fused, dtype).iter().for_each(|x| add(x));
        }
    }
    let x = random(1, &[300, 130], DType::F32);
    let w = random(2, &[130], DType::F32);
    add(&values(&Ops::Fused.rms_norm(&x, &w, 1e-6).unwrap()));
    add(&values(&Ops::Fused.gelu(&x, GeluKind::Erf).unwrap()));
    add(&values(
        &Ops::Fused.cross_entropy(&x, &[7; 300], 0.1).unwrap(),
    ));
    println!("{DIGEST}{digest:016x}");
}

#[test]
fn one_two_and_four_threads_give_the_same_bits() {
    let digest = |threads: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "ops_bits::digest_of_all_operations",
                "--nocapture",
            ])
            .env("RAYON_NUM_THREADS", threads)
            .env("CANDLE_NUM_THREADS", threads)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let found = text
            .split(DIGEST)
            .nth(1)
            .unwrap_or_else(|| panic!("no digest in {text}"));
        found[..16].to_string()
    };
    let one = digest("1");
    assert_eq!(one, digest("2"));
    assert_eq!(one, digest("4"));
}
