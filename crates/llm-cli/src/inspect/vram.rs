//! `deeper inspect vram`: the bytes of weights, of writing and of training.

use anyhow::Result;
use clap::Args;
use llm_core::config::ModelConfig;
use llm_core::model::count::{self, projections, total};
use llm_core::model::memory::{
    Storage, Training, forward_bytes, kv_bytes, quantized_bytes, weight_bytes,
};
use llm_show::number::{count as grouped, number};
use llm_show::{Cell, Complaint, Screen, Table};
use serde_json::{Value, json};

use super::{Shared, answer, describe, presets};
use crate::amount::{gigabytes, positive, short};

/// Count the bytes of weights, of writing and of training
///
/// Weights by how they are stored; writing with a KV cache; training all of it, a LoRA adapter, or a
/// QLoRA adapter.
#[derive(Args, Debug)]
#[command(
    group = clap::ArgGroup::new("whose").required(true).args(["config", "params"]),
    after_help = "Examples:\n  deeper inspect vram --config llama-3.1-8b --r 64 --targets all\n  \
deeper inspect vram --params 7B"
)]
pub(super) struct VramArgs {
    #[command(flatten)]
    pub(super) shared: Shared,
    /// A config.json, a model's folder, or a published model: gpt2, qwen3-0.6b, llama-3.1-8b ...
    #[arg(long, value_name = "C")]
    config: Option<String>,
    /// Only a number of parameters, such as 7e9 or 7B: weights and full training
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    params: Option<String>,
    /// Tokens in the cache, 1 or more [default: the model's context, at most 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tokens: Option<u32>,
    /// Texts at once, 1 or more
    #[arg(long, default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Rank of the adapter, 1 to 65536
    #[arg(long, default_value_t = 16, value_name = "R",
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    r: u32,
    /// Projections with an adapter, separated by commas, or `all` [default: q_proj,v_proj; c_attn]
    #[arg(long, value_name = "NAMES")]
    targets: Option<String>,
}

/// The context without `--tokens`.
const TOKENS: u64 = 4096;

/// Bytes with what they are for.
type Rows = Vec<(String, u128)>;

/// Everything that is counted about one model.
struct Counted {
    title: String,
    parameters: u64,
    weights: Rows,
    /// What writing takes; nothing without a config.
    writing: Option<(String, Rows)>,
    training: Vec<(String, u64, Training)>,
}

pub(super) fn run(args: &VramArgs) -> Result<()> {
    let (config, counted) = match (&args.config, &args.params) {
        (Some(named), _) => {
            let (name, config) = presets::config(named)?;
            let counted = of_config(args, name, &config)?;
            (Some(config), counted)
        }
        (None, params) => {
            let params = positive("params", params.as_deref().unwrap_or_default())?;
            // The largest count whose 16 bytes a parameter fit into 64 bits.
            if params > (u64::MAX / 32) as f64 {
                let problem = format!("--params is {params:e}, expected at most 5e17");
                return Err(Complaint::new(problem).into());
            }
            (None, of_count(params.round() as u64))
        }
    };
    answer(&args.shared, &as_json(&counted), |screen| {
        match &config {
            Some(config) => describe(screen, config),
            None => screen.line(&counted.title),
        }
        page(screen, &counted);
    })
}

fn weights(parameters: u64) -> Rows {
    let row = |storage: Storage| {
        (
            storage.name().to_owned(),
            u128::from(weight_bytes(parameters, storage)),
        )
    };
    Storage::ALL.map(row).to_vec()
}

fn of_count(parameters: u64) -> Counted {
    Counted {
        title: format!("{} parameters", short(parameters as f64)),
        parameters,
        weights: weights(parameters),
        writing: None,
        training: vec![("full".into(), parameters, Training::full(parameters))],
    }
}

