//! The log of a run on a terminal: its rows in two forms, and what the model said on the way.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use llm_show::number::{count, number};
use llm_show::{Cell, Screen, Table, TrainingRow, Weather};
use llm_train::observe::{LogRow, Sample};
use serde::Deserialize;

/// How rows of the log are written to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogForm {
    /// Columns under a header.
    #[default]
    Table,
    /// One dictionary a row, as the workshop prints them: {'loss': 2.73, 'epoch': 0.25}.
    Dict,
}

/// Shows a row.
pub(super) fn show(weather: &mut Weather, row: &LogRow, form: LogForm) {
    match form {
        LogForm::Table => {
            weather.training_row(&TrainingRow {
                step: row.step,
                loss: row.loss,
                val: row.val,
                lr: row.lr,
                grad: row.grad,
                tokens_per_second: row.tokens_per_second,
                eta: Duration::try_from_secs_f64(row.eta_seconds).ok(),
            });
            if let Some(line) = measures(row) {
                weather.note(&line);
            }
        }
        LogForm::Dict => weather.note(&dict(row)),
    }
}

/// `rewards/margins 0.1200  rewards/accuracies 0.8125`; none where nothing is measured beside the
/// loss.
fn measures(row: &LogRow) -> Option<String> {
    let words = row.measures.iter();
    let words: Vec<String> = words
        .map(|(name, mean)| format!("{name} {}", number(*mean)))
        .collect();
    (!words.is_empty()).then(|| format!("      {}", words.join("  ")))
}

/// `{'loss': 2.7312, 'eval_loss': 2.8, 'grad_norm': 0.812, 'learning_rate': 3e-4, 'epoch': 0.25}`
fn dict(row: &LogRow) -> String {
    let val = row
        .val
        .map_or_else(String::new, |val| format!(", 'eval_loss': {val:.4}"));
    let measures: String = row
        .measures
        .iter()
        .map(|(name, mean)| format!(", '{name}': {mean:.4}"))
        .collect();
    format!(
        "{{'loss': {:.4}{val}, 'grad_norm': {:.3}, 'learning_rate': {:e}, 'epoch': {:.2}, 'step': \
         {}{measures}}}",
        row.loss, row.grad, row.lr, row.epoch, row.step
    )
}

/// A line of `samples_on_the_way.jsonl`.
#[derive(Deserialize)]
struct Line {
    step: u64,
    #[serde(flatten)]
    sample: Sample,
}

/// What the model said to each fixed prompt at first and at last, as a table; nothing without
/// samples.
pub(super) fn samples(screen: &mut Screen, path: &Path) -> Result<()> {
    let text = std::fs::read_to_string(path).unwrap_or_default(); // a run without prompts has none
    let mut rows: Vec<(Line, Option<Line>)> = Vec::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).with_context(|| path.display().to_string())?;
        let same =
            |(first, _): &&mut (Line, Option<Line>)| first.sample.prompt == line.sample.prompt;
        match rows.iter_mut().find(same) {
            Some((_, last)) => *last = Some(line),
            None => rows.push((line, None)),
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["prompt", "step", "says"]);
    for (first, last) in rows {
        let prompt = first.sample.prompt.clone();
        let says = |prompt: String, line: &Line| {
            let step = Cell::number(count(line.step));
            [prompt.into(), step, one_line(&line.sample.text).into()]
        };
        table.row(says(one_line(&prompt), &first));
        if let Some(last) = last {
            table.row(says(String::new(), &last));
        }
    }
    screen.show(&table);
    Ok(())
}

/// Text of a model, fit for a cell.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut line = String::new();
    for letter in text.chars().take(LONGEST) {
        match letter {
            '\'' | '"' | '\\' => line.push(letter),
            _ => line.extend(letter.escape_debug()),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_as_a_dictionary() {
        let row = LogRow {
            step: 20,
            epoch: 0.25,
            loss: 2.731_24,
            val: Some(2.8),
            lr: 3e-4,
            grad: 0.8124,
            tokens_per_second: 1.0,
            eta_seconds: 1.0,
            measures: Default::default(),
        };
        assert_eq!(
            dict(&row),
            "{'loss': 2.7312, 'eval_loss': 2.8000, 'grad_norm': 0.812, 'learning_rate': 3e-4, \
             'epoch': 0.25, 'step': 20}"
        );
    }

    #[test]
    fn what_is_measured_beside_the_loss_follows_it() {
        let mut row = LogRow {
            step: 1,
            epoch: 0.5,
            loss: 0.7125,
            val: None,
            lr: 1e-3,
            grad: 0.5,
            tokens_per_second: 1.0,
            eta_seconds: 1.0,
            measures: Default::default(),
        };
        assert_eq!(measures(&row), None);
        row.measures.insert("rewards/margins".into(), 0.12);
        row.measures.insert("kl".into(), 0.0);
        let line = measures(&row).unwrap();
        assert_eq!(line.trim(), "kl 0.0000  rewards/margins 0.1200");
        assert!(dict(&row).ends_with("'step': 1, 'kl': 0.0000, 'rewards/margins': 0.1200}"));
    }

    #[test]
    fn a_models_text_stays_in_its_cell() {
        assert_eq!(one_line("a\n\u{1b}[2J\"b'"), "a\\n\\u{1b}[2J\"b'");
        assert_eq!(one_line(&"é".repeat(50)), format!("{}…", "é".repeat(40)));
    }
}
