//! Evaluations as tables.

use llm_show::number::{count, number};
use llm_show::{Cell, Screen, Table};
use llm_train::bootstrap::{Interval, proportion};
use llm_train::eval::humaneval::{PROBLEMS, Passes};
use llm_train::eval::{Compared, Finished, Metric, Report};
use serde_json::Value;

/// Rows of the table of groups.
const MOST_GROUPS: usize = 60;

/// The numbers of one evaluation.
pub(super) fn report(screen: &mut Screen, report: &Report) {
    let mut table = Table::new(&["measure", "value", "95 % interval"]);
    for key in keys() {
        let Some(metric) = report.metrics.get(key) else {
            continue;
        };
        let field = |name: &str| metric.get(name).and_then(Value::as_f64);
        let interval = match (field("low"), field("high")) {
            (Some(low), Some(high)) => range(low, high),
            _ => "–".into(),
        };
        let value = field("value").unwrap_or(f64::NAN);
        table.row([words(key).into(), value.into(), Cell::number(interval)]);
    }
    screen.show(&table);
    groups(screen, report);
    screen.line(&format!("rows  {}", count(report.rows as u64)));
    for (what, rows) in [
        (
            "prompts that filled the context, counted as wrong",
            report.too_long,
        ),
        ("answers cut at max_new_tokens", report.cut),
    ] {
        if rows > 0 {
            screen.line(&format!("{what}  {}", count(rows as u64)));
        }
    }
    if let Some(leakage) = &report.leakage {
        screen.line(&format!(
            "rows that were trained on  {}",
            count(leakage.rows as u64)
        ));
        for (held, trained) in &leakage.first {
            screen.line(&format!("  {held} as {trained}"));
        }
    }
    if report.task == "humaneval" {
        screen.line("no program was run: samples.jsonl is for a sandbox of your own");
    }
}

/// Every key of `metrics.json`, in the order of the table.
fn keys() -> impl Iterator<Item = &'static str> {
    Metric::ALL.into_iter().flat_map(|metric| match metric {
        Metric::Loss => vec![metric.key(), "perplexity"],
        Metric::RougeL => vec![metric.key(), "bleu"],
        _ => vec![metric.key()],
    })
}

fn words(key: &str) -> &str {
    match key {
        "exact_match" => "exact match",
        "correct" => "right answers",
        "parses" => "parses",
        "f1" => "F1 of words",
        "jaccard" => "Jaccard",
        "rouge1" => "ROUGE-1",
        "rouge2" => "ROUGE-2",
        "rouge_l" => "ROUGE-L",
        "bleu" => "BLEU",
        "acc" => "accuracy",
        "acc_norm" => "accuracy by byte",
        "exposure" => "exposure (bits)",
        "loss" => "loss (nats/token)",
        "bits_per_byte" => "bits per byte",
        other => other,
    }
}

fn range(low: f64, high: f64) -> String {
    format!("[{}, {}]", number(low), number(high))
}

/// Subjects and tasks, where there are several.
fn groups(screen: &mut Screen, report: &Report) {
    if report.groups.len() < 2 {
        return;
    }
    let head = ["group", "questions", "right", "95 % interval"];
    let mut table = Table::new(&head).limit(MOST_GROUPS);
    for (group, &(right, all)) in &report.groups {
        let share = proportion(right, all);
        table.row([
            group.as_str().into(),
            all.into(),
            share.value.into(),
            Cell::number(range(share.low, share.high)),
        ]);
    }
    screen.line("");
    screen.show(&table);
}

/// Finished evaluations side by side.
pub(super) fn comparison(screen: &mut Screen, finished: &[Finished], numbers: &[Compared]) {
    for (index, one) in finished.iter().enumerate() {
        let rows = count(one.report.rows as u64);
        screen.line(&format!(
            "{}  {} ({rows} rows)",
            letter(index),
            one.report.model
        ));
    }
    screen.line("");
    let mut values = Table::new(&["measure", "", "value", "95 % interval"]);
    let minus = format!("minus {}", letter(0));
    let mut differences = Table::new(&["measure", "", minus.as_str(), "95 % interval"]);
    for one in numbers {
        let row = |interval: Interval| -> Vec<Cell> {
            vec![
                words(one.metric.key()).into(),
                letter(one.evaluation).into(),
                interval.value.into(),
                Cell::number(range(interval.low, interval.high)),
            ]
        };
        values.push(row(one.own));
        if let Some(difference) = one.difference {
            differences.push(row(difference));
        }
    }
    screen.show(&values);
    if finished.len() > 1 {
        screen.line("");
        screen.show(&differences);
    }
}

/// `A`, `B`, …, and numbers after `Z`.
fn letter(index: usize) -> String {
    match u8::try_from(index) {
        Ok(index) if index < 26 => char::from(b'A' + index).to_string(),
        _ => (index + 1).to_string(),
    }
}

/// What a sandbox said.
pub(super) fn passes(screen: &mut Screen, passes: &Passes) {
    let mut table = Table::new(&["measure", "value"]);
    for (k, share) in &passes.at {
        table.row([format!("pass@{k}").into(), (*share).into()]);
    }
    screen.show(&table);
    screen.line(&format!(
        "problems  {} of {PROBLEMS}, {} candidates or more each",
        passes.problems, passes.samples
    ));
}
