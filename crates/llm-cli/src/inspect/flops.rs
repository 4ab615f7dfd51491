//! `deeper inspect flops`: operations by formula.

use anyhow::Result;
use clap::Args;
use llm_core::config::ModelConfig;
use llm_core::model::count::total;
use llm_core::model::flops::{Forward, PASSES, plain_blocks, text, token};
use llm_show::number::{count, percent, scientific};
use llm_show::{Cell, Screen, Table};
use serde_json::{Value, json};

use super::{Model, Shared, answer, describe, presets};

/// Count the operations of a token, of a text and of a training step
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  deeper inspect flops --config gpt2\n  \
deeper inspect flops --config llama-2-7b --tokens 2048")]
pub(super) struct FlopsArgs {
    #[command(flatten)]
    pub(super) shared: Shared,
    #[command(flatten)]
    model: Model,
    /// Tokens that a token reads, and tokens of the text, 1 or more [default: the model's context,
    /// at most 2048]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tokens: Option<u32>,
}

/// The context without `--tokens`: a common length of training texts.
const TOKENS: u64 = 2048;

pub(super) fn run(args: &FlopsArgs) -> Result<()> {
    let (name, config) = presets::config(&args.model.config)?;
    let context = config.max_position_embeddings as u64;
    let tokens = args.tokens.map_or(context.min(TOKENS), u64::from);
    let (one, all) = (token(&config, tokens), text(&config, tokens));
    let (matrices, attention) = plain(&config, tokens);
    let value = json!({
        "config": name, "tokens": tokens,
        "token": parts(&one), "text": parts(&all),
        "training_step": parts(&all)["total"].as_f64().map(|forward| PASSES as f64 * forward),
        "plain_blocks": {"matrices": matrices, "attention": attention},
        "rule_2n": 2 * total(&config),
    });
    answer(&args.shared, &value, |screen| {
        describe(screen, &config);
        screen.line("");
        table(screen, &config, tokens, (&one, &all));
        screen.line("");
        short_cuts(screen, &config, tokens, &one);
    })
}

/// What `24 L C² + 4 S C L` says.
fn plain(config: &ModelConfig, tokens: u64) -> (u64, u64) {
    plain_blocks(
        config.num_hidden_layers as u64,
        config.hidden_size as u64,
        tokens,
    )
}

fn parts(forward: &Forward) -> Value {
    // Beyond 2^64 only a rounded number fits into JSON.
    let number = |n: u128| u64::try_from(n).map_or_else(|_| json!(n as f64), |n| json!(n));
    json!({
        "blocks": number(forward.blocks), "attention": number(forward.attention),
        "head": number(forward.head), "total": number(forward.total()),
    })
}

fn table(screen: &mut Screen, config: &ModelConfig, tokens: u64, parts: (&Forward, &Forward)) {
    let (one, all) = parts;
    let shown = count(tokens);
    screen.say(&format!(
        "a text of {shown} tokens; its last token reads S = {shown}"
    ));
    let mut table = Table::new(&[
        "forward",
        "a token takes",
        "last token",
        "share",
        "the text",
        "to train on",
    ]);
    let windows = config.layer_windows.iter().any(Option::is_some);
    let rows = [
        ("blocks", "2 × weights", one.blocks, all.blocks),
        (
            "attention",
            if windows {
                "4 × ΣS × H × D"
            } else {
                "4 × L × S × H × D"
            },
            one.attention,
            all.attention,
        ),
        ("head", "2 × V × C", one.head, all.head),
        ("sum", "", one.total(), all.total()),
    ];
    for (name, formula, one_part, all_part) in rows {
        let cell = |n: u128| Cell::number(scientific(n as f64, 3));
        let share = percent(one_part as f64 / one.total().max(1) as f64);
        let training = cell(u128::from(PASSES) * all_part);
        table.row([
            name.into(),
            formula.into(),
            cell(one_part),
            Cell::number(share),
            cell(all_part),
            training,
        ]);
    }
    table.total();
    screen.show(&table);
}

/// The rules of thumb beside the exact count.
fn short_cuts(screen: &mut Screen, config: &ModelConfig, tokens: u64, one: &Forward) {
    let (matrices, attention) = plain(config, tokens);
    let off = |n: f64| format!("{:+.1} %", 100.0 * (n / one.total() as f64 - 1.0));
    let rule = 2.0 * total(config) as f64;
    let mut table = Table::new(&["short cut for a token", "says", "off by"]);
    let both = (matrices + attention) as f64;
    for (name, says) in [
        ("2 × parameters", rule),
        ("24 L C² + 4 S C L, no head", both),
    ] {
        table.row([
            name.into(),
            Cell::number(scientific(says, 3)),
            Cell::number(off(says)),
        ]);
    }
    screen.show(&table);
    screen.line("");
    screen.say(&format!(
        "A multiply and an add are two operations: 12 L C² = {} counts the weights of plain blocks, \
         24 L C² their operations. Training takes {PASSES} forward passes.",
        scientific(matrices as f64 / 2.0, 3)
    ));
}
