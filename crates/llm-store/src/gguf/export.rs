//! A model folder as one GGUF file.

use std::path::Path;

use candle_core::{DType, Tensor};
use llm_core::model::tensor_shapes;

use super::arch::{self, Change, Target};
use super::mix::{Place, Quant, choose};
use super::quant::{MAX_F16, fits, quantize};
use super::tokens;
use super::types::GgmlType;
use super::value::Value;
use super::write::{TensorSpec, write};
use crate::{Error, ModelFolder, Result};

/// How [`export`] writes.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// What the file as a whole is.
    pub quant: Quant,
    /// The model's name for people.
    pub name: String,
    /// Whether a file that exists is replaced.
    pub overwrite: bool,
    /// Threads that make blocks; the bytes are the same for any number.
    pub threads: usize,
}

/// A tensor of a file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedTensor {
    /// Its name, type and shape.
    pub spec: TensorSpec,
    /// The type that the rules want; another one where its rows are not whole blocks of that.
    pub wanted: GgmlType,
}

/// What a written file holds.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The tensors in the file's order.
    pub tensors: Vec<ExportedTensor>,
    /// The size of the file.
    pub bytes: u64,
    /// What differs from the folder and has to be known.
    pub notes: Vec<String>,
}

/// One tensor on its way.
struct Planned {
    /// The model's name of it; `None` for rope factors, which no model stores.
    source: Option<String>,
    change: Change,
    exported: ExportedTensor,
}

/// The name of llama.cpp's tensor of rope factors.
const ROPE_FACTORS: &str = "rope_freqs.weight";
/// The version of the blocks' layouts, which no file since 2023 leaves out.
const QUANTIZATION_VERSION: u32 = 2;

