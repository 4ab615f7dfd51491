//! Pre-tokenizers: where a text is cut before any merge is looked at.
//!
//! No merge crosses a cut, so the rule decides what a token can be. The description is the
//! `pre_tokenizer` entry of a `tokenizer.json`, and the same regex engine as in the tokenizers
//! library runs it, so the pieces are the same.

use fancy_regex::Regex;
use serde_json::{Value, json};

use crate::{Error, Result};

/// GPT-2's rule: a word or number takes the space before it, contractions stand alone.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Qwen2's rule: digits one by one, a line end closes a piece of punctuation.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The rule of tiktoken's `cl100k_base` (GPT-4): digits in groups of up to three. Written without
/// possessive quantifiers and with `\z` for the end, which all regex engines read alike.
const CL100K: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+\z|\s*[\r\n]|\s+(?!\S)|\s";

/// Steps are run one inside the other, so a file may not name them without end.
const MAX_STEPS: usize = 32;

/// Cuts a text into the pieces within which merges happen.
#[derive(Clone, Debug)]
pub struct PreTokenizer {
    description: Value,
    steps: Vec<Step>,
    pub(super) add_prefix_space: bool,
}

/// One pattern and what becomes of its matches.
#[derive(Clone, Debug)]
struct Step {
    pattern: Regex,
    keep_matches: bool,
    keep_gaps: bool,
}

impl PreTokenizer {
    /// No cuts: merges may cross spaces. For demonstrations; words cost the square of their length.
    ///
    /// # Errors
    /// None in practice; the signature is that of the others.
    pub fn whole() -> Result<Self> {
        Self::from_json("whole", &byte_level(false))
    }

    /// The rule of GPT-2.
    ///
    /// # Errors
    /// None in practice; the pattern is compiled here.
    pub fn gpt2() -> Result<Self> {
        Self::from_json("gpt2", &byte_level(true))
    }

    /// The rule of Qwen2 and Qwen3, without their normalizer.
    ///
    /// # Errors
    /// None in practice; the pattern is compiled here.
    pub fn qwen2() -> Result<Self> {
        Self::isolating("qwen2", QWEN2)
    }

    /// The rule of tiktoken's `cl100k_base`.
    ///
    /// # Errors
    /// None in practice; the pattern is compiled here.
    pub fn cl100k() -> Result<Self> {
        Self::isolating("cl100k", CL100K)
    }

    /// The rule with this name: `none` ([`Self::whole`]), `gpt2`, `qwen2` or `cl100k`.
    ///
    /// # Errors
    /// Another name.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "none" => Self::whole(),
            "gpt2" => Self::gpt2(),
            "qwen2" => Self::qwen2(),
            "cl100k" => Self::cl100k(),
            _ => {
                let problem = "is no rule, expected none, gpt2, qwen2 or cl100k";
                Err(Error::text(name, problem))
            }
        }
    }

    /// Each match of `pattern`, and what stands between matches, is a piece.
    fn isolating(name: &str, pattern: &str) -> Result<Self> {
        let split = json!({
            "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false
        });
        let steps = json!({ "type": "Sequence", "pretokenizers": [split, byte_level(false)] });
        Self::from_json(name, &steps)
    }

    /// The rule that the `pre_tokenizer` entry of a `tokenizer.json` describes. `name` is the
    /// file, for messages.
    ///
    /// # Errors
    /// A kind that is not byte level, a behaviour that is not supported, a pattern that does not
    /// compile.
    pub fn from_json(name: &str, description: &Value) -> Result<Self> {
        let mut rule = Self {
            description: description.clone(),
            steps: Vec::new(),
            add_prefix_space: false,
        };
        let mut byte_level_seen = false;
        let entries = match description["type"].as_str() {
            Some("Sequence") => description["pretokenizers"].as_array().map(Vec::as_slice),
            _ => Some(std::slice::from_ref(description)),
        };
        for entry in entries.unwrap_or_default() {
            let kind = entry["type"].as_str().unwrap_or("none");
            let step = match kind {
                "ByteLevel" => {
                    byte_level_seen = true;
                    rule.add_prefix_space |= entry["add_prefix_space"] == true;
                    let cuts = entry["use_regex"] != false;
                    cuts.then(|| Step::new(name, GPT2, true, true))
                        .transpose()?
                }
                "Split" => Some(Step::from_split(name, entry)?),
                "Digits" => {
                    let one_by_one = entry["individual_digits"] == true;
                    let pattern = if one_by_one { r"\p{N}" } else { r"\p{N}+" };
                    Some(Step::new(name, pattern, true, true)?)
                }
                other => {
                    let problem = format!("pre-tokenizer `{other}` is not one of byte-level BPE");
                    return Err(Error::text(name, problem));
                }
            };
            rule.steps.extend(step);
        }
        if !byte_level_seen {
            return Err(Error::text(name, "expected a `ByteLevel` pre-tokenizer"));
        }
        if rule.steps.len() > MAX_STEPS {
            let problem = format!("{} pre-tokenizers, at most {MAX_STEPS}", rule.steps.len());
            return Err(Error::text(name, problem));
        }
        Ok(rule)
    }

    /// The entry for a `tokenizer.json`.
    pub fn to_json(&self) -> &Value {
        &self.description
    }

    /// Calls `each` with every piece of `text`, in order.
    ///
    /// # Errors
    /// A pattern that gives up (too much backtracking).
    pub fn pieces<'t>(&self, text: &'t str, each: &mut impl FnMut(&'t str)) -> Result<()> {
        run(&self.steps, text, each)
    }
}

/// Cuts `text` by the first of `steps` and hands each part to the others.
fn run<'t>(steps: &[Step], text: &'t str, each: &mut impl FnMut(&'t str)) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let Some((step, rest)) = steps.split_first() else {
        each(text);
        return Ok(());
    };
    let mut done = 0;
    for found in step.pattern.find_iter(text) {
        let found = found.map_err(|e| Error::text("pre-tokenizer", format!("gave up: {e}")))?;
        if step.keep_gaps {
            run(rest, &text[done..found.start()], each)?;
        }
        if step.keep_matches {
            run(rest, found.as_str(), each)?;
        }
        done = found.end();
    }
    if step.keep_gaps {
        run(rest, &text[done..], each)
    } else {
        Ok(())
    }
}

impl Step {
    fn new(name: &str, pattern: &str, keep_matches: bool, keep_gaps: bool) -> Result<Self> {
        let pattern = Regex::new(pattern)
            .map_err(|e| Error::text(name, format!("pattern {pattern:?} does not compile: {e}")))?;
        Ok(Self {
            pattern,
            keep_matches,
            keep_gaps,
        })
    }

    fn from_split(name: &str, entry: &Value) -> Result<Self> {
        let pattern = match (&entry["pattern"]["Regex"], &entry["pattern"]["String"]) {
            (Value::String(regex), _) => regex.clone(),
            (_, Value::String(text)) => fancy_regex::escape(text).into_owned(),
            _ => {
                return Err(Error::text(
                    name,
                    "expected `pattern` to be a Regex or a String",
                ));
            }
        };
        let inverted = entry["invert"] == true;
        match entry["behavior"].as_str() {
            Some("Isolated") => Self::new(name, &pattern, true, true),
            Some("Removed") => Self::new(name, &pattern, inverted, !inverted),
            other => {
                let problem = format!(
                    "split behaviour `{}` is not supported, expected `Isolated` or `Removed`",
                    other.unwrap_or("none")
                );
                Err(Error::text(name, problem))
            }
        }
    }
}

fn byte_level(use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex
    })
}
