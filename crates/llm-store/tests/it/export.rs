//! A model folder as a GGUF file: names, order of rows, metadata, tokenizer, refusals.

use std::path::{Path, PathBuf};

use candle_core::DType;
use llm_core::config::ModelConfig;
use llm_core::model::Decoder;
use llm_core::params::Mode;
use llm_core::text::bpe::{PreTokenizer, Trainer};
use llm_store::gguf::{Array, ExportOptions, Exported, GgmlType, GgufFile, Quant, Value, export};
use llm_store::{ModelFolder, Result, SaveOptions, save_model};
use serde_json::{Value as Json, json};

use crate::support::assert_error;

/// A small model of a family in a folder, with a byte-level tokenizer.
fn folder(dir: &Path, config: &Json) -> PathBuf {
    let folder = dir.join("small");
    let config = ModelConfig::from_json(&config.to_string()).unwrap();
    let (model, _) = Decoder::init(&config, 3, Mode::Frozen, DType::F32).unwrap();
    let tensors = model.named_tensors().unwrap();
    save_model(
        &folder,
        &config.to_json(),
        &tensors,
        &SaveOptions::default(),
    )
    .unwrap();
    let trainer = Trainer::new(280, PreTokenizer::qwen2().unwrap());
    let learned = trainer
        .train(["the cat sat on the mat, the cat sat"])
        .unwrap();
    let mut tokenizer: Json = serde_json::from_str(&learned.to_tokenizer_json()).unwrap();
    tokenizer["added_tokens"] = json!([
        {"id": 290, "content": "<|end|>", "special": true},
        {"id": 291, "content": "<tool>", "special": false},
    ]);
    write(&folder, "tokenizer.json", &tokenizer);
    let settings = json!({"eos_token": "<|end|>", "chat_template": "{{ messages }}"});
    write(&folder, "tokenizer_config.json", &settings);
    folder
}

fn write(folder: &Path, name: &str, value: &Json) {
    std::fs::write(folder.join(name), value.to_string()).unwrap();
}

fn read(folder: &Path, name: &str) -> Json {
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

/// A Llama-like configuration of two layers.
fn shape(kind: &str) -> Json {
    json!({"model_type": kind, "vocab_size": 300, "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "max_position_embeddings": 64, "rope_theta": 5000.0, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": kind != "llama", "initializer_range": 0.3})
}

fn gpt2() -> Json {
    json!({"model_type": "gpt2", "vocab_size": 300, "n_embd": 32, "n_layer": 1, "n_head": 4,
        "n_positions": 16, "activation_function": "gelu_new", "initializer_range": 0.3})
}

fn run(folder: &Path, out: &Path, quant: Quant) -> Result<Exported> {
    let options = ExportOptions {
        quant,
        name: "small".into(),
        overwrite: false,
        threads: 2,
    };
    export(&ModelFolder::open(folder)?, out, &options, &mut |_, _| {})
}

/// The numbers of an F32 tensor of the file.
fn numbers(file: &GgufFile, name: &str) -> Vec<f32> {
    assert_eq!(file.header().tensor(name).unwrap().kind, GgmlType::F32);
    let (numbers, _) = file.bytes(name).unwrap().as_chunks::<4>();
    numbers
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

/// The numbers of a tensor of the folder, row by row.
fn stored(folder: &Path, name: &str) -> Vec<Vec<f32>> {
    let tensor = ModelFolder::open(folder).unwrap().tensor(name).unwrap();
    match tensor.rank() {
        1 => vec![tensor.to_vec1().unwrap()],
        _ => tensor.to_vec2().unwrap(),
    }
}

#[test]
fn qwen_keeps_its_rows_and_llama_gets_them_in_pairs() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, arch) in [
        ("qwen3", "qwen3"),
        ("qwen2", "qwen2"),
        ("llama", "llama"),
        ("mistral", "llama"),
    ] {
        let root = dir.path().join(kind);
        std::fs::create_dir(&root).unwrap();
        let folder = folder(&root, &shape(kind));
        let out = root.join("out.gguf");
        run(&folder, &out, Quant::F32).unwrap();
        let file = GgufFile::open(&out).unwrap();
        let header = file.header();
        assert_eq!(
            header.get("general.architecture").and_then(Value::as_str),
            Some(arch)
        );
        let rows = stored(&folder, "model.layers.1.self_attn.k_proj.weight");
        let expected: Vec<f32> = match arch {
            // Two heads of 8 rows: 0 4 1 5 2 6 3 7
            "llama" => (0..16)
                .flat_map(|r| rows[r / 8 * 8 + (r % 8) / 2 + 4 * (r % 2)].clone())
                .collect(),
            _ => rows.concat(),
        };
        assert_eq!(numbers(&file, "blk.1.attn_k.weight"), expected, "{kind}");
        let down = stored(&folder, "model.layers.0.mlp.down_proj.weight").concat();
        assert_eq!(numbers(&file, "blk.0.ffn_down.weight"), down);
        assert_eq!(header.tensor("output.weight").is_some(), kind == "llama");
        assert_eq!(
            header.tensor("blk.0.attn_q.bias").is_some(),
            kind == "qwen2"
        );
        assert_eq!(
            header.tensor("blk.0.attn_q_norm.weight").is_some(),
            kind == "qwen3"
        );
        let number = |key: &str| header.get(&format!("{arch}.{key}")).and_then(Value::as_u64);
        assert_eq!(number("attention.head_count_kv"), Some(2));
        assert_eq!(number("rope.dimension_count"), Some(8));
        let base = header.get(&format!("{arch}.rope.freq_base"));
        assert_eq!(base, Some(&Value::F32(5000.0)));
    }
}

