//! The values of GGUF's metadata.

use std::fmt;

use crate::error::printable;

/// One value of the metadata.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are the format's own")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    U64(u64),
    I64(i64),
    F64(f64),
    Array(Array),
}

/// A list of values of one type. Lists of lists, which no model has, are not read.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are the format's own")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Vec<String>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

/// The number of the list type in a file.
pub(super) const ARRAY_ID: u32 = 9;

/// Shown of a text in one line.
const SHOWN_CHARS: usize = 40;
/// Shown of a list in one line.
const SHOWN_ITEMS: usize = 4;

impl Value {
    /// The number of its type in a file, as the format gives them.
    pub(super) fn id(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::Array(_) => ARRAY_ID,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    /// The name of its type.
    pub fn type_name(&self) -> String {
        match self {
            Self::Array(array) => format!("{}[{}]", NAMES[array.id() as usize], array.len()),
            scalar => NAMES[scalar.id() as usize].into(),
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a whole one that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::U64(n) => Some(n),
            Self::I8(n) => n.try_into().ok(),
            Self::I16(n) => n.try_into().ok(),
            Self::I32(n) => n.try_into().ok(),
            Self::I64(n) => n.try_into().ok(),
            _ => None,
        }
    }

    /// The texts, if it is a list of them.
    pub fn as_strings(&self) -> Option<&[String]> {
        match self {
            Self::Array(Array::String(texts)) => Some(texts),
            _ => None,
        }
    }
}

/// Names of the types by their number in a file.
const NAMES: [&str; 13] = [
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64",
];

impl Array {
    /// The number of the items' type in a file.
    pub(super) fn id(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(items) => items.len(),
            Self::I8(items) => items.len(),
            Self::U16(items) => items.len(),
            Self::I16(items) => items.len(),
            Self::U32(items) => items.len(),
            Self::I32(items) => items.len(),
            Self::F32(items) => items.len(),
            Self::Bool(items) => items.len(),
            Self::String(items) => items.len(),
            Self::U64(items) => items.len(),
            Self::I64(items) => items.len(),
            Self::F64(items) => items.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One line: a text is cut, of a list the first items are shown.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U8(n) => write!(formatter, "{n}"),
            Self::I8(n) => write!(formatter, "{n}"),
            Self::U16(n) => write!(formatter, "{n}"),
            Self::I16(n) => write!(formatter, "{n}"),
            Self::U32(n) => write!(formatter, "{n}"),
            Self::I32(n) => write!(formatter, "{n}"),
            Self::F32(n) => write!(formatter, "{n}"),
            Self::Bool(n) => write!(formatter, "{n}"),
            Self::U64(n) => write!(formatter, "{n}"),
            Self::I64(n) => write!(formatter, "{n}"),
            Self::F64(n) => write!(formatter, "{n}"),
            Self::String(text) => formatter.write_str(&short(text)),
            Self::Array(array) => write!(formatter, "{array}"),
        }
    }
}

impl fmt::Display for Array {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U8(items) => list(formatter, items),
            Self::I8(items) => list(formatter, items),
            Self::U16(items) => list(formatter, items),
            Self::I16(items) => list(formatter, items),
            Self::U32(items) => list(formatter, items),
            Self::I32(items) => list(formatter, items),
            Self::F32(items) => list(formatter, items),
            Self::Bool(items) => list(formatter, items),
            Self::U64(items) => list(formatter, items),
            Self::I64(items) => list(formatter, items),
            Self::F64(items) => list(formatter, items),
            Self::String(items) => {
                let first: Vec<String> = items.iter().take(SHOWN_ITEMS).map(|t| short(t)).collect();
                bracketed(formatter, &first, items.len())
            }
        }
    }
}

fn list(formatter: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    let first: Vec<String> = items
        .iter()
        .take(SHOWN_ITEMS)
        .map(|n| n.to_string())
        .collect();
    bracketed(formatter, &first, items.len())
}

fn bracketed(formatter: &mut fmt::Formatter<'_>, first: &[String], all: usize) -> fmt::Result {
    let more = if first.len() < all { ", …" } else { "" };
    write!(formatter, "[{}{more}]", first.join(", "))
}

/// The start of a text in one line.
fn short(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{}{more}", printable(&start))
}
