//! A cache of token ids on the disk.
//!
//! The name of a file is a SHA-256 over everything that its contents depend on: the version of
//! this format, the tokenizer's files, the prompt format, `max_length`, and the text itself. So a
//! file is never asked whether it is up to date. What it is asked is whether it is whole:
//!
//! ```text
//! magic "LDTOKENS"   version u32   key [32]                  numbers are little-endian
//! records            flags u8 (1 cut, 2 nothing left)   n u32   ids [n] u32   learnt [n bits]
//! count u64          of the records
//! SHA-256 of all that stands before [32]
//! ```
//!
//! A file that ends early, was written by another version, is of another key or has one flipped
//! bit is not used; the ids are made anew and the file is replaced. It is read in bounded pieces,
//! and no number in it makes memory larger than the file.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use llm_core::ops::IGNORE_INDEX;
use sha2::{Digest, Sha256};

use crate::encode::Encoded;
use crate::labels::Example;
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"LDTOKENS";
/// To be raised whenever the same text would give other bytes.
const VERSION: u32 = 1;
const DIGEST_BYTES: usize = 32;
/// Bytes of the count and the digest at the end.
const TRAILER_BYTES: u64 = 8 + DIGEST_BYTES as u64;
/// Bytes that are read from the disk at once.
const PIECE_BYTES: usize = 1 << 16;
const CUT: u8 = 1;
const EMPTY: u8 = 2;

/// What a cache file depends on, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; DIGEST_BYTES]);

/// Makes a [`Key`] of parts. Each part has its length before it, so that no two lists of parts
/// are one stream of bytes.
#[derive(Clone, Debug)]
pub struct KeyBuilder(Sha256);

impl Default for KeyBuilder {
    fn default() -> Self {
        let mut hasher = Sha256::new();
        hasher.update(MAGIC);
        hasher.update(VERSION.to_le_bytes());
        Self(hasher)
    }
}

impl KeyBuilder {
    /// Adds a part.
    pub fn add(&mut self, part: &[u8]) -> &mut Self {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// The key of all parts so far.
    pub fn key(&self) -> Key {
        Key(self.0.clone().finalize().into())
    }
}

/// A folder of cache files.
#[derive(Clone, Debug)]
pub struct TokenCache {
    folder: PathBuf,
}

/// Why a file of the cache was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unused {
    /// There is none.
    Missing,
    /// There is one that is not whole, in words.
    Damaged(String),
}

impl TokenCache {
    /// The cache in `folder`, which is made when something is written.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// The file of `key`.
    pub fn path(&self, key: &Key) -> PathBuf {
        let name: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{name}.tokens"))
    }

    /// What was written under `key`.
    ///
    /// # Errors
    /// No file, or one that is not exactly what was written.
    pub fn read(&self, key: &Key) -> Result<Vec<Encoded>, Unused> {
        let mut all = Vec::new();
        self.each(key, |encoded| all.push(encoded))?;
        Ok(all)
    }

    /// The ids of what was written under `key`, all in one stream.
    ///
    /// # Errors
    /// As [`TokenCache::read`].
    pub fn read_ids(&self, key: &Key) -> Result<Vec<u32>, Unused> {
        let mut all = Vec::new();
        self.each(key, |(example, _)| {
            all.extend(example.into_iter().flat_map(|e| e.ids))
        })?;
        Ok(all)
    }

    /// Gives each record to `sink`. What it got counts only if this returns without an error.
    fn each(&self, key: &Key, sink: impl FnMut(Encoded)) -> Result<(), Unused> {
        let file = match File::open(self.path(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unused::Missing),
            Err(error) => return Err(Unused::Damaged(error.to_string())),
        };
        read(file, key, sink).map_err(|error| Unused::Damaged(error.to_string()))
    }