#[test]
fn gpt2_is_turned_to_rows_of_outputs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path(), &gpt2());
    let out = dir.path().join("out.gguf");
    let exported = run(&folder, &out, Quant::F32).unwrap();
    let file = GgufFile::open(&out).unwrap();
    let columns = stored(&folder, "transformer.h.0.mlp.c_fc.weight");
    let expected: Vec<f32> = (0..128)
        .flat_map(|o| columns.iter().map(move |row| row[o]))
        .collect();
    assert_eq!(numbers(&file, "blk.0.ffn_up.weight"), expected);
    assert_eq!(
        file.header().tensor("blk.0.ffn_up.weight").unwrap().shape,
        [128, 32]
    );
    let positions = stored(&folder, "transformer.wpe.weight").concat();
    assert_eq!(numbers(&file, "position_embd.weight"), positions);
    assert_eq!(exported.bytes, std::fs::metadata(&out).unwrap().len());
    assert!(exported.notes.is_empty());
}

#[test]
fn every_type_is_written_and_equal_input_gives_equal_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = shape("qwen3");
    config["hidden_size"] = 256.into();
    config["intermediate_size"] = 288.into(); // whole blocks of 32, not of 256
    let folder = folder(dir.path(), &config);
    for quant in Quant::all() {
        let path = |n: usize| dir.path().join(format!("{}-{n}.gguf", quant.name()));
        let exported = run(&folder, &path(0), quant).unwrap();
        run(&folder, &path(1), quant).unwrap();
        assert_eq!(
            std::fs::read(path(0)).unwrap(),
            std::fs::read(path(1)).unwrap()
        );
        let file = GgufFile::open(&path(0)).unwrap();
        let kind = |name: &str| file.header().tensor(name).unwrap().kind;
        assert_eq!(kind("blk.0.attn_q.weight"), quant.base());
        assert_eq!(kind("blk.0.attn_norm.weight"), GgmlType::F32);
        let (head, down) = match quant {
            Quant::F32 | Quant::F16 | Quant::BF16 | Quant::Q8_0 => (quant.base(), quant.base()),
            Quant::Q4_0 => (GgmlType::Q6_K, GgmlType::Q4_0),
            // Of two layers, the last is among the sensitive ones
            _ => (GgmlType::Q6_K, GgmlType::Q8_0),
        };
        assert_eq!(
            (kind("token_embd.weight"), kind("blk.1.ffn_down.weight")),
            (head, down)
        );
        let fell = exported
            .tensors
            .iter()
            .filter(|t| t.spec.kind != t.wanted)
            .count();
        let expected = match quant {
            Quant::Q4_K_M | Quant::Q5_K_M | Quant::Q6_K => 4, // attn_output and ffn_down, twice
            _ => 0,
        };
        assert_eq!(fell, expected, "{quant:?}");
        let file_type = file
            .header()
            .get("general.file_type")
            .and_then(Value::as_u64);
        assert_eq!(file_type, Some(quant.file_type().into()));
    }
    assert_error(
        run(&folder, &dir.path().join("F32-0.gguf"), Quant::F32),
        "F32-0.gguf",
        "exists",
    );
}

