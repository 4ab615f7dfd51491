//! GGUF, the file of llama.cpp: metadata, tokenizer and weights in one, often in fewer bits.
//!
//! ```text
//! "GGUF" │ version u32 │ tensors u64 │ entries u64 │ entries │ tensor infos │ padding │ data
//! entry: key, type, value          tensor info: name, sizes innermost first, type, offset
//! ```
//!
//! 1. [`header`]: the rules, checked before any size of a file is used
//! 2. [`write()`]: the same rules for what is written; equal input gives equal bytes
//! 3. [`quant`]: weights in blocks of fewer bits; [`mix`] says which tensor gets which type
//! 4. [`arch`]: names and metadata of the five model families; [`tokens`]: their tokenizers
//! 5. [`mod@export`]: a model folder as one file
//!
//! The format is described at <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

pub mod arch;
mod cursor;
pub mod export;
pub mod header;
pub mod mix;
pub mod quant;
mod scores;
pub mod tokens;
pub mod types;
pub mod value;
pub mod write;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

pub use export::{ExportOptions, Exported, export};
pub use header::{Header, TensorInfo};
pub use mix::Quant;
pub use types::GgmlType;
pub use value::{Array, Value};
pub use write::{TensorSpec, write};

use crate::files::regular_file;
use crate::safetensors::map_file;
use crate::{Error, Result};

/// A GGUF file with a checked header; its data stays on the disk until asked for.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    header: Header,
    map: Mmap,
}

impl GgufFile {
    /// Opens the file and checks its header against its size.
    ///
    /// # Errors
    /// The file is missing, not a regular file, or its header breaks a rule of [`Header`].
    pub fn open(path: &Path) -> Result<Self> {
        let size = regular_file(path, "a GGUF file")?.len();
        if size == 0 {
            // An empty file cannot be mapped everywhere
            return Err(Error::malformed(path, "is truncated: it is empty"));
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

    /// The bytes of the tensor called `name`, whole blocks in row-major order.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        let info = self.header.tensor(name)?;
        let start = self.header.data_start;
        self.map.get(start + info.begin..start + info.end)
    }
}

/// Whether the file starts as GGUF does.
///
/// # Errors
/// It cannot be read, or is not a regular file.
pub fn is_gguf(path: &Path) -> Result<bool> {
    regular_file(path, "a model's file")?;
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::io(path, "reading"))?;
    file.take(cursor::MAGIC.len() as u64)
        .read_to_end(&mut start)
        .map_err(Error::io(path, "reading"))?;
    Ok(start == cursor::MAGIC)
}
