//! The header's rules, all checked before a size in it is used.

use std::path::Path;

use super::cursor::Cursor;
use super::types::GgmlType;
use super::value::Value;
use crate::{Error, Result};

/// Where a header says nothing, tensors start at multiples of this.
pub const DEFAULT_ALIGNMENT: usize = 32;
/// The key that says otherwise.
const ALIGNMENT_KEY: &str = "general.alignment";
/// Larger alignments are mistakes: the gap between two tensors would be larger than both.
const MAX_ALIGNMENT: u64 = 1 << 16;
/// An entry of the metadata: length of its key, one letter, type, one byte.
const LEAST_ENTRY_BYTES: usize = 8 + 1 + 4 + 1;
/// A tensor: length of its name, one letter, axes, one size, type, offset.
const LEAST_TENSOR_BYTES: usize = 8 + 1 + 4 + 8 + 4 + 8;

/// One tensor of a file: its type, its shape and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// How its weights are stored.
    pub kind: GgmlType,
    /// Sizes of the axes, outermost first (the file has them the other way round).
    pub shape: Vec<usize>,
    /// First byte, counted from the start of the data.
    pub begin: usize,
    /// One past the last byte.
    pub end: usize,
}

impl TensorInfo {
    /// How many weights it has.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A checked header.
///
/// The rules: version 2 or 3 in little-endian; both counts fit into the file; keys and names are
/// not empty, not too long and stand once; no list of lists; the alignment is a power of two; each
/// tensor has 1 to 4 axes of at least 1, whole blocks in a row, and a size that does not overflow;
/// the tensors follow each other in the order of the header with no gap but the alignment, and end
/// where the file ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Keys and values in the file's order.
    pub metadata: Vec<(String, Value)>,
    /// The tensors in the file's order, which is that of their bytes.
    pub tensors: Vec<TensorInfo>,
    /// Each tensor starts at a multiple of this.
    pub alignment: usize,
    /// Where the data starts in the file, in bytes.
    pub data_start: usize,
}

impl Header {
    /// Parses and checks the header of `file`, the whole contents of `path`.
    ///
    /// # Errors
    /// A rule of [`Header`] is broken; the message names the key or tensor and the numbers.
    pub fn parse(path: &Path, file: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(path, file);
        let version = cursor.version()?;
        let tensor_count = cursor.count("tensors", LEAST_TENSOR_BYTES)?;
        let entry_count = cursor.count("metadata entries", LEAST_ENTRY_BYTES)?;
        let metadata = cursor.metadata(entry_count)?;
        let alignment = alignment(path, &metadata)?;
        let mut tensors = cursor.tensors(tensor_count)?;
        // A file without tensors may end without the padding before its data
        let data_start = cursor.position().next_multiple_of(alignment);
        let data = file.len().saturating_sub(data_start);
        place(path, &mut tensors, alignment, data)?;
        let data_start = data_start.min(file.len());
        Ok(Self {
            version,
            metadata,
            tensors,
            alignment,
            data_start,
        })
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self.metadata.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|info| info.name == name)
    }
}

/// The alignment that the metadata give.
fn alignment(path: &Path, metadata: &[(String, Value)]) -> Result<usize> {
    let Some((_, value)) = metadata.iter().find(|(key, _)| key == ALIGNMENT_KEY) else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let number = match value {
        Value::U32(number) => u64::from(*number),
        _ => 0,
    };
    if !number.is_power_of_two() || number > MAX_ALIGNMENT {
        let problem = format!("has {ALIGNMENT_KEY} {value}, expected a power of two up to 65536");
        return Err(Error::malformed(path, problem));
    }
    Ok(number as usize)
}

/// Checks that the tensors' ranges follow each other and fill the `data` bytes; ends are set.
fn place(path: &Path, tensors: &mut [TensorInfo], alignment: usize, data: usize) -> Result<()> {
    let mut next = 0;
    let mut last = 0;
    for info in tensors {
        let bad = |problem: String| Error::tensor(path, &info.name, problem);
        if info.begin != next {
            return Err(bad(format!(
                "starts at byte {}, expected {next} (gap or overlap)",
                info.begin
            )));
        }
        let Some(bytes) = info.kind.bytes_of(&info.shape) else {
            return Err(bad(format!(
                "has the shape {:?}, whose rows are not whole blocks of {} or whose size overflows",
                info.shape,
                info.kind.name()
            )));
        };
        let end = info.begin.checked_add(bytes).filter(|&end| end <= data);
        let Some(end) = end else {
            let begin = info.begin;
            return Err(bad(format!(
                "needs {bytes} bytes from byte {begin} on, the file is truncated after {data}"
            )));
        };
        (info.end, last) = (end, end);
        next = end.next_multiple_of(alignment);
    }
    if data != last && data != next {
        let problem = format!("has {data} bytes of data, the header describes {last}");
        return Err(Error::malformed(path, problem));
    }
    Ok(())
}