    /// Writes what `rows` gives under `key`, whole or not at all.
    ///
    /// # Errors
    /// What `rows` reports, or a disk that refuses.
    pub fn write(
        &self,
        key: &Key,
        rows: impl FnOnce(&mut dyn FnMut(Encoded) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        std::fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder))?;
        let path = self.path(key);
        let mut failure = None;
        let written = llm_store::atomic::write_with(&path, |out| {
            let disk = |source| llm_store::Error::Io {
                path: path.clone(),
                action: "writing",
                source,
            };
            let mut out = Hashed {
                out,
                hasher: Sha256::new(),
            };
            out.put(&[MAGIC.as_slice(), &VERSION.to_le_bytes(), &key.0].concat())
                .map_err(disk)?;
            let (mut count, mut refused, mut bytes) = (0u64, None, Vec::new());
            let result = rows(&mut |encoded| {
                bytes.clear();
                record(&encoded, &mut bytes);
                count += 1;
                out.put(&bytes).map_err(|error| {
                    refused = Some(error);
                    Error::input("token cache", "cannot be written")
                })
            });
            if let Some(error) = refused {
                return Err(disk(error));
            }
            if let Err(error) = result {
                failure = Some(error);
                // Any error leaves the file as it was; this one is told instead.
                return Err(disk(io::ErrorKind::Interrupted.into()));
            }
            out.put(&count.to_le_bytes()).map_err(disk)?;
            out.finish().map_err(disk)
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(written?),
        }
    }
}

/// A writer whose bytes are hashed.
struct Hashed<'a> {
    out: &'a mut dyn Write,
    hasher: Sha256,
}

impl Hashed<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)
    }

    /// Writes the digest of all that was put.
    fn finish(self) -> io::Result<()> {
        let digest: [u8; DIGEST_BYTES] = self.hasher.finalize().into();
        self.out.write_all(&digest)
    }
}

/// The bytes of one record.
fn record((example, truncated): &Encoded, out: &mut Vec<u8>) {
    let cut = if *truncated { CUT } else { 0 };
    let Some(example) = example else {
        out.push(cut | EMPTY);
        return;
    };
    out.push(cut);
    // `max_length` keeps examples far below this many tokens.
    out.extend((example.ids.len() as u32).to_le_bytes());
    for id in &example.ids {
        out.extend(id.to_le_bytes());
    }
    for labels in example.labels.chunks(8) {
        let bits = labels.iter().enumerate();
        out.push(bits.fold(0, |byte, (bit, &label)| {
            byte | (u8::from(label != IGNORE_INDEX) << bit)
        }));
    }
}

/// A file that is being read, hashed on the way.
struct Body {
    reader: BufReader<File>,
    hasher: Sha256,
    /// Bytes before the trailer that are not read yet.
    left: u64,
}

fn bad(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

impl Body {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        self.left = self
            .left
            .checked_sub(len)
            .ok_or_else(|| bad("it ends early"))?;
        self.reader.read_exact(bytes)?;
        self.hasher.update(&*bytes);
        Ok(())
    }

    /// `n` ids and whether each is learnt.
    fn example(&mut self) -> io::Result<Example> {
        let n = u32::from_le_bytes(self.take()?) as usize;
        if (n as u64).saturating_mul(4) > self.left {
            return Err(bad("it ends early"));
        }
        let mut ids = Vec::with_capacity(n);
        let mut piece = [0; 1024];
        while ids.len() < n {
            let some = piece.len().min((n - ids.len()) * 4);
            let some = piece.get_mut(..some).unwrap_or_default();
            self.fill(some)?;
            let four = some.chunks_exact(4).filter_map(|four| four.try_into().ok());
            ids.extend(four.map(u32::from_le_bytes));
        }
        let mut labels = Vec::with_capacity(n);
        for ids in ids.chunks(8) {
            let [bits] = self.take()?;
            let label = |(bit, &id): (usize, &u32)| match (bits >> bit) & 1 {
                1 => i64::from(id),
                _ => IGNORE_INDEX,
            };
            labels.extend(ids.iter().enumerate().map(label));
        }
        Ok(Example { ids, labels })
    }
}

