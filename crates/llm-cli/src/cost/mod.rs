//! `deeper cost`: what a training run costs, as 6 N D over what the GPUs do.

mod gpus;
mod published;

use anyhow::Result;
use clap::Args;
use llm_core::model::flops::{gpu_seconds, training};
use llm_show::number::{count, percent, scientific};
use llm_show::{Cell, Complaint, LookArgs, Screen, Table};
use serde_json::{Value, json};

use self::gpus::{GPUS, Gpu};
use self::published::RUNS;
use crate::amount::{positive, short};
use crate::course::unknown;

/// Seconds of an hour, hours of a day.
const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0;
/// Tokens a parameter at which a budget of operations goes furthest (Hoffmann et al. 2022).
const BALANCED: f64 = 20.0;

/// Estimate what a training run costs
///
/// 6 x parameters x tokens operations, over what the GPUs reach of their peak.
///
/// You give parameters, tokens, the GPU and the share of its peak that training reaches (MFU, model
/// FLOPs utilization); published runs reach 0.28 to 0.56. Operations, hours, days and money are computed.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  deeper cost --params 7e9 --tokens 1.4e12 --gpu h100\n  \
deeper cost --params 1.1B --tokens 300B --gpu a100 --gpus 16 --mfu 0.56 --price-per-hour 1.8\n  \
deeper cost --params 7B --tokens 2T\n  deeper cost --published"
)]
pub(crate) struct CostArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// Parameters of the model: 7e9 or 7B
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "published",
        allow_hyphen_values = true
    )]
    params: Option<String>,
    /// Tokens to train on: 1.4e12 or 1.4T
    #[arg(
        long,
        value_name = "D",
        required_unless_present = "published",
        allow_hyphen_values = true
    )]
    tokens: Option<String>,
    /// The GPU; without it every one that is known gets a row
    #[arg(long, value_name = "GPU")]
    gpu: Option<String>,
    /// How many GPUs share the work
    #[arg(
        long,
        default_value = "1",
        value_name = "N",
        allow_hyphen_values = true
    )]
    gpus: String,
    /// Share of the peak that the model's own operations reach, above 0 to 1
    #[arg(
        long,
        default_value = "0.4",
        value_name = "F",
        allow_hyphen_values = true
    )]
    mfu: String,
    /// Price of one GPU for one hour, in any currency
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    price_per_hour: Option<String>,
    /// Compare the formula with runs whose cost was published
    #[arg(long, conflicts_with_all = ["params", "tokens", "gpu", "price_per_hour"])]
    published: bool,
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// What was asked, with every value checked.
struct Asked {
    parameters: f64,
    tokens: f64,
    gpus: f64,
    mfu: f64,
    price: Option<f64>,
}

impl Asked {
    fn of(args: &CostArgs) -> Result<Self, Complaint> {
        let mfu = positive("mfu", &args.mfu)?;
        if mfu > 1.0 {
            let problem = format!("--mfu is {}, expected above 0 to 1", args.mfu);
            return Err(Complaint::new(problem).hint("--mfu 0.4 is 40 % of the peak"));
        }
        let gpus = positive("gpus", &args.gpus)?;
        if gpus.fract() != 0.0 {
            let problem = format!("--gpus is {}, expected a whole number", args.gpus);
            return Err(Complaint::new(problem).hint("--gpus 8"));
        }
        let price = args.price_per_hour.as_deref();
        Ok(Self {
            parameters: positive("params", args.params.as_deref().unwrap_or_default())?,
            tokens: positive("tokens", args.tokens.as_deref().unwrap_or_default())?,
            gpus,
            mfu,
            price: price
                .map(|price| positive("price-per-hour", price))
                .transpose()?,
        })
    }

    fn flops(&self) -> f64 {
        training(self.parameters, self.tokens)
    }

    /// GPU hours on one GPU of this kind.
    fn hours(&self, gpu: Gpu) -> f64 {
        gpu_seconds(self.flops(), gpu.peak(), self.mfu) / HOUR
    }

    fn days(&self, gpu: Gpu) -> f64 {
        self.hours(gpu) / self.gpus / DAY
    }
}

pub(crate) fn run(args: &CostArgs) -> Result<()> {
    let mut screen = llm_show::stdout_screen(&args.look);
    if args.published {
        published(&mut screen, args.json);
        return Ok(screen.finish()?);
    }
    let chosen = match &args.gpu {
        Some(name) => Some(Gpu::named(name).ok_or_else(|| {
            let names = GPUS.each_ref().map(|gpu| gpu.name);
            unknown("GPU", name, names, &format!("--gpu {}", names.join(", ")))
        })?),
        None => None,
    };
    let asked = Asked::of(args)?;
    match (args.json, chosen) {
        (true, Some(gpu)) => screen.line(&as_json(&asked, gpu).to_string()),
        (true, None) => {
            let all: Vec<Value> = GPUS.iter().map(|gpu| as_json(&asked, *gpu)).collect();
            screen.line(&json!(all).to_string());
        }
        (false, Some(gpu)) => one(&mut screen, &asked, gpu),
        (false, None) => every(&mut screen, &asked),
    }
    Ok(screen.finish()?)
}

/// A count of hours or money, as a person reads it.
fn rounded(x: f64) -> String {
    match x {
        x if x < 100.0 => format!("{x:.2}"),
        x if x < 1e15 => count(x.round() as u64),
        x => scientific(x, 3),
    }
}

