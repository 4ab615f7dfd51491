//! Writing safetensors.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use candle_core::{CpuStorage, Device, Layout, Storage, Tensor};
use half::slice::HalfFloatSliceExt;
use serde_json::{Map, json};

use super::header::{Dtype, METADATA_KEY, PREFIX_BYTES};
use crate::{Error, Result};

#[cfg(target_endian = "big")]
compile_error!("safetensors data is little-endian; this writer copies memory as it is");

/// The header is padded with spaces to this, so that the data can be mapped and used in place.
const ALIGNMENT: usize = 8;

/// The bytes that `tensor` takes in a file.
///
/// # Shapes
/// Any.
pub fn encoded_bytes(tensor: &Tensor) -> u64 {
    tensor.elem_count() as u64 * tensor.dtype().size_in_bytes() as u64
}

/// Writes `tensors` to the file `path`, whole or not at all.
///
/// # Errors
/// As [`write()`], and those of [`crate::atomic::write_file`].
pub fn write_file(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    crate::atomic::write_with(path, |file| write(path, file, tensors, metadata))
}

/// Writes `tensors` into `file`; `path` is for messages.
///
/// Larger element types come first, then names in order, as in the reference implementation:
/// with the padded header every tensor is aligned to its type.
///
/// # Errors
/// A tensor of a type that the format or the library cannot hold, or a failed write.
pub fn write(
    path: &Path,
    file: &mut dyn Write,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let specs = specs(path, tensors)?;
    write_each(path, file, &specs, metadata, &mut |spec| {
        held(path, tensors, spec)
    })
}

/// A tensor that a file will hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Sizes of the axes, outermost first.
    pub shape: Vec<usize>,
}

impl Spec {
    /// The bytes that it takes in a file.
    pub fn bytes(&self) -> u64 {
        let count = self.shape.iter().map(|&size| size as u64).product::<u64>();
        count * self.dtype.bits() as u64 / 8
    }
}

/// What a file of `tensors` will hold, in name order.
pub(crate) fn specs(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<Vec<Spec>> {
    let spec = |(name, tensor): (&String, &Tensor)| {
        let Some(dtype) = Dtype::from_candle(tensor.dtype()) else {
            let problem = format!("has dtype {:?}, which is not written", tensor.dtype());
            return Err(Error::tensor(path, name, problem));
        };
        let (name, shape) = (name.clone(), tensor.dims().to_vec());
        Ok(Spec { name, dtype, shape })
    };
    tensors.iter().map(spec).collect()
}

/// The tensor of `spec` among `tensors`.
pub(crate) fn held(path: &Path, tensors: &BTreeMap<String, Tensor>, spec: &Spec) -> Result<Tensor> {
    let found = tensors.get(&spec.name).cloned();
    found.ok_or_else(|| Error::tensor(path, &spec.name, "is not there"))
}

/// As [`write()`], with the tensors asked for one by one in the file's order, so that one of them
/// is in memory at a time.
///
/// # Errors
/// A reserved name, a tensor of another type or shape than its spec, an error of `tensor`, or a
/// failed write.
pub fn write_each(
    path: &Path,
    file: &mut dyn Write,
    specs: &[Spec],
    metadata: &BTreeMap<String, String>,
    tensor: &mut dyn FnMut(&Spec) -> Result<Tensor>,
) -> Result<()> {
    let mut order: Vec<&Spec> = specs.iter().collect();
    order.sort_by_key(|spec| std::cmp::Reverse(spec.dtype.bits()));
    if let Some(spec) = order.iter().find(|spec| spec.name == METADATA_KEY) {
        let problem = "has a name that the format reserves";
        return Err(Error::tensor(path, &spec.name, problem));
    }
    let header = header_bytes(&order, metadata);
    file.write_all(&header)
        .map_err(Error::io(path, "writing"))?;
    for spec in order {
        let tensor = tensor(spec)?;
        let same = Dtype::from_candle(tensor.dtype()) == Some(spec.dtype);
        if !same || tensor.dims() != spec.shape {
            let (dtype, dims) = (tensor.dtype(), tensor.dims());
            let problem = format!("became {dtype:?} {dims:?}, expected as announced");
            return Err(Error::tensor(path, &spec.name, problem));
        }
        write_data(path, file, &spec.name, &tensor)?;
    }
    Ok(())
}

/// Length, JSON and padding.
fn header_bytes(order: &[&Spec], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut entries = Map::new();
    if !metadata.is_empty() {
        entries.insert(METADATA_KEY.into(), json!(metadata));
    }
    let mut begin = 0;
    for spec in order {
        let end = begin + spec.bytes();
        let dtype = spec.dtype.name();
        let entry = json!({ "dtype": dtype, "shape": spec.shape, "data_offsets": [begin, end] });
        entries.insert(spec.name.clone(), entry);
        begin = end;
    }
    let mut text = serde_json::Value::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + text.len());
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&text);
    bytes
}

/// The numbers of one tensor in row-major order, without a copy where the tensor allows it.
fn write_data(path: &Path, file: &mut dyn Write, name: &str, tensor: &Tensor) -> Result<()> {
    let tensor = tensor
        .to_device(&Device::Cpu)
        .and_then(|tensor| tensor.contiguous());
    let tensor = tensor.map_err(Error::candle(path))?;
    let (storage, layout) = tensor.storage_and_layout();
    let bytes = match &*storage {
        Storage::Cpu(storage) => raw_bytes(storage, layout),
        _ => None,
    };
    let bytes =
        bytes.ok_or_else(|| Error::tensor(path, name, "is not readable as plain numbers"))?;
    file.write_all(bytes).map_err(Error::io(path, "writing"))
}

/// The memory of a contiguous tensor.
fn raw_bytes<'a>(storage: &'a CpuStorage, layout: &Layout) -> Option<&'a [u8]> {
    let (begin, end) = layout.contiguous_offsets()?;
    match storage {
        CpuStorage::U8(data) => data.get(begin..end),
        CpuStorage::U32(data) => data.get(begin..end).map(bytemuck::cast_slice),
        CpuStorage::I16(data) => data.get(begin..end).map(bytemuck::cast_slice),
        CpuStorage::I32(data) => data.get(begin..end).map(bytemuck::cast_slice),
        CpuStorage::I64(data) => data.get(begin..end).map(bytemuck::cast_slice),
        CpuStorage::F32(data) => data.get(begin..end).map(bytemuck::cast_slice),
        CpuStorage::F64(data) => data.get(begin..end).map(bytemuck::cast_slice),
        CpuStorage::F16(data) => data
            .get(begin..end)
            .map(|data| bytemuck::cast_slice(data.reinterpret_cast())),
        CpuStorage::BF16(data) => data
            .get(begin..end)
            .map(|data| bytemuck::cast_slice(data.reinterpret_cast())),
        _ => None,
    }
}
