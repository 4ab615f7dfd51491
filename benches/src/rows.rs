//! Reading rows, checking them, and making token ids of them.
//!
//! Rows come from a file of any size and are not kept: the peak of memory is that of the program,
//! not of the data.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use llm_train::config::PromptStyle;
use llm_train::data::{DataFormat, Row, TableRows, install_table_reader, stream_rows};
use llm_train::encode::{Encoded, encode_stream};
use llm_train::prompt::Codec;
use llm_train::tokens::{KeyBuilder, TokenCache};
use serde::Deserialize;

use crate::{Error, Result, Size, Workload};

/// How far rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Read and parse them.
    Load,
    /// Look for rows that stand twice and for the longest one.
    Check,
    /// Make ids and labels and write them to a cache.
    Tokenize,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsShape {
    /// A file of prompts and completions.
    pub data: PathBuf,
    /// How far its rows go.
    pub stage: Stage,
    /// The folder of a tokenizer, to tokenize.
    pub tokenizer: Option<PathBuf>,
    /// The folder of the cache, to tokenize.
    pub cache: Option<PathBuf>,
    /// The longest row, in tokens.
    pub max_length: usize,
}

/// The work on the rows of a file.
#[derive(Debug)]
pub struct Rows {
    shape: RowsShape,
    codec: Option<Codec>,
    /// Of the last run: rows, or tokens where they are made.
    done: u64,
    found: Found,
}

/// What a check finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    /// Rows that stand there once more.
    repeated: u64,
    /// Bytes of the longest row.
    longest: usize,
}

impl Rows {
    /// Opens what the stage needs; rows are read by each run.
    ///
    /// # Errors
    /// A tokenizer that is missing or cannot be used.
    pub fn new(shape: &RowsShape) -> Result<Self> {
        let codec = match (shape.stage, &shape.tokenizer) {
            (Stage::Tokenize, Some(folder)) => Some(Codec::open(folder, PromptStyle::Plain)?),
            (Stage::Tokenize, None) => {
                let problem = "is not given, expected the folder of a tokenizer";
                return Err(Error::input("tokenizer", problem));
            }
            _ => None,
        };
        install_table_reader("parquet", open_parquet);
        Ok(Self {
            shape: shape.clone(),
            codec,
            done: 0,
            found: Found::default(),
        })
    }

    fn rows(&self) -> impl Iterator<Item = Result<Row>> + use<> {
        let files = std::slice::from_ref(&self.shape.data);
        stream_rows(files, DataFormat::Auto)
    }

    fn check(&self) -> Result<(u64, Found)> {
        let (mut seen, mut count, mut found) = (HashSet::new(), 0, Found::default());
        for row in self.rows() {
            let row = row?;
            count += 1;
            found.longest = found
                .longest
                .max(row.messages.iter().map(|m| m.content.len()).sum());
            found.repeated += u64::from(!seen.insert(fingerprint(&row)));
        }
        Ok((count, found))
    }

    fn tokenize(&self, codec: &Codec) -> Result<u64> {
        let folder = self.shape.cache.clone().unwrap_or_else(std::env::temp_dir);
        let key = KeyBuilder::default().add(b"benches").key();
        let mut tokens = 0;
        TokenCache::new(&folder).write(&key, |sink| {
            encode_stream(
                codec,
                self.rows(),
                self.shape.max_length,
                |encoded: Encoded| {
                    tokens += encoded
                        .0
                        .as_ref()
                        .map_or(0, |example| example.ids.len() as u64);
                    sink(encoded)
                },
            )
        })?;
        Ok(tokens)
    }
}

fn open_parquet(path: &Path) -> Result<TableRows> {
    let told = |error: llm_parquet::Error| Error::input("data", error.to_string());
    let rows = llm_parquet::open(path).map_err(told)?;
    Ok(Box::new(rows.map(move |row| row.map_err(told))))
}

/// 128 bits of a row: two rows of a million are taken for one with a chance of 1e-27.
fn fingerprint(row: &Row) -> [u64; 2] {
    [0u8, 1].map(|salt| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        for message in &row.messages {
            message.content.hash(&mut hasher);
        }
        hasher.finish()
    })
}

impl Workload for Rows {
    fn size(&self) -> Size {
        Size {
            tokens: self.done,
            ..Size::default()
        }
    }

    fn run(&mut self) -> Result<()> {
        self.done = match (self.shape.stage, &self.codec) {
            (Stage::Check, _) => {
                let (count, found) = self.check()?;
                self.found = found;
                count
            }
            (Stage::Tokenize, Some(codec)) => self.tokenize(codec)?,
            _ => {
                let mut count = 0;
                for row in self.rows() {
                    row?;
                    count += 1;
                }
                count
            }
        };
        Ok(())
    }

    /// Rows that stand there once more.
    fn score(&mut self) -> Result<Option<f64>> {
        Ok((self.shape.stage == Stage::Check).then_some(self.found.repeated as f64))
    }
}
