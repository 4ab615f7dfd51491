//! The tokenizer and folder of the embedded model, as they are bundled and as they are made.

use std::path::PathBuf;

use candle_core::{DType, Device};
use llm_core::config::ModelConfig;
use llm_core::model::Decoder;
use llm_core::model::count::total;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use llm_core::text::bpe::ByteBpe;
use llm_core::text::chat::{ChatTemplate, Message, RenderOptions};
use llm_core::text::hf::HfTokenizer;
use llm_store::ModelFolder;
use llm_train::config::PromptStyle;
use llm_train::data::{DataFormat, read_rows};
use llm_train::prompt::Codec;
use llm_train::synth::{Domain, Shape, Split, document};
use llm_train::tiny::{CHAT_TEMPLATE, CONTROL_TOKENS, MARK_TOKENS, files, train_tokenizer};
use serde_json::{Map, Value};

const CONTEXT: usize = 1024;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../output_models/deeper-tiny")
}

fn bundled() -> (ByteBpe, HfTokenizer) {
    let path = folder().join("tokenizer.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let ours = ByteBpe::from_tokenizer_json("tokenizer.json", &text).unwrap();
    (ours, HfTokenizer::from_file(path).unwrap())
}

fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/tiny_tokenizer.json")).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The fixture is from `tools/oracle/tiny_logits.py`: every 64th logit at some positions.
#[test]
fn logits_of_the_bundled_weights_are_those_of_transformers() {
    /// Sums in another order, in f32.
    const TOLERANCE: f32 = 2e-5;
    const EVERY: usize = 64;
    let fixture = include_bytes!("../fixtures/tiny_logits.safetensors");
    let fixture = candle_core::safetensors::load_buffer(fixture, &Device::Cpu).unwrap();
    let files = ModelFolder::open(&folder()).unwrap();
    let (model, _) = Decoder::load(
        &files.config,
        files.tensors().unwrap(),
        Mode::Frozen,
        DType::F32,
        &Device::Cpu,
    )
    .unwrap();
    let texts = fixture.len() / 3;
    assert_eq!(texts, 50);
    let mut worst = 0f32;
    for index in 0..texts {
        let get = |what: &str| &fixture[&format!("{index}.{what}")];
        let ids = get("ids")
            .to_dtype(DType::U32)
            .unwrap()
            .unsqueeze(0)
            .unwrap();
        let logits = model.forward(&ids, &Pass::eval(Ops::Fused)).unwrap();
        let logits = logits.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        let positions = get("positions").to_vec1::<i64>().unwrap();
        let expected = get("logits").to_vec2::<f32>().unwrap();
        for (&position, expected) in positions.iter().zip(&expected) {
            let found = logits[position as usize].iter().step_by(EVERY);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.zip(expected) {
                worst = worst.max((found - expected).abs());
            }
        }
    }
    assert!(worst <= TOLERANCE, "{worst:e}, tolerance {TOLERANCE:e}");
}

/// The fixture is from `tools/oracle/tiny_tokenizer.py`.
#[test]
fn ids_are_those_of_the_python_library() {
    let (ours, theirs) = bundled();
    let fixture = fixture();
    let rows = fixture["strings"].as_array().unwrap();
    assert_eq!(rows.len(), 200);
    for row in rows {
        let text = row["text"].as_str().unwrap();
        let (user, template) = (ids(&row["user"]), ids(&row["template"]));
        assert_eq!(ours.encode(text).unwrap(), user, "{text:?}");
        assert_eq!(
            ours.encode_with_special(text).unwrap(),
            template,
            "{text:?}"
        );
        assert_eq!(theirs.encode(text).unwrap(), user, "{text:?}");
        assert_eq!(
            theirs.encode_with_special(text).unwrap(),
            template,
            "{text:?}"
        );
        assert_eq!(ours.decode(&user).unwrap(), text);
    }
}

#[test]
fn conversations_are_those_of_transformers() {
    let template = ChatTemplate::from_folder(folder()).unwrap();
    let fixture = fixture();
    let rows = fixture["conversations"].as_array().unwrap();
    assert_eq!(rows.len(), 16);
    for row in rows {
        let messages: Vec<Message> = serde_json::from_value(row["messages"].clone()).unwrap();
        let mut variables: Map<String, Value> = row["options"].as_object().unwrap().clone();
        let tools = variables.shift_remove("tools");
        let prompt = variables.shift_remove("add_generation_prompt");
        let options = RenderOptions {
            add_generation_prompt: prompt == Some(Value::Bool(true)),
            tools: tools.and_then(|tools| tools.as_array().cloned()),
            variables,
            ..RenderOptions::default()
        };
        let text = template.render(&messages, &options).unwrap();
        assert_eq!(text, row["text"].as_str().unwrap());
    }
}

#[test]
fn the_bundled_folder_is_what_the_code_writes() {
    let (ours, _) = bundled();
    for (name, text) in files(&ours).unwrap() {
        let bundled = std::fs::read_to_string(folder().join(name)).unwrap();
        assert_eq!(bundled, text, "{name}");
    }
    let text = std::fs::read_to_string(folder().join("config.json")).unwrap();
    let config = ModelConfig::from_json(&text).unwrap();
    // V C + L (2 C H D + 2 C K D + 3 C F + 2 C + 2 D) + C
    let layer: u64 = 2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 768 + 2 * 256 + 2 * 64;
    assert_eq!(total(&config), 4096 * 256 + 6 * layer + 256);
    assert!(total(&config) * 2 <= 12_000_000, "bytes in bf16");
}

#[test]
fn marks_are_single_tokens_in_any_text_and_control_tokens_only_in_templates() {
    let (ours, theirs) = bundled();
    assert_eq!(ours.vocab_size(), 4096);
    let first = 4096 - CONTROL_TOKENS.len() - MARK_TOKENS.len();
    for (token, id) in CONTROL_TOKENS
        .iter()
        .chain(&MARK_TOKENS)
        .zip(first as u32..)
    {
        assert_eq!(theirs.token_to_id(token), Some(id), "{token}");
        assert_eq!(theirs.encode_with_special(token).unwrap(), [id]);
        let as_text = ours.encode(token).unwrap();
        assert_eq!(as_text == [id], MARK_TOKENS.contains(token), "{token}");
        assert_eq!(as_text, theirs.encode(token).unwrap());
        assert_eq!(theirs.is_special(id), CONTROL_TOKENS.contains(token));
    }
    let answer = theirs.encode("<think>\n1\n</think>\n\n2").unwrap();
    assert_eq!(
        theirs.decode_without_special(&answer).unwrap(),
        "<think>\n1\n</think>\n\n2"
    );
}

#[test]
fn every_document_fits_the_context() {
    let (ours, _) = bundled();
    for domain in Domain::ALL {
        for index in 0..120 {
            let document = document(7, domain, Split::Train, Shape::Mixed, index);
            let tokens = ours.encode_with_special(&document.text()).unwrap().len();
            assert!(tokens < CONTEXT, "{tokens} tokens: {document:?}");
        }
    }
}

#[test]
fn rows_become_examples_whose_thoughts_and_calls_are_learnt() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("rows.jsonl");
    let mut lines = String::new();
    for domain in Domain::ALL {
        for index in 0..25 {
            let document = document(7, domain, Split::Train, Shape::Chat, index);
            lines += &format!("{}\n", document.row().unwrap());
        }
    }
    std::fs::write(&path, lines).unwrap();
    let codec = Codec::open(&folder(), PromptStyle::Auto).unwrap();
    let (mut thoughts, mut calls) = (0, 0);
    for row in read_rows(&[path], DataFormat::Messages).unwrap() {
        let (example, cut) = codec.example(&row, CONTEXT).unwrap();
        let example = example.unwrap();
        assert!(!cut);
        let learnt: Vec<u32> = example
            .labels
            .iter()
            .filter_map(|&id| u32::try_from(id).ok())
            .collect();
        let learnt = codec.tokenizer.decode(&learnt).unwrap();
        assert!(learnt.ends_with("<|im_end|>"), "{learnt}");
        assert!(learnt.contains(row.completion()), "{learnt}");
        thoughts += usize::from(learnt.starts_with("<think>\n"));
        calls += usize::from(learnt.starts_with("<tool_call>\n"));
    }
    assert!(thoughts >= 15 && calls >= 12, "{thoughts} {calls}");
}

#[test]
fn a_text_without_enough_pairs_gives_a_smaller_tokenizer() {
    let tokenizer = train_tokenizer(&["aab aab"], 4096).unwrap();
    assert!(tokenizer.vocab_size() < 300);
    assert_eq!(
        llm_train::tiny::config(&tokenizer).unwrap().vocab_size,
        4096
    );
    assert!(train_tokenizer(&["aab"], 264).is_err());
    assert!(ModelConfig::from_json(&files(&tokenizer).unwrap()[0].1).is_ok());
    assert!(CHAT_TEMPLATE.starts_with("{%- if tools %}"));
}
