//! Opening files that may be anything: bounded reads, plain names, links that stay inside.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::marker::PhantomData;
use std::path::{Component, Path, PathBuf};

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use crate::error::printable;
use crate::{Error, Result};

/// The largest JSON file that is read whole: a tokenizer of a large vocabulary is near 35 MiB.
pub(crate) const MAX_JSON_BYTES: u64 = 128 << 20;

/// The metadata of `path`, which must be a regular file (a pipe or device would block or never end).
pub(crate) fn regular_file(path: &Path, expected: &str) -> Result<Metadata> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let path = path.to_path_buf();
            return Err(Error::Missing {
                path,
                expected: expected.into(),
                hint: None,
            });
        }
        Err(error) => return Err(Error::io(path, "reading")(error)),
    };
    if !metadata.is_file() {
        return Err(Error::malformed(
            path,
            format!("is not a regular file, expected {expected}"),
        ));
    }
    Ok(metadata)
}

/// The text of a file of at most [`MAX_JSON_BYTES`].
pub(crate) fn read_text(path: &Path, expected: &str) -> Result<String> {
    let size = regular_file(path, expected)?.len();
    let too_large = || {
        Error::malformed(
            path,
            format!("is larger than {MAX_JSON_BYTES} bytes, expected {expected}"),
        )
    };
    if size > MAX_JSON_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io(path, "reading"))?;
    // `take` as well: the file may grow while it is read
    file.take(MAX_JSON_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::io(path, "reading"))?;
    if bytes.len() as u64 > MAX_JSON_BYTES {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        Error::malformed(
            path,
            format!("is not UTF-8 at byte {}", error.utf8_error().valid_up_to()),
        )
    })
}

/// A JSON file as `T`.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<T> {
    let text = read_text(path, expected)?;
    serde_json::from_str(&text).map_err(|error| {
        Error::malformed(
            path,
            format!("is not {expected}: {}", printable(&error.to_string())),
        )
    })
}

/// Whether `name` is one plain file name: no separator, no `..`, no drive, no control character.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let one = matches!(components.next(), Some(Component::Normal(part)) if part == name);
    one && components.next().is_none()
        && !name.contains(['/', '\\', ':'])
        && !name.chars().any(char::is_control)
}

/// `folder/name` after its links, if it stays where it may.
///
/// A link may lead elsewhere in the folder, or into `../../blobs` as in the Hugging Face cache
/// (`models--org--name/snapshots/<revision>/file -> ../../blobs/<hash>`). Any other target is an
/// error: a model folder from a stranger must not read `/etc/passwd` into an error message.
pub(crate) fn inside(folder: &Path, name: &str, expected: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    regular_file(&path, expected)?;
    let target = fs::canonicalize(&path).map_err(Error::io(&path, "reading"))?;
    let root = fs::canonicalize(folder).map_err(Error::io(folder, "reading"))?;
    let snapshots = root.parent().filter(|parent| parent.ends_with("snapshots"));
    let blobs = snapshots
        .and_then(Path::parent)
        .map(|repository| repository.join("blobs"));
    let allowed = target.starts_with(&root) || blobs.is_some_and(|blobs| target.starts_with(blobs));
    if allowed {
        Ok(path)
    } else {
        Err(Error::malformed(
            &path,
            "is a symlink that leaves its folder",
        ))
    }
}

/// A JSON object as a map, with a repeated key as an error.
///
/// JSON readers disagree on which of two equal keys counts, so a file with one is ambiguous.
pub(crate) fn unique_keys<'de, D, V>(deserializer: D) -> Result<BTreeMap<String, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    deserializer.deserialize_map(UniqueKeys(PhantomData))
}

struct UniqueKeys<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueKeys<V> {
    type Value = BTreeMap<String, V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with unique keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = access.next_entry::<String, V>()? {
            if map.contains_key(&key) {
                let key = printable(&key);
                return Err(serde::de::Error::custom(format!(
                    "the key `{key}` stands twice"
                )));
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}
