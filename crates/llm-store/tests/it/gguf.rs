//! GGUF headers: what is written is read back, and what is made to break a reader is an error.

use std::path::Path;

use llm_store::gguf::{Array, GgmlType, GgufFile, Header, TensorSpec, Value, write};
use proptest::prelude::*;

use crate::support::assert_error;

const FILE: &str = "bad.gguf";

fn parse(bytes: &[u8]) -> llm_store::Result<Header> {
    Header::parse(Path::new(FILE), bytes)
}

/// Puts a header together by hand, right or wrong.
struct Raw(Vec<u8>);

impl Raw {
    fn new(version: u32, tensors: u64, entries: u64) -> Self {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(entries.to_le_bytes());
        Self(bytes)
    }

    fn u32(mut self, n: u32) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn u64(mut self, n: u64) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn text(self, text: &str) -> Self {
        let mut raw = self.u64(text.len() as u64);
        raw.0.extend(text.as_bytes());
        raw
    }

    fn tensor(self, name: &str, sizes: &[u64], kind: u32, offset: u64) -> Self {
        let raw = self.text(name).u32(sizes.len() as u32);
        let raw = sizes.iter().fold(raw, |raw, &size| raw.u64(size));
        raw.u32(kind).u64(offset)
    }

    /// Pads to 32 and adds `bytes` of data.
    fn data(mut self, bytes: usize) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(32) + bytes, 0);
        self.0
    }
}

/// One tensor `w` of F32.
fn one(sizes: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    Raw::new(3, 1, 0).tensor("w", sizes, kind, offset).data(64)
}

#[test]
fn the_smallest_right_files_are_read() {
    for version in [2, 3] {
        let empty = parse(&Raw::new(version, 0, 0).0).unwrap();
        assert!(empty.tensors.is_empty() && empty.metadata.is_empty());
        assert_eq!(empty.version, version);
    }
    let header = parse(&one(&[2, 8], 0, 0)).unwrap();
    let info = header.tensor("w").unwrap();
    assert_eq!(
        (info.shape.as_slice(), info.begin, info.end),
        (&[8, 2][..], 0, 64)
    );
    assert_eq!((header.alignment, header.data_start % 32), (32, 0));
}

#[test]
fn wrong_starts_are_named() {
    let cases = [
        (Vec::new(), "truncated"),
        (b"GGU".to_vec(), "truncated"),
        (b"GGML\x03\0\0\0".to_vec(), "does not start with `GGUF`"),
        (Raw::new(1, 0, 0).0, "version 1"),
        (Raw::new(4, 0, 0).0, "version 4"),
        (Raw::new(0x0300_0000, 0, 0).0, "big-endian"),
        (
            Raw::new(3, u64::MAX, 0).0,
            "announces 18446744073709551615 tensors",
        ),
        (
            Raw::new(3, 0, 1 << 40).0,
            "announces 1099511627776 metadata entries",
        ),
        (
            Raw::new(3, 0, 1).text("k").u32(99).u64(0).0,
            "key `k`: has the unknown value type 99",
        ),
        (
            Raw::new(3, 0, 1).text("").u32(4).u32(1).u64(0).0,
            "is empty",
        ),
        (
            Raw::new(3, 0, 1).u64(u64::MAX).u64(0).0,
            "key of 18446744073709551615 bytes",
        ),
        (
            Raw::new(3, 0, 1).text("k").u32(8).u64(1 << 50).0,
            "text of 1125899906842624 bytes",
        ),
        (Raw::new(3, 0, 1).text("k").u32(7).u32(2).0, "boolean 2"),
        (
            Raw::new(3, 0, 2)
                .text("k")
                .u32(4)
                .u32(1)
                .text("k")
                .u32(4)
                .u32(1)
                .0,
            "the key `k` stands twice",
        ),
        (
            Raw::new(3, 0, 1).text("k").u32(9).u32(8).u64(u64::MAX).0,
            "announces 18446744073709551615 items",
        ),
        (
            Raw::new(3, 0, 1).text("k").u32(9).u32(9).u64(1).0,
            "list of lists",
        ),
        (
            Raw::new(3, 0, 1).text("k").u32(9).u32(77).u64(1).0,
            "unknown type 77",
        ),
    ];
    for (bytes, part) in cases {
        assert_error(parse(&bytes), FILE, part);
    }
}

#[test]
fn a_key_is_text() {
    let mut not_text = Raw::new(3, 0, 1).text("kk").u32(4).u32(1).0;
    let at = not_text.len() - 10;
    not_text[at] = 0xff;
    assert_error(parse(&not_text), FILE, "not UTF-8");
}

