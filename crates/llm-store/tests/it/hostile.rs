//! Files made to break a reader: each is an error with a name, none is a panic.

use std::path::Path;

use llm_store::safetensors::{Header, MAX_HEADER_BYTES, SafetensorsFile};
use proptest::prelude::*;

use crate::support::{assert_error, llama_tensors, raw_file, write_tensors};

const FILE: &str = "bad.safetensors";

fn parse(bytes: &[u8]) -> llm_store::Result<Header> {
    Header::parse(Path::new(FILE), bytes)
}

/// A header with one tensor `w` and 8 bytes of data.
fn one(dtype: &str, shape: &str, offsets: &str) -> Vec<u8> {
    let header =
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#);
    raw_file(&header, &[0; 8])
}

#[test]
fn the_smallest_right_files_are_read() {
    assert_eq!(
        parse(&one("F32", "[2]", "[0,8]")).unwrap().tensors["w"].shape,
        [2]
    );
    assert!(parse(&raw_file("{}", &[])).unwrap().tensors.is_empty());
    let scalar = parse(&one("F64", "[]", "[0,8]")).unwrap();
    assert!(scalar.tensors["w"].shape.is_empty());
    assert!(parse(&one("F4", "[2,8]", "[0,8]")).is_ok());
}

#[test]
fn wrong_numbers_are_named() {
    let cases = [
        (one("F32", "[3]", "[0,8]"), "needs 96 bits"),
        (one("F32", "[2]", "[0,4]"), "needs 64 bits"),
        (one("F32", "[2]", "[8,0]"), "begin ≤ end"),
        (one("F32", "[2]", "[0,16]"), "truncated after 8"),
        (one("F32", "[1]", "[4,8]"), "starts at byte 4, expected 0"),
        (
            one("F32", "[1]", "[0,4]"),
            "8 bytes of data, the header describes 4",
        ),
        (one("F31", "[2]", "[0,8]"), "unknown dtype `F31`"),
        (one("F32", "[4294967296,4294967296]", "[0,8]"), "overflows"),
        (
            one("F32", "[0,4294967296,4294967296]", "[0,0]"),
            "overflows",
        ),
        (one("F32", "[18446744073709551616]", "[0,8]"), "not valid"),
        (one("F32", "[-1]", "[0,8]"), "not valid"),
        (one("F32", "[2]", "[0,8,9]"), "not valid"),
        (one("F32", "[2]", "[0,1e1]"), "not valid"),
        (one("F4", "[3]", "[0,1]"), "needs 12 bits"),
    ];
    for (bytes, part) in cases {
        assert_error(parse(&bytes), FILE, part);
    }
}

