//! The header's rules, all checked before a size in it is used.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use candle_core::DType;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use crate::error::printable;
use crate::files::unique_keys;
use crate::{Error, Result};

/// The largest header that is read, as in the reference implementation: models with 100,000
/// tensors stay below a tenth of it.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The length field in front of the header.
pub(super) const PREFIX_BYTES: usize = 8;

/// The key that holds free text instead of a tensor.
pub(super) const METADATA_KEY: &str = "__metadata__";

/// An element type of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the format's own")]
#[expect(non_camel_case_types, reason = "the names are the format's own")]
#[rustfmt::skip]
pub enum Dtype {
    BOOL, F4, F6_E2M3, F6_E3M2, U8, I8, F8_E5M2, F8_E4M3, F8_E8M0,
    I16, U16, F16, BF16, I32, U32, F32, C64, F64, I64, U64,
}

/// Name, bits an element, and the tensor library's type, if it has one to compute with.
#[rustfmt::skip]
const DTYPES: [(&str, Dtype, usize, Option<DType>); 20] = [
    ("BOOL", Dtype::BOOL, 8, None),
    ("F4", Dtype::F4, 4, None),
    ("F6_E2M3", Dtype::F6_E2M3, 6, None),
    ("F6_E3M2", Dtype::F6_E3M2, 6, None),
    ("U8", Dtype::U8, 8, Some(DType::U8)),
    ("I8", Dtype::I8, 8, None),
    ("F8_E5M2", Dtype::F8_E5M2, 8, None),
    ("F8_E4M3", Dtype::F8_E4M3, 8, Some(DType::F8E4M3)),
    ("F8_E8M0", Dtype::F8_E8M0, 8, None),
    ("I16", Dtype::I16, 16, Some(DType::I16)),
    ("U16", Dtype::U16, 16, None),
    ("F16", Dtype::F16, 16, Some(DType::F16)),
    ("BF16", Dtype::BF16, 16, Some(DType::BF16)),
    ("I32", Dtype::I32, 32, Some(DType::I32)),
    ("U32", Dtype::U32, 32, Some(DType::U32)),
    ("F32", Dtype::F32, 32, Some(DType::F32)),
    ("C64", Dtype::C64, 64, None),
    ("F64", Dtype::F64, 64, Some(DType::F64)),
    ("I64", Dtype::I64, 64, Some(DType::I64)),
    ("U64", Dtype::U64, 64, None),
];

impl Dtype {
    /// The type called `name` in a header.
    pub fn from_name(name: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    /// The type in which the tensor library's `dtype` is stored.
    pub fn from_candle(dtype: DType) -> Option<Self> {
        DTYPES
            .iter()
            .find(|row| row.3 == Some(dtype))
            .map(|row| row.1)
    }

    /// Its name in a header.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Bits of one element.
    pub fn bits(self) -> usize {
        self.row().2
    }

    /// The tensor library's type, if there is one.
    pub fn candle(self) -> Option<DType> {
        self.row().3
    }

    fn row(self) -> &'static (&'static str, Self, usize, Option<DType>) {
        // The table follows the order of the enum; a test walks it
        &DTYPES[self as usize]
    }
}

/// One tensor of a file: its type, its shape and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: Dtype,
    /// Sizes of the axes, outermost first.
    pub shape: Vec<usize>,
    /// First byte, counted from the start of the data.
    pub begin: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A checked header.
///
/// The rules: the length fits into the file and is at most [`MAX_HEADER_BYTES`]; the JSON is an
/// object without repeated keys; each tensor has a known type; its byte range equals shape × type
/// size, multiplied with overflow checks; the ranges follow each other without gap or overlap and
/// end where the file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// The free text under `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// Where the data starts in the file, in bytes.
    pub data_start: usize,
}

