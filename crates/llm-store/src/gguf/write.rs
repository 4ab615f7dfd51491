//! Writing GGUF: the same rules as for reading, and nothing in it that changes from run to run.

use std::collections::BTreeSet;
use std::path::Path;

use super::cursor::{MAGIC, MAX_AXES, MAX_NAME_BYTES, VERSION};
use super::header::DEFAULT_ALIGNMENT;
use super::types::GgmlType;
use super::value::{ARRAY_ID, Array, Value};
use crate::{Error, Result};

/// A tensor that a file will hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// How its weights are stored.
    pub kind: GgmlType,
    /// Sizes of the axes, outermost first.
    pub shape: Vec<usize>,
}

/// Writes the file `path`, whole or not at all, replacing what was there. `bytes` is asked for the
/// tensors' bytes one by one, in their order, so that one of them is in memory at a time.
///
/// # Errors
/// A key or name that is empty, too long or there twice, a shape that the format cannot hold, bytes
/// of another number than the shape takes, an error of `bytes`, or a disk that refuses.
pub fn write(
    path: &Path,
    metadata: &[(String, Value)],
    tensors: &[TensorSpec],
    bytes: &mut dyn FnMut(&TensorSpec) -> Result<Vec<u8>>,
) -> Result<()> {
    let header = header_bytes(path, metadata, tensors)?;
    crate::atomic::write_with(path, |file| {
        let mut put = |part: &[u8]| file.write_all(part).map_err(Error::io(path, "writing"));
        put(&header)?;
        put(&padding(header.len()))?;
        for tensor in tensors {
            let data = bytes(tensor)?;
            if Some(data.len()) != tensor.kind.bytes_of(&tensor.shape) {
                let problem = format!("got {} bytes, which is not its size", data.len());
                return Err(Error::tensor(path, &tensor.name, problem));
            }
            put(&data)?;
            put(&padding(data.len()))?;
        }
        Ok(())
    })
}

/// The zeros that bring `length` to a multiple of the alignment.
fn padding(length: usize) -> Vec<u8> {
    vec![0; length.next_multiple_of(DEFAULT_ALIGNMENT) - length]
}

fn header_bytes(
    path: &Path,
    metadata: &[(String, Value)],
    tensors: &[TensorSpec],
) -> Result<Vec<u8>> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    let mut keys = BTreeSet::new();
    for (key, value) in metadata {
        if key.is_empty() || key.len() > usize::from(u16::MAX) || !keys.insert(key) {
            let problem = format!("cannot hold the key `{key}`: empty, too long or there twice");
            return Err(Error::malformed(path, problem));
        }
        put_text(&mut out, key);
        out.extend(value.id().to_le_bytes());
        put_value(&mut out, value);
    }
    let mut names = BTreeSet::new();
    let mut offset = 0u64;
    for tensor in tensors {
        let bad = |problem: &str| Error::tensor(path, &tensor.name, problem);
        let length = tensor.name.len();
        if length == 0 || length > MAX_NAME_BYTES || !names.insert(&tensor.name) {
            return Err(bad("has a name that is empty, too long or there twice"));
        }
        let bytes = tensor.kind.bytes_of(&tensor.shape).filter(|&n| n > 0);
        let Some(bytes) = bytes.filter(|_| tensor.shape.len() <= MAX_AXES as usize) else {
            return Err(bad("has a shape that its type cannot hold"));
        };
        put_text(&mut out, &tensor.name);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        for size in tensor.shape.iter().rev() {
            out.extend((*size as u64).to_le_bytes());
        }
        out.extend(tensor.kind.id().to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += bytes.next_multiple_of(DEFAULT_ALIGNMENT) as u64;
    }
    Ok(out)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(n) => out.push(*n),
        Value::I8(n) => out.extend(n.to_le_bytes()),
        Value::U16(n) => out.extend(n.to_le_bytes()),
        Value::I16(n) => out.extend(n.to_le_bytes()),
        Value::U32(n) => out.extend(n.to_le_bytes()),
        Value::I32(n) => out.extend(n.to_le_bytes()),
        Value::F32(n) => out.extend(n.to_le_bytes()),
        Value::Bool(n) => out.push(u8::from(*n)),
        Value::String(text) => put_text(out, text),
        Value::U64(n) => out.extend(n.to_le_bytes()),
        Value::I64(n) => out.extend(n.to_le_bytes()),
        Value::F64(n) => out.extend(n.to_le_bytes()),
        Value::Array(array) => {
            debug_assert_ne!(array.id(), ARRAY_ID, "lists hold plain values");
            out.extend(array.id().to_le_bytes());
            out.extend((array.len() as u64).to_le_bytes());
            put_items(out, array);
        }
    }
}

fn put_items(out: &mut Vec<u8>, array: &Array) {
    match array {
        Array::U8(items) => out.extend(items),
        Array::I8(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::U16(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::I16(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::U32(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::I32(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::F32(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::Bool(items) => out.extend(items.iter().map(|&n| u8::from(n))),
        Array::String(items) => items.iter().for_each(|text| put_text(out, text)),
        Array::U64(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::I64(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::F64(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
    }
}
