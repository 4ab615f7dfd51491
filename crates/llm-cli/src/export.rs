//! `deeper export`: a model in the format of another program.

mod hf;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use llm_show::number::{bytes, count};
use llm_show::{Cell, LookArgs, Screen, Table};
use llm_store::ModelFolder;
use llm_store::gguf::{ExportOptions, Exported, GgmlType, Quant};

/// Write a model in the format of another program
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    #[command(subcommand)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Format {
    Gguf(GgufArgs),
    Hf(hf::HfArgs),
}

/// Write one GGUF file for llama.cpp, Ollama and LM Studio
///
/// Weights, tokenizer, chat template and settings of a model folder in one file. Norms, biases and
/// positions stay in F32; which matrix is stored how follows llama.cpp's own rules.
#[derive(Args, Debug)]
#[command(after_help = "Types, bits a weight, and what they are for:\n  \
F32     32    comparing implementations\n  \
F16     16    the usual form before any other; ends at 65504\n  \
BF16    16    models trained in bf16, without loss\n  \
Q8_0     8.5  hardly to be told from F16\n  \
Q6_K     6.6  small loss\n  \
Q5_K_M   5.5  with 6.6 where errors weigh most\n  \
Q4_K_M   4.5  with 6.6 where errors weigh most; the usual choice for large models\n  \
Q4_0     4.5  the fastest on many CPUs\n\
Rows that are not a multiple of 256 take Q8_0, Q5_1 and Q5_0 in place of Q6_K, Q5_K and Q4_K.\n\n\
Files written: FILE, whole or not at all\n\n\
Examples:\n  deeper export gguf --model output_models/deeper-base --quant F16 --out base-f16.gguf\n  \
deeper export gguf --model merged --quant Q4_K_M --out merged-q4_k_m.gguf")]
struct GgufArgs {
    #[command(flatten)]
    look: LookArgs,
    /// A Hugging Face folder or a hub id (org/name); an adapter is merged first: deeper merge
    #[arg(long, value_name = "M")]
    model: String,
    /// How the matrices are stored
    #[arg(long, value_name = "TYPE", default_value = "F16", ignore_case = true, value_parser = quants())]
    quant: Quant,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The model's name for people [default: the folder's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Replace FILE if it exists
    #[arg(long)]
    overwrite: bool,
    /// Threads to compute with, 1 or more [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
}

fn quants() -> impl TypedValueParser<Value = Quant> {
    let names: Vec<&'static str> = Quant::all().map(Quant::name).collect();
    PossibleValuesParser::new(names).try_map(|text| {
        let found = Quant::all().find(|quant| quant.name().eq_ignore_ascii_case(&text));
        found.ok_or("is no type")
    })
}

impl ExportArgs {
    /// The look flags of the format that was named.
    pub(crate) fn look(&self) -> LookArgs {
        match &self.format {
            Format::Gguf(args) => args.look,
            Format::Hf(args) => args.look,
        }
    }
}

pub(crate) fn run(args: &ExportArgs) -> Result<()> {
    match &args.format {
        Format::Gguf(args) => gguf(args),
        Format::Hf(args) => hf::run(args),
    }
}

fn gguf(args: &GgufArgs) -> Result<()> {
    let folder = ModelFolder::open(&llm_hub::resolve(&args.model)?)?;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let options = ExportOptions {
        quant: args.quant,
        name: args.name.clone().unwrap_or_else(|| name_of(&args.model)),
        overwrite: args.overwrite,
        threads: args.threads.map_or_else(cores, usize::from),
    };
    let mut weather = llm_show::stderr_weather(&args.look);
    let exported = llm_store::gguf::export(&folder, &args.out, &options, &mut |done, all| {
        weather.progress("export", done, all);
    })?;
    for note in &exported.notes {
        weather.warn(note);
    }
    let mut screen = llm_show::stdout_screen(&args.look);
    page(&mut screen, &args.out, &exported);
    screen.finish()?;
    if args.quant.base().bits() < 8.0 {
        let file = args.out.display();
        let advice = format!(
            "what {} costs: llama-perplexity -m {file} -f TEXT, against an F16 file",
            args.quant.name()
        );
        weather.note(&advice);
    }
    Ok(())
}

/// The last part of a folder or a hub id.
fn name_of(model: &str) -> String {
    let canonical = std::fs::canonicalize(model).ok();
    let path = canonical.as_deref().unwrap_or(Path::new(model));
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or("model");
    name.split('@').next().unwrap_or(name).to_owned()
}

/// Types and sizes, and what had to take another type than the rules want.
fn page(screen: &mut Screen, out: &Path, exported: &Exported) {
    let mut kinds: BTreeMap<GgmlType, (usize, u64, u64)> = BTreeMap::new();
    let mut fallbacks: BTreeMap<(GgmlType, GgmlType), usize> = BTreeMap::new();
    for tensor in &exported.tensors {
        let spec = &tensor.spec;
        let weights = spec.shape.iter().map(|&n| n as u64).product::<u64>();
        let size = spec.kind.bytes_of(&spec.shape).unwrap_or(0) as u64;
        let entry = kinds.entry(spec.kind).or_default();
        *entry = (entry.0 + 1, entry.1 + weights, entry.2 + size);
        if spec.kind != tensor.wanted {
            *fallbacks.entry((tensor.wanted, spec.kind)).or_default() += 1;
        }
    }
    let mut table = Table::new(&["type", "tensors", "weights", "bytes", "bits"]);
    let mut row = |name: &str, (tensors, weights, size): (usize, u64, u64)| {
        let bits = 8.0 * size as f64 / weights.max(1) as f64;
        table.row([
            name.into(),
            tensors.into(),
            Cell::number(count(weights)),
            Cell::number(bytes(size)),
            Cell::number(format!("{bits:.2}")),
        ]);
    };
    let mut sum = (0, 0, 0);
    for (kind, entry) in &kinds {
        row(kind.name(), *entry);
        sum = (sum.0 + entry.0, sum.1 + entry.1, sum.2 + entry.2);
    }
    row("sum", sum);
    table.total();
    screen.show(&table);
    for ((wanted, kind), tensors) in fallbacks {
        let (wanted, kind, block) = (wanted.name(), kind.name(), wanted.block());
        screen.say(&format!(
            "{tensors} tensors are {kind} in place of {wanted}: their rows are not multiples of {block}"
        ));
    }
    screen.line("");
    let written = format!("{} · {}", out.display(), bytes(exported.bytes));
    let written = screen.look().text(&written).into_owned();
    screen.line(&written);
}
