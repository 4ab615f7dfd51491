//! `deeper publish`: a model folder onto the hub.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use llm_hub::card::{self, Card, NewCard};
use llm_hub::publish::{Plan, PlannedFile, plan, upload};
use llm_hub::token::Token;
use llm_hub::{Error, HubId};
use llm_show::number::bytes;
use llm_show::{Cell, Complaint, LookArgs, Screen, Table};
use llm_store::ModelFolder;
use serde_json::json;

/// Publish a model folder on the hub
///
/// Every file of the folder with its size and hash; hidden ones stay. Refused are links, pickles,
/// tokens in texts, and a model card (README.md) that gives no licence. The upload is one commit
/// and needs a build with --features hub.
#[derive(Args, Debug)]
#[command(
    after_help = "The token comes from --token-file, HF_TOKEN or the file of the hub's own \
tools, and is never shown.\n\n\
Files written: README.md in DIR, where there is none and --license is given\n\n\
Examples:\n  deeper publish --folder merged --repo me/my-model --dry-run\n  \
deeper publish --folder merged --repo me/my-model --license mit --base-model org/base"
)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// The folder to publish
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Where it goes: name/model, or name/model@branch
    #[arg(long, value_name = "ID")]
    repo: String,
    /// List what would go there, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// The licence for a new model card: mit, apache-2.0, cc-by-4.0 ...
    #[arg(long, value_name = "L")]
    license: Option<String>,
    /// The model that this one was made from, for a new model card
    #[arg(long, value_name = "ID", requires = "license")]
    base_model: Option<String>,
    /// A file that holds the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Make the repository private, where it is made
    #[arg(long)]
    private: bool,
    /// One JSON object with whole hashes instead of the table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &PublishArgs) -> Result<()> {
    let id = repository(&args.repo)?;
    let variable = |name: &str| std::env::var(name).ok();
    // Found first: a long list of hashes that ends with a missing token is a waste
    let token = match args.dry_run {
        true => None,
        false => Some(Token::find(&variable, args.token_file.as_deref())?),
    };
    write_card(args, &id)?;
    let plan = plan(&args.folder)?;
    if let Some(license) = &args.license
        && plan.card.license != *license
    {
        let (have, card) = (&plan.card.license, card::FILE_NAME);
        let problem = format!("--license is {license}, {card} says {have}");
        let hint = format!("change the line `license:` in {card}, or leave the flag out");
        return Err(Complaint::new(problem).hint(hint).into());
    }
    let mut screen = llm_show::stdout_screen(&args.look);
    match args.json {
        true => screen.line(&as_json(&plan, &id).to_string()),
        false => page(&mut screen, &plan, &id),
    }
    let mut weather = llm_show::stderr_weather(&args.look);
    if let Some(token) = token {
        weather.note(&format!("sending {} to {id}", bytes(plan.bytes())));
        let address = upload(&plan, &id, &token, args.private, variable)?;
        let address = address.unwrap_or_else(|| id.to_string());
        let address = screen.look().text(&address).into_owned();
        screen.line(&address);
    } else {
        weather.note("nothing was sent (--dry-run)");
    }
    Ok(screen.finish()?)
}

/// The repository that `--repo` names.
fn repository(repo: &str) -> Result<HubId> {
    match HubId::parse(repo) {
        Err(Error::Id { model, problem }) => {
            let problem = format!("--repo `{model}` is not an id of the hub: {problem}");
            Err(Complaint::new(problem)
                .hint("pass name/model, such as me/my-model")
                .into())
        }
        other => Ok(other?),
    }
}

/// Writes a card where there is none and a licence was given.
fn write_card(args: &PublishArgs, id: &HubId) -> Result<()> {
    let path = args.folder.join(card::FILE_NAME);
    let Some(license) = &args.license else {
        return Ok(());
    };
    if !args.folder.is_dir() || std::fs::symlink_metadata(&path).is_ok() {
        return Ok(());
    }
    let about = about(&args.folder);
    let new = NewCard {
        id,
        license,
        base_model: args.base_model.as_deref(),
        about: &about,
    };
    let text = new.text();
    Card::parse(&text).map_err(|problem| Error::Publish {
        path: path.clone(),
        problem,
        hint: Some("licences by their identifiers: mit, apache-2.0, cc-by-4.0 ...".into()),
    })?;
    llm_store::atomic::write_file(&path, text.as_bytes())?;
    let mut weather = llm_show::stderr_weather(&args.look);
    weather.note(&format!(
        "wrote {}: read it before it is published",
        path.display()
    ));
    Ok(())
}

/// A sentence about the model, from its configuration.
fn about(folder: &Path) -> String {
    let Ok(model) = ModelFolder::open(folder) else {
        return "A language model.".into();
    };
    let parameters = llm_core::model::count::total(&model.config);
    format!(
        "A language model of {} parameters ({}), with a context of {} tokens.",
        llm_show::number::count(parameters),
        model.config.family.architecture(),
        model.config.max_position_embeddings
    )
}

/// Digits of a hash in the table; `--json` has all of them.
const SHOWN_DIGITS: usize = 16;

fn page(screen: &mut Screen, plan: &Plan, id: &HubId) {
    let mut table = Table::new(&["file", "size", "sha256"]);
    for PlannedFile {
        name, size, sha256, ..
    } in &plan.files
    {
        let hash: String = sha256.chars().take(SHOWN_DIGITS).collect();
        let hash = format!("{hash}…");
        table.row([
            name.as_str().into(),
            Cell::number(bytes(*size)),
            hash.into(),
        ]);
    }
    screen.show(&table);
    let card = &plan.card;
    screen.line("");
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let text = screen
                .look()
                .text(&format!("{name:<10}{value}"))
                .into_owned();
            screen.line(&text);
        }
    };
    line("to", id.to_string());
    line("licence", card.license.clone());
    line("base", card.base_model.join(", "));
    line("tags", card.tags.join(", "));
    line("stays", plan.left_out.join(", "));
    line(
        "sum",
        format!("{} files · {}", plan.files.len(), bytes(plan.bytes())),
    );
}

fn as_json(plan: &Plan, id: &HubId) -> serde_json::Value {
    let file =
        |file: &PlannedFile| json!({"name": file.name, "size": file.size, "sha256": file.sha256});
    let files: Vec<_> = plan.files.iter().map(file).collect();
    json!({
        "repo": id.to_string(), "license": plan.card.license, "base_model": plan.card.base_model,
        "tags": plan.card.tags, "files": files, "left_out": plan.left_out, "bytes": plan.bytes(),
    })
}
