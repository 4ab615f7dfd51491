//! `deeper inspect kv`: the bytes of the KV cache.

use anyhow::Result;
use clap::Args;
use llm_core::config::ModelConfig;
use llm_core::model::memory::{kv_bytes, kv_bytes_per_token};
use llm_show::number::count;
use llm_show::{Cell, Screen, Table};
use serde_json::json;

use super::{Model, Shared, Type, answer, describe, presets};
use crate::amount::bytes;

/// Count the bytes of the KV cache
///
/// A token takes 2 x layers x key-value heads x head size x bytes.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  deeper inspect kv --config qwen3-0.6b\n  \
deeper inspect kv --config llama-3.1-8b --tokens 8192 --batch 16 --type int8")]
pub(super) struct KvArgs {
    #[command(flatten)]
    pub(super) shared: Shared,
    #[command(flatten)]
    model: Model,
    /// Tokens of a text, 1 or more [default: the model's context]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tokens: Option<u32>,
    /// Texts at once, 1 or more
    #[arg(long, default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// How keys and values are stored
    #[arg(long = "type", value_enum, default_value_t = Type::Bf16, value_name = "TYPE")]
    kind: Type,
}

pub(super) fn run(args: &KvArgs) -> Result<()> {
    let (name, config) = presets::config(&args.model.config)?;
    let tokens = args
        .tokens
        .map_or(config.max_position_embeddings as u64, u64::from);
    let (size, batch) = (args.kind.bytes(), u64::from(args.batch));
    let (per_token, all) = (
        kv_bytes_per_token(&config, size),
        kv_bytes(&config, size, tokens, batch),
    );
    let value = json!({
        "config": name, "type": args.kind.name(), "tokens": tokens, "batch": batch,
        "bytes_per_token": per_token,
        // JSON's numbers end before this one does.
        "bytes": u64::try_from(all).map_or_else(|_| json!(all.to_string()), |all| json!(all)),
    });
    answer(&args.shared, &value, |screen| {
        describe(screen, &config);
        screen.line("");
        formula(screen, &config, args.kind, per_token);
        screen.line("");
        contexts(screen, &config, args.kind, (tokens, batch));
        notes(screen, &config, size);
    })
}

fn formula(screen: &mut Screen, config: &ModelConfig, kind: Type, per_token: u64) {
    screen.exhibit_line("a token = 2 × L × K × D × bytes        keys and values, every layer");
    screen.exhibit_line(&format!(
        "        = 2 × {} × {} × {} × {} = {} bytes",
        config.num_hidden_layers,
        config.num_key_value_heads,
        config.head_dim,
        kind.bytes(),
        count(per_token)
    ));
}

/// What texts of several lengths take; the asked one is accented.
fn contexts(screen: &mut Screen, config: &ModelConfig, kind: Type, asked: (u64, u64)) {
    let (tokens, batch) = asked;
    let context = config.max_position_embeddings as u64;
    let mut lengths = vec![1, 1024, context, tokens];
    lengths.retain(|&length| length <= context.max(tokens));
    lengths.sort_unstable();
    lengths.dedup();
    let mut table = Table::new(&["tokens", "texts", kind.name(), "bytes"]);
    for length in lengths {
        let all = kv_bytes(config, kind.bytes(), length, batch);
        table.row([
            Cell::number(count(length)),
            Cell::number(count(batch)),
            Cell::number(bytes(all)),
            Cell::number(u64::try_from(all).map_or_else(|_| all.to_string(), count)),
        ]);
        if length == tokens {
            table.accent();
        }
    }
    screen.show(&table);
}

/// What grouped heads and windows save.
fn notes(screen: &mut Screen, config: &ModelConfig, size: u64) {
    let groups = config.num_attention_heads / config.num_key_value_heads;
    if groups > 1 {
        let many = bytes(u128::from(kv_bytes_per_token(config, size)) * groups as u128);
        screen.line("");
        screen.say(&format!(
            "{groups} query heads share a key-value head: with one each, a token would take {many}, \
             {groups} times as much.",
        ));
    }
    if let Some(window) = config.layer_windows.iter().flatten().max() {
        screen.line("");
        let window = count(*window as u64);
        screen.say(&format!(
            "Layers with a sliding window keep {window} tokens at most."
        ));
    }
}
