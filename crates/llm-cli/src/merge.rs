//! `deeper merge`: an adapter into its model.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use llm_show::number::{count, scientific};
use llm_show::{Cell, LookArgs, Table};
use llm_store::ModelFolder;

/// Add a LoRA adapter into its model, as a folder that needs no adapter
///
/// Weights keep their type, one tensor is in memory at a time, and tokenizer, chat template,
/// settings of generation and licence come along. The result loads everywhere the model did.
#[derive(Args, Debug)]
#[command(
    after_help = "Files written: DIR with config.json, the weights, what stood beside them, \
and manifest.json\nwith the hashes of what it was made from; whole or not at all\n\n\
Examples:\n  deeper merge --model output_models/deeper-base --adapter path/to/adapter --out merged"
)]
pub(crate) struct MergeArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// A Hugging Face folder or a hub id (org/name)
    #[arg(long, value_name = "M")]
    model: String,
    /// A PEFT adapter folder that was trained on the model
    #[arg(long, value_name = "A")]
    adapter: PathBuf,
    /// The folder to write; it must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(args: &MergeArgs) -> Result<()> {
    let base = ModelFolder::open(&llm_hub::resolve(&args.model)?)?;
    let mut weather = llm_show::stderr_weather(&args.look);
    let merged = llm_store::merge(&base, &args.adapter, &args.out, &mut |done, all| {
        weather.progress("merge", done, all);
    })?;
    let mut screen = llm_show::stdout_screen(&args.look);
    let mut table = Table::new(&["merged", ""]);
    let number = |n: usize| Cell::number(count(n as u64));
    table.row(["tensors".into(), number(merged.tensors)]);
    table.row(["with an update".into(), number(merged.changed)]);
    table.row(["scale on B A".into(), merged.scale.into()]);
    if let Some((_, most)) = &merged.largest {
        table.row(["largest change".into(), Cell::number(scientific(*most, 3))]);
    }
    screen.show(&table);
    if let Some((name, _)) = &merged.largest {
        screen.say(&format!("the largest change is in {name}"));
    }
    screen.line("");
    let line = screen
        .look()
        .text(&args.out.display().to_string())
        .into_owned();
    screen.line(&line);
    screen.finish()?;
    let out = args.out.display();
    weather.note(&format!(
        "try it: deeper generate --model {out} --prompt STR"
    ));
    Ok(())
}
