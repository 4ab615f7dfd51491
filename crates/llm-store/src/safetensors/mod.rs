//! Reading safetensors: a length, a JSON header, then the tensors' bytes without gaps.
//!
//! ```text
//! u64 little-endian N │ N bytes of JSON │ data
//! {"__metadata__": {"format": "pt"}, "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
//! ```
//!
//! The header is parsed and checked here, before any byte of it is used as a size: see
//! [`Header`]. The format is described at <https://github.com/huggingface/safetensors>.

mod header;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;

pub use header::{Dtype, Header, MAX_HEADER_BYTES, TensorInfo};
pub use write::{Spec, encoded_bytes, write, write_each, write_file};
pub(crate) use write::{held, specs};

use crate::files::regular_file;
use crate::{Error, Result};

/// A safetensors file with a checked header; its data stays on the disk until asked for.
#[derive(Debug)]
pub struct SafetensorsFile {
    path: PathBuf,
    header: Header,
    map: Mmap,
}

impl SafetensorsFile {
    /// Opens the file and checks its header against its size.
    ///
    /// # Errors
    /// The file is missing, not a regular file, or its header breaks a rule of [`Header`].
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = regular_file(path, "a safetensors file")?;
        if metadata.len() < header::PREFIX_BYTES as u64 {
            let problem = format!(
                "is truncated: {} bytes, expected at least 8",
                metadata.len()
            );
            return Err(Error::malformed(path, problem));
        }
        let file = File::open(path).map_err(Error::io(path, "reading"))?;
        let map = map_file(&file).map_err(Error::io(path, "mapping"))?;
        let header = Header::parse(path, &map)?;
        Ok(Self {
            path: path.to_path_buf(),
            header,
            map,
        })
    }

    /// The checked header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Type, shape and bytes of the tensor called `name`; equal values mean equal tensors.
    pub fn bytes(&self, name: &str) -> Option<(Dtype, &[usize], &[u8])> {
        let info = self.header.tensors.get(name)?;
        let start = self.header.data_start;
        Some((
            info.dtype,
            &info.shape,
            &self.map[start + info.begin..start + info.end],
        ))
    }

    /// The tensor called `name`, on the CPU in its stored type.
    ///
    /// # Shapes
    /// As stored.
    ///
    /// # Errors
    /// No such tensor, a type that the tensor library lacks, or with `check_finite` a NaN or
    /// infinity.
    pub fn tensor(&self, name: &str, check_finite: bool) -> Result<Tensor> {
        let stored = self.bytes(name);
        let (dtype, shape, bytes) =
            stored.ok_or_else(|| Error::tensor(&self.path, name, "is not in the file"))?;
        let Some(dtype) = dtype.candle() else {
            let problem = format!("has dtype {}, which cannot be computed with", dtype.name());
            return Err(Error::tensor(&self.path, name, problem));
        };
        if check_finite && let Some((index, value)) = first_not_finite(bytes, dtype) {
            let (path, name) = (self.path.clone(), name.into());
            return Err(Error::NotFinite {
                path,
                name,
                value,
                index,
            });
        }
        let tensor = Tensor::from_raw_buffer(bytes, dtype, shape, &Device::Cpu);
        tensor.map_err(Error::candle(&self.path))
    }
}

/// Maps the file read-only.
#[expect(
    unsafe_code,
    reason = "the one memory map: a model is read without a second copy"
)]
pub(crate) fn map_file(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is private to `SafetensorsFile` or `GgufFile`, read-only, and its bytes are only copied
    // out as plain numbers of types for which every bit pattern is valid. Another process that
    // rewrites the file changes those numbers; one that truncates it ends this process with
    // SIGBUS, as for every mapped file. Our own writers never change a file in place.
    unsafe { Mmap::map(file) }
}

/// The index and value of the first NaN or infinity in little-endian numbers of `dtype`.
fn first_not_finite(bytes: &[u8], dtype: DType) -> Option<(usize, f64)> {
    match dtype {
        DType::F64 => scan(
            bytes,
            |b| !f64::from_le_bytes(b).is_finite(),
            f64::from_le_bytes,
        ),
        DType::F32 => {
            let bad = |b| !f32::from_le_bytes(b).is_finite();
            scan(bytes, bad, |b| f64::from(f32::from_le_bytes(b)))
        }
        DType::F16 => {
            let bad = |b| !half::f16::from_le_bytes(b).is_finite();
            scan(bytes, bad, |b| half::f16::from_le_bytes(b).to_f64())
        }
        DType::BF16 => {
            let bad = |b| !half::bf16::from_le_bytes(b).is_finite();
            scan(bytes, bad, |b| half::bf16::from_le_bytes(b).to_f64())
        }
        _ => None,
    }
}

/// The first number that is `bad`, with its index.
fn scan<const N: usize>(
    bytes: &[u8],
    bad: impl Fn([u8; N]) -> bool,
    value: impl Fn([u8; N]) -> f64,
) -> Option<(usize, f64)> {
    /// Numbers tested without a branch, so that the compiler can use vector instructions.
    const BLOCK: usize = 1024;
    let (numbers, _) = bytes.as_chunks::<N>();
    for (block_index, block) in numbers.chunks(BLOCK).enumerate() {
        if block.iter().fold(false, |any, number| any | bad(*number)) {
            let inside = block.iter().position(|number| bad(*number))?;
            return Some((block_index * BLOCK + inside, value(block[inside])));
        }
    }
    None
}