/// The header as JSON, with nothing but its form checked.
#[derive(Default)]
struct RawHeader {
    tensors: BTreeMap<String, RawTensor>,
    metadata: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct RawText(#[serde(deserialize_with = "unique_keys")] BTreeMap<String, String>);

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawHeader, A::Error> {
        let mut raw = RawHeader::default();
        let mut has_metadata = false;
        while let Some(name) = access.next_key::<String>()? {
            let known = if name == METADATA_KEY {
                has_metadata
            } else {
                raw.tensors.contains_key(&name)
            };
            if known {
                return Err(A::Error::custom(format!(
                    "the key `{}` stands twice",
                    printable(&name)
                )));
            }
            let named = |error| A::Error::custom(format!("`{}`: {error}", printable(&name)));
            if name == METADATA_KEY {
                raw.metadata = access.next_value::<RawText>().map_err(named)?.0;
                has_metadata = true;
            } else {
                let tensor = access.next_value().map_err(named)?;
                raw.tensors.insert(name, tensor);
            }
        }
        Ok(raw)
    }
}

impl Header {
    /// Parses and checks the header of `file`, the whole contents of `path`.
    ///
    /// # Errors
    /// A rule of [`Header`] is broken; the message names the tensor and the numbers.
    pub fn parse(path: &Path, file: &[u8]) -> Result<Self> {
        let bad = |problem: String| Error::malformed(path, problem);
        let Some((prefix, rest)) = file.split_first_chunk::<PREFIX_BYTES>() else {
            return Err(bad(format!(
                "is truncated: {} bytes, expected at least 8",
                file.len()
            )));
        };
        let length = u64::from_le_bytes(*prefix);
        if length > MAX_HEADER_BYTES {
            return Err(bad(format!(
                "has a header of {length} bytes, expected at most {MAX_HEADER_BYTES}"
            )));
        }
        if length > rest.len() as u64 {
            let have = rest.len();
            return Err(bad(format!(
                "is truncated: the header needs {length} bytes, {have} are there"
            )));
        }
        let (json, data) = rest.split_at(length as usize);
        let raw: RawHeader = serde_json::from_slice(json).map_err(|error| {
            bad(format!(
                "has a header that is not valid: {}",
                printable(&error.to_string())
            ))
        })?;
        let mut tensors = BTreeMap::new();
        for (name, tensor) in raw.tensors {
            let info = tensor.check(path, &name, data.len())?;
            tensors.insert(name, info);
        }
        let data_start = PREFIX_BYTES + json.len();
        let header = Self {
            tensors,
            metadata: raw.metadata,
            data_start,
        };
        header.check_contiguous(path, data.len())?;
        Ok(header)
    }

    /// The ranges cover the data from its first to its last byte, each byte once.
    fn check_contiguous(&self, path: &Path, data_len: usize) -> Result<()> {
        let mut ranges: Vec<_> = self.tensors.iter().collect();
        ranges.sort_by_key(|(_, info)| (info.begin, info.end));
        let mut next = 0;
        for (name, info) in ranges {
            if info.begin != next {
                let problem = format!(
                    "starts at byte {}, expected {next} (gap or overlap)",
                    info.begin
                );
                return Err(Error::tensor(path, name, problem));
            }
            next = info.end;
        }
        if next != data_len {
            let problem = format!("has {data_len} bytes of data, the header describes {next}");
            return Err(Error::malformed(path, problem));
        }
        Ok(())
    }
}

impl RawTensor {
    fn check(self, path: &Path, name: &str, data_len: usize) -> Result<TensorInfo> {
        let bad = |problem: String| Error::tensor(path, name, problem);
        let Some(dtype) = Dtype::from_name(&self.dtype) else {
            return Err(bad(format!(
                "has the unknown dtype `{}`",
                printable(&self.dtype)
            )));
        };
        let [begin, end] = self.data_offsets;
        if begin > end {
            return Err(bad(format!(
                "has data_offsets [{begin}, {end}], expected begin ≤ end"
            )));
        }
        if end > data_len as u64 {
            return Err(bad(format!(
                "ends at byte {end}, the file is truncated after {data_len}"
            )));
        }
        // Zeros are set aside: the other sizes must not overflow either, or strides would
        let product = |bits: u64, size: &u64| bits.checked_mul((*size).max(1));
        let Some(bits) = self.shape.iter().try_fold(dtype.bits() as u64, product) else {
            return Err(bad(format!(
                "has a shape of {} axes whose size overflows",
                self.shape.len()
            )));
        };
        let bits = if self.shape.contains(&0) { 0 } else { bits };
        if bits % 8 != 0 || bits / 8 != end - begin {
            let (have, name) = (end - begin, dtype.name());
            return Err(bad(format!(
                "needs {bits} bits for its shape in {name}, data_offsets give {have} bytes"
            )));
        }
        let shape: Result<Vec<usize>, _> = self
            .shape
            .iter()
            .map(|&size| usize::try_from(size))
            .collect();
        let shape = shape.map_err(|_| bad("has an axis larger than memory".into()))?;
        Ok(TensorInfo {
            dtype,
            shape,
            begin: begin as usize,
            end: end as usize,
        })
    }
}
