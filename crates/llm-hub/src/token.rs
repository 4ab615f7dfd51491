//! The token of an account on the hub: read from the environment or a file, and never shown.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Longer than any token in use.
const MAX_BYTES: u64 = 4096;

/// A secret. It has no `Display`, and its `Debug` hides it.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

impl Token {
    /// The token of `file`, or else of `HF_TOKEN`, or else of the file that Hugging Face's own
    /// tools keep it in (`HF_TOKEN_PATH`, `HF_HOME/token`).
    ///
    /// # Errors
    /// There is none, a file cannot be read, or its contents cannot be a token; no message holds
    /// what was read.
    pub fn find(variable: &impl Fn(&str) -> Option<String>, file: Option<&Path>) -> Result<Self> {
        if let Some(path) = file {
            return Self::from_file(path);
        }
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        if let Some(value) = set("HF_TOKEN") {
            return Self::parse(&value, "HF_TOKEN");
        }
        let home = || {
            set("HOME")
                .or_else(|| set("USERPROFILE"))
                .unwrap_or_default()
        };
        let kept = set("HF_TOKEN_PATH").map(PathBuf::from).unwrap_or_else(|| {
            let folder = set("HF_HOME").map(PathBuf::from);
            let folder = folder.unwrap_or_else(|| Path::new(&home()).join(".cache/huggingface"));
            folder.join("token")
        });
        match kept.is_file() {
            true => Self::from_file(&kept),
            false => Err(Error::Token {
                problem: "there is no token in HF_TOKEN or in a token file".into(),
            }),
        }
    }

    fn from_file(path: &Path) -> Result<Self> {
        let shown = path.display();
        let bad = |problem: &str| Error::Token {
            problem: format!("{shown}: {problem}"),
        };
        if !path.is_file() {
            return Err(bad("is not a file, expected one with a token"));
        }
        let mut text = String::new();
        let file = File::open(path).map_err(|error| bad(&error.to_string()))?;
        let read = file.take(MAX_BYTES).read_to_string(&mut text);
        read.map_err(|_| bad("is not text, expected a token"))?;
        Self::parse(&text, &shown.to_string())
    }

    fn parse(text: &str, origin: &str) -> Result<Self> {
        let token = text.trim();
        let plain = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
        if plain && (token.len() as u64) < MAX_BYTES {
            return Ok(Self(token.to_owned()));
        }
        Err(Error::Token {
            problem: format!("{origin}: holds no token, expected one word of letters and digits"),
        })
    }

    /// The secret itself, for the request that needs it.
    #[cfg(feature = "download")]
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// Whether `text` holds the secret.
    pub fn stands_in(&self, text: &str) -> bool {
        text.contains(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hf_abcdefghijklmnopqrst";

    fn find(variables: &[(&str, &str)], file: Option<&Path>) -> Result<Token> {
        let get = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.to_string())
        };
        Token::find(&get, file)
    }

    #[test]
    fn a_token_is_found_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, format!("{SECRET}\n")).unwrap();
        let home = dir.path().to_str().unwrap();
        for token in [
            find(&[("HF_TOKEN", SECRET)], None),
            find(&[("HF_TOKEN", "hf_other")], Some(&path)),
            find(&[("HF_TOKEN", " "), ("HF_HOME", home)], None),
            find(&[("HF_TOKEN_PATH", path.to_str().unwrap())], None),
        ] {
            let token = token.unwrap();
            assert!(token.stands_in(&format!("x{SECRET}y")));
            assert!(!format!("{token:?}").contains("hf_"), "{token:?}");
        }
    }

    #[test]
    fn what_is_no_token_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for text in ["", "two secret words", "sécret"] {
            std::fs::write(&path, text).unwrap();
            let error = find(&[], Some(&path)).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("holds no token"), "{shown}");
            assert!(
                !shown.contains("secret words") && !shown.contains("sécret"),
                "{shown}"
            );
        }
        assert!(find(&[("HOME", "/nowhere")], None).is_err());
        assert!(find(&[], Some(dir.path())).is_err());
    }
}
