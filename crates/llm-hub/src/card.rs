//! The model card: `README.md` with a YAML block that says under which licence and from what.

use std::path::Path;

use serde::Deserialize;

use crate::{Error, HubId, Result};

/// The card's file name.
pub const FILE_NAME: &str = "README.md";

/// Cards are pages, not books.
const MAX_BYTES: u64 = 1 << 20;

/// What a card says in its first block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The licence, by the hub's identifier: `mit`, `apache-2.0`, … or `other` with a name.
    pub license: String,
    /// The models that this one was made from.
    pub base_model: Vec<String>,
    /// Words by which it is found.
    pub tags: Vec<String>,
}

/// The keys that are looked at; cards have many others.
#[derive(Deserialize)]
struct Front {
    license: Option<OneOrMany>,
    license_name: Option<String>,
    license_link: Option<String>,
    base_model: Option<OneOrMany>,
    tags: Option<OneOrMany>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn list(this: Option<Self>) -> Vec<String> {
        match this {
            None => Vec::new(),
            Some(Self::One(one)) => vec![one],
            Some(Self::Many(many)) => many,
        }
    }
}

/// What a new card is written from.
#[derive(Clone, Debug)]
pub struct NewCard<'a> {
    /// Where the model will stand.
    pub id: &'a HubId,
    /// The hub's identifier of the licence.
    pub license: &'a str,
    /// The model that this one was made from, if it was.
    pub base_model: Option<&'a str>,
    /// What the model is, in a sentence.
    pub about: &'a str,
}

impl Card {
    /// Reads the card of `folder`.
    ///
    /// # Errors
    /// There is none, its first block is not YAML, or it gives no licence.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE_NAME);
        let bad = |problem: String| Error::Publish {
            path: path.clone(),
            problem,
            hint: Some(format!(
                "start {FILE_NAME} with `---`, a line such as `license: mit`, and `---`; \
                 --license writes a new one where none is"
            )),
        };
        let size = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => {
                return Err(bad(
                    "there is no model card, and it has to give a licence".into()
                ));
            }
        };
        if size > MAX_BYTES {
            return Err(bad(format!(
                "has {size} bytes, expected at most {MAX_BYTES}"
            )));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| bad(error.to_string()))?;
        Self::parse(&text).map_err(bad)
    }

    /// Reads the text of a card.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let block = front_block(text).ok_or("has no first block between two lines `---`")?;
        let front: Front = serde_saphyr::from_str(block).map_err(|error| {
            format!(
                "has a first block that is not a card's: {}",
                one_line(&error)
            )
        })?;
        let licenses = OneOrMany::list(front.license);
        let [license] = licenses.as_slice() else {
            return Err("has no `license` in its first block, or several".into());
        };
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if license.is_empty() || !license.chars().all(known) {
            let shown = license.escape_debug();
            return Err(format!(
                "has license `{shown}`, expected an identifier such as apache-2.0"
            ));
        }
        if license == "other" && (front.license_name.is_none() || front.license_link.is_none()) {
            return Err("has license `other` without license_name and license_link".into());
        }
        Ok(Self {
            license: license.clone(),
            base_model: OneOrMany::list(front.base_model),
            tags: OneOrMany::list(front.tags),
        })
    }
}

impl NewCard<'_> {
    /// The text of the card.
    pub fn text(&self) -> String {
        let base = self.base_model.map(|base| format!("base_model: {base}\n"));
        let base = base.unwrap_or_default();
        let (id, license, about) = (self.id, self.license, self.about);
        format!(
            "---\nlicense: {license}\n{base}pipeline_tag: text-generation\ntags:\n- llm-deeper\n---\n\n\
             # {}\n\n{about}\n\n```\ndeeper generate --model {id} --chat --prompt \"…\"\n```\n\n\
             The files are a model folder in Hugging Face's layout, made with LLM Deeper.\n",
            id.name()
        )
    }
}

/// The text between the first line `---` and the next.
fn front_block(text: &str) -> Option<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().filter(|line| line.trim_end() == "---")?;
    let start = first.len();
    let mut end = start;
    for line in lines {
        if line.trim_end() == "---" {
            return text.get(start..end);
        }
        end += line.len();
    }
    None
}

/// The first line of a reader's message.
fn one_line(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_card_is_one_that_is_read() {
        let id = HubId::parse("org/name").unwrap();
        let new = NewCard {
            id: &id,
            license: "apache-2.0",
            base_model: Some("Qwen/Qwen3-0.6B"),
            about: "A small model.",
        };
        let card = Card::parse(&new.text()).unwrap();
        assert_eq!(card.license, "apache-2.0");
        assert_eq!(card.base_model, ["Qwen/Qwen3-0.6B"]);
        assert_eq!(card.tags, ["llm-deeper"]);
    }

    #[test]
    fn a_licence_is_required_and_is_one_identifier() {
        let cases = [
            ("# a page\n", "no first block"),
            ("---\nlicense: mit\n", "no first block"),
            ("---\ntags: [a]\n---\n", "no `license`"),
            ("---\nlicense: [mit, gpl-3.0]\n---\n", "or several"),
            ("---\nlicense: ''\n---\n", "expected an identifier"),
            (
                "---\nlicense: All rights reserved\n---\n",
                "expected an identifier",
            ),
            ("---\nlicense: other\n---\n", "license_name"),
            ("---\nlicense: {a: 1}\n---\n", "not a card's"),
            ("---\nlicense: [\n---\n", "not a card's"),
        ];
        for (text, part) in cases {
            let problem = Card::parse(text).unwrap_err();
            assert!(problem.contains(part), "{text:?}: {problem}");
            assert!(!problem.contains('\n'), "{problem}");
        }
        let other = "---\nlicense: other\nlicense_name: x\nlicense_link: LICENSE\n---\n";
        assert_eq!(Card::parse(other).unwrap().license, "other");
        assert!(Card::parse("---\r\nlicense: mit\r\n---\r\n# a").is_ok());
    }
}
