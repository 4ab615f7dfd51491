//! `deeper inspect params`: exact counts.

use anyhow::Result;
use clap::Args;
use llm_core::model::count::{Part, parts, total};
use llm_show::number::{count, percent};
use llm_show::{Cell, Screen, Table};
use serde_json::json;

use super::{Model, Shared, answer, describe, presets};

/// Count the parameters exactly, part by part, with the formula of each
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  deeper inspect params --config gpt2\n  \
deeper inspect params --config path/to/config.json --json")]
pub(super) struct ParamsArgs {
    #[command(flatten)]
    pub(super) shared: Shared,
    #[command(flatten)]
    model: Model,
}

pub(super) fn run(args: &ParamsArgs) -> Result<()> {
    let (name, config) = presets::config(&args.model.config)?;
    let (parts, total) = (parts(&config), total(&config));
    // The short cut of textbooks: an untied head, four matrices of C x C, a layer of 4 C.
    let size = |n: usize| n as u64;
    let (v, c, l) = (
        size(config.vocab_size),
        size(config.hidden_size),
        size(config.num_hidden_layers),
    );
    let rule = 2 * v * c + 12 * l * c * c;
    let rows: Vec<_> = parts
        .iter()
        .map(|part| json!({"part": part.name, "formula": part.formula, "parameters": part.count}))
        .collect();
    let value = json!({"config": name, "parameters": total, "parts": rows, "rule": rule});
    answer(&args.shared, &value, |screen| {
        describe(screen, &config);
        screen.line("");
        table(screen, &parts, total);
        screen.line("");
        let off = 100.0 * (rule as f64 / total as f64 - 1.0);
        screen.say(&format!(
            "The short cut 2 V C + 12 L C² says {} ({off:+.1} %): it takes an untied head, as many \
             key-value heads as heads, a feed-forward layer of 4 C with two matrices, and no biases \
             or norms.",
            count(rule)
        ));
    })
}

fn table(screen: &mut Screen, parts: &[Part], total: u64) {
    let mut table = Table::new(&["part", "formula", "parameters", "share"]);
    let share = |n: u64| Cell::number(percent(n as f64 / total.max(1) as f64));
    for part in parts {
        let parameters = Cell::number(count(part.count));
        table.row([
            part.name.into(),
            part.formula.as_str().into(),
            parameters,
            share(part.count),
        ]);
    }
    table.row([
        "sum".into(),
        "".into(),
        Cell::number(count(total)),
        share(total),
    ]);
    table.total();
    screen.show(&table);
}
