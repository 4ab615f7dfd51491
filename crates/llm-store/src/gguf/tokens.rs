//! A `tokenizer.json` as GGUF's `tokenizer.ggml.*`: tokens, their types, merges or scores, ids.
//!
//! Two kinds have a place there. Byte-level BPE (GPT-2, Qwen, Llama 3) keeps its merges; how text
//! is cut before is a name that llama.cpp knows ([`PRE_TOKENIZERS`]), so a pattern without a name
//! is refused. SentencePiece's BPE (Llama 1 and 2, Mistral) becomes the kind `llama`, which merges
//! by the score of what comes out (`scores.rs`). One thing stays different there: like SentencePiece,
//! llama.cpp puts a space before a text that starts with one; the step `Metaspace` does not.

use std::path::Path;

use llm_core::config::ModelConfig;
use serde_json::Value as Json;

use super::scores::scores;
use super::value::{Array, Value};
use crate::error::printable;
use crate::files::read_json;
use crate::{Error, ModelFolder, Result};

/// Types of tokens, by llama.cpp's numbers.
pub(super) const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// Patterns by which text is cut into words before BPE, with llama.cpp's name and whether words
/// that are tokens are taken whole, past all merges. The patterns themselves are those of the
/// models' own `tokenizer.json`.
pub const PRE_TOKENIZERS: [(&str, &str, bool); 3] = [
    ("gpt-2", GPT2, false),
    (
        "qwen2",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        false,
    ),
    (
        "llama-bpe",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        true,
    ),
];

/// What the step `ByteLevel` cuts by when it is asked to.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The vocabulary with ids as places.
pub(super) struct Vocabulary {
    /// Each token's text; `None` for an id that no token has.
    pub(super) texts: Vec<Option<String>>,
    /// Each token's type.
    pub(super) kinds: Vec<i32>,
}

/// The keys and values of the tokenizer of `folder`, and of its chat template.
///
/// # Errors
/// There is no tokenizer, it is not of the two kinds, or it has something that llama.cpp lacks.
pub fn metadata(folder: &ModelFolder) -> Result<Vec<(String, Value)>> {
    let path = folder.tokenizer()?;
    let json: Json = read_json(&path, "a tokenizer")?;
    let settings = match folder.tokenizer_config()? {
        Some(path) => read_json(&path, "a tokenizer's settings")?,
        None => Json::Null,
    };
    let model = &json["model"];
    // Old files leave the type out; only BPE has merges
    let kind = model["type"]
        .as_str()
        .or(model["merges"].is_array().then_some("BPE"));
    if kind != Some("BPE") {
        let kind = printable(kind.unwrap_or("nothing"));
        return Err(Error::not_in_gguf(
            &path,
            format!("`model.type` is {kind}, expected BPE"),
        ));
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model[key].as_str().is_some_and(|text| !text.is_empty()) {
            return Err(Error::not_in_gguf(&path, format!("`model.{key}` is set")));
        }
    }
    let mut vocabulary = vocabulary(&path, &json, folder.config.vocab_size)?;
    let merges = merges(&path, &model["merges"])?;
    let mut out = Vec::new();
    if model["byte_fallback"] == true {
        sentence_piece(&path, &json, &mut vocabulary, &merges, &mut out)?;
    } else {
        byte_level(&path, &json, &merges, &mut out)?;
    }
    let named = |text: Option<String>, id: usize| text.unwrap_or_else(|| format!("[PAD{id}]"));
    let ids = 0..;
    let tokens = vocabulary.texts.iter().cloned().zip(ids);
    let tokens = tokens.map(|(text, id)| named(text, id)).collect();
    set(&mut out, "tokens", Value::Array(Array::String(tokens)));
    let kinds = vocabulary.kinds.clone();
    set(&mut out, "token_type", Value::Array(Array::I32(kinds)));
    special_ids(folder, &vocabulary, &json, &settings, &mut out)?;
    if let Some(template) = template(folder, &settings)? {
        out.push(("tokenizer.chat_template".into(), Value::String(template)));
    }
    Ok(out)
}

fn set(out: &mut Vec<(String, Value)>, key: &str, value: Value) {
    out.push((format!("tokenizer.ggml.{key}"), value));
}

