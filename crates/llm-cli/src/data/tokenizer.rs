//! `deeper data tokenizer`: a byte-level BPE from text, with all that a model folder needs beside weights.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use llm_show::number::{count, number};
use llm_show::{Cell, LookArgs, Table};
use llm_store::atomic::FolderWriter;
use llm_train::data::read_documents;
use llm_train::tiny;

/// Learn the tokenizer of the embedded model from text, and write its folder without weights
#[derive(Args, Debug)]
#[command(
    after_help = "Files written: config.json, generation_config.json, tokenizer.json and \
tokenizer_config.json with the chat template.\n\nExamples:\n  deeper data tokenizer \
--text output_models/corpus/train.txt --out output_models/new-tokenizer"
)]
pub(super) struct TokenizerArgs {
    /// Plain text, colour, quiet.
    #[command(flatten)]
    pub(super) look: LookArgs,
    /// Text or JSONL files with documents
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    text: Vec<PathBuf>,
    /// Tokens in all, from 265: 256 bytes, merges, 9 added tokens
    #[arg(long, default_value_t = tiny::VOCAB_SIZE, value_name = "N")]
    vocab: usize,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace the folder if it exists
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &TokenizerArgs) -> Result<()> {
    let mut weather = llm_show::stderr_weather(&args.look);
    let folder = FolderWriter::create(&args.out, args.force)?;
    let documents = read_documents(&args.text)?;
    weather.fact("documents", &count(documents.len() as u64));
    let tokenizer = tiny::train_tokenizer(&documents, args.vocab)?;
    for (name, text) in tiny::files(&tokenizer)? {
        folder.write(name, text.as_bytes())?;
    }
    folder.commit()?;
    weather.fact("folder", &args.out.display().to_string());

    // Documents hold control tokens where the template put them.
    let (mut bytes, mut tokens) = (0, 0);
    for document in &documents {
        bytes += document.len();
        tokens += tokenizer.encode_with_special(document)?.len();
    }
    let mut table = Table::new(&["tokenizer", "value"]);
    table.row([
        "tokens".into(),
        Cell::number(count(tokenizer.vocab_size() as u64)),
    ]);
    table.row([
        "merges".into(),
        Cell::number(count(tokenizer.merges().len() as u64)),
    ]);
    table.row([
        "tokens of the text".into(),
        Cell::number(count(tokens as u64)),
    ]);
    table.row([
        "bytes a token".into(),
        Cell::number(number(bytes as f64 / tokens.max(1) as f64)),
    ]);
    let mut screen = llm_show::stdout_screen(&args.look);
    screen.show(&table);
    Ok(screen.finish()?)
}