/// Writes `folder` to the GGUF file `path`, whole or not at all, with one tensor in memory at a
/// time. `progress` hears how many weights are done, of how many.
///
/// # Errors
/// The file exists and is not to be replaced, something of the model has no place in the format,
/// a weight that is not finite or beyond the type, or a disk that refuses.
pub fn export(
    folder: &ModelFolder,
    path: &Path,
    options: &ExportOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported> {
    if !options.overwrite && std::fs::symlink_metadata(path).is_ok() {
        return Err(Error::Exists {
            path: path.to_path_buf(),
        });
    }
    let config_path = folder.path().join(crate::folder::CONFIG_FILE);
    let mut metadata = arch::metadata(&config_path, &folder.config)?;
    let planned = plan(folder, options.quant)?;
    let general = [
        ("general.type", Value::String("model".into())),
        ("general.name", Value::String(options.name.clone())),
        ("general.file_type", Value::U32(options.quant.file_type())),
        (
            "general.quantization_version",
            Value::U32(QUANTIZATION_VERSION),
        ),
    ];
    for (index, (key, value)) in general.into_iter().enumerate() {
        metadata.insert(1 + index, (key.to_owned(), value)); // behind the architecture
    }
    metadata.extend(tokens::metadata(folder)?);

    let specs: Vec<TensorSpec> = planned.iter().map(|p| p.exported.spec.clone()).collect();
    let count = |spec: &TensorSpec| spec.shape.iter().map(|&n| n as u64).product::<u64>();
    let all: u64 = specs.iter().map(count).sum();
    let (mut done, mut rest) = (0, planned.iter());
    write(path, &metadata, &specs, &mut |spec| {
        let Some(planned) = rest.next() else {
            return Err(Error::tensor(path, &spec.name, "was not planned"));
        };
        let bytes = encode(folder, planned, options.threads)?;
        done += count(spec);
        progress(done, all);
        Ok(bytes)
    })?;
    let bytes = std::fs::metadata(path)
        .map_err(Error::io(path, "reading"))?
        .len();
    Ok(Exported {
        tensors: planned.into_iter().map(|p| p.exported).collect(),
        bytes,
        notes: notes(folder),
    })
}

/// What a reader of the file has to know.
fn notes(folder: &ModelFolder) -> Vec<String> {
    let (context, own) = (
        arch::context_length(&folder.config),
        folder.config.max_position_embeddings,
    );
    let mut notes = Vec::new();
    if context < own {
        notes.push(format!(
            "context_length is {context}, not {own}: llama.cpp has no sliding window for this model"
        ));
    }
    notes
}

/// Every tensor of the model in its order, with its name and type in the file.
fn plan(folder: &ModelFolder, quant: Quant) -> Result<Vec<Planned>> {
    let config = &folder.config;
    let in_config = |source| Error::Core {
        path: folder.path().join(crate::folder::CONFIG_FILE),
        source,
    };
    let mut planned = Vec::new();
    let expected = tensor_shapes(config).map_err(in_config)?;
    for row in &expected {
        let bad = |problem: String| Error::tensor(folder.path(), &row.name, problem);
        let stored = folder.infos().find(|(name, _)| *name == row.name);
        let Some((_, info)) = stored else {
            return Err(bad(
                "is not in the folder, expected by its configuration".into()
            ));
        };
        if info.shape != row.shape {
            let (have, want) = (&info.shape, &row.shape);
            return Err(bad(format!("has shape {have:?}, expected {want:?}")));
        }
        let Some(target) = arch::target(config, &row.name) else {
            let what = format!("the tensor `{}`", row.name);
            return Err(Error::not_in_gguf(folder.path(), what));
        };
        planned.push(place(folder, quant, &row.name, &row.shape, target));
    }
    if let Some((name, _)) = folder
        .infos()
        .find(|(name, _)| !expected.iter().any(|r| r.name == *name))
    {
        let problem = "is in the folder, but its configuration has no such tensor";
        return Err(Error::tensor(folder.path(), name, problem));
    }
    if let Some(factors) = arch::rope_factors(config) {
        let spec = TensorSpec {
            name: ROPE_FACTORS.into(),
            kind: GgmlType::F32,
            shape: vec![factors.len()],
        };
        let wanted = GgmlType::F32;
        planned.push(Planned {
            source: None,
            change: Change::None,
            exported: ExportedTensor { spec, wanted },
        });
    }
    Ok(planned)
}

fn place(
    folder: &ModelFolder,
    quant: Quant,
    source: &str,
    stored: &[usize],
    target: Target,
) -> Planned {
    let mut shape = stored.to_vec();
    if target.change == Change::Transpose {
        shape.reverse();
    }
    let layers = folder.config.num_hidden_layers;
    let (kind, wanted) = choose(
        quant,
        Place {
            name: &target.name,
            shape: &shape,
            layer: target.layer.map(|layer| (layer, layers)),
            tied: folder.config.tie_word_embeddings,
        },
    );
    let name = target.name;
    let spec = TensorSpec { name, kind, shape };
    Planned {
        source: Some(source.to_owned()),
        change: target.change,
        exported: ExportedTensor { spec, wanted },
    }
}

/// The bytes of one tensor.
fn encode(folder: &ModelFolder, planned: &Planned, threads: usize) -> Result<Vec<u8>> {
    let spec = &planned.exported.spec;
    let values = match &planned.source {
        None => arch::rope_factors(&folder.config).unwrap_or_default(),
        Some(name) => {
            let values = numbers(&folder.tensor(name)?, planned.change == Change::Transpose);
            values.map_err(Error::candle(folder.path()))?
        }
    };
    let values = match planned.change {
        Change::Interleave(heads) => {
            // A bias is one column
            let columns = if spec.shape.len() == 1 {
                1
            } else {
                spec.shape[1]
            };
            arch::interleave(&values, heads, columns)
        }
        Change::None | Change::Transpose => values,
    };
    let kind = spec.kind.name();
    if let Err(index) = fits(spec.kind, &values) {
        let problem = format!(
            "holds {} at flat index {index}, {kind} ends at {MAX_F16}",
            values[index]
        );
        return Err(Error::tensor(folder.path(), &spec.name, problem));
    }
    quantize(spec.kind, &values, threads).ok_or_else(|| {
        Error::tensor(
            folder.path(),
            &spec.name,
            format!("cannot be stored as {kind}"),
        )
    })
}

/// A tensor's numbers in f32, row by row.
fn numbers(tensor: &Tensor, transpose: bool) -> candle_core::Result<Vec<f32>> {
    let tensor = if transpose {
        tensor.t()?
    } else {
        tensor.clone()
    };
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
