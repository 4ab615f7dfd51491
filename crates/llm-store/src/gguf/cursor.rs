//! Reading a header front to back, with every length checked against what is left of the file.

use std::collections::BTreeSet;
use std::path::Path;

use super::header::TensorInfo;
use super::types::GgmlType;
use super::value::{ARRAY_ID, Array, Value};
use crate::error::printable;
use crate::{Error, Result};

/// The format's own limit on keys.
const MAX_KEY_BYTES: usize = (1 << 16) - 1;
/// llama.cpp keeps a name in 64 bytes with a zero at its end.
pub(super) const MAX_NAME_BYTES: usize = 63;
/// llama.cpp's tensors have at most this many axes.
pub(super) const MAX_AXES: u32 = 4;
/// The first four bytes.
pub(super) const MAGIC: [u8; 4] = *b"GGUF";
/// The version that is written; 2 is the same layout.
pub(super) const VERSION: u32 = 3;

/// Reads numbers and texts off the front of a file.
pub(super) struct Cursor<'a> {
    path: &'a Path,
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `file`, the contents of `path`.
    pub(super) fn new(path: &'a Path, file: &'a [u8]) -> Self {
        Self { path, file, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn bad(&self, problem: impl Into<String>) -> Error {
        Error::malformed(self.path, problem)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..bytes) else {
            let (at, have) = (self.at, rest.len());
            return Err(self.bad(format!(
                "is truncated: the header needs {bytes} bytes at byte {at}, {have} are there"
            )));
        };
        self.at += bytes;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn version(&mut self) -> Result<u32> {
        if self.array()? != MAGIC {
            return Err(self.bad("is not a GGUF file: it does not start with `GGUF`"));
        }
        let version = self.u32()?;
        if version != 0 && version & 0xffff == 0 {
            return Err(self.bad("is in big-endian order, expected little-endian"));
        }
        match version {
            2 | VERSION => Ok(version),
            _ => Err(self.bad(format!("has GGUF version {version}, expected 2 or 3"))),
        }
    }

    /// A number of things that each take at least `least` bytes of what is left.
    pub(super) fn count(&mut self, what: &str, least: usize) -> Result<u64> {
        let count = self.u64()?;
        let most = (self.file.len() - self.at) / least;
        if count > most as u64 {
            return Err(self.bad(format!(
                "announces {count} {what}, its size leaves room for {most}"
            )));
        }
        Ok(count)
    }

    fn text(&mut self, what: &str, most: usize) -> Result<String> {
        let length = self.u64()?;
        let left = self.file.len() - self.at;
        if length > most.min(left) as u64 {
            let most = most.min(left);
            return Err(self.bad(format!(
                "has a {what} of {length} bytes at byte {}, expected at most {most}",
                self.at
            )));
        }
        let at = self.at;
        let bytes = self.take(length as usize)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.bad(format!("has a {what} at byte {at} that is not UTF-8"))),
        }
    }

    pub(super) fn metadata(&mut self, count: u64) -> Result<Vec<(String, Value)>> {
        let mut seen = BTreeSet::new();
        let mut metadata = Vec::new();
        for _ in 0..count {
            let key = self.text("key", MAX_KEY_BYTES)?;
            if key.is_empty() || !seen.insert(key.clone()) {
                let problem = if key.is_empty() {
                    "is empty"
                } else {
                    "stands twice"
                };
                return Err(self.bad(format!("the key `{}` {problem}", printable(&key))));
            }
            let kind = self.u32()?;
            let value = self.value(kind).map_err(|error| match error {
                Error::Malformed { path, problem } => {
                    let problem = format!("key `{}`: {problem}", printable(&key));
                    Error::Malformed { path, problem }
                }
                other => other,
            })?;
            metadata.push((key, value));
        }
        Ok(metadata)
    }

    fn bool(&mut self) -> Result<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(self.bad(format!("has the boolean {byte}, expected 0 or 1"))),
        }
    }

    fn string(&mut self) -> Result<String> {
        self.text("text", usize::MAX)
    }

    fn value(&mut self, kind: u32) -> Result<Value> {
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.array()?)),
            1 => Value::I8(i8::from_le_bytes(self.array()?)),
            2 => Value::U16(u16::from_le_bytes(self.array()?)),
            3 => Value::I16(i16::from_le_bytes(self.array()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.array()?)),
            6 => Value::F32(f32::from_le_bytes(self.array()?)),
            7 => Value::Bool(self.bool()?),
            8 => Value::String(self.string()?),
            ARRAY_ID => Value::Array(self.list()?),
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.array()?)),
            12 => Value::F64(f64::from_le_bytes(self.array()?)),
            other => return Err(self.bad(format!("has the unknown value type {other}"))),
        })
    }

    fn list(&mut self) -> Result<Array> {
        let kind = self.u32()?;
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            ARRAY_ID => return Err(self.bad("is a list of lists, expected plain values")),
            other => return Err(self.bad(format!("is a list of the unknown type {other}"))),
        };
        let n = self.count("items", least)?;
        Ok(match kind {
            0 => Array::U8(self.items(n, |c| c.array().map(u8::from_le_bytes))?),
            1 => Array::I8(self.items(n, |c| c.array().map(i8::from_le_bytes))?),
            2 => Array::U16(self.items(n, |c| c.array().map(u16::from_le_bytes))?),
            3 => Array::I16(self.items(n, |c| c.array().map(i16::from_le_bytes))?),
            4 => Array::U32(self.items(n, Self::u32)?),
            5 => Array::I32(self.items(n, |c| c.array().map(i32::from_le_bytes))?),
            6 => Array::F32(self.items(n, |c| c.array().map(f32::from_le_bytes))?),
            7 => Array::Bool(self.items(n, Self::bool)?),
            8 => Array::String(self.items(n, Self::string)?),
            10 => Array::U64(self.items(n, Self::u64)?),
            11 => Array::I64(self.items(n, |c| c.array().map(i64::from_le_bytes))?),
            _ => Array::F64(self.items(n, |c| c.array().map(f64::from_le_bytes))?),
        })
    }

    /// `count` values, read one by one: memory grows with what is there, not with the number.
    fn items<T>(&mut self, count: u64, read: fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    pub(super) fn tensors(&mut self, count: u64) -> Result<Vec<TensorInfo>> {
        let mut seen = BTreeSet::new();
        let mut tensors = Vec::new();
        for _ in 0..count {
            let name = self.text("tensor name", MAX_NAME_BYTES)?;
            if name.is_empty() {
                return Err(self.bad("has a tensor without a name"));
            }
            if !seen.insert(name.clone()) {
                return Err(Error::tensor(self.path, &name, "stands twice"));
            }
            let axes = self.u32()?;
            if !(1..=MAX_AXES).contains(&axes) {
                let problem = format!("has {axes} axes, expected 1 to {MAX_AXES}");
                return Err(Error::tensor(self.path, &name, problem));
            }
            let shape = self.shape(&name, axes)?;
            let id = self.u32()?;
            let Some(kind) = GgmlType::from_id(id) else {
                let problem = format!("has the unknown type {id}");
                return Err(Error::tensor(self.path, &name, problem));
            };
            let begin = self.u64()?;
            let Ok(begin) = usize::try_from(begin) else {
                let problem = format!("starts at byte {begin}, which is beyond memory");
                return Err(Error::tensor(self.path, &name, problem));
            };
            let end = begin;
            tensors.push(TensorInfo {
                name,
                kind,
                shape,
                begin,
                end,
            });
        }
        Ok(tensors)
    }

    /// The sizes of a tensor's axes, turned to stand outermost first.
    fn shape(&mut self, name: &str, axes: u32) -> Result<Vec<usize>> {
        let mut shape = Vec::new();
        for _ in 0..axes {
            let size = self.u64()?;
            match usize::try_from(size).ok().filter(|&size| size > 0) {
                Some(size) => shape.push(size),
                None => {
                    let problem = format!("has an axis of size {size}");
                    return Err(Error::tensor(self.path, name, problem));
                }
            }
        }
        shape.reverse();
        let product = shape.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
        if product.is_none() {
            let problem = format!("has the shape {shape:?}, whose size overflows");
            return Err(Error::tensor(self.path, name, problem));
        }
        Ok(shape)
    }
}
