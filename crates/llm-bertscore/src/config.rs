//! What `config.json` says about an encoder.

use std::path::Path;

use llm_core::ops::GeluKind;
use llm_store::folder::{CONFIG_FILE, companion_text};
use serde::Deserialize;

use crate::{Error, Result};

/// The two architectures. They differ in where positions start and in their tokenizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Bert,
    Roberta,
}

/// A checked configuration, by the keys of `config.json`.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) family: Family,
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) max_position_embeddings: usize,
    pub(crate) type_vocab_size: usize,
    pub(crate) layer_norm_eps: f64,
    pub(crate) gelu: GeluKind,
    /// The token of padding; RoBERTa counts positions from the one after it.
    pub(crate) pad_token_id: u32,
    /// What the model was called where it was saved.
    pub(crate) name: Option<String>,
}

#[derive(Deserialize)]
struct Raw {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "bert_eps")]
    layer_norm_eps: f64,
    #[serde(default = "gelu")]
    hidden_act: String,
    position_embedding_type: Option<String>,
    pad_token_id: Option<u32>,
    #[serde(rename = "_name_or_path")]
    name: Option<String>,
}

fn two() -> usize {
    2
}

fn bert_eps() -> f64 {
    1e-12
}

fn gelu() -> String {
    "gelu".into()
}

impl Raw {
    fn family(&self) -> Result<Family, String> {
        match self.model_type.as_str() {
            "bert" => Ok(Family::Bert),
            "roberta" => Ok(Family::Roberta),
            other => Err(format!(
                "`model_type` is {other:?}, expected bert or roberta"
            )),
        }
    }

    fn gelu(&self) -> Result<GeluKind, String> {
        match self.hidden_act.as_str() {
            "gelu" => Ok(GeluKind::Erf),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(GeluKind::Tanh),
            other => Err(format!(
                "`hidden_act` is {other:?}, expected gelu, gelu_new or gelu_pytorch_tanh"
            )),
        }
    }

    fn check(&self) -> Result<(), String> {
        let (heads, c) = (self.num_attention_heads, self.hidden_size);
        if heads == 0 || c == 0 || !c.is_multiple_of(heads) {
            return Err(format!(
                "`num_attention_heads` is {heads}, which does not divide `hidden_size` {c}"
            ));
        }
        let eps = self.layer_norm_eps;
        if !(eps > 0.0 && eps < 1.0) {
            return Err(format!(
                "`layer_norm_eps` is {eps}, expected above 0 and below 1"
            ));
        }
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => Ok(()),
            Some(other) => Err(format!(
                "`position_embedding_type` is {other:?}, expected absolute"
            )),
        }
    }
}

impl Config {
    /// Reads and checks `folder/config.json`.
    ///
    /// # Errors
    /// It is missing, not such an object, or describes a model that is not one of the two.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let text = companion_text(folder, CONFIG_FILE, "the encoder's configuration")?;
        Self::parse(&text).map_err(|problem| Error::Malformed {
            path: folder.join(CONFIG_FILE),
            problem,
        })
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let raw: Raw = serde_json::from_str(text)
            .map_err(|error| format!("does not describe an encoder ({error})"))?;
        raw.check()?;
        let family = raw.family()?;
        let pad_token_id = raw.pad_token_id.unwrap_or(match family {
            Family::Bert => 0,
            Family::Roberta => 1,
        });
        let config = Self {
            family,
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: raw.num_attention_heads,
            intermediate_size: raw.intermediate_size,
            max_position_embeddings: raw.max_position_embeddings,
            type_vocab_size: raw.type_vocab_size,
            layer_norm_eps: raw.layer_norm_eps,
            gelu: raw.gelu()?,
            pad_token_id,
            name: raw.name,
        };
        match config.longest() {
            0..3 => Err("`max_position_embeddings` leaves no room for a token".into()),
            _ => Ok(config),
        }
    }

    /// The position of the first token.
    pub(crate) fn first_position(&self) -> usize {
        match self.family {
            Family::Bert => 0,
            Family::Roberta => self.pad_token_id as usize + 1,
        }
    }

    /// How many tokens have positions, begin and end included.
    pub(crate) fn longest(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.first_position())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERT: &str = r#"{"model_type": "bert", "vocab_size": 9, "hidden_size": 8,
        "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
        "max_position_embeddings": 32, "architectures": ["BertModel"]}"#;

    #[test]
    fn defaults_are_those_of_the_architecture() {
        let config = Config::parse(BERT).unwrap();
        assert_eq!((config.layer_norm_eps, config.longest()), (1e-12, 32));
        let roberta = Config::parse(&BERT.replace("\"bert\"", "\"roberta\"")).unwrap();
        assert_eq!((roberta.first_position(), roberta.longest()), (2, 30));
    }

    #[test]
    fn what_cannot_be_computed_is_refused_by_its_key() {
        let cases = [
            ("\"bert\"", "\"t5\"", "model_type"),
            (
                "\"num_attention_heads\": 2",
                "\"num_attention_heads\": 3",
                "num_attention_heads",
            ),
            (
                "\"num_attention_heads\": 2",
                "\"num_attention_heads\": 0",
                "num_attention_heads",
            ),
            (
                "_embeddings\": 32",
                "_embeddings\": 2",
                "max_position_embeddings",
            ),
            (
                "\"vocab_size\": 9",
                "\"hidden_act\": \"relu\", \"vocab_size\": 9",
                "hidden_act",
            ),
            (
                "\"vocab_size\": 9",
                "\"layer_norm_eps\": -1, \"vocab_size\": 9",
                "layer_norm_eps",
            ),
            (
                "\"vocab_size\": 9",
                "\"position_embedding_type\": \"relative_key\", \"vocab_size\": 9",
                "position_embedding_type",
            ),
            ("\"vocab_size\": 9,", "", "vocab_size"),
            ("\"vocab_size\": 9", "\"vocab_size\": 1e99", "describe"),
        ];
        for (old, new, word) in cases {
            let text = BERT.replacen(old, new, 1);
            assert_ne!(text, BERT);
            let problem = Config::parse(&text).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }
}
