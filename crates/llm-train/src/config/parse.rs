//! Reading a file of settings, strictly: of training, or of anything else that is [`Settings`].

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::TrainConfig;
use crate::{Error, Result};

/// A file larger than this is not a settings file.
const LARGEST_BYTES: u64 = 1 << 20;

/// Settings that a YAML file holds: a struct of named fields, each with a default, that refuses
/// unknown keys.
pub trait Settings: Serialize + DeserializeOwned + Default {
    /// Fails on settings that cannot be, or that contradict each other.
    ///
    /// # Errors
    /// An [`Error::Input`] about the first such key, in backticks.
    fn check(&self) -> Result<()>;

    /// Reads a file and applies `key=value` overrides.
    ///
    /// # Errors
    /// A file that cannot be read, or as [`Settings::from_text`].
    fn from_path(path: &Path, overrides: &[String]) -> Result<Self> {
        let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
        if size > LARGEST_BYTES {
            let problem =
                format!("has {size} bytes, expected a settings file of at most {LARGEST_BYTES}");
            return Err(Error::file(path, problem));
        }
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::from_text(path, &text, overrides)
    }

    /// Reads the text of a file (`path` is for messages), applies overrides and validates.
    ///
    /// # Errors
    /// Text that is not YAML, an unknown or repeated key, a value of another type, or settings that
    /// [`Settings::check`] refuses: the message has the file and, where it is known, the line.
    fn from_text(path: &Path, text: &str, overrides: &[String]) -> Result<Self> {
        let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        let mut config = if text.lines().all(blank) {
            Self::default()
        } else {
            read(path, text)?
        };
        if !overrides.is_empty() {
            config = override_keys(config, overrides)?;
        }
        config.check().map_err(|error| match error {
            Error::Input { what, problem } => {
                let key = what.trim_matches('`');
                let line = if overridden(overrides, key) {
                    None
                } else {
                    line_of(text, key)
                };
                let path = path.to_path_buf();
                Error::Config {
                    path,
                    line,
                    problem: format!("{what} {problem}"),
                }
            }
            other => other,
        })?;
        Ok(config)
    }

    /// The settings as YAML, every key written out.
    ///
    /// # Errors
    /// A value that YAML cannot hold.
    fn yaml(&self) -> Result<String> {
        serde_saphyr::to_string(self)
            .map_err(|error| Error::input("configuration", format!("cannot be written: {error}")))
    }
}

impl Settings for TrainConfig {
    fn check(&self) -> Result<()> {
        self.validate()
    }
}

impl TrainConfig {
    /// As [`Settings::from_path`].
    ///
    /// # Errors
    /// As [`Settings::from_path`].
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        Self::from_path(path, overrides)
    }

    /// As [`Settings::from_text`].
    ///
    /// # Errors
    /// As [`Settings::from_text`].
    pub fn parse(path: &Path, text: &str, overrides: &[String]) -> Result<Self> {
        Self::from_text(path, text, overrides)
    }

    /// These settings with some keys set anew, validated.
    ///
    /// # Errors
    /// An unknown key, a value of another type, or settings that [`TrainConfig::validate`] refuses.
    pub fn with(&self, settings: &[(String, Value)]) -> Result<Self> {
        let mut map = as_map(self);
        for (key, value) in settings {
            if map.insert(key.clone(), value.clone()).is_none() {
                return Err(Error::input(format!("`{key}`"), unknown::<Self>(key)));
            }
            // One at a time, so that the message is about this key.
            if let Err(error) = serde_json::from_value::<Self>(Value::Object(map.clone())) {
                let problem = format!("is {value}: {error}");
                return Err(Error::input(format!("`{key}`"), problem));
            }
        }
        let config: Self = serde_json::from_value(Value::Object(map))
            .map_err(|error| Error::input("settings", error.to_string()))?;
        config.validate()?;
        Ok(config)
    }

    /// As [`Settings::yaml`].
    ///
    /// # Errors
    /// A value that YAML cannot hold.
    pub fn to_yaml(&self) -> Result<String> {
        self.yaml()
    }
}

fn read<T: Settings>(path: &Path, text: &str) -> Result<T> {
    let fail = |error: serde_saphyr::Error| {
        let line = error
            .location()
            .and_then(|place| usize::try_from(place.line()).ok());
        let message = error.without_snippet().to_string();
        let problem = message.lines().next().unwrap_or_default().to_owned();
        Error::Config {
            path: path.to_path_buf(),
            line,
            problem,
        }
    };
    let map: Map<String, Value> = serde_saphyr::from_str(text).map_err(fail)?;
    if let Some(key) = map.keys().find(|key| !known::<T>().contains(*key)) {
        let (path, line) = (path.to_path_buf(), line_of(text, key));
        return Err(Error::Config {
            path,
            line,
            problem: unknown::<T>(key),
        });
    }
    serde_saphyr::from_str(text).map_err(fail)
}

fn override_keys<T: Settings>(config: T, overrides: &[String]) -> Result<T> {
    let mut map = as_map(&config);
    let fail = |text: &str, problem: String| {
        Err(Error::Config {
            path: PathBuf::from(text),
            line: None,
            problem,
        })
    };
    for text in overrides {
        let Some((key, value)) = text.split_once('=') else {
            return fail(text, "is not an override, expected key=value".into());
        };
        let key = key.trim().trim_start_matches("--");
        if !map.contains_key(key) {
            return fail(text, unknown::<T>(key));
        }
        let Ok(value) = serde_saphyr::from_str::<Value>(value) else {
            return fail(text, "has a value that is not YAML".into());
        };
        map.insert(key.to_owned(), value);
        if let Err(error) = serde_json::from_value::<T>(Value::Object(map.clone())) {
            return fail(text, error.to_string());
        }
    }
    serde_json::from_value(Value::Object(map))
        .map_err(|error| Error::input("overrides", error.to_string()))
}

fn as_map(config: &impl Settings) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(), // a struct with named fields is an object
    }
}

fn known<T: Settings>() -> Vec<String> {
    as_map(&T::default())
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

fn unknown<T: Settings>(key: &str) -> String {
    let shown: String = key.chars().take(60).collect();
    let near = known::<T>()
        .into_iter()
        .map(|name| (distance(key, &name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().div_ceil(2));
    match near {
        Some((_, name)) => format!("unknown key `{shown}`, did you mean `{name}`?"),
        None => format!("unknown key `{shown}`"),
    }
}

fn overridden(overrides: &[String], key: &str) -> bool {
    overrides.iter().any(|text| {
        text.split_once('=')
            .is_some_and(|(name, _)| name.trim() == key)
    })
}

/// The line on which a top-level key stands, counted from 1.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let is_key = |line: &str| {
        let line = line.trim_start().trim_start_matches(['"', '\'']);
        let rest = line
            .strip_prefix(key)
            .map(|rest| rest.trim_start_matches(['"', '\'']));
        rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    text.lines().position(is_key).map(|index| index + 1)
}

/// Levenshtein's distance: insertions, deletions and replacements.
fn distance(a: &str, b: &str) -> usize {
    // Longer keys are not typing mistakes, and the work is a · b.
    let a: Vec<char> = a.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, letter) in b.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &other) in a.iter().enumerate() {
            let replaced = diagonal + usize::from(other != letter);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[a.len()]
}
