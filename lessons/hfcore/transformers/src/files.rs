//! The header of a safetensors file and the merges of a tokenizer, read by hand.
//!
//! What the crates do is stricter: they refuse repeated keys, gaps, links out of the folder and more.
//! Here stands what the formats *are*, in as few lines as they need.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use llm_store::safetensors::MAX_HEADER_BYTES;
use serde_json::{Map, Value};

/// One tensor as a header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its number type.
    pub dtype: String,
    /// Its axes.
    pub shape: Vec<u64>,
    /// First byte and one past the last, counted from the end of the header.
    pub bytes: [u64; 2],
}

/// What stands in front of the numbers of a safetensors file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// The first eight bytes.
    pub prefix: [u8; 8],
    /// What they say: the bytes of the header.
    pub length: u64,
    /// Bytes behind the header.
    pub data: u64,
    /// The tensors in the order of their bytes.
    pub entries: Vec<Entry>,
}

// ANCHOR: header
/// Eight bytes of length, little-endian, then so many bytes of JSON; the numbers follow.
///
/// # Errors
/// A file that cannot be read or is of another form.
pub fn front(path: &Path) -> Result<Front> {
    let name = path.display();
    let mut file = File::open(path).with_context(|| name.to_string())?;
    let size = file.metadata()?.len();
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix).with_context(|| format!("{name}: the first eight bytes"))?;
    let length = u64::from_le_bytes(prefix);
    // A number from a file asks for memory only after it has been found to fit.
    let fits = length <= MAX_HEADER_BYTES.min(size.saturating_sub(8));
    ensure!(fits, "{name}: a header of {length} bytes does not fit into {size}");
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text)?;
    let json: Map<String, Value> =
        serde_json::from_slice(&text).with_context(|| format!("{name}: the header"))?;
    let tensors = json.iter().filter(|(key, _)| *key != "__metadata__");
    let mut entries = tensors.map(|(key, value)| entry(key, value)).collect::<Result<Vec<_>>>()?;
    entries.sort_by_key(|entry| entry.bytes);
    Ok(Front { prefix, length, data: size - 8 - length, entries })
}
// ANCHOR_END: header

fn entry(name: &str, value: &Value) -> Result<Entry> {
    let missing = |key: &str| format!("the header's entry of {name} has no `{key}`");
    let numbers = |key: &str| -> Result<Vec<u64>> {
        let list = value[key].as_array().with_context(|| missing(key))?;
        let number = |value: &Value| value.as_u64().with_context(|| missing(key));
        list.iter().map(number).collect()
    };
    let offsets = <[u64; 2]>::try_from(numbers("data_offsets")?);
    let bytes = offsets.ok().with_context(|| missing("data_offsets"))?;
    let dtype = value["dtype"].as_str().with_context(|| missing("dtype"))?.to_owned();
    Ok(Entry { name: name.to_owned(), dtype, shape: numbers("shape")?, bytes })
}

/// Whether every tensor begins where the one before it ends, and the last one at the file's end.
pub fn no_gaps(front: &Front) -> bool {
    let mut end = 0;
    for Entry { bytes: [from, to], .. } in &front.entries {
        if *from != end || to < from {
            return false;
        }
        end = *to;
    }
    end == front.data
}

/// The scalars of all tensors.
pub fn scalars(front: &Front) -> u64 {
    front.entries.iter().map(|entry| entry.shape.iter().product::<u64>()).sum()
}

/// The vocabulary and merges of a byte-level `tokenizer.json`.
#[derive(Clone, Debug, Default)]
pub struct Merges {
    /// The id of each token.
    pub ids: HashMap<String, u64>,
    /// The rank of each pair that is joined.
    pub ranks: HashMap<(String, String), usize>,
}