#[test]
fn a_byte_level_tokenizer_keeps_its_merges() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path(), &shape("qwen3"));
    write(
        &folder,
        "generation_config.json",
        &json!({"eos_token_id": [290, 291]}),
    );
    let out = dir.path().join("out.gguf");
    run(&folder, &out, Quant::F16).unwrap();
    let file = GgufFile::open(&out).unwrap();
    let get = |key: &str| file.header().get(&format!("tokenizer.{key}"));
    assert_eq!(get("ggml.model").and_then(Value::as_str), Some("gpt2"));
    assert_eq!(get("ggml.pre").and_then(Value::as_str), Some("qwen2"));
    assert_eq!(
        get("chat_template").and_then(Value::as_str),
        Some("{{ messages }}")
    );
    assert_eq!(get("ggml.eos_token_id").and_then(Value::as_u64), Some(290));
    assert_eq!(get("ggml.eot_token_id").and_then(Value::as_u64), Some(291));
    assert_eq!(get("ggml.bos_token_id"), None);
    assert_eq!(get("ggml.add_bos_token"), Some(&Value::Bool(false)));
    let json = read(&folder, "tokenizer.json");
    let merges = json["model"]["merges"].as_array().unwrap();
    let pair = |merge: &Json| match merge {
        Json::String(text) => text.clone(),
        pair => format!(
            "{} {}",
            pair[0].as_str().unwrap(),
            pair[1].as_str().unwrap()
        ),
    };
    let expected: Vec<String> = merges.iter().map(pair).collect();
    assert_eq!(
        get("ggml.merges").and_then(Value::as_strings),
        Some(expected.as_slice())
    );
    let tokens = get("ggml.tokens").and_then(Value::as_strings).unwrap();
    assert_eq!(tokens.len(), 300);
    for (text, id) in json["model"]["vocab"].as_object().unwrap() {
        assert_eq!(&tokens[id.as_u64().unwrap() as usize], text);
    }
    assert_eq!(
        (tokens[290].as_str(), tokens[299].as_str()),
        ("<|end|>", "[PAD299]")
    );
    let Some(Value::Array(Array::I32(kinds))) = get("ggml.token_type") else {
        panic!("no token types")
    };
    assert_eq!((kinds[0], kinds[290], kinds[291], kinds[299]), (1, 3, 4, 5));
}

/// The tokenizer of a small SentencePiece model: a, b, ab, abab and a space.
fn sentence_piece() -> Json {
    json!({
        "added_tokens": [
            {"id": 0, "content": "<unk>", "special": true},
            {"id": 1, "content": "<s>", "special": true},
        ],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
        ]},
        "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true,
            "vocab": {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "ab": 3, "abab": 4, "▁ab": 5, "▁": 6, "a": 7, "b": 8},
            "merges": ["a b", "ab ab", "▁ ab"]},
    })
}

#[test]
fn a_sentence_piece_tokenizer_becomes_scores() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path(), &shape("llama"));
    write(&folder, "tokenizer.json", &sentence_piece());
    write(
        &folder,
        "tokenizer_config.json",
        &json!({"bos_token": {"content": "<s>"}}),
    );
    let out = dir.path().join("out.gguf");
    run(&folder, &out, Quant::F16).unwrap();
    let file = GgufFile::open(&out).unwrap();
    let get = |key: &str| file.header().get(&format!("tokenizer.ggml.{key}"));
    assert_eq!(get("model").and_then(Value::as_str), Some("llama"));
    let Some(Value::Array(Array::F32(scores))) = get("scores") else {
        panic!("no scores")
    };
    assert_eq!(
        scores[..9],
        [0.0, 0.0, 0.0, 0.0, -1.0, -2.0, -9.0, -10.0, -11.0]
    );
    let Some(Value::Array(Array::I32(kinds))) = get("token_type") else {
        panic!("no token types")
    };
    assert_eq!(kinds[..5], [2, 3, 6, 1, 1]);
    assert_eq!(get("add_bos_token"), Some(&Value::Bool(true)));
    assert_eq!(get("add_space_prefix"), Some(&Value::Bool(true)));
    assert_eq!(get("bos_token_id").and_then(Value::as_u64), Some(1));
}

/// A tokenizer with one value exchanged.
fn with(base: &Json, pointer: &str, value: Json) -> Json {
    let mut json = base.clone();
    match json.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => json[pointer.trim_start_matches('/')] = value,
    }
    json
}