#[test]
fn alignments_are_powers_of_two() {
    let with = |alignment: u32, kind: u32| {
        let raw = Raw::new(3, 0, 1).text("general.alignment");
        raw.u32(kind).u32(alignment).0
    };
    assert_eq!(parse(&with(64, 4)).unwrap().alignment, 64);
    for alignment in [0, 3, 48, 1 << 17, u32::MAX] {
        assert_error(parse(&with(alignment, 4)), FILE, "expected a power of two");
    }
    // The right number in the wrong type
    assert_error(parse(&with(64, 5)), FILE, "expected a power of two");
}

#[test]
fn wrong_tensors_are_named() {
    let two = |second: u64, data: usize| {
        let raw = Raw::new(3, 2, 0).tensor("a", &[4], 0, 0);
        raw.tensor("b", &[4], 0, second).data(data)
    };
    assert!(parse(&two(32, 48)).is_ok());
    assert!(parse(&two(32, 64)).is_ok(), "padding after the last tensor");
    let huge = 1 << 62;
    let cases = [
        (one(&[], 0, 0), "has 0 axes"),
        (one(&[1, 1, 1, 1, 1], 0, 0), "has 5 axes"),
        (one(&[16, 0], 0, 0), "axis of size 0"),
        (one(&[huge, 8], 0, 0), "overflows"),
        (one(&[huge], 0, 0), "overflows"),
        (one(&[u64::MAX, u64::MAX], 0, 0), "overflows"),
        (one(&[17], 0, 0), "needs 68 bytes"),
        (one(&[8], 0, 0), "64 bytes of data, the header describes 32"),
        (one(&[16], 99, 0), "unknown type 99"),
        (one(&[33], 2, 0), "not whole blocks of Q4_0"),
        (one(&[16], 0, 32), "starts at byte 32, expected 0"),
        (one(&[16], 0, u64::MAX), "expected 0"),
        (two(0, 64), "starts at byte 0, expected 32 (gap or overlap)"),
        (two(16, 64), "starts at byte 16, expected 32"),
        (two(64, 128), "starts at byte 64, expected 32"),
        (two(32, 40), "truncated after 40"),
        (two(32, 96), "96 bytes of data, the header describes 48"),
    ];
    for (bytes, part) in cases {
        assert_error(parse(&bytes), FILE, part);
    }
    let twice = Raw::new(3, 2, 0)
        .tensor("a", &[4], 0, 0)
        .tensor("a", &[4], 0, 32);
    assert_error(parse(&twice.data(64)), FILE, "`a`: stands twice");
    let long = Raw::new(3, 1, 0)
        .tensor(&"n".repeat(64), &[4], 0, 0)
        .data(16);
    assert_error(parse(&long), FILE, "tensor name of 64 bytes");
}

/// A file with every type of value and two tensors.
fn rich(path: &Path) -> Vec<(String, Value)> {
    let values = [
        Value::U8(200),
        Value::I8(-100),
        Value::U16(60_000),
        Value::I16(-30_000),
        Value::U32(4_000_000_000),
        Value::I32(-2_000_000_000),
        Value::F32(1.5e-7),
        Value::Bool(true),
        Value::String("a\n\u{1f600}".into()),
        Value::U64(u64::MAX),
        Value::I64(i64::MIN),
        Value::F64(-0.1),
        Value::Array(Array::String(vec!["x".into(), String::new()])),
        Value::Array(Array::F32(vec![0.5; 5])),
        Value::Array(Array::Bool(vec![true, false])),
        Value::Array(Array::I32(Vec::new())),
        Value::Array(Array::U8(vec![1])),
        Value::Array(Array::I8(vec![-1])),
        Value::Array(Array::U16(vec![2])),
        Value::Array(Array::I16(vec![-2])),
        Value::Array(Array::U32(vec![3])),
        Value::Array(Array::U64(vec![4])),
        Value::Array(Array::I64(vec![-4])),
        Value::Array(Array::F64(vec![5.5])),
    ];
    let keys = (0..values.len()).map(|i| format!("test.key_{i}"));
    let metadata: Vec<(String, Value)> = keys.zip(values).collect();
    let spec = |name: &str, kind, shape: &[usize]| TensorSpec {
        name: name.into(),
        kind,
        shape: shape.to_vec(),
    };
    let tensors = [
        spec("w", GgmlType::Q8_0, &[3, 32]),
        spec("b", GgmlType::F32, &[5]),
    ];
    write(path, &metadata, &tensors, &mut |spec| {
        Ok(vec![7; spec.kind.bytes_of(&spec.shape).unwrap()])
    })
    .unwrap();
    metadata
}

