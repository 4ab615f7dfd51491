//! Hub ids: `org/name`, optionally `@revision`.

use std::fmt;

use crate::{Error, Result};

/// A model on the hub. Its parts hold no separator and no `..`, so that they are safe in paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubId {
    org: String,
    name: String,
    revision: Option<String>,
}

/// The hub's own limit on `org/name`.
const MAX_ID_CHARS: usize = 96;
/// Longer than any branch, tag or commit in use.
const MAX_REVISION_CHARS: usize = 128;
/// Shown of a text that is no id.
const SHOWN_CHARS: usize = 100;

impl HubId {
    /// Parses `org/name[@revision]`.
    ///
    /// ```
    /// use llm_hub::HubId;
    /// assert_eq!(HubId::parse("Qwen/Qwen3-0.6B")?.to_string(), "Qwen/Qwen3-0.6B");
    /// assert!(HubId::parse("../secrets").is_err());
    /// # Ok::<(), llm_hub::Error>(())
    /// ```
    ///
    /// # Errors
    /// A rule of the hub is broken; the message says which.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |problem| Error::Id {
            model: shown(text),
            problem,
        };
        let (id, revision) = match text.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (text, None),
        };
        let (org, name) = id.split_once('/').ok_or_else(|| bad("expected org/name"))?;
        if name.contains('/') {
            return Err(bad("expected one `/`"));
        }
        if id.chars().count() > MAX_ID_CHARS {
            return Err(bad("expected at most 96 characters"));
        }
        for part in [org, name] {
            check_part(part).map_err(bad)?;
        }
        if let Some(revision) = revision {
            if revision.chars().count() > MAX_REVISION_CHARS {
                return Err(bad("expected a revision of at most 128 characters"));
            }
            for part in revision.split('/') {
                check_part(part).map_err(bad)?;
            }
        }
        let revision = revision.map(String::from);
        Ok(Self {
            org: org.into(),
            name: name.into(),
            revision,
        })
    }

    /// The user or organisation.
    pub fn org(&self) -> &str {
        &self.org
    }

    /// The repository's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The branch, tag or commit that was asked for; `main` if none was.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The command that puts this model into the cache with Hugging Face's own tool.
    pub fn fetch_command(&self) -> String {
        let revision = self
            .revision
            .as_ref()
            .map(|revision| format!(" --revision {revision}"));
        let revision = revision.unwrap_or_default();
        format!(
            "hf download {}/{}{revision} --exclude '*/*'",
            self.org, self.name
        )
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.org, self.name)?;
        self.revision
            .as_ref()
            .map_or(Ok(()), |revision| write!(formatter, "@{revision}"))
    }
}

/// The hub's rules for one part of an id; they also keep it inside its folder.
fn check_part(part: &str) -> Result<(), &'static str> {
    if part.is_empty() {
        return Err("expected a name on both sides of each `/`");
    }
    if !part
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    {
        return Err("expected letters, digits, `-`, `_` and `.`");
    }
    if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
        return Err("expected no `-` or `.` at an end");
    }
    if part.contains("..") || part.contains("--") {
        return Err("expected no `..` and no `--`");
    }
    Ok(())
}

/// Text of unknown origin inside a one-line message.
fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
