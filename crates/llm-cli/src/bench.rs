//! `deeper bench`: a short, comparable table of how fast this machine is.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use llm_benches::attention::{Attention, AttentionShape, Part};
use llm_benches::decode::{Decode, DecodeShape};
use llm_benches::lora::{LoraShape, LoraStep};
use llm_benches::measure::{page_faults, peak_memory, per_second};
use llm_benches::train::TrainStep;
use llm_benches::{GptShape, Times, Workload};
use llm_core::kernels::{peak, pool};
use llm_core::ops::Ops;
use llm_core::profile::{Profile, record};
use llm_show::number::{bytes, count, percent};
use llm_show::{Cell, Screen, Table, ToolArgs};
use serde_json::{Value, json};

use crate::model::ModelArgs;

/// How long the machine's peak is looked for.
const PEAK_TIME: Duration = Duration::from_millis(300);
/// Runs before the clock starts: the first ones fetch memory from the system.
const WARM_UP: usize = 2;
/// Heads and their size of `bench attention`.
const HEADS: [usize; 2] = [12, 64];

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// A training step of a GPT: forward, loss, backward, clipping, AdamW
    Train,
    /// A step of low-rank adapters on the frozen base of a Qwen3
    Lora,
    /// Causal attention, alone and with its gradients
    Attention,
    /// One token after a text that is in the cache
    Decode,
}

/// How large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BenchSize {
    /// For a test of the command
    Tiny,
    /// 0.8 million parameters; attention over 512 tokens; adapters on 5.8 million
    Small,
    /// 10.7 million parameters; attention over 2,048 tokens; adapters on the shape of Qwen3-0.6B
    Large,
}

impl BenchSize {
    fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Large => "large",
        }
    }

    /// T of attention.
    fn tokens(self) -> usize {
        match self {
            Self::Tiny => 16,
            Self::Small => 512,
            Self::Large => 2048,
        }
    }
}

/// Measure this machine: milliseconds, tokens a second, and the share of what the processor could
/// do at best.
#[derive(Args, Debug)]
#[command(
    after_help = "The peak is fused multiply-adds on registers, measured at the start on the same \
threads. Operations are those of matrix products and attention.\n\nExamples:\n  deeper bench train\n  \
deeper bench train --size large --profile\n  deeper bench decode --model output_models/deeper-tiny"
)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub tool: ToolArgs,
    /// What to measure
    #[arg(value_enum, value_name = "WHAT")]
    what: What,
    /// How large; without it small and large
    #[arg(long, value_enum, value_name = "SIZE")]
    size: Option<BenchSize>,
    /// Runs with the clock, 1 or more
    #[arg(long, default_value_t = 10, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// With `decode`: a Hugging Face folder or a hub id instead of a random model
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// With `decode`: tokens in the cache
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// With `lora`: a base in bf16, and products of rounded numbers where the processor has them
    #[arg(long)]
    bf16: bool,
    /// Also show where the time of a run goes, operation by operation
    #[arg(long)]
    profile: bool,
    /// Write the same run to this file, operation after operation, for a trace viewer (Perfetto or
    /// chrome://tracing); implies --profile
    #[arg(long, value_name = "FILE")]
    trace: Option<std::path::PathBuf>,
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// A workload with its name and what came of it.
struct Measured {
    name: String,
    times: Times,
    size: llm_benches::Size,
    /// Pages that the system gave per run.
    faults: Option<u64>,
    profile: Option<Profile>,
}

pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    crate::model::threads(&args.tool)?;
    if args.what != What::Decode && (args.model.is_some() || args.context.is_some()) {
        bail!("--model and --context belong to `deeper bench decode`");
    }
    if args.what != What::Lora && args.bf16 {
        bail!("--bf16 belongs to `deeper bench lora`");
    }
    let peak = peak::flops_per_second(PEAK_TIME);
    let mut weather = llm_show::stderr_weather(&args.tool.look);
    weather.fact("threads", &pool::threads().to_string());
    weather.fact("peak", &format!("{:.0} GFLOP/s in f32", peak / 1e9));
    let sizes = match (args.size, &args.model) {
        (Some(size), _) => vec![size],
        (None, Some(_)) => vec![BenchSize::Large],
        (None, None) => vec![BenchSize::Small, BenchSize::Large],
    };
    let mut rows = Vec::new();
    for size in sizes {
        for (name, mut work) in workloads(args, size)? {
            rows.push(measure(args, name, &mut *work)?);
        }
    }
    if let Some(path) = &args.trace {
        let all = rows
            .iter()
            .filter_map(|row| Some((row.name.as_str(), row.profile.as_ref()?)));
        crate::trace::write(path, all)?;
    }
    let mut screen = llm_show::stdout_screen(&args.tool.look);
    if args.json {
        screen.line(&json(args.what, peak, &rows).to_string());
    } else {
        table(&mut screen, peak, &rows);
        rows.iter().for_each(|row| profile_table(&mut screen, row));
    }
    Ok(screen.finish()?)
}

type Named = (String, Box<dyn Workload>);

fn workloads(args: &BenchArgs, size: BenchSize) -> Result<Vec<Named>> {
    Ok(match args.what {
        What::Train => {
            let Some(shape) = GptShape::named(size.name()) else {
                bail!("no shape is called {}", size.name());
            };
            let work = TrainStep::new(&shape, Ops::Fused)?;
            vec![(format!("train {}", shape.label()), Box::new(work))]
        }
        What::Lora => {
            let dtype = if args.bf16 { "bf16" } else { "f32" };
            let Some(shape) = LoraShape::named(size.name(), dtype) else {
                bail!("no shape is called {}", size.name());
            };
            let name = format!("lora {}", shape.label()?);
            vec![(name, Box::new(LoraStep::new(&shape)?))]
        }
        What::Attention => {
            let [heads, head_size] = HEADS;
            let tokens = size.tokens();
            let mut all: Vec<Named> = Vec::new();
            for (name, part) in [("forward", Part::Forward), ("step", Part::Step)] {
                let shape = AttentionShape {
                    heads,
                    head_size,
                    tokens,
                    part,
                };
                let name = format!("attention {name} H={heads}/D={head_size}/T={tokens}");
                all.push((name, Box::new(Attention::new(shape, Ops::Fused)?)));
            }
            all
        }
        What::Decode => vec![decode(args, size)?],
    })
}

