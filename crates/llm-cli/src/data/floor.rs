//! `deeper data floor`: a model against the entropy of the closed world.

use anyhow::Result;
use clap::{Args, ValueEnum};
use llm_show::args::DEFAULT_SEED;
use llm_show::number::{count, number};
use llm_show::{Cell, LookArgs, Table};
use llm_train::eval::{EvalConfig, Subject};
use llm_train::synth::Split;
use llm_train::synth::floor::{AboveFloor, Sample, above_floor};

/// Measure how many bits a model is above the floor of the generated world, domain by domain
///
/// A document's floor is -log2 of the probability of the choices behind it. No model that knows
/// nothing more can do better on the average of many documents.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  deeper data floor --model output_models/deeper-tiny\n  \
deeper data floor --model output_models/deeper-tiny --split held-out --documents 500"
)]
pub(super) struct FloorArgs {
    #[command(flatten)]
    pub(super) look: LookArgs,
    /// A model folder or hub id
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// Fresh documents about what was trained on, or about held-out combinations
    #[arg(long, value_enum, default_value_t = Part::Train, value_name = "PART")]
    split: Part,
    /// Documents of each domain
    #[arg(long, default_value_t = 200, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    documents: u64,
    /// The seed of the world, as in `deeper data synth`
    #[arg(long, default_value_t = DEFAULT_SEED, value_name = "N")]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Combinations that are trained on, in documents that are not
    Train,
    /// Combinations that are never trained on
    HeldOut,
}

pub(super) fn run(args: &FloorArgs) -> Result<()> {
    let base = llm_hub::resolve(&args.model)?;
    let config = EvalConfig {
        model_path: Some(args.model.clone()),
        ..EvalConfig::default()
    };
    let subject = Subject::open(&config, &base, None)?;
    let sample = Sample {
        seed: args.seed,
        split: match args.split {
            Part::Train => Split::Train,
            Part::HeldOut => Split::HeldOut,
        },
        documents: args.documents,
    };
    let mut weather = llm_show::stderr_weather(&args.look);
    let rows = above_floor(&subject, sample, |done, total| {
        weather.progress("documents", done, total);
    })?;
    weather.clear();
    let mut screen = llm_show::stdout_screen(&args.look);
    screen.show(&table(&rows));
    Ok(screen.finish()?)
}

fn table(rows: &[AboveFloor]) -> Table {
    let mut table = Table::new(&[
        "domain",
        "documents",
        "tokens each",
        "bits each",
        "floor",
        "above",
        "95 % interval",
        "bits/byte",
    ]);
    for row in rows {
        let (low, high) = (number(row.above.low), number(row.above.high));
        table.row([
            row.domain.name().into(),
            Cell::number(count(row.documents)),
            row.tokens_per_document.into(),
            row.bits.value.into(),
            row.floor.into(),
            row.above.value.into(),
            Cell::number(format!("[{low}, {high}]")),
            row.bits_per_byte.into(),
        ]);
    }
    table
}