/// A folder whose tokenizer is each of these in turn is not exported, for the reason beside it.
fn assert_refused(base: &Json, cases: &[(&str, Json, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path(), &shape("llama"));
    let out = dir.path().join("out.gguf");
    for (pointer, value, part) in cases {
        let json = with(base, pointer, value.clone());
        write(&folder, "tokenizer.json", &json);
        assert_error(run(&folder, &out, Quant::F16), "tokenizer.json", part);
    }
    std::fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let none = run(&folder, &out, Quant::F16);
    assert_error(none, "tokenizer.json", "not found");
    assert!(!out.exists());
}

#[test]
fn byte_level_tokenizers_that_llama_cpp_lacks_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let base = read(&folder(dir.path(), &shape("llama")), "tokenizer.json");
    let pattern = "/pre_tokenizer/pretokenizers/0/pattern/Regex";
    let twice = json!({"a": 1, "b": 1});
    let cases = [
        ("/model/type", json!("Unigram"), "Unigram"),
        ("/normalizer", json!({"type": "Lowercase"}), "Lowercase"),
        (pattern, json!("x+"), "the pattern x+"),
        ("/pre_tokenizer", json!({"type": "W"}), "none of ours"),
        ("/model/merges", json!(["a b c"]), "without spaces"),
        (
            "/model/vocab",
            json!({"a": 300}),
            "beyond the model's vocab_size",
        ),
        ("/model/vocab", twice, "the id 1 to two tokens"),
        ("/added_tokens/0/id", json!(0), "with the id of another"),
    ];
    assert_refused(&base, &cases);
}

#[test]
fn merges_that_scores_cannot_say_are_refused() {
    let apart = json!(["a b", "ab ab", "a b", "▁ ab"]);
    let cases = [
        ("/normalizer", json!({"type": "NFKC"}), "NFKC"),
        ("/model/merges", json!(["a b", "ab ab"]), "are no merge"),
        ("/model/merges", apart, "do not stand together"),
    ];
    assert_refused(&sentence_piece(), &cases);
}

#[test]
fn arithmetic_that_llama_cpp_lacks_is_refused_by_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.gguf");
    let scaling = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 32});
    let mut cases = vec![(gpt2(), "activation_function", json!("gelu"))];
    cases.push((shape("qwen3"), "attention_bias", json!(true)));
    cases.push((shape("qwen2"), "rope_scaling", scaling.clone()));
    for (number, (mut config, key, value)) in cases.into_iter().enumerate() {
        config[key] = value;
        let root = dir.path().join(number.to_string());
        std::fs::create_dir(&root).unwrap();
        let folder = folder(&root, &config);
        let error = assert_error(run(&folder, &out, Quant::F16), "config.json", key);
        assert!(error.hint().is_some() && error.exit_code() == 2, "{error}");
    }
    // Llama has a tensor for it
    let mut config = shape("llama");
    config["rope_scaling"] = scaling;
    let folder = folder(dir.path(), &config);
    run(&folder, &out, Quant::F16).unwrap();
    let factors = numbers(&GgufFile::open(&out).unwrap(), "rope_freqs.weight");
    assert_eq!(factors.len(), 4);
    assert_eq!((factors[0], factors[3]), (1.0, 8.0));
}

#[test]
fn a_window_ends_the_context_and_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = shape("mistral");
    config["sliding_window"] = 24.into();
    let folder = folder(dir.path(), &config);
    let out = dir.path().join("out.gguf");
    let exported = run(&folder, &out, Quant::F16).unwrap();
    assert!(exported.notes[0].contains("24"), "{:?}", exported.notes);
    let file = GgufFile::open(&out).unwrap();
    let context = file
        .header()
        .get("llama.context_length")
        .and_then(Value::as_u64);
    assert_eq!(context, Some(24));
}

#[test]
fn weights_that_f16_cannot_hold_and_tensors_without_a_place_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path(), &shape("qwen3"));
    let out = dir.path().join("out.gguf");
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let mut tensors = ModelFolder::open(&folder).unwrap().tensors().unwrap();
    let replace = SaveOptions {
        copy: vec![folder.join("tokenizer.json")],
        overwrite: true,
        ..SaveOptions::default()
    };
    let name = "model.layers.0.mlp.up_proj.weight";
    let large = (tensors[name].clone() * 1e6).unwrap();
    let original = tensors.insert(name.into(), large).unwrap();
    save_model(&folder, &config, &tensors, &replace).unwrap();
    assert_error(
        run(&folder, &out, Quant::F16),
        "blk.0.ffn_up.weight",
        "F16 ends at 65504",
    );
    run(&folder, &out, Quant::BF16).unwrap();
    std::fs::remove_file(&out).unwrap();

    tensors.insert(name.into(), original.clone());
    tensors.insert("model.extra.weight".into(), original);
    save_model(&folder, &config, &tensors, &replace).unwrap();
    assert_error(
        run(&folder, &out, Quant::F16),
        "model.extra.weight",
        "has no such tensor",
    );
    tensors.remove("model.extra.weight");
    tensors.remove(name);
    save_model(&folder, &config, &tensors, &replace).unwrap();
    assert_error(run(&folder, &out, Quant::F16), name, "is not in the folder");
    assert!(!out.exists());
}
