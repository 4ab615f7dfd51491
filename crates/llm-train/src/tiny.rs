//! The embedded model `deeper-tiny` before its weights: shape, tokenizer, chat template.
//!
//! A Qwen3 of 5.8 million parameters. Its tokenizer is byte-level BPE with Qwen2's rule for cutting
//! text (digits one by one), and like Qwen3's has two kinds of added tokens: control tokens, which
//! no text of a user ever becomes, and `<think>`, `<tool_call>` and the like, which are text that
//! happens to be one token, so that what a model says can be read without special treatment.
//!
//! ```
//! let bpe = llm_train::tiny::train_tokenizer(&["the cat, the hat", "the cat"], 280)?;
//! let files = llm_train::tiny::files(&bpe)?;
//! assert!(files.iter().any(|(name, _)| *name == "tokenizer.json"));
//! # Ok::<(), llm_train::Error>(())
//! ```

use llm_core::config::ModelConfig;
use llm_core::text::bpe::{ByteBpe, PreTokenizer, Trainer};
use serde_json::{Map, Value, json};

use crate::Result;

/// The chat template.
pub const CHAT_TEMPLATE: &str = include_str!("tiny/chat_template.jinja");
/// End of a document and padding, start and end of a turn.
pub const CONTROL_TOKENS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
/// Marks in what the assistant says and tools answer.
pub const MARK_TOKENS: [&str; 6] = [
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
];
/// Rows of the embedding table.
pub const VOCAB_SIZE: usize = 4096;
/// The longest context, in tokens.
const CONTEXT: usize = 1024;

/// Learns a tokenizer of at most `vocab_size` tokens from `texts`; the added tokens take the last
/// ids, control tokens first.
///
/// # Errors
/// A vocabulary smaller than the bytes and the added tokens.
pub fn train_tokenizer(texts: &[impl AsRef<str>], vocab_size: usize) -> Result<ByteBpe> {
    let owned = |tokens: &[&str]| tokens.iter().map(|&token| token.to_owned()).collect();
    let trainer = Trainer {
        special_tokens: owned(&CONTROL_TOKENS),
        mark_tokens: owned(&MARK_TOKENS),
        ..Trainer::new(vocab_size, PreTokenizer::qwen2()?)
    };
    Ok(trainer.train(texts.iter().map(AsRef::as_ref))?)
}

/// The shape of the model for this tokenizer.
///
/// # Errors
/// None in practice; the configuration is checked here.
pub fn config(tokenizer: &ByteBpe) -> Result<ModelConfig> {
    let layers = vec!["full_attention"; 6];
    let config = json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3",
        "vocab_size": tokenizer.vocab_size().max(VOCAB_SIZE),
        "bos_token_id": null, "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        "initializer_range": 0.02, "tie_word_embeddings": true,
        "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": layers.len(),
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "hidden_act": "silu",
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "use_sliding_window": false, "sliding_window": null, "layer_types": layers,
        "attention_bias": false,
    });
    Ok(ModelConfig::from_json(&config.to_string())?)
}

/// The files of the model's folder beside its weights: `config.json`, `generation_config.json`,
/// `tokenizer.json`, `tokenizer_config.json`.
///
/// # Errors
/// None in practice, as [`config`].
pub fn files(tokenizer: &ByteBpe) -> Result<Vec<(&'static str, String)>> {
    let pretty = |value: Value| format!("{value:#}\n");
    let id = |token: &str| tokenizer.token_to_id(token);
    let generation = json!({
        "do_sample": false,
        "eos_token_id": [id("<|im_end|>"), id("<|endoftext|>")],
        "pad_token_id": id("<|endoftext|>"),
        "max_new_tokens": 256,
    });
    Ok(vec![
        ("config.json", config(tokenizer)?.to_json()),
        ("generation_config.json", pretty(generation)),
        ("tokenizer.json", tokenizer.to_tokenizer_json()),
        ("tokenizer_config.json", pretty(tokenizer_config(tokenizer))),
    ])
}

fn tokenizer_config(tokenizer: &ByteBpe) -> Value {
    let mut added = Map::new();
    for token in tokenizer.added_tokens() {
        let entry = json!({
            "content": token.content, "lstrip": false, "normalized": token.normalized,
            "rstrip": false, "single_word": false, "special": token.special,
        });
        added.insert(token.id.to_string(), entry);
    }
    json!({
        "added_tokens_decoder": added,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "add_prefix_space": false, "bos_token": null, "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": false, "eos_token": "<|im_end|>",
        "model_max_length": CONTEXT, "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": null,
    })
}