#[test]
fn what_is_written_is_read_back_and_is_the_same_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("a.gguf"), dir.path().join("b.gguf"));
    let metadata = rich(&first);
    rich(&second);
    assert_eq!(
        std::fs::read(&first).unwrap(),
        std::fs::read(&second).unwrap()
    );
    let file = GgufFile::open(&first).unwrap();
    assert_eq!(file.header().metadata, metadata);
    assert_eq!(file.bytes("w"), Some(&[7; 102][..]));
    assert_eq!(file.bytes("b"), Some(&[7; 20][..]));
    assert_eq!(file.bytes("c"), None);
    assert_eq!(
        file.header().get("test.key_0").and_then(Value::as_u64),
        Some(200)
    );
    assert_eq!(file.header().get("none"), None);
    for (_, value) in &file.header().metadata {
        let line = value.to_string();
        assert!(!line.contains('\n') && line.chars().count() < 100, "{line}");
    }
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.gguf");
    let spec = |name: &str, kind, shape: &[usize]| TensorSpec {
        name: name.into(),
        kind,
        shape: shape.to_vec(),
    };
    let good = spec("w", GgmlType::F32, &[2]);
    let cases = [
        vec![spec("", GgmlType::F32, &[2])],
        vec![spec(&"n".repeat(64), GgmlType::F32, &[2])],
        vec![good.clone(), good.clone()],
        vec![spec("w", GgmlType::F32, &[])],
        vec![spec("w", GgmlType::F32, &[0])],
        vec![spec("w", GgmlType::F32, &[1, 1, 1, 1, 1])],
        vec![spec("w", GgmlType::Q8_0, &[33])],
    ];
    let fill = |spec: &TensorSpec| Ok(vec![0; spec.kind.bytes_of(&spec.shape).unwrap_or(0)]);
    for tensors in cases {
        assert_error(
            write(&path, &[], &tensors, &mut |s| fill(s)),
            "w.gguf",
            "has a",
        );
    }
    let short = write(&path, &[], std::slice::from_ref(&good), &mut |_| {
        Ok(vec![0; 3])
    });
    assert_error(short, "w.gguf", "got 3 bytes");
    let key = ("k".to_owned(), Value::U8(1));
    let twice = write(&path, &[key.clone(), key], &[], &mut |s| fill(s));
    assert_error(twice, "w.gguf", "`k`");
    assert!(!path.exists(), "nothing is left of a write that failed");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn every_truncation_and_every_extra_byte_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    rich(&path);
    let whole = std::fs::read(&path).unwrap();
    // The padding after the last tensor may be missing
    let end = whole.len() - 12;
    for length in 0..end {
        assert_error(parse(&whole[..length]), FILE, "");
    }
    for extra in [1, 32, 4096] {
        let mut longer = whole.clone();
        longer.resize(whole.len() + extra, 0);
        assert_error(parse(&longer), FILE, "the header describes");
    }
    std::fs::write(&path, &whole[..end - 1]).unwrap();
    let error = assert_error(GgufFile::open(&path), FILE, "truncated");
    assert!(error.hint().unwrap().contains("fetch"), "{error}");
    assert_eq!(error.exit_code(), 2);
    std::fs::write(&path, []).unwrap();
    assert_error(GgufFile::open(&path), FILE, "truncated");
    assert_error(GgufFile::open(dir.path()), "", "not a regular file");
}

/// What is accepted must hold together, whatever it was made from.
fn check_if_accepted(bytes: &[u8]) {
    let Ok(header) = parse(bytes) else { return };
    assert!(header.alignment.is_power_of_two());
    let mut next = 0;
    for info in &header.tensors {
        assert_eq!(info.begin, next);
        assert_eq!(Some(info.end - info.begin), info.kind.bytes_of(&info.shape));
        assert!(header.data_start + info.end <= bytes.len());
        next = info.end.next_multiple_of(header.alignment);
    }
}

fn small_file() -> Vec<u8> {
    let raw = Raw::new(3, 2, 3).text("general.alignment").u32(4).u32(32);
    let raw = raw.text("a").u32(9).u32(8).u64(2).text("x").text("yz");
    let raw = raw.text("b").u32(8).text("text");
    let raw = raw.tensor("v", &[32, 2], 8, 0);
    raw.tensor("w", &[3], 0, 96).data(108)
}

#[test]
fn every_single_bit_flip_is_survived() {
    let file = small_file();
    parse(&file).unwrap();
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check_if_accepted(&flipped);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_edits_are_survived(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut file = small_file();
        for (index, byte) in edits {
            let index = index.index(file.len());
            file[index] = byte;
        }
        check_if_accepted(&file);
    }

    #[test]
    fn random_numbers_are_survived(sizes in proptest::collection::vec(any::<u64>(), 0..6), kind in 0u32..45, offset in any::<u64>()) {
        check_if_accepted(&one(&sizes, kind, offset));
        check_if_accepted(&one(&sizes, kind, 0));
        let shifted: Vec<u64> = sizes.iter().map(|size| size >> 58).collect();
        check_if_accepted(&one(&shifted, kind, 0));
    }

    #[test]
    fn random_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), tensors in 0u64..4, entries in 0u64..4) {
        check_if_accepted(&bytes);
        let mut raw = Raw::new(3, tensors, entries);
        raw.0.extend(bytes);
        check_if_accepted(&raw.0);
    }
}
