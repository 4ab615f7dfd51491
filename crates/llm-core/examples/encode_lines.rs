//! Encodes JSON strings, one a line on stdin, with the from-scratch BPE of a `tokenizer.json`; one
//! JSON array of ids a line on stdout. `tools/oracle/tiny_tokenizer.py` compares them.
//!
//! ```text
//! cargo run --release -p llm-core --example encode_lines -- TOKENIZER_JSON [--special] < strings.jsonl
//! ```

use std::error::Error;
use std::io::{BufRead, Write};

use llm_core::text::bpe::ByteBpe;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: encode_lines TOKENIZER_JSON [--special]")?;
    let special = arguments.next().is_some_and(|flag| flag == "--special");
    let bpe = ByteBpe::from_tokenizer_json(&path, &std::fs::read_to_string(&path)?)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let ids = match special {
            true => bpe.encode_with_special(&text)?,
            false => bpe.encode(&text)?,
        };
        writeln!(out, "{}", serde_json::to_string(&ids)?)?;
    }
    Ok(out.flush()?)
}
