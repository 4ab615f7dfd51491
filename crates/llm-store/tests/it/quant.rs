//! Blocks of few bits, against those of llama.cpp. The fixture is written by
//! `tools/oracle/gguf_blocks.py`.

use std::path::PathBuf;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};
use llm_store::gguf::GgmlType;
use llm_store::gguf::quant::{fits, quantize};
use llm_store::safetensors::SafetensorsFile;

/// Types whose bytes the `gguf` package itself makes.
const SAME: [GgmlType; 6] = [
    GgmlType::Q8_0,
    GgmlType::Q4_0,
    GgmlType::Q5_0,
    GgmlType::Q5_1,
    GgmlType::F16,
    GgmlType::BF16,
];

/// Types whose bytes its C library makes, and Candle's name for them.
const SEARCHED: [(GgmlType, GgmlDType); 3] = [
    (GgmlType::Q4_K, GgmlDType::Q4K),
    (GgmlType::Q5_K, GgmlDType::Q5K),
    (GgmlType::Q6_K, GgmlDType::Q6K),
];

fn fixture() -> SafetensorsFile {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf");
    SafetensorsFile::open(&folder.join("blocks.safetensors")).unwrap()
}

/// `[rows, 512]` of f32, flat.
fn values(file: &SafetensorsFile) -> Vec<f32> {
    let tensor = file.tensor("values", true).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The first byte that differs, by its block.
fn first_difference(kind: GgmlType, ours: &[u8], theirs: &[u8]) -> Option<(usize, usize)> {
    assert_eq!(ours.len(), theirs.len(), "{kind:?}");
    let at = ours.iter().zip(theirs).position(|(a, b)| a != b)?;
    Some((at / kind.block_bytes(), at % kind.block_bytes()))
}

#[test]
fn blocks_are_byte_for_byte_those_of_the_gguf_package() {
    let file = fixture();
    let values = values(&file);
    for kind in SAME {
        let ours = quantize(kind, &values, 1).unwrap();
        let (_, _, theirs) = file.bytes(kind.name()).unwrap();
        let difference = first_difference(kind, &ours, theirs);
        assert_eq!(
            difference, None,
            "{kind:?}: block and byte of the first difference"
        );
    }
}

/// The numbers that `bytes` stand for, read by Candle.
fn dequantized(dtype: GgmlDType, bytes: &[u8], count: usize) -> Vec<f32> {
    let storage = QStorage::from_data(bytes.to_vec().into(), &Device::Cpu, dtype).unwrap();
    let tensor: Tensor = QTensor::new(storage, count)
        .unwrap()
        .dequantize(&Device::Cpu)
        .unwrap();
    tensor.to_vec1().unwrap()
}

fn squared_error(values: &[f32], found: &[f32]) -> f64 {
    let pairs = values.iter().zip(found);
    pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

#[test]
fn k_blocks_are_byte_for_byte_those_of_llama_cpp_and_better_than_candles() {
    let file = fixture();
    let values = values(&file);
    let tensor = Tensor::new(values.as_slice(), &Device::Cpu).unwrap();
    for (kind, dtype) in SEARCHED {
        let ours = quantize(kind, &values, 1).unwrap();
        let (_, _, theirs) = file.bytes(kind.name()).unwrap();
        let difference = first_difference(kind, &ours, theirs);
        assert_eq!(
            difference, None,
            "{kind:?}: block and byte of the first difference"
        );
        let candles = QTensor::quantize(&tensor, dtype).unwrap();
        let candles = candles.data().unwrap().into_owned();
        let error = |bytes| squared_error(&values, &dequantized(dtype, bytes, values.len()));
        let (ours, candles) = (error(&ours), error(&candles));
        assert!(
            ours < candles,
            "{kind:?}: error {ours:.6e} against {candles:.6e}"
        );
    }
}

/// What a weight may be off by, as a share of the largest weight of its block.
const LARGEST_ERROR: [(GgmlType, f64); 3] = [
    (GgmlType::Q4_K, 0.09),
    (GgmlType::Q5_K, 0.05),
    (GgmlType::Q6_K, 0.05),
];

#[test]
fn hard_blocks_stay_finite_and_close() {
    let wave = |i: usize| (i as f32 * 0.7).sin();
    let blocks: [Vec<f32>; 7] = [
        vec![0.0; 256],
        vec![-0.25; 256],
        vec![3.0; 256],
        (0..256)
            .map(|i| if i == 99 { 60_000.0 } else { 0.0 })
            .collect(),
        (0..256).map(|i| 1e-38 * wave(i)).collect(),
        (0..256)
            .map(|i| f32::from_bits(1) * wave(i).signum())
            .collect(),
        (0..256).map(|i| 100.0 + wave(i)).collect(),
    ];
    for ((kind, dtype), (_, limit)) in SEARCHED.into_iter().zip(LARGEST_ERROR) {
        for (number, block) in blocks.iter().enumerate() {
            let bytes = quantize(kind, block, 1).unwrap();
            let found = dequantized(dtype, &bytes, 256);
            let top = block.iter().fold(0.0f32, |top, x| top.max(x.abs()));
            // Below the smallest F16 scale a block becomes zeros
            let limit = (limit * f64::from(top)).max(6e-8 * 32.0 * 128.0);
            for (i, (x, y)) in block.iter().zip(&found).enumerate() {
                let off = f64::from(x - y).abs();
                assert!(
                    off <= limit,
                    "{kind:?} block {number}: {x} became {y} at {i}"
                );
            }
        }
    }
    for kind in SAME {
        for block in &blocks {
            assert_eq!(
                quantize(kind, block, 1).map(|bytes| bytes.len()),
                kind.bytes_of(&[256])
            );
        }
    }
}

#[test]
fn threads_do_not_change_a_byte() {
    let values = values(&fixture());
    for kind in SAME.into_iter().chain(SEARCHED.map(|(kind, _)| kind)) {
        let one = quantize(kind, &values, 1);
        assert!(one.is_some());
        for threads in [0, 2, 3, 64] {
            assert!(
                quantize(kind, &values, threads) == one,
                "{kind:?} with {threads} threads"
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_said() {
    assert_eq!(quantize(GgmlType::Q8_0, &[0.0; 33], 1), None);
    assert_eq!(quantize(GgmlType::Q2_K, &[0.0; 256], 1), None);
    assert_eq!(quantize(GgmlType::F32, &[], 4), Some(Vec::new()));
    assert_eq!(fits(GgmlType::F16, &[0.0, 65_505.0]), Err(1));
    assert_eq!(fits(GgmlType::F16, &[0.0, -65_504.0]), Ok(()));
    assert_eq!(fits(GgmlType::BF16, &[1e38]), Ok(()));
}
