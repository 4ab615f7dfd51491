//! `deeper inspect`: what a model or a file is made of.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use llm_core::config::ModelConfig;
use llm_core::model::tensor_shapes;
use llm_show::number::{bytes, count, percent};
use llm_show::{Screen, Table, ToolArgs};

/// Show what a model or a file is made of: names, shapes, types, counts.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["model", "file", "config"]))]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub tool: ToolArgs,
    /// A Hugging Face folder or a hub id: every tensor as it is stored
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// A safetensors file: its header, validated
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,
    /// A config.json: the model it describes, without weights
    #[arg(long, value_name = "C")]
    config: Option<PathBuf>,
}

/// A line of the listing.
struct Row {
    name: String,
    shape: Vec<usize>,
    dtype: String,
}

pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let mut screen = llm_show::stdout_screen(&args.tool.look);
    match (&args.model, &args.file, &args.config) {
        (Some(model), ..) => {
            let folder = llm_store::ModelFolder::open(&llm_hub::resolve(model)?)?;
            describe(&mut screen, &folder.config);
            let stored = |(name, info): (&str, &llm_store::safetensors::TensorInfo)| Row {
                name: name.into(),
                shape: info.shape.clone(),
                dtype: info.dtype.name().into(),
            };
            list(&mut screen, folder.infos().map(stored).collect());
        }
        (None, Some(file), _) => list(&mut screen, file_rows(file)?),
        (None, None, Some(config)) => {
            let text = std::fs::read_to_string(config).map_err(|source| llm_core::Error::Io {
                path: config.clone(),
                source,
            })?;
            let config = ModelConfig::from_json(&text)?;
            describe(&mut screen, &config);
            let row = |t: llm_core::model::TensorShape| Row {
                name: t.name,
                shape: t.shape,
                dtype: "-".into(),
            };
            list(
                &mut screen,
                tensor_shapes(&config)?.into_iter().map(row).collect(),
            );
        }
        (None, None, None) => bail!("pass --model, --file or --config"),
    }
    Ok(screen.finish()?)
}

fn file_rows(file: &Path) -> Result<Vec<Row>> {
    let file = llm_store::safetensors::SafetensorsFile::open(file)?;
    let row = |(name, info): (&String, &llm_store::safetensors::TensorInfo)| Row {
        name: name.clone(),
        shape: info.shape.clone(),
        dtype: info.dtype.name().into(),
    };
    Ok(file.header().tensors.iter().map(row).collect())
}

/// The sizes of a model by their axis letters.
fn describe(screen: &mut Screen, config: &ModelConfig) {
    let tied = if config.tie_word_embeddings {
        "tied"
    } else {
        "untied"
    };
    screen.line(&format!("{} · head {tied}", config.family.architecture()));
    let sizes = [
        ('V', config.vocab_size),
        ('C', config.hidden_size),
        ('L', config.num_hidden_layers),
        ('H', config.num_attention_heads),
        ('K', config.num_key_value_heads),
        ('D', config.head_dim),
        ('F', config.intermediate_size),
        ('T', config.max_position_embeddings),
    ];
    let letters = sizes.map(|(letter, size)| format!("{letter}={}", count(size as u64)));
    screen.line(&letters.join("  "));
    screen.line("");
}

fn list(screen: &mut Screen, rows: Vec<Row>) {
    let size = |row: &Row| row.shape.iter().map(|&n| n as u64).product::<u64>();
    let total: u64 = rows.iter().map(size).sum();
    let mut table = Table::new(&["tensor", "shape", "type", "parameters", "share"]);
    for row in &rows {
        let share = size(row) as f64 / total.max(1) as f64;
        let shape = format!("{:?}", row.shape);
        let cells = [
            row.name.clone(),
            shape,
            row.dtype.clone(),
            count(size(row)),
            percent(share),
        ];
        table.row(cells.map(Into::into));
    }
    screen.show(&table);
    screen.line("");
    let in_f32 = bytes(total.saturating_mul(4));
    screen.line(&format!(
        "{} tensors · {} parameters · {in_f32} in f32",
        rows.len(),
        count(total)
    ));
}