#[test]
fn ambiguous_and_misshapen_headers_are_refused() {
    let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let cases = [
        (
            format!(r#"{{"w":{entry},"w":{entry}}}"#),
            "`w` stands twice",
        ),
        (
            r#"{"__metadata__":{"a":"1","a":"2"}}"#.into(),
            "`a` stands twice",
        ),
        (
            r#"{"__metadata__":{},"__metadata__":{}}"#.into(),
            "stands twice",
        ),
        (
            r#"{"__metadata__":{"a":1}}"#.into(),
            "`__metadata__`: invalid type",
        ),
        (format!(r#"{{"a":{entry},"b":{entry}}}"#), "gap or overlap"),
        (
            entry
                .replace("F32", r#"F32","dtype":"F32"#)
                .replace('{', r#"{"w":{"#)
                + "}",
            "duplicate",
        ),
        (
            r#"{"w":{"dtype":"F32","shape":[1]}}"#.into(),
            "missing field",
        ),
        (
            r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#.into(),
            "unknown field",
        ),
        ("[]".into(), "an object of tensors"),
        ("{}{}".into(), "trailing"),
        ("".into(), "EOF"),
        ("[".repeat(100_000), "not valid"),
        (format!(r#"{{"w":{}}}"#, "[".repeat(100_000)), "not valid"),
    ];
    for (header, part) in cases {
        assert_error(parse(&raw_file(&header, &[0; 4])), FILE, part);
    }
}

#[test]
fn the_header_length_is_not_trusted() {
    let mut file = one("F32", "[2]", "[0,8]");
    file[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_error(parse(&file), FILE, "expected at most");
    file[..8].copy_from_slice(&MAX_HEADER_BYTES.to_le_bytes());
    assert_error(parse(&file), FILE, "truncated");
}

#[test]
fn a_name_cannot_break_the_message() {
    let name = format!("a\\nb\\u001b[31m{}", "x".repeat(1000));
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}}}"#);
    let error = assert_error(parse(&raw_file(&header, &[0; 4])), FILE, r"a\nb\u{1b}");
    assert!(error.to_string().len() < 400, "{error}");
}

#[test]
fn every_truncation_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    write_tensors(&path, &llama_tensors());
    let whole = std::fs::read(&path).unwrap();
    parse(&whole).unwrap();
    for length in 0..whole.len() {
        assert_error(parse(&whole[..length]), FILE, "");
    }
    for extra in [1, 8, 4096] {
        let mut longer = whole.clone();
        longer.resize(whole.len() + extra, 0);
        assert_error(parse(&longer), FILE, "the header describes");
    }
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = assert_error(SafetensorsFile::open(&path), FILE, "truncated");
    assert_eq!(error.exit_code(), 2);
    std::fs::write(&path, []).unwrap();
    let error = assert_error(SafetensorsFile::open(&path), FILE, "truncated: 0 bytes");
    assert!(error.hint().unwrap().contains("fetch"), "{error}");
}

#[test]
fn not_a_number_is_found_in_every_float_type() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    // Behind 2,000 ones, so that the search passes its first block
    let cases: [(&str, &[u8], &[u8], &str); 5] = [
        ("F32", &[0, 0, 128, 63], &f32::NAN.to_le_bytes(), "NaN"),
        (
            "F32",
            &[0, 0, 128, 63],
            &f32::NEG_INFINITY.to_le_bytes(),
            "-inf",
        ),
        (
            "F64",
            &1f64.to_le_bytes(),
            &f64::INFINITY.to_le_bytes(),
            "inf",
        ),
        ("F16", &[0, 60], &[0, 124], "inf"),
        ("BF16", &[128, 63], &[192, 127], "NaN"),
    ];
    for (dtype, good, bad, word) in cases {
        let data = [good.repeat(2000), bad.to_vec()].concat();
        let header = format!(
            r#"{{"w":{{"dtype":"{dtype}","shape":[2001],"data_offsets":[0,{}]}}}}"#,
            data.len()
        );
        std::fs::write(&path, raw_file(&header, &data)).unwrap();
        let file = SafetensorsFile::open(&path).unwrap();
        let message = format!("`w` holds {word} at flat index 2000");
        let error = assert_error(file.tensor("w", true), FILE, &message);
        assert_eq!(error.exit_code(), 4);
        assert_eq!(file.tensor("w", false).unwrap().dims(), [2001]);
    }
}

#[test]
fn folders_and_missing_files_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    assert_error(SafetensorsFile::open(dir.path()), "", "not a regular file");
    assert_error(
        SafetensorsFile::open(&dir.path().join("none")),
        "none",
        "not found",
    );
}

fn small_file() -> Vec<u8> {
    let a = r#""a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}"#;
    let b = r#""b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}"#;
    raw_file(
        &format!(r#"{{"__metadata__":{{"k":"v"}},{a},{b}}}"#),
        &[7; 11],
    )
}

/// What is accepted must hold together, whatever it was made from.
fn check_if_accepted(bytes: &[u8]) {
    let Ok(header) = parse(bytes) else { return };
    let described: usize = header
        .tensors
        .values()
        .map(|info| info.end - info.begin)
        .sum();
    assert_eq!(header.data_start + described, bytes.len());
    for info in header.tensors.values() {
        let count: usize = info.shape.iter().product();
        assert_eq!(count * info.dtype.bits(), (info.end - info.begin) * 8);
    }
}

#[test]
fn every_single_bit_flip_is_survived() {
    let file = small_file();
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
    fn random_numbers_are_survived(a in any::<u64>(), b in any::<u64>(), c in any::<u64>(), zero in any::<bool>()) {
        let zero = if zero { ",0" } else { "" };
        check_if_accepted(&one("BF16", &format!("[{a},{b}{zero}]"), &format!("[0,{c}]")));
        check_if_accepted(&one("F64", &format!("[{a}]"), &format!("[{b},{c}]")));
    }

    #[test]
    fn random_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_if_accepted(&bytes);
        let mut with_length = (bytes.len() as u64).to_le_bytes().to_vec();
        with_length.extend(bytes);
        check_if_accepted(&with_length);
    }
}
