//! The tensors of an encoder by their names in BERT's own code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use llm_store::folder::open_weights;
use llm_store::safetensors::SafetensorsFile;

use crate::{Error, Result};

/// What stands before an encoder's names when it was saved with a head on top.
const PREFIXES: [&str; 2] = ["bert.", "roberta."];
/// How the first checkpoints called the weights of a norm, and how they are called now.
const OLD_ENDS: [(&str, &str); 2] = [
    ("LayerNorm.gamma", "LayerNorm.weight"),
    ("LayerNorm.beta", "LayerNorm.bias"),
];

/// The weight files of a folder.
pub(crate) struct Weights {
    folder: PathBuf,
    files: Vec<SafetensorsFile>,
    /// The file and the stored name of each tensor, by its name in the encoder.
    places: BTreeMap<String, (usize, String)>,
    dtype: DType,
    device: Device,
}

impl Weights {
    /// Opens the files and checks their headers; numbers are read one tensor at a time.
    ///
    /// # Errors
    /// Weights that are missing, malformed or in another format, or a tensor under two names.
    pub(crate) fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let files = open_weights(folder)?;
        let mut places: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            for stored in file.header().tensors.keys() {
                let place = (index, stored.clone());
                if let Some((_, other)) = places.insert(normalise(stored), place) {
                    return Err(Error::Tensor {
                        path: file.path().to_path_buf(),
                        name: stored.clone(),
                        problem: format!("is also stored as {other:?}"),
                    });
                }
            }
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            files,
            places,
            dtype,
            device: device.clone(),
        })
    }

    /// The tensor called `name`, which must have exactly `shape`.
    ///
    /// # Errors
    /// It is missing, has another shape, or holds NaN or infinity.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let place = self.places.get(name);
        let found = place.and_then(|(file, stored)| Some((self.files.get(*file)?, stored)));
        let Some((file, stored)) = found else {
            return Err(Error::Tensor {
                path: self.folder.clone(),
                name: name.into(),
                problem: "is in none of the weight files".into(),
            });
        };
        let stored_shape = file.bytes(stored).map(|(_, shape, _)| shape.to_vec());
        if stored_shape.as_deref() != Some(shape) {
            return Err(Error::Tensor {
                path: file.path().to_path_buf(),
                name: stored.clone(),
                problem: format!(
                    "has shape {:?}, expected {shape:?} by config.json",
                    stored_shape.unwrap_or_default()
                ),
            });
        }
        let tensor = file.tensor(stored, true)?;
        let moved = tensor
            .to_dtype(self.dtype)
            .and_then(|tensor| tensor.to_device(&self.device));
        moved.map_err(|source| Error::Candle {
            path: file.path().to_path_buf(),
            source,
        })
    }

    /// An error of the tensor library on these weights.
    pub(crate) fn candle(&self, source: candle_core::Error) -> Error {
        Error::Candle {
            path: self.folder.clone(),
            source,
        }
    }
}

/// The encoder's name of a stored tensor.
fn normalise(stored: &str) -> String {
    let bare = PREFIXES
        .iter()
        .find_map(|prefix| stored.strip_prefix(prefix))
        .unwrap_or(stored);
    let renamed = OLD_ENDS
        .iter()
        .find_map(|(old, new)| Some(format!("{}{new}", bare.strip_suffix(old)?)));
    renamed.unwrap_or_else(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_headed_names_are_the_encoders() {
        let name = "embeddings.LayerNorm.weight";
        assert_eq!(normalise("bert.embeddings.LayerNorm.gamma"), name);
        assert_eq!(normalise("roberta.embeddings.LayerNorm.weight"), name);
        assert_eq!(normalise(name), name);
        assert_eq!(normalise("encoder.layer.0.output.LayerNorm.beta"), "encoder.layer.0.output.LayerNorm.bias");
    }
}
