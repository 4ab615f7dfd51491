//! Trains the bundled base model's tokenizer on its text and writes `tokenizer.json`.
//!
//! ```text
//! cargo run --release -p llm-core --example train_tokenizer -- data/base/train.txt output_models/deeper-base/tokenizer.json
//! ```

use llm_core::text::bpe::{PreTokenizer, Trainer};
use std::error::Error;

/// Small, so that most of a small model's parameters are layers and not the embedding table.
const VOCAB_SIZE: usize = 2048;

/// End of document and padding, start and end of a chat turn. They take the last ids.
const SPECIAL_TOKENS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(text), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: train_tokenizer TEXT TOKENIZER_JSON".into());
    };
    // The qwen2 rule cuts numbers into digits; llama.cpp knows it too.
    let trainer = Trainer {
        special_tokens: SPECIAL_TOKENS.map(str::to_owned).to_vec(),
        ..Trainer::new(VOCAB_SIZE, PreTokenizer::qwen2()?)
    };
    let text = std::fs::read_to_string(text)?;
    let bpe = trainer.train([text.as_str()])?;
    std::fs::write(out, bpe.to_tokenizer_json())?;
    Ok(())
}
