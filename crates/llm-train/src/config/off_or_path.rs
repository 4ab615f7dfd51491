//! A path, or `off`.

use std::fmt;
use std::path::PathBuf;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

const OFF: &str = "off";

pub(super) fn serialize<S: Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => serializer.collect_str(&path.display()),
        None => serializer.serialize_str(OFF),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    deserializer.deserialize_any(OffOrPath)
}

struct OffOrPath;

impl Visitor<'_> for OffOrPath {
    type Value = Option<PathBuf>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a folder, or `off`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<PathBuf>, E> {
        match text {
            "" => Err(E::custom("is empty, expected a folder, or `off`")),
            OFF => Ok(None),
            folder => Ok(Some(folder.into())),
        }
    }

    // Some readers of YAML take a bare `off` for false, and `~` for nothing.
    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<PathBuf>, E> {
        match value {
            false => Ok(None),
            true => Err(E::custom("is true, expected a folder, or `off`")),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Option<PathBuf>, E> {
        Ok(None)
    }
}