/// Every token by its id, with a place for each row of the model's embedding.
fn vocabulary(path: &Path, json: &Json, size: usize) -> Result<Vocabulary> {
    let bad = |problem: String| Error::malformed(path, problem);
    let Some(vocab) = json["model"]["vocab"].as_object() else {
        return Err(bad("has no `model.vocab`, expected tokens and ids".into()));
    };
    // `size` is checked by the configuration and equals the rows of a tensor that is there
    let mut texts = vec![None; size];
    let mut kinds = vec![UNUSED; size];
    let place = |id: &Json, text: &str| {
        let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
        id.filter(|&id| id < size).ok_or_else(|| {
            let text = printable(text);
            bad(format!(
                "gives `{text}` an id beyond the model's vocab_size {size}"
            ))
        })
    };
    for (text, id) in vocab {
        let id = place(id, text)?;
        if texts[id].replace(text.clone()).is_some() {
            return Err(bad(format!("gives the id {id} to two tokens")));
        }
        kinds[id] = NORMAL;
    }
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        let text = token["content"].as_str().unwrap_or_default();
        let id = place(&token["id"], text)?;
        if text.is_empty() || texts[id].as_deref().is_some_and(|other| other != text) {
            let text = printable(text);
            return Err(bad(format!(
                "has the added token `{text}` with the id of another"
            )));
        }
        texts[id] = Some(text.to_owned());
        kinds[id] = match token["special"] == true {
            true => CONTROL,
            false => USER_DEFINED,
        };
    }
    Ok(Vocabulary { texts, kinds })
}

/// Merges in their order, from `"a b"` or `["a", "b"]`.
fn merges<'j>(path: &Path, json: &'j Json) -> Result<Vec<(&'j str, &'j str)>> {
    let pair = |merge: &'j Json| match merge {
        Json::String(text) => text.split_once(' '),
        Json::Array(pair) => match pair.as_slice() {
            [first, second] => Some((first.as_str()?, second.as_str()?)),
            _ => None,
        },
        _ => None,
    };
    let all = json.as_array().map(Vec::as_slice).unwrap_or_default();
    let pairs = all.iter().map(pair).collect::<Option<Vec<_>>>();
    let plain = |pairs: &Vec<(&str, &str)>| {
        pairs
            .iter()
            .all(|(a, b)| !(a.contains(' ') || b.contains(' ')))
    };
    pairs.filter(plain).ok_or_else(|| {
        Error::malformed(
            path,
            "has a merge that is not a pair of texts without spaces",
        )
    })
}

/// The keys of the kind `gpt2`.
fn byte_level(
    path: &Path,
    json: &Json,
    merges: &[(&str, &str)],
    out: &mut Vec<(String, Value)>,
) -> Result<()> {
    // llama.cpp has no Unicode forms; NFC leaves alone what is composed already, as most text is
    let normalizer = json["normalizer"]["type"].as_str();
    if !matches!(normalizer, None | Some("NFC")) {
        let name = printable(normalizer.unwrap_or_default());
        return Err(Error::not_in_gguf(
            path,
            format!("the normalizer is {name}"),
        ));
    }
    let pre = pre_tokenizer(path, json)?;
    set(out, "model", Value::String("gpt2".into()));
    set(out, "pre", Value::String(pre.into()));
    let merges = merges.iter().map(|(a, b)| format!("{a} {b}")).collect();
    set(out, "merges", Value::Array(Array::String(merges)));
    Ok(())
}

/// llama.cpp's name of the way in which text is cut into words.
fn pre_tokenizer(path: &Path, json: &Json) -> Result<&'static str> {
    let top = &json["pre_tokenizer"];
    let steps: Vec<&Json> = match top["pretokenizers"].as_array() {
        Some(steps) => steps.iter().collect(),
        None => vec![top],
    };
    let byte_level = |step: &Json, cuts: bool| {
        step["type"] == "ByteLevel"
            && step["add_prefix_space"] != true
            && (step["use_regex"] != false) == cuts
    };
    let pattern = match steps.as_slice() {
        [step] if byte_level(step, true) => Some(GPT2),
        [split, step] if split["type"] == "Split" && byte_level(step, false) => {
            let isolated = split["behavior"] == "Isolated" && split["invert"] != true;
            split["pattern"]["Regex"].as_str().filter(|_| isolated)
        }
        _ => None,
    };
    let whole = json["model"]["ignore_merges"] == true;
    let known = PRE_TOKENIZERS
        .iter()
        .find(|row| Some(row.1) == pattern && row.2 == whole);
    known.map(|row| row.0).ok_or_else(|| {
        let shown = printable(pattern.unwrap_or("none of ours"));
        let whole = if whole { " with ignore_merges" } else { "" };
        Error::not_in_gguf(path, format!("text is cut by the pattern {shown}{whole}"))
    })
}

