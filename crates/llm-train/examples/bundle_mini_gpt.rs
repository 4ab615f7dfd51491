//! Trains the small model that is bundled with this crate and writes it to `data/mini_gpt/small`.
//!
//! ```text
//! cargo run --release -p llm-train --example bundle_mini_gpt
//! ```
//!
//! Another processor may round differently and write other weights that do as well; a test holds
//! the bundled ones against the floor of their page.

use std::path::Path;

use llm_core::text::chars::CharTokenizer;
use llm_train::chars::recipe::Recipe;
use llm_train::chars::run::CharRun;
use llm_train::chars::{PAGE, Size, folder};

/// A small model needs more passes than the mini GPT.
const RECIPE: Recipe = Recipe {
    epochs: 150,
    batch_size: 32,
    max_lr: 1e-2,
    min_lr: 1e-4,
    dropout: 0.0,
    warmup_steps: 100,
    ..Recipe::FAITHFUL
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let chars = CharTokenizer::from_text(PAGE);
    let config = Size::SMALL.config(chars.vocab_size(), &RECIPE)?;
    let mut run = CharRun::start(chars.encode(PAGE)?, &config, RECIPE, 7)?;
    run.train(None, |_| {})?;
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/mini_gpt/small");
    folder::save(&out, &run.model, &chars)?;
    Ok(())
}
