//! `deeper tokenize`: text to ids.

use anyhow::Result;
use clap::Args;
use llm_show::ToolArgs;

use crate::model::ModelArgs;

/// Print the token ids of a text as a JSON array.
#[derive(Args, Debug)]
pub(crate) struct TokenizeArgs {
    #[command(flatten)]
    pub tool: ToolArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// The text
    #[arg(long, value_name = "STR")]
    text: String,
    /// Read the strings of special tokens as those tokens
    #[arg(long)]
    special: bool,
}

pub(crate) fn run(args: &TokenizeArgs) -> Result<()> {
    let tokenizer = crate::model::tokenizer(&args.model.folder()?)?;
    let ids = match args.special {
        true => tokenizer.encode_with_special(&args.text)?,
        false => tokenizer.encode(&args.text)?,
    };
    let mut screen = llm_show::stdout_screen(&args.tool.look);
    screen.line(&serde_json::to_string(&ids)?);
    Ok(screen.finish()?)
}