/// The keys of the kind `llama`.
fn sentence_piece(
    path: &Path,
    json: &Json,
    vocabulary: &mut Vocabulary,
    merges: &[(&str, &str)],
    out: &mut Vec<(String, Value)>,
) -> Result<()> {
    let steps = |top: &Json, list: &str| -> Vec<Json> {
        match top[list].as_array() {
            Some(steps) => steps.clone(),
            None if top.is_null() => Vec::new(),
            None => vec![top.clone()],
        }
    };
    let mut prefix = false;
    let normalizers = steps(&json["normalizer"], "normalizers");
    let pre_tokenizers = steps(&json["pre_tokenizer"], "pretokenizers");
    for step in normalizers.iter().chain(&pre_tokenizers) {
        match step["type"].as_str() {
            Some("Prepend") if step["prepend"] == "▁" => prefix = true,
            Some("Replace") if step["pattern"]["String"] == " " && step["content"] == "▁" => {}
            Some("Metaspace") if step["replacement"] == "▁" && step["split"] == false => {
                prefix |= step["prepend_scheme"] != "never";
            }
            other => {
                let name = printable(other.unwrap_or("nothing"));
                return Err(Error::not_in_gguf(
                    path,
                    format!("text goes through {name}"),
                ));
            }
        }
    }
    for (text, kind) in vocabulary.texts.iter().zip(&mut vocabulary.kinds) {
        let text = text.as_deref().unwrap_or_default();
        if *kind == NORMAL && text.len() == 6 && text.starts_with("<0x") && text.ends_with('>') {
            *kind = BYTE;
        }
    }
    let unknown = json["model"]["unk_token"].as_str();
    let unknown = vocabulary
        .texts
        .iter()
        .position(|text| text.as_deref() == unknown);
    if let Some(id) = unknown.filter(|_| json["model"]["unk_token"].is_string()) {
        vocabulary.kinds[id] = UNKNOWN;
    }
    set(out, "model", Value::String("llama".into()));
    set(out, "pre", Value::String("default".into()));
    let scores = scores(path, vocabulary, merges)?;
    set(out, "scores", Value::Array(Array::F32(scores)));
    set(out, "add_space_prefix", Value::Bool(prefix));
    Ok(())
}

/// The ids of tokens with a meaning, and whether a text starts with one.
fn special_ids(
    folder: &ModelFolder,
    vocabulary: &Vocabulary,
    json: &Json,
    settings: &Json,
    out: &mut Vec<(String, Value)>,
) -> Result<()> {
    let config: &ModelConfig = &folder.config;
    let named = |key: &str| {
        // Old files write `{"content": "</s>", …}` instead of the text
        let text = settings[key]
            .as_str()
            .or_else(|| settings[key]["content"].as_str());
        let found = |text: &str| {
            vocabulary
                .texts
                .iter()
                .position(|t| t.as_deref() == Some(text))
        };
        text.and_then(found).map(|id| id as u32) // below `vocab_size`
    };
    let bos = named("bos_token").or(config.bos_token_id);
    let eos = named("eos_token").or(config.eos_token_ids.first().copied());
    let generation: Json = match folder.generation_config()? {
        Some(path) => read_json(&path, "settings of generation")?,
        None => Json::Null,
    };
    let listed = &generation["eos_token_id"];
    let ends = listed
        .as_array()
        .map_or(std::slice::from_ref(listed), Vec::as_slice);
    let ends = ends
        .iter()
        .filter_map(|id| u32::try_from(id.as_u64()?).ok());
    let mut others = ends.filter(|&id| Some(id) != eos && (id as usize) < config.vocab_size);
    let ids = [
        ("bos_token_id", bos),
        ("eos_token_id", eos),
        ("eot_token_id", others.next()),
        ("unknown_token_id", named("unk_token")),
        ("padding_token_id", named("pad_token")),
    ];
    for (key, id) in ids {
        if let Some(id) = id {
            set(out, key, Value::U32(id));
        }
    }
    let adds = |key: &str| settings[key].as_bool();
    let begins = adds("add_bos_token").unwrap_or_else(|| starts_with_special(json));
    set(out, "add_bos_token", Value::Bool(begins && bos.is_some()));
    let ends = adds("add_eos_token").unwrap_or(false);
    set(out, "add_eos_token", Value::Bool(ends && eos.is_some()));
    Ok(())
}

/// Whether the tokenizer itself puts a special token in front of a text.
fn starts_with_special(json: &Json) -> bool {
    let top = &json["post_processor"];
    let steps = top["processors"].as_array();
    let steps = steps.map_or(std::slice::from_ref(top), Vec::as_slice);
    steps.iter().any(|step| {
        step["type"] == "TemplateProcessing" && step["single"][0]["SpecialToken"].is_object()
    })
}

/// The chat template: the one of the settings, the one called `default`, or the file beside them.
fn template(folder: &ModelFolder, settings: &Json) -> Result<Option<String>> {
    let setting = &settings["chat_template"];
    if let Some(text) = setting.as_str() {
        return Ok(Some(text.to_owned()));
    }
    let list = setting.as_array().map(Vec::as_slice).unwrap_or_default();
    let default = list.iter().find(|entry| entry["name"] == "default");
    if let Some(text) = default.and_then(|entry| entry["template"].as_str()) {
        return Ok(Some(text.to_owned()));
    }
    folder.chat_template()
}
