//! `deeper hash`: one digest over a folder.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use llm_show::ToolArgs;

/// Print one sha256 over the names and contents of a checkpoint's files.
#[derive(Args, Debug)]
pub(crate) struct HashArgs {
    #[command(flatten)]
    pub tool: ToolArgs,
    /// The checkpoint, model or adapter folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(args: &HashArgs) -> Result<()> {
    let digest = llm_store::hash::folder_digest(&args.folder)?;
    let mut screen = llm_show::stdout_screen(&args.tool.look);
    screen.line(&digest);
    Ok(screen.finish()?)
}
