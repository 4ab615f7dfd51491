//! A GPT that reads and writes characters: from one page of text to a model folder and back.
//!
//! Read in this order:
//!
//! 1. [`windows`]: a text → windows "read T characters, guess the T that follow", shuffled anew in
//!    each epoch
//! 2. [`floor`]: the lowest loss that any model can reach on these windows
//! 3. [`recipe`]: how to train: the faithful recipe, a fast one, a taste
//! 4. [`run`]: epochs of that recipe, which can stop and go on
//! 5. [`folder`]: the trained model as a Hugging Face folder
//! 6. [`write`](mod@write): text from the model, one character at a time
//!
//! ```
//! use llm_core::text::chars::CharTokenizer;
//! use llm_train::chars::{PAGE, Size, parts, recipe::Recipe};
//! let chars = CharTokenizer::from_text(PAGE);
//! assert_eq!(chars.vocab_size(), 43);
//! let config = Size::MINI.config(chars.vocab_size(), &Recipe::FAITHFUL)?;
//! let total: usize = parts(&config)?.iter().map(|part| part.1).sum();
//! assert_eq!(total, 801_536 + 128 * 43);
//! # Ok::<(), llm_train::Error>(())
//! ```

pub mod floor;
pub mod folder;
pub mod recipe;
pub mod run;
pub mod windows;
pub mod write;

use std::path::Path;

use llm_core::config::ModelConfig;
use llm_core::model::tensor_shapes;
use llm_core::text::chars::CharTokenizer;
use serde_json::json;

use self::recipe::Recipe;
use crate::{Error, Result};

/// The longest text of [`read_page`] in characters.
const LONGEST_PAGE: usize = 20_000;

/// The page that the lessons train on; `data/README.md` says where it comes from.
pub const PAGE: &str = include_str!("../../../../data/mini_gpt/page.txt");

/// The sizes of a character model in the shape of GPT-2: learned positions, layer norm before each
/// half of a block, biases everywhere, the head tied to the embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// L
    pub layers: usize,
    /// H, a divisor of `channels`.
    pub heads: usize,
    /// C
    pub channels: usize,
    /// T, the most characters that the model sees at once.
    pub context: usize,
}

impl Size {
    /// The mini GPT: 801,536 parameters and 128 for each character.
    pub const MINI: Self = Self {
        layers: 4,
        heads: 4,
        channels: 128,
        context: 64,
    };

    /// Its small sister, for a bundled model of a hundred kilobytes.
    pub const SMALL: Self = Self {
        layers: 2,
        heads: 2,
        channels: 32,
        context: 64,
    };

    /// The configuration for a vocabulary of `vocab_size` characters, with what the recipe says of
    /// dropout and initial weights.
    ///
    /// # Errors
    /// Sizes that do not fit together.
    pub fn config(self, vocab_size: usize, recipe: &Recipe) -> Result<ModelConfig> {
        let Self {
            layers,
            heads,
            channels,
            context,
        } = self;
        let dropout = recipe.dropout;
        let keys = json!({
            "model_type": "gpt2", "vocab_size": vocab_size, "n_embd": channels, "n_layer": layers,
            "n_head": heads, "n_positions": context, "embd_pdrop": dropout, "resid_pdrop": dropout,
            "initializer_range": recipe.initial_std,
        });
        Ok(ModelConfig::from_json(&keys.to_string())?)
    }
}

/// The number of scalars in each part of a model, in reading order.
///
/// # Errors
/// Sizes that do not fit together.
pub fn parts(config: &ModelConfig) -> Result<[(&'static str, usize); 4]> {
    let shapes = tensor_shapes(config)?;
    let part = |name: &'static str, prefix: &str| {
        let inside = shapes.iter().filter(|row| row.name.starts_with(prefix));
        (name, inside.map(|row| row.count()).sum())
    };
    Ok([
        part("embedding and head", "transformer.wte."),
        part("positions", "transformer.wpe."),
        part("blocks", "transformer.h."),
        part("last norm", "transformer.ln_f."),
    ])
}

/// The text of `path`, or the bundled page.
///
/// # Errors
/// A file that cannot be read, or one of more than 20,000 characters: an epoch has a window for each.
pub fn read_page(path: Option<&Path>) -> Result<String> {
    let Some(path) = path else {
        return Ok(PAGE.to_owned());
    };
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let length = text.chars().count();
    if length > LONGEST_PAGE {
        let problem = format!("has {length} characters, expected a page of up to {LONGEST_PAGE}");
        return Err(Error::file(path, problem));
    }
    Ok(text)
}

/// The first three words of a text, to begin with when nobody says with what.
pub fn first_words(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().take(3).collect();
    words.join(" ")
}

/// The ids of what a person typed for a model that knows only some characters.
///
/// # Errors
/// An empty text, or a character that the model does not know: the problem, which names it, and a
/// hint that lists those that it knows.
pub fn encode_prompt(chars: &CharTokenizer, text: &str) -> Result<Vec<u32>, [String; 2]> {
    let hint = || format!("the model knows {}", known(chars));
    match chars.encode(text) {
        Ok(ids) if ids.is_empty() => {
            let problem = "the prompt is empty, expected at least one character".to_owned();
            Err([problem, hint()])
        }
        Ok(ids) => Ok(ids),
        Err(error) => Err([format!("the prompt {text:?}: {error}"), hint()]),
    }
}

/// The characters that a tokenizer knows, for people to read: what has no shape of its own is
/// named.
fn known(chars: &CharTokenizer) -> String {
    let name = |&c: &char| match c {
        ' ' => "space ".to_owned(),
        '\n' => "newline ".to_owned(),
        c if c.is_control() || c.is_whitespace() => format!("{} ", c.escape_unicode()),
        c => c.to_string(),
    };
    chars.chars().iter().map(name).collect()
}

/// The mean of some numbers; NaN of none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
