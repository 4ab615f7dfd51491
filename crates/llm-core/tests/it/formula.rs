//! Weights by formula: the twin of `tools/oracle/formula.py`, which states it.

use candle_core::{Device, Tensor};

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const TABLES: [&str; 4] = [
    "embed_tokens.weight",
    "wte.weight",
    "wpe.weight",
    "lm_head.weight",
];

fn fnv1a64(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// The SplitMix64 finaliser.
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `count` numbers in [-1, 1), each a multiple of 2⁻²³.
pub(crate) fn unit(seed: u64, name: &str, count: usize) -> Vec<f64> {
    let key = mix(fnv1a64(name) ^ seed.wrapping_mul(GOLDEN));
    let half = f64::from(1 << 23);
    (1..=count as u64)
        .map(|i| mix(key.wrapping_add(i.wrapping_mul(GOLDEN))) >> 40)
        .map(|bits| (bits as f64 - half) / half)
        .collect()
}

fn centre_and_bound(name: &str, shape: &[usize]) -> (f64, f64) {
    match shape {
        [_] if name.ends_with(".bias") => (0.0, 0.3),
        [_] => (1.0, 0.5),
        [_, columns] if TABLES.iter().any(|table| name.ends_with(table)) => {
            (0.0, 1.5 * (3.0 / *columns as f64).sqrt())
        }
        [rows, columns] => {
            let gain = if name.ends_with("lora_B.weight") {
                0.3
            } else {
                1.0
            };
            (0.0, gain * (6.0 / (rows + columns) as f64).sqrt())
        }
        _ => panic!("{name} has shape {shape:?}, expected one or two axes"),
    }
}

/// The f32 tensor called `name`.
pub(crate) fn weight(seed: u64, name: &str, shape: &[usize]) -> Tensor {
    let (centre, bound) = centre_and_bound(name, shape);
    let values: Vec<f32> = unit(seed, name, shape.iter().product())
        .into_iter()
        .map(|x| (centre + bound * x) as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Bits that `formula.py` printed for seed 7: a difference here explains every other failure.
#[test]
fn python_computes_the_same_bits() {
    let cases: [(&str, &[usize], &[u32]); 4] = [
        (
            "model.norm.weight",
            &[3],
            &[0x3F1A_2768, 0x3F97_7AA2, 0x3FB1_581E],
        ),
        (
            "model.layers.0.self_attn.q_proj.weight",
            &[1, 3],
            &[0x3F4A_124C, 0x3D9F_2F79, 0xBF6A_AFDA],
        ),
        (
            "lm_head.weight",
            &[1, 3],
            &[0xBE3D_69C0, 0x3E31_E5EC, 0x3F24_86B0],
        ),
        ("a.bias", &[2], &[0xBE5A_6722, 0x3E30_88AA]),
    ];
    for (name, shape, bits) in cases {
        let values = weight(7, name, shape)
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        let found: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
        assert_eq!(found, bits, "{name}");
    }
}
