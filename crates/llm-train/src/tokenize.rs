//! Rows and documents → token ids, made on the fly or taken from a cache on the disk.

use crate::Result;
use crate::config::TrainConfig;
use crate::data::Row;
use crate::encode::{Encoded, encode_documents, encode_rows};
use crate::labels::Example;
use crate::prompt::Codec;
use crate::tokens::{Key, KeyBuilder, TokenCache, Unused};

/// Makes the token ids of one run.
#[derive(Debug)]
pub struct Tokenize<'a> {
    codec: &'a Codec,
    max_length: usize,
    special: bool,
    /// The cache, and what its keys begin with.
    cache: Option<(TokenCache, KeyBuilder)>,
    notes: Vec<String>,
}

impl<'a> Tokenize<'a> {
    /// As the settings say, with the cache that they name.
    ///
    /// # Errors
    /// A file of the tokenizer that cannot be read.
    pub fn new(config: &TrainConfig, codec: &'a Codec) -> Result<Self> {
        let mut notes = Vec::new();
        let cache = match &config.token_cache {
            None => None,
            Some(folder) => match codec.cache_key()? {
                Some(key) => Some((TokenCache::new(folder), key)),
                None => {
                    notes.push(
                        "token_cache is not used: the prompts depend on more than files (the \
                         template asks for the time)"
                            .into(),
                    );
                    None
                }
            },
        };
        Ok(Self {
            codec,
            max_length: config.max_length,
            special: config.parse_special_tokens,
            cache,
            notes,
        })
    }

    /// The ids of every row.
    ///
    /// # Errors
    /// What a row reports. A cache that cannot be read or written is a note, not an error.
    pub fn rows(&mut self, rows: &[Row]) -> Result<Vec<Encoded>> {
        let Some((cache, key)) = self.keyed(|key| {
            key.add(b"rows");
            for row in rows {
                key.add(&(row.messages.len() as u64).to_le_bytes());
                for message in &row.messages {
                    key.add(message.role.as_bytes())
                        .add(message.content.as_bytes());
                }
            }
        }) else {
            return encode_rows(self.codec, rows, self.max_length);
        };
        match cache.read(&key) {
            Ok(encoded) if encoded.len() == rows.len() => return Ok(encoded),
            Ok(_) => self.replaced(&cache, &key, "it has another number of rows"),
            Err(Unused::Damaged(why)) => self.replaced(&cache, &key, &why),
            Err(Unused::Missing) => {}
        }
        let encoded = encode_rows(self.codec, rows, self.max_length)?;
        self.write(&cache, &key, encoded.iter().cloned());
        Ok(encoded)
    }

    /// The ids of all documents in one stream.
    ///
    /// # Errors
    /// As [`Tokenize::rows`].
    pub fn documents(&mut self, documents: &[String]) -> Result<Vec<u32>> {
        let special = self.special;
        let Some((cache, key)) = self.keyed(|key| {
            key.add(b"documents").add(&[u8::from(special)]);
            documents.iter().for_each(|document| {
                key.add(document.as_bytes());
            });
        }) else {
            return Ok(encode_documents(self.codec, documents, special)?.concat());
        };
        match cache.read_ids(&key) {
            Ok(ids) => return Ok(ids),
            Err(Unused::Damaged(why)) => self.replaced(&cache, &key, &why),
            Err(Unused::Missing) => {}
        }
        let parts = encode_documents(self.codec, documents, special)?;
        let record = |ids: &Vec<u32>| {
            let labels = ids.iter().map(|&id| i64::from(id)).collect();
            let ids = ids.clone();
            (Some(Example { ids, labels }), false)
        };
        self.write(&cache, &key, parts.iter().map(record));
        Ok(parts.concat())
    }

    /// What a person should know, one line each.
    pub fn into_notes(self) -> Vec<String> {
        self.notes
    }

    /// The cache with the key of what `add` adds to the settings.
    fn keyed(&self, add: impl FnOnce(&mut KeyBuilder)) -> Option<(TokenCache, Key)> {
        let (cache, key) = self.cache.as_ref()?;
        let mut key = key.clone();
        key.add(&(self.max_length as u64).to_le_bytes());
        add(&mut key);
        Some((cache.clone(), key.key()))
    }

    fn replaced(&mut self, cache: &TokenCache, key: &Key, why: &str) {
        let path = cache.path(key);
        self.notes.push(format!(
            "{}: is not used and is written again: {why}",
            path.display()
        ));
    }

    /// The ids are there already, so a full disk does not stop the run.
    fn write(&mut self, cache: &TokenCache, key: &Key, rows: impl Iterator<Item = Encoded>) {
        let mut rows = rows;
        if let Err(error) = cache.write(key, |sink| rows.try_for_each(sink)) {
            self.notes
                .push(format!("the token cache was not written: {error}"));
        }
    }
}