fn header(screen: &mut Screen, asked: &Asked) {
    let title = format!(
        "{} parameters, {} tokens",
        short(asked.parameters),
        short(asked.tokens)
    );
    let flops = format!("6 N D = {} operations", scientific(asked.flops(), 3));
    screen.header(&title, &flops, "");
    let each = asked.tokens / asked.parameters;
    screen.say(&format!(
        "{} tokens a parameter; a budget goes furthest near {BALANCED} (Hoffmann et al. 2022), and \
         a model that is used a lot is worth more.",
        rounded(each)
    ));
    screen.line("");
}

fn one(screen: &mut Screen, asked: &Asked, gpu: Gpu) {
    header(screen, asked);
    let mut table = Table::new(&["", "given", "computed"]);
    let given = |text: String| Cell::number(text);
    table.row(["GPU".into(), given(gpu.name.into()), "".into()]);
    let peak = format!("{} TFLOP/s {}", gpu.teraflops, gpu.dtype);
    table.row(["its dense peak".into(), given(peak), "".into()]);
    table.row([
        "share reached (MFU)".into(),
        given(percent(asked.mfu)),
        "".into(),
    ]);
    let hours = asked.hours(gpu);
    table.row(["GPU hours".into(), "".into(), given(rounded(hours))]);
    table.row(["GPUs".into(), given(rounded_whole(asked.gpus)), "".into()]);
    table.row(["days".into(), "".into(), given(rounded(asked.days(gpu)))]);
    if let Some(price) = asked.price {
        table.row([
            "price of a GPU hour".into(),
            given(format!("{price}")),
            "".into(),
        ]);
        table.row(["money".into(), "".into(), given(rounded(price * hours))]);
    }
    screen.show(&table);
    screen.line("");
    screen.say(&format!(
        "Peak: {}. Restarts, evaluation and failed runs come on top.",
        gpu.source
    ));
}

fn rounded_whole(x: f64) -> String {
    if x < 1e15 {
        count(x as u64)
    } else {
        scientific(x, 3)
    }
}

fn every(screen: &mut Screen, asked: &Asked) {
    header(screen, asked);
    let days = format!("days on {}", rounded_whole(asked.gpus));
    let mut names = vec!["GPU", "TFLOP/s", "type", "GB", "GPU hours", &days];
    if asked.price.is_some() {
        names.push("money");
    }
    let mut table = Table::new(&names);
    for gpu in GPUS {
        let hours = asked.hours(gpu);
        let mut cells = vec![
            gpu.name.into(),
            Cell::number(format!("{:.1}", gpu.teraflops)),
            gpu.dtype.into(),
            Cell::number(gpu.memory.to_string()),
            Cell::number(rounded(hours)),
            Cell::number(rounded(asked.days(gpu))),
        ];
        cells.extend(
            asked
                .price
                .map(|price| Cell::number(rounded(price * hours))),
        );
        table.push(cells);
    }
    screen.show(&table);
    screen.line("");
    screen.say(&format!(
        "At {} of the dense peak, which is what data sheets state without sparsity. The memory is \
         that of one; `deeper inspect vram` says what a model takes.",
        percent(asked.mfu)
    ));
}

fn as_json(asked: &Asked, gpu: Gpu) -> Value {
    let hours = asked.hours(gpu);
    json!({
        "params": asked.parameters, "tokens": asked.tokens, "flops": asked.flops(),
        "gpu": gpu.name, "peak_flops": gpu.peak(), "peak_source": gpu.source,
        "mfu": asked.mfu, "gpus": asked.gpus,
        "gpu_hours": hours, "days": asked.days(gpu),
        "price_per_hour": asked.price, "money": asked.price.map(|price| price * hours),
    })
}

/// The formula against runs whose cost was published.
fn published(screen: &mut Screen, as_json: bool) {
    let rows: Vec<(&published::Run, Gpu)> = RUNS
        .iter()
        .filter_map(|run| Some((run, Gpu::named(run.gpu)?)))
        .collect();
    if as_json {
        let row = |(run, gpu): &(&published::Run, Gpu)| {
            json!({
                "model": run.name, "params": run.parameters, "tokens": run.tokens,
                "gpu": gpu.name, "mfu": run.utilization(*gpu), "gpu_hours": run.estimate(*gpu),
                "published_gpu_hours": run.hours, "source": run.source,
            })
        };
        screen.line(&json!(rows.iter().map(row).collect::<Vec<_>>()).to_string());
        return;
    }
    let title = "published runs";
    screen.header(
        title,
        "given: N, D, GPU, MFU",
        "What does 6 N D / (peak × MFU) say about runs of others?",
    );
    screen.line("");
    let names = ["model", "N", "D", "MFU", "GPU hours", "published", "off by"];
    let mut table = Table::new(&names);
    for (run, gpu) in &rows {
        let estimate = run.estimate(*gpu);
        table.row([
            run.name.into(),
            Cell::number(short(run.parameters)),
            Cell::number(short(run.tokens)),
            Cell::number(format!("{:.1} %", 100.0 * run.utilization(*gpu))),
            Cell::number(rounded(estimate)),
            Cell::number(rounded(run.hours)),
            Cell::number(format!("{:+.1} %", 100.0 * (estimate / run.hours - 1.0))),
        ]);
    }
    screen.show(&table);
    screen.line("");
    screen.say(
        "The MFU comes from the published speed of a step, the hours from the whole run, so what is \
         missing is what a step does not see: restarts, evaluation, the first slow steps. Speeds \
         that count recomputed activations are multiplied by 3/4.",
    );
    screen.line("");
    for (run, gpu) in &rows {
        screen.say(&format!("{}, {}: {}", run.name, gpu.name, run.source));
    }
}
