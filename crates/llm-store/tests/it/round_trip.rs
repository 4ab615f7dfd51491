//! What is written is what is read, bit for bit, here and in the reference implementation.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use llm_store::safetensors::{SafetensorsFile, write_file};
use llm_store::{ModelFolder, SaveOptions, save_model};
use proptest::prelude::*;

use crate::support::{LLAMA, Tensors, assert_same, bits, llama_tensors, tensor};

/// Tensors of every type that is trained, stored or counted with.
fn all_types() -> Tensors {
    let base = tensor("base", &[3, 5]);
    let mut tensors = Tensors::new();
    for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
        tensors.insert(format!("{dtype:?}"), base.to_dtype(dtype).unwrap());
    }
    let numbers: Vec<i64> = vec![i64::MIN, -1, 0, 1, i64::MAX];
    tensors.insert(
        "i64".into(),
        Tensor::from_vec(numbers, 5, &Device::Cpu).unwrap(),
    );
    let numbers: Vec<u8> = (0..=255).collect();
    tensors.insert(
        "u8".into(),
        Tensor::from_vec(numbers, (16, 16), &Device::Cpu).unwrap(),
    );
    let numbers: Vec<u32> = vec![0, 1, u32::MAX];
    tensors.insert(
        "u32".into(),
        Tensor::from_vec(numbers, 3, &Device::Cpu).unwrap(),
    );
    tensors.insert("scalar".into(), Tensor::new(1.5f32, &Device::Cpu).unwrap());
    tensors.insert(
        "empty".into(),
        Tensor::zeros((0, 4), DType::F32, &Device::Cpu).unwrap(),
    );
    tensors
}

fn read_all(path: &std::path::Path) -> Tensors {
    let file = SafetensorsFile::open(path).unwrap();
    let names = file.header().tensors.keys();
    names
        .map(|name| (name.clone(), file.tensor(name, true).unwrap()))
        .collect()
}

#[test]
fn every_type_comes_back_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.safetensors");
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    write_file(&path, &all_types(), &metadata).unwrap();
    assert_same(&read_all(&path), &all_types());
    assert_eq!(
        SafetensorsFile::open(&path).unwrap().header().metadata,
        metadata
    );
}

#[test]
fn strided_and_narrowed_tensors_are_written_in_row_major_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("views.safetensors");
    let base = tensor("base", &[4, 6]);
    let views = Tensors::from([
        ("narrow".to_string(), base.narrow(0, 1, 2).unwrap()),
        ("slice".to_string(), base.narrow(1, 2, 3).unwrap()),
        ("transposed".to_string(), base.t().unwrap()),
    ]);
    write_file(&path, &views, &BTreeMap::new()).unwrap();
    let contiguous = views
        .iter()
        .map(|(name, view)| (name.clone(), view.contiguous().unwrap()));
    assert_same(&read_all(&path), &contiguous.collect());
}

#[test]
fn the_reference_implementation_reads_our_file_and_we_read_its() {
    let dir = tempfile::tempdir().unwrap();
    let ours = dir.path().join("ours.safetensors");
    write_file(&ours, &all_types(), &BTreeMap::new()).unwrap();
    let bytes = std::fs::read(&ours).unwrap();
    let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut views = Vec::new();
    for (name, tensor) in all_types() {
        let view = reference.tensor(&name).unwrap();
        assert_eq!(view.shape(), tensor.dims(), "{name}");
        let back = Tensor::from_raw_buffer(view.data(), tensor.dtype(), view.shape(), &Device::Cpu);
        assert_eq!(bits(&back.unwrap()), bits(&tensor), "{name}");
        views.push((name, view));
    }
    let theirs = dir.path().join("theirs.safetensors");
    std::fs::write(&theirs, safetensors::serialize(views, None).unwrap()).unwrap();
    assert_same(&read_all(&theirs), &all_types());
}

#[test]
fn a_saved_model_opens_again_and_its_files_are_readable_by_all() {
    let dir = tempfile::tempdir().unwrap();
    let extra = dir.path().join("tokenizer.json");
    std::fs::write(&extra, "{}").unwrap();
    let folder = dir.path().join("saved");
    let options = SaveOptions {
        copy: vec![extra],
        ..SaveOptions::default()
    };
    save_model(&folder, LLAMA, &llama_tensors(), &options).unwrap();
    let model = ModelFolder::open(&folder).unwrap();
    assert_same(&model.tensors().unwrap(), &llama_tensors());
    assert_eq!(model.companions().unwrap(), [folder.join("tokenizer.json")]);
    #[cfg(unix)]
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o600, 0o600, "{name}");
        assert_eq!(mode & 0o111, 0, "{name}");
    }
}

#[test]
fn shards_hold_the_same_model_as_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let tensors = llama_tensors();
    // 96 bytes fit the largest tensor alone; 1 byte puts each tensor in its own file
    for (max_shard_bytes, files) in [(u64::MAX, 1), (192, 2), (96, 3), (1, 4)] {
        let folder = dir.path().join(format!("shards-{max_shard_bytes}"));
        let options = SaveOptions {
            max_shard_bytes,
            ..SaveOptions::default()
        };
        save_model(&folder, LLAMA, &tensors, &options).unwrap();
        let names = llm_store::hash::file_names(&folder).unwrap();
        let shards = names
            .iter()
            .filter(|name| name.ends_with(".safetensors"))
            .count();
        assert_eq!(shards, files, "{names:?}");
        assert_same(
            &ModelFolder::open(&folder).unwrap().tensors().unwrap(),
            &tensors,
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bit_pattern_survives(
        numbers in proptest::collection::vec(any::<u32>(), 0..40),
        name in "[ -~]{1,20}",
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("any.safetensors");
        let floats: Vec<f32> = numbers.iter().map(|bits| f32::from_bits(*bits)).collect();
        let count = floats.len();
        let tensor = Tensor::from_vec(floats, count, &Device::Cpu).unwrap();
        write_file(&path, &Tensors::from([(name.clone(), tensor)]), &BTreeMap::new()).unwrap();
        let file = SafetensorsFile::open(&path).unwrap();
        let read = bits(&file.tensor(&name, false).unwrap());
        prop_assert_eq!(read, numbers.iter().map(|bits| u64::from(*bits)).collect::<Vec<_>>());
    }
}
