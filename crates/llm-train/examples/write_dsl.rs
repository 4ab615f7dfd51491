//! Writes `data/dsl`: questions with their queries in a made-up language.
//!
//! ```text
//! cargo run -p llm-train --example write_dsl && python3 tools/data/hashes.py
//! ```

use std::path::Path;

use llm_train::dsl;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let split = dsl::generate(1200, 240, 7);
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/dsl");
    std::fs::create_dir_all(&out)?;
    std::fs::write(out.join("train.jsonl"), dsl::to_lines(&split.train))?;
    std::fs::write(out.join("heldout.jsonl"), dsl::to_lines(&split.held_out))?;
    Ok(())
}
