//! `deeper inspect --model | --file | --config`: every tensor with its shape and share.

use std::path::Path;

use anyhow::Result;
use llm_core::config::ModelConfig;
use llm_core::model::tensor_shapes;
use llm_show::number::{bytes, count, percent};
use llm_show::{Screen, Table};

use super::describe;

/// A line of the listing.
struct Row {
    name: String,
    shape: Vec<usize>,
    dtype: String,
}

/// The tensors of a model folder as they are stored.
pub(super) fn of_model(screen: &mut Screen, model: &str) -> Result<()> {
    let folder = llm_store::ModelFolder::open(&llm_hub::resolve(model)?)?;
    describe(screen, &folder.config);
    screen.line("");
    let stored = |(name, info): (&str, &llm_store::safetensors::TensorInfo)| Row {
        name: name.into(),
        shape: info.shape.clone(),
        dtype: info.dtype.name().into(),
    };
    list(screen, folder.infos().map(stored).collect());
    Ok(())
}

/// The tensors that a file's header names.
pub(super) fn of_file(screen: &mut Screen, file: &Path) -> Result<()> {
    if llm_store::gguf::is_gguf(file)? {
        return of_gguf(screen, file);
    }
    let file = llm_store::safetensors::SafetensorsFile::open(file)?;
    let row = |(name, info): (&String, &llm_store::safetensors::TensorInfo)| Row {
        name: name.clone(),
        shape: info.shape.clone(),
        dtype: info.dtype.name().into(),
    };
    list(screen, file.header().tensors.iter().map(row).collect());
    Ok(())
}

/// The metadata and tensors of a GGUF file.
fn of_gguf(screen: &mut Screen, file: &Path) -> Result<()> {
    let file = llm_store::gguf::GgufFile::open(file)?;
    let header = file.header();
    let (version, alignment) = (header.version, header.alignment);
    let title = format!("GGUF version {version} · data aligned to {alignment}");
    let title = screen.look().text(&title).into_owned();
    screen.line(&title);
    screen.line("");
    let mut table = Table::new(&["key", "type", "value"]);
    let widths = [KEY_COLUMNS, TYPE_COLUMNS, VALUE_COLUMNS];
    for (key, value) in &header.metadata {
        let key = key.escape_debug().to_string();
        let cells = [key, value.type_name(), value.to_string()];
        let mut columns = widths.into_iter();
        let clipped = cells.map(|text| {
            let columns = columns.next().unwrap_or(VALUE_COLUMNS);
            llm_show::look::clip(screen.look(), &screen.look().text(&text), columns)
        });
        table.row(clipped.map(Into::into));
    }
    screen.show(&table);
    screen.line("");
    let row = |info: &llm_store::gguf::TensorInfo| Row {
        name: info.name.escape_debug().to_string(),
        shape: info.shape.clone(),
        dtype: info.kind.name().into(),
    };
    list(screen, header.tensors.iter().map(row).collect());
    Ok(())
}

/// The columns of the metadata's table: 80 with the gaps and the margin.
const KEY_COLUMNS: usize = 39;
const TYPE_COLUMNS: usize = 14;
const VALUE_COLUMNS: usize = 20;

/// The tensors that a model of this config has.
pub(super) fn of_config(screen: &mut Screen, config: &ModelConfig) -> Result<()> {
    describe(screen, config);
    screen.line("");
    let row = |t: llm_core::model::TensorShape| Row {
        name: t.name,
        shape: t.shape,
        dtype: "-".into(),
    };
    list(
        screen,
        tensor_shapes(config)?.into_iter().map(row).collect(),
    );
    Ok(())
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
    let sum = format!(
        "{} tensors · {} parameters · {in_f32} in f32",
        rows.len(),
        count(total)
    );
    let sum = screen.look().text(&sum).into_owned();
    screen.line(&sum);
}