fn of_config(args: &VramArgs, name: String, config: &ModelConfig) -> Result<Counted> {
    let parameters = total(config);
    let mut weights = weights(parameters);
    let quantized = quantized_bytes(config, Storage::Nf4Double);
    weights.push(("nf4 in the blocks, bf16 elsewhere".into(), quantized.into()));

    let context = config.max_position_embeddings as u64;
    let tokens = args.tokens.map_or(context.min(TOKENS), u64::from);
    let batch = u64::from(args.batch);
    let bf16 = weight_bytes(parameters, Storage::Bf16);
    let writing = vec![
        ("weights, bf16".into(), bf16.into()),
        ("KV cache, bf16".into(), kv_bytes(config, 2, tokens, batch)),
        (
            "buffers, bf16".into(),
            forward_bytes(config, 2, tokens * batch, batch),
        ),
    ];
    let what = format!("{} of {} tokens", texts(batch), grouped(tokens));

    let targets = targets(args.targets.as_deref(), config);
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let trained = count::lora(config, args.r.into(), &targets)?;
    let training = vec![
        ("full".into(), parameters, Training::full(parameters)),
        (
            format!("LoRA r {}", args.r),
            trained,
            Training::of(bf16, trained),
        ),
        (
            format!("QLoRA r {}", args.r),
            trained,
            Training::of(quantized, trained),
        ),
    ];
    Ok(Counted {
        title: name,
        parameters,
        weights,
        writing: Some((what, writing)),
        training,
    })
}

fn texts(batch: u64) -> String {
    match batch {
        1 => "1 text".into(),
        more => format!("{} texts", grouped(more)),
    }
}

/// The names in `given`, every projection for `all`, or the usual ones of the family.
fn targets(given: Option<&str>, config: &ModelConfig) -> Vec<String> {
    let all = projections(config);
    let is_usual = |name: &str| matches!(name, "q_proj" | "v_proj" | "c_attn");
    let names = all.iter().map(|projection| projection.name.to_owned());
    match given {
        Some("all") => names.collect(),
        Some(given) => given
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect(),
        None => names.filter(|name| is_usual(name)).collect(),
    }
}

fn page(screen: &mut Screen, counted: &Counted) {
    screen.step("Weights, by how they are stored");
    let mut table = Table::new(&["stored as", "bytes a weight", "GB", "GiB"]);
    for (name, bytes) in &counted.weights {
        let each = *bytes as f64 / counted.parameters.max(1) as f64;
        table.row([
            name.as_str().into(),
            Cell::number(number(each)),
            gb(*bytes),
            gib(*bytes),
        ]);
    }
    screen.show(&table);
    if let Some((what, rows)) = &counted.writing {
        screen.step(&format!("Writing: {what} at once"));
        let all: u128 = rows.iter().map(|(_, bytes)| bytes).sum();
        let mut table = Table::new(&["part", "GB", "GiB"]);
        for (name, bytes) in rows.iter().chain([&("sum".to_owned(), all)]) {
            table.row([name.as_str().into(), gb(*bytes), gib(*bytes)]);
        }
        table.total();
        screen.show(&table);
    }
    screen.step("Training with Adam in mixed precision, in GB, without what a backward pass keeps");
    let mut table = Table::new(&[
        "what", "trained", "frozen", "weights", "grads", "f32", "Adam", "sum",
    ]);
    for (name, trained, t) in &counted.training {
        let bytes = [
            t.frozen,
            t.weights,
            t.gradients,
            t.master,
            t.moments,
            t.total(),
        ];
        let mut cells = vec![name.as_str().into(), Cell::number(grouped(*trained))];
        cells.extend(bytes.map(|bytes| gb(bytes.into())));
        table.push(cells);
    }
    screen.show(&table);
    screen.say("A trained parameter takes 2 + 2 + 4 + 8 = 16 bytes, a frozen one only its weight.");
}

fn gb(bytes: u128) -> Cell {
    Cell::number(gigabytes(bytes))
}

fn gib(bytes: u128) -> Cell {
    Cell::number(format!("{:.2}", bytes as f64 / f64::from(1 << 30)))
}

fn as_json(counted: &Counted) -> Value {
    let rows = |rows: &Rows| -> Vec<Value> {
        let exact = |bytes: u128| u64::try_from(bytes).map_or(json!(bytes as f64), |n| json!(n));
        rows.iter()
            .map(|(name, bytes)| json!({"what": name, "bytes": exact(*bytes)}))
            .collect()
    };
    let training = counted.training.iter().map(|(name, trained, t)| {
        json!({
            "what": name, "trained": trained, "frozen_bytes": t.frozen,
            "weight_bytes": t.weights, "gradient_bytes": t.gradients, "master_bytes": t.master,
            "moment_bytes": t.moments, "bytes": t.total(),
        })
    });
    json!({
        "config": counted.title, "parameters": counted.parameters,
        "weights": rows(&counted.weights),
        "writing": counted.writing.as_ref().map(|(_, parts)| rows(parts)),
        "training": training.collect::<Vec<_>>(),
    })
}