fn read(file: File, key: &Key, mut sink: impl FnMut(Encoded)) -> io::Result<()> {
    let size = file.metadata()?.len();
    let mut body = Body {
        reader: BufReader::with_capacity(PIECE_BYTES, file),
        hasher: Sha256::new(),
        left: size
            .checked_sub(TRAILER_BYTES)
            .ok_or_else(|| bad("it ends early"))?,
    };
    if body.take::<8>()? != *MAGIC || u32::from_le_bytes(body.take()?) != VERSION {
        return Err(bad("it is of another format"));
    }
    if body.take::<DIGEST_BYTES>()? != key.0 {
        return Err(bad("it is of other data"));
    }
    let mut found = 0u64;
    while body.left > 0 {
        let [flags] = body.take()?;
        let example = match flags & !(CUT | EMPTY) {
            0 if flags & EMPTY != 0 => None,
            0 => Some(body.example()?),
            _ => return Err(bad("it has a record of no known kind")),
        };
        sink((example, flags & CUT != 0));
        found += 1;
    }
    body.left = 8;
    let count = u64::from_le_bytes(body.take()?);
    let mut digest = [0; DIGEST_BYTES];
    body.reader.read_exact(&mut digest)?;
    let computed: [u8; DIGEST_BYTES] = body.hasher.finalize().into();
    if count != found || digest != computed {
        return Err(bad("its checksum is wrong"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Encoded> {
        let example = |n: u32| Example {
            ids: (0..n).map(|i| i * 70_001).collect(),
            labels: (0..i64::from(n))
                .map(|i| if i % 3 == 1 { i * 70_001 } else { IGNORE_INDEX })
                .collect(),
        };
        let mut rows: Vec<Encoded> = (0..40)
            .map(|n| (Some(example(n * 29)), n % 2 == 0))
            .collect();
        rows.extend([(None, true), (None, false)]);
        rows
    }

    fn key(text: &str) -> Key {
        KeyBuilder::default().add(text.as_bytes()).key()
    }

    fn write(cache: &TokenCache, key: &Key, rows: Vec<Encoded>) {
        let all = |sink: &mut dyn FnMut(Encoded) -> Result<()>| rows.into_iter().try_for_each(sink);
        cache.write(key, all).unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_lies_around() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(&folder.path().join("new"));
        assert_eq!(cache.read(&key("a")), Err(Unused::Missing));
        write(&cache, &key("a"), rows());
        write(&cache, &key("b"), Vec::new());
        assert_eq!(cache.read(&key("a")).unwrap(), rows());
        assert_eq!(cache.read(&key("b")).unwrap(), []);
        assert_eq!(
            std::fs::read_dir(folder.path().join("new"))
                .unwrap()
                .count(),
            2
        );
    }

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        let of = |parts: &[&str]| {
            let mut builder = KeyBuilder::default();
            parts.iter().for_each(|part| {
                builder.add(part.as_bytes());
            });
            builder.key()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["a"]), of(&["a", ""]));
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
    }

    #[test]
    fn one_flipped_bit_a_cut_or_another_key_is_never_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(folder.path());
        let key = key("a");
        let short: Vec<Encoded> = rows().into_iter().take(3).collect();
        write(&cache, &key, short);
        let path = cache.path(&key);
        let whole = std::fs::read(&path).unwrap();
        let damaged = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            matches!(cache.read(&key), Err(Unused::Damaged(_)))
        };
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            assert!(damaged(&bytes), "bit in byte {place}");
            assert!(damaged(&whole[..place]), "cut at {place}");
        }
        assert!(damaged(&[whole.as_slice(), &[0]].concat()));
        assert!(!damaged(&whole));
        let other = self::key("b");
        std::fs::copy(&path, cache.path(&other)).unwrap();
        assert!(matches!(cache.read(&other), Err(Unused::Damaged(_))));
    }

    #[test]
    fn a_number_in_the_file_allocates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(folder.path());
        let key = key("a");
        let mut bytes = [MAGIC.as_slice(), &VERSION.to_le_bytes(), &key.0].concat();
        bytes.push(0);
        bytes.extend(u32::MAX.to_le_bytes());
        bytes.extend([0; 64]);
        std::fs::write(cache.path(&key), bytes).unwrap();
        assert!(matches!(cache.read(&key), Err(Unused::Damaged(_))));
    }

    #[test]
    fn a_failing_source_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(folder.path());
        let fails = |sink: &mut dyn FnMut(Encoded) -> Result<()>| {
            sink((None, true))?;
            Err(Error::input("row", "bad"))
        };
        let error = cache.write(&key("a"), fails).unwrap_err();
        assert_eq!(error.to_string(), "row: bad");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
