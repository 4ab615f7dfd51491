//! Small models and raw files for the tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use llm_store::Error;

pub(crate) type Tensors = BTreeMap<String, Tensor>;

pub(crate) const LLAMA: &str = r#"{"model_type": "llama", "vocab_size": 6, "hidden_size": 4,
    "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 16, "tie_word_embeddings": false}"#;

pub(crate) const GPT2: &str = r#"{"model_type": "gpt2", "vocab_size": 6, "n_embd": 4, "n_layer": 1,
    "n_head": 2, "n_positions": 16, "activation_function": "gelu_new"}"#;

/// A tensor whose numbers depend on its name, so that swapped tensors differ.
pub(crate) fn tensor(name: &str, shape: &[usize]) -> Tensor {
    let seed: usize = name.bytes().map(usize::from).sum();
    let count: usize = shape.iter().product();
    let numbers: Vec<f32> = (0..count)
        .map(|i| ((i * 37 + seed) % 101) as f32 / 64.0 - 0.7)
        .collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

pub(crate) fn named(entries: &[(&str, &[usize])]) -> Tensors {
    entries
        .iter()
        .map(|(name, shape)| (name.to_string(), tensor(name, shape)))
        .collect()
}

pub(crate) fn llama_tensors() -> Tensors {
    named(&[
        ("model.embed_tokens.weight", &[6, 4]),
        ("model.layers.0.self_attn.q_proj.weight", &[4, 4]),
        ("model.norm.weight", &[4]),
        ("lm_head.weight", &[6, 4]),
    ])
}

/// The raw bytes of a safetensors file with this header text and data.
pub(crate) fn raw_file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

pub(crate) fn write_tensors(path: &Path, tensors: &Tensors) {
    llm_store::safetensors::write_file(path, tensors, &BTreeMap::new()).unwrap();
}

/// A folder with a configuration and these tensors.
pub(crate) fn model_folder(dir: &Path, config: &str, tensors: &Tensors) -> PathBuf {
    let folder = dir.join("model");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.json"), config).unwrap();
    write_tensors(&folder.join("model.safetensors"), tensors);
    folder
}

/// Same names, types, shapes and bits.
pub(crate) fn assert_same(left: &Tensors, right: &Tensors) {
    let names = |tensors: &Tensors| tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(left), names(right));
    for (name, tensor) in left {
        let other = &right[name];
        assert_eq!(
            (tensor.dtype(), tensor.dims()),
            (other.dtype(), other.dims()),
            "{name}"
        );
        assert_eq!(bits(tensor), bits(other), "{name}");
    }
}

/// The bit patterns of a tensor's numbers.
pub(crate) fn bits(tensor: &Tensor) -> Vec<u64> {
    let flat = tensor.flatten_all().unwrap();
    match tensor.dtype() {
        DType::U8 => flat
            .to_vec1::<u8>()
            .unwrap()
            .into_iter()
            .map(u64::from)
            .collect(),
        DType::U32 => flat
            .to_vec1::<u32>()
            .unwrap()
            .into_iter()
            .map(u64::from)
            .collect(),
        DType::I64 => flat
            .to_vec1::<i64>()
            .unwrap()
            .into_iter()
            .map(|x| x as u64)
            .collect(),
        DType::F16 => {
            let numbers = flat.to_vec1::<half::f16>().unwrap();
            numbers
                .into_iter()
                .map(|x| u64::from(x.to_bits()))
                .collect()
        }
        DType::BF16 => {
            let numbers = flat.to_vec1::<half::bf16>().unwrap();
            numbers
                .into_iter()
                .map(|x| u64::from(x.to_bits()))
                .collect()
        }
        DType::F32 => flat
            .to_vec1::<f32>()
            .unwrap()
            .into_iter()
            .map(|x| u64::from(x.to_bits()))
            .collect(),
        DType::F64 => flat
            .to_vec1::<f64>()
            .unwrap()
            .into_iter()
            .map(f64::to_bits)
            .collect(),
        dtype => panic!("no bits for {dtype:?}"),
    }
}

/// The error's message, which must be one line, name `file` and contain `part`.
#[track_caller]
pub(crate) fn assert_error<T>(result: Result<T, Error>, file: &str, part: &str) -> Error {
    let Err(error) = result else {
        panic!("expected an error with `{part}`")
    };
    let message = error.to_string();
    assert!(!message.contains('\n'), "more than one line: {message}");
    assert!(message.contains(file), "`{file}` is not named: {message}");
    assert!(message.contains(part), "expected `{part}` in: {message}");
    error
}