/// Reads `model.vocab` and `model.merges`; `None` where the tokenizer is of another kind.
pub fn merges(tokenizer: &Value) -> Option<Merges> {
    let model = &tokenizer["model"];
    let bytes = tokenizer["decoder"]["type"] == "ByteLevel";
    if model["type"] != "BPE" || !bytes {
        return None;
    }
    let vocabulary = model["vocab"].as_object()?;
    let ids = vocabulary.iter().filter_map(|(token, id)| Some((token.clone(), id.as_u64()?)));
    let pair = |merge: &Value| match merge {
        // Older files write a pair as one text with a space.
        Value::String(text) => text.split_once(' ').map(|(a, b)| (a.into(), b.into())),
        list => Some((list[0].as_str()?.into(), list[1].as_str()?.into())),
    };
    let ranks = model["merges"].as_array()?.iter().enumerate();
    let ranks = ranks.filter_map(|(rank, merge)| Some((pair(merge)?, rank)));
    Some(Merges { ids: ids.collect(), ranks: ranks.collect() })
}

// ANCHOR: merge
impl Merges {
    /// The tokens of one word: its bytes, and then always the pair that was learnt first, joined
    /// wherever it stands, until no pair of neighbours is a merge.
    pub fn tokens(&self, word: &str) -> Vec<String> {
        let mut parts: Vec<String> = word.bytes().map(|byte| letter(byte).to_string()).collect();
        loop {
            let pairs = parts.windows(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            let known = pairs.filter_map(|pair| Some((*self.ranks.get(&pair)?, pair)));
            let Some((_, (a, b))) = known.min_by_key(|(rank, _)| *rank) else {
                return parts;
            };
            let mut joined: Vec<String> = Vec::with_capacity(parts.len());
            let mut rest = parts.as_slice();
            while let Some((first, others)) = rest.split_first() {
                let both = *first == a && others.first() == Some(&b);
                joined.push(if both { format!("{a}{b}") } else { first.clone() });
                rest = if both { &others[1..] } else { others };
            }
            parts = joined;
        }
    }
}
// ANCHOR_END: merge

/// The printable letter that byte-level vocabularies write for a byte: itself where it can be seen,
/// else one from U+0100 on.
fn letter(byte: u8) -> char {
    let seen = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if seen(byte) {
        return char::from(byte);
    }
    let place = (0..byte).filter(|other| !seen(*other)).count() as u32;
    char::from_u32(0x100 + place).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_of_gpt2() {
        let pairs = [(b' ', 'Ġ'), (b'\n', 'Ċ'), (0, 'Ā'), (0x7F, 'ġ'), (0xAD, 'Ń'), (b'a', 'a')];
        for (byte, expected) in pairs {
            assert_eq!(letter(byte), expected, "{byte:#x}");
        }
        let all: std::collections::HashSet<char> = (0..=u8::MAX).map(letter).collect();
        assert_eq!(all.len(), 256);
    }

    #[test]
    fn the_pair_learnt_first_is_joined_first() {
        let json = serde_json::json!({
            "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": {"aa": 5}, "merges": [["b", "c"], "a b", ["a", "a"]]},
        });
        let merges = merges(&json).unwrap();
        assert_eq!(merges.tokens("abc"), ["a", "bc"]);
        assert_eq!(merges.tokens("aaa"), ["aa", "a"]);
        assert!(merges.tokens("").is_empty());
        assert!(super::merges(&serde_json::json!({"model": {"type": "Unigram"}})).is_none());
    }

    #[test]
    fn a_header_is_read_and_a_false_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let json = r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}"#;
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes.extend([0; 8]);
        std::fs::write(&path, &bytes).unwrap();
        let found = front(&path).unwrap();
        assert_eq!((found.length, found.data, scalars(&found)), (json.len() as u64, 8, 2));
        assert!(no_gaps(&found));
        for (length, rest) in [(u64::MAX, "{}"), (4, "{}"), (2, "[]"), (2, "{")] {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.extend(rest.as_bytes());
            std::fs::write(&path, &bytes).unwrap();
            let error = format!("{:#}", front(&path).unwrap_err());
            assert!(error.contains("a.safetensors"), "{error}");
        }
        std::fs::write(&path, [1, 2, 3]).unwrap();
        assert!(front(&path).is_err());
    }
}