fn decode(args: &BenchArgs, size: BenchSize) -> Result<Named> {
    let Some(shape) = DecodeShape::named(size.name()) else {
        bail!("no shape is called {}", size.name());
    };
    let (model, name) = match &args.model {
        Some(model) => {
            let named = ModelArgs {
                model: model.clone(),
                adapter: None,
            };
            (named.decoder(&named.folder()?, &args.tool)?, model.clone())
        }
        None => {
            let context = args.context.unwrap_or(shape.context);
            let shape = DecodeShape { context, ..shape };
            (shape.model()?, shape.label())
        }
    };
    let longest = model.config().max_position_embeddings.saturating_sub(1);
    let context = args.context.unwrap_or(shape.context.min(longest));
    if context > longest {
        bail!("--context is {context}, expected at most {longest} for this model");
    }
    let name = match args.model {
        Some(_) => format!("decode {name}/S={context}"),
        None => format!("decode {name}"),
    };
    Ok((name, Box::new(Decode::new(model, context)?)))
}

fn measure(args: &BenchArgs, name: String, work: &mut dyn Workload) -> Result<Measured> {
    Times::of(work, WARM_UP, 0)?;
    let before = page_faults();
    let times = Times::of(work, 0, args.runs as usize)?;
    let faults = page_faults()
        .zip(before)
        .map(|(after, before)| (after - before) / args.runs);
    let profile = match args.profile || args.trace.is_some() {
        true => {
            let (result, profile) = record(|| {
                // Attention and decoding have no span around a whole run.
                let _span = llm_core::profile::span("graph and rest", Default::default);
                work.run()
            });
            result?;
            Some(profile)
        }
        false => None,
    };
    Ok(Measured {
        name,
        times,
        size: work.size(),
        faults,
        profile,
    })
}

fn table(screen: &mut Screen, peak: f64, rows: &[Measured]) {
    let header = ["work", "median ms", "min ms", "tok/s", "GFLOP/s", "of peak"];
    let mut table = Table::new(&header);
    for row in rows {
        let ms = row.times.median();
        let flops = per_second(row.size.flops, ms);
        table.row([
            row.name.as_str().into(),
            Cell::number(format!("{ms:.2}")),
            Cell::number(format!("{:.2}", row.times.minimum())),
            Cell::number(count(per_second(row.size.tokens, ms).round() as u64)),
            Cell::number(format!("{:.1}", flops / 1e9)),
            Cell::number(percent(flops / peak)),
        ]);
    }
    screen.show(&table);
}

/// Where the time of one run went; nothing without a profile.
fn profile_table(screen: &mut Screen, row: &Measured) {
    let Some(profile) = &row.profile else { return };
    let total = profile.total();
    screen.line("");
    let faults = row.faults.map_or(String::new(), |n| {
        format!(" · {} page faults a run", count(n))
    });
    screen.line(&format!("one run of {}{faults}", row.name));
    let header = [
        "operation",
        "ms",
        "share",
        "calls",
        "GFLOP/s",
        "moved",
        "allocations",
        "allocated",
    ];
    let mut table = Table::new(&header);
    let all = [("total", total)];
    for (name, part) in profile.rows.iter().chain(&all) {
        let ms = part.time.as_secs_f64() * 1e3;
        let speed = match part.flops {
            0 => "–".into(),
            flops => format!("{:.1}", per_second(flops, ms) / 1e9),
        };
        table.row([
            (*name).into(),
            Cell::number(format!("{ms:.2}")),
            Cell::number(percent(part.time.as_secs_f64() / total.time.as_secs_f64())),
            Cell::number(count(part.calls)),
            Cell::number(speed),
            Cell::number(bytes(part.bytes)),
            Cell::number(count(part.allocated.calls)),
            Cell::number(bytes(part.allocated.bytes)),
        ]);
    }
    table.total();
    screen.show(&table);
}

fn json(what: What, peak: f64, rows: &[Measured]) -> Value {
    let row = |row: &Measured| {
        let ms = row.times.median();
        let flops = per_second(row.size.flops, ms);
        json!({
            "shape": row.name,
            "median_ms": ms,
            "minimum_ms": row.times.minimum(),
            "tokens_per_second": per_second(row.size.tokens, ms),
            "gflops": flops / 1e9,
            "share_of_peak": flops / peak,
            "flops": row.size.flops,
            "parameters": row.size.parameters,
            "page_faults": row.faults,
            "profile": row.profile.as_ref().map(|profile| profile.rows.iter().map(operation).collect::<Vec<_>>()),
        })
    };
    let what = what
        .to_possible_value()
        .map(|value| value.get_name().to_owned());
    json!({
        "bench": what,
        "threads": pool::threads(),
        "peak_gflops": peak / 1e9,
        "peak_memory": peak_memory(),
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

fn operation((name, row): &(&'static str, llm_core::profile::Row)) -> Value {
    json!({
        "operation": name,
        "ms": row.time.as_secs_f64() * 1e3,
        "calls": row.calls,
        "flops": row.flops,
        "bytes": row.bytes,
        "allocations": row.allocated.calls,
        "allocated": row.allocated.bytes,
    })
}
