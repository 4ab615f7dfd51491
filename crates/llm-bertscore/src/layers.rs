//! Which layer's vectors to compare.

use std::path::Path;

use crate::config::Config;
use crate::{Error, Result};

/// Layers of published models as `bert-score` chooses them, by the last part of the model's name:
/// where its scores agree best with people's on WMT16.
const KNOWN: [(&str, usize); 49] = [
    ("bert-base-uncased", 9),
    ("bert-large-uncased", 18),
    ("bert-base-cased-finetuned-mrpc", 9),
    ("bert-base-multilingual-cased", 9),
    ("bert-base-chinese", 8),
    ("bert-base-turkish-cased", 10),
    ("roberta-base", 10),
    ("roberta-large", 17),
    ("roberta-large-mnli", 19),
    ("roberta-base-openai-detector", 7),
    ("roberta-large-openai-detector", 15),
    ("distilroberta-base", 5),
    ("scibert_scivocab_uncased", 8),
    ("scibert_scivocab_cased", 9),
    ("scibert_basevocab_uncased", 9),
    ("finbert", 10),
    ("spanbert-base-cased", 8),
    ("spanbert-large-cased", 17),
    ("unsup-simcse-bert-base-uncased", 10),
    ("unsup-simcse-bert-large-uncased", 18),
    ("unsup-simcse-roberta-base", 8),
    ("unsup-simcse-roberta-large", 13),
    ("sup-simcse-bert-base-uncased", 10),
    ("sup-simcse-bert-large-uncased", 18),
    ("sup-simcse-roberta-base", 10),
    ("sup-simcse-roberta-large", 16),
    ("bert_uncased_L-2_H-128_A-2", 1),
    ("bert_uncased_L-2_H-256_A-4", 1),
    ("bert_uncased_L-2_H-512_A-8", 1),
    ("bert_uncased_L-2_H-768_A-12", 2),
    ("bert_uncased_L-4_H-128_A-2", 3),
    ("bert_uncased_L-4_H-256_A-4", 3),
    ("bert_uncased_L-4_H-512_A-8", 3),
    ("bert_uncased_L-4_H-768_A-12", 3),
    ("bert_uncased_L-6_H-128_A-2", 5),
    ("bert_uncased_L-6_H-256_A-4", 5),
    ("bert_uncased_L-6_H-512_A-8", 5),
    ("bert_uncased_L-6_H-768_A-12", 5),
    ("bert_uncased_L-8_H-128_A-2", 7),
    ("bert_uncased_L-8_H-256_A-4", 7),
    ("bert_uncased_L-8_H-512_A-8", 6),
    ("bert_uncased_L-8_H-768_A-12", 7),
    ("bert_uncased_L-10_H-128_A-2", 8),
    ("bert_uncased_L-10_H-256_A-4", 8),
    ("bert_uncased_L-10_H-512_A-8", 9),
    ("bert_uncased_L-10_H-768_A-12", 8),
    ("bert_uncased_L-12_H-128_A-2", 10),
    ("bert_uncased_L-12_H-256_A-4", 11),
    ("bert_uncased_L-12_H-512_A-8", 10),
];

/// The number of layers to go through: what is asked for, else the published choice, else all.
///
/// # Errors
/// More than the encoder has.
pub(crate) fn choose(folder: &Path, config: &Config, asked: Option<usize>) -> Result<usize> {
    let all = config.num_hidden_layers;
    match asked {
        Some(asked) if asked > all => Err(Error::Malformed {
            path: folder.to_path_buf(),
            problem: format!("has {all} layers, but {asked} are asked for"),
        }),
        Some(asked) => Ok(asked),
        None => Ok(published(folder, config)
            .filter(|&layers| layers <= all)
            .unwrap_or(all)),
    }
}

/// The published choice for the model in `folder`, if its name is known: the folder's own name, that
/// in a hub cache (`models--org--name/snapshots/<revision>`), or the one in `config.json`.
fn published(folder: &Path, config: &Config) -> Option<usize> {
    let own = folder.file_name().and_then(|name| name.to_str());
    let cached = folder.ancestors().nth(2).and_then(Path::file_name);
    let cached = cached.and_then(|name| name.to_str()?.strip_prefix("models--"));
    let names = [own, cached, config.name.as_deref()];
    names.into_iter().flatten().find_map(|name| {
        let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let last = last.rsplit("--").next().unwrap_or(last);
        let known = KNOWN
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(last));
        known.map(|&(_, layers)| layers)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two layers.
    fn tiny() -> Config {
        let text = r#"{"model_type": "bert", "vocab_size": 9, "hidden_size": 8,
            "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 8,
            "max_position_embeddings": 16}"#;
        Config::parse(text).unwrap()
    }

    #[test]
    fn names_are_found_in_three_places() {
        let mut config = tiny();
        let layers = |folder: &str, config: &Config| published(Path::new(folder), config);
        assert_eq!(layers("models/roberta-large", &config), Some(17));
        let cached = "hub/models--google--bert_uncased_L-2_H-128_A-2/snapshots/30b0a37";
        assert_eq!(layers(cached, &config), Some(1));
        assert_eq!(layers("encoder", &config), None);
        config.name = Some("SpanBERT/spanbert-base-cased".into());
        assert_eq!(layers("encoder", &config), Some(8));
    }

    #[test]
    fn not_more_than_there_are() {
        let config = tiny();
        let folder = Path::new("roberta-large");
        assert_eq!(
            choose(folder, &config, None).unwrap(),
            config.num_hidden_layers
        );
        assert_eq!(choose(folder, &config, Some(0)).unwrap(), 0);
        assert!(choose(folder, &config, Some(3)).is_err());
    }
}
