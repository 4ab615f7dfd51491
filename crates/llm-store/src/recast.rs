//! A model folder in another number type.

use std::path::Path;

use candle_core::DType;
use serde_json::{Map, Value};

use crate::atomic::FolderWriter;
use crate::folder::CONFIG_FILE;
use crate::safetensors::{Dtype, Spec};
use crate::save::write_weights_each;
use crate::{Error, ModelFolder, Result, SaveOptions};

/// Writes the folder `out`: the model `base` with every floating-point tensor rounded to `dtype`,
/// whatever stands beside the weights, and a configuration that says the type. One tensor is in
/// memory at a time; `progress` hears how many tensors are done, of how many.
///
/// # Errors
/// A type that weights are not stored in, a number that is infinite in it, or `out` exists or cannot
/// be written; nothing stands there then.
pub fn recast(
    base: &ModelFolder,
    dtype: DType,
    out: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let (name, stored) = match dtype {
        DType::F32 => ("float32", Dtype::F32),
        DType::BF16 => ("bfloat16", Dtype::BF16),
        DType::F16 => ("float16", Dtype::F16),
        other => {
            let problem = format!("cannot hold weights in {}", other.as_str());
            return Err(Error::malformed(out, problem));
        }
    };
    let specs: Vec<Spec> = base
        .infos()
        .map(|(name, info)| Spec {
            name: name.to_owned(),
            dtype: stored,
            shape: info.shape.clone(),
        })
        .collect();
    let (mut done, all) = (0, specs.len() as u64);
    let writer = FolderWriter::create(out, false)?;
    let most = SaveOptions::default().max_shard_bytes;
    write_weights_each(&writer, out, &specs, most, &mut |spec| {
        let wrong = |error: candle_core::Error| Error::tensor(out, &spec.name, error.to_string());
        let tensor = base.tensor(&spec.name)?.to_dtype(dtype).map_err(wrong)?;
        let sum = tensor.to_dtype(DType::F64).and_then(|t| t.sum_all());
        let sum = sum.and_then(|sum| sum.to_scalar::<f64>()).map_err(wrong)?;
        if !sum.is_finite() {
            let problem = format!("holds numbers that {name} cannot");
            return Err(Error::tensor(out, &spec.name, problem));
        }
        done += 1;
        progress(done, all);
        Ok(tensor)
    })?;
    writer.write(CONFIG_FILE, &config(base, name)?)?;
    for file in base.companions()? {
        writer.copy(&file)?;
    }
    writer.commit()
}

/// The configuration with the type in it, under both names that transformers has for it.
fn config(base: &ModelFolder, name: &str) -> Result<Vec<u8>> {
    let path = base.path().join(CONFIG_FILE);
    let text = std::fs::read(&path).map_err(Error::io(&path, "read"))?;
    let mut keys: Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|error| Error::malformed(&path, error.to_string()))?;
    if let Some(value) = keys.get_mut("dtype") {
        *value = name.into();
    }
    keys.insert("torch_dtype".to_owned(), name.into());
    Ok(format!("{:#}\n", Value::Object(keys)).into_bytes())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use llm_core::model::Decoder;
    use llm_core::params::Mode;

    use super::*;
    use crate::save_model;

    #[test]
    fn weights_are_rounded_once_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let json = r#"{"model_type": "qwen3", "vocab_size": 11, "hidden_size": 8,
            "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
            "num_key_value_heads": 1, "head_dim": 4, "max_position_embeddings": 16}"#;
        let config = llm_core::config::ModelConfig::from_json(json).unwrap();
        let (model, _) = Decoder::init(&config, 3, Mode::Frozen, DType::F32).unwrap();
        let mut tensors = model.named_tensors().unwrap();
        let wide = folder.path().join("wide");
        save_model(&wide, json, &tensors, &SaveOptions::default()).unwrap();
        let base = ModelFolder::open(&wide).unwrap();
        let out = folder.path().join("half");
        let mut calls = Vec::new();
        recast(&base, DType::BF16, &out, &mut |done, all| {
            calls.push((done, all))
        })
        .unwrap();
        assert_eq!(
            calls.last(),
            Some(&(tensors.len() as u64, tensors.len() as u64))
        );
        let half = ModelFolder::open(&out).unwrap();
        for (name, tensor) in half.tensors().unwrap() {
            assert_eq!(tensor.dtype(), DType::BF16, "{name}");
            let wide = tensors[&name].to_dtype(DType::BF16).unwrap();
            let apart = (tensor.to_dtype(DType::F32).unwrap() - wide.to_dtype(DType::F32).unwrap())
                .unwrap()
                .abs()
                .unwrap()
                .sum_all()
                .unwrap();
            assert_eq!(apart.to_scalar::<f32>().unwrap(), 0.0, "{name}");
        }
        let text = std::fs::read_to_string(out.join(CONFIG_FILE)).unwrap();
        assert!(text.contains("\"torch_dtype\": \"bfloat16\""), "{text}");
        assert!(
            recast(&base, DType::BF16, &out, &mut |_, _| ()).is_err(),
            "it exists"
        );
        assert!(recast(&base, DType::U8, &folder.path().join("u8"), &mut |_, _| ()).is_err());

        // f16 ends at 65504.
        let (name, first) = tensors
            .iter()
            .next()
            .map(|(n, t)| (n.clone(), t.clone()))
            .unwrap();
        tensors.insert(
            name.clone(),
            Tensor::full(1e6f32, first.shape(), &Device::Cpu).unwrap(),
        );
        let large = folder.path().join("large");
        save_model(&large, json, &tensors, &SaveOptions::default()).unwrap();
        let base = ModelFolder::open(&large).unwrap();
        let out = folder.path().join("small");
        let error = recast(&base, DType::F16, &out, &mut |_, _| ()).unwrap_err();
        assert!(error.to_string().contains(&name), "{error}");
        assert!(!out.exists());
    }
}
