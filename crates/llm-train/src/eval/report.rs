//! From rows to numbers with intervals: what stands in `metrics.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::leak::Leakage;
use super::record::Record;
use super::results::FORMAT_VERSION;
use super::run::Evaluation;
use crate::bootstrap::{Interval, Part, RESAMPLES, interval};
use crate::evaluate::mean_loss;
use crate::metrics::{Pair, RowScores, corpus};
use crate::runs::file_hashes;
use crate::{Error, Result};

/// A number that is a mean over rows, so that rows can be resampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The share of answers that are the expected ones.
    ExactMatch,
    /// The share of answers that fulfil the task's check.
    Correct,
    /// The share of answers that are sentences of the grammar.
    Parses,
    /// Mean F₁ of words.
    F1,
    /// Mean Jaccard overlap of words.
    Jaccard,
    /// Mean ROUGE-1.
    Rouge1,
    /// Mean ROUGE-2.
    Rouge2,
    /// Mean ROUGE-L.
    RougeL,
    /// The share of questions whose most likely choice is the right one.
    Accuracy,
    /// The same, with each choice's log-likelihood divided by its bytes.
    AccuracyByByte,
    /// Mean exposure of canaries, in bits.
    Exposure,
    /// Nats for each supervised token.
    Loss,
    /// Bits for each byte of the answers.
    BitsPerByte,
}

impl Metric {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 13] = [
        Self::ExactMatch,
        Self::Correct,
        Self::Parses,
        Self::F1,
        Self::Jaccard,
        Self::Rouge1,
        Self::Rouge2,
        Self::RougeL,
        Self::Accuracy,
        Self::AccuracyByByte,
        Self::Exposure,
        Self::Loss,
        Self::BitsPerByte,
    ];

    /// Its key in `metrics.json`.
    pub fn key(self) -> &'static str {
        match self {
            Self::ExactMatch => "exact_match",
            Self::Correct => "correct",
            Self::Parses => "parses",
            Self::F1 => "f1",
            Self::Jaccard => "jaccard",
            Self::Rouge1 => "rouge1",
            Self::Rouge2 => "rouge2",
            Self::RougeL => "rouge_l",
            Self::Accuracy => "acc",
            Self::AccuracyByByte => "acc_norm",
            Self::Exposure => "exposure",
            Self::Loss => "loss",
            Self::BitsPerByte => "bits_per_byte",
        }
    }

    /// A row's part in the mean; `None` where the row says nothing about it.
    pub fn part(self, record: &Record) -> Option<Part> {
        let of = |score: fn(&RowScores) -> f64| record.scores.as_ref().map(score);
        let hit = |is: bool| f64::from(u8::from(is));
        let one = match self {
            Self::ExactMatch => of(|s| s.exact_match),
            Self::F1 => of(|s| s.f1),
            Self::Jaccard => of(|s| s.jaccard),
            Self::Rouge1 => of(|s| s.rouge1),
            Self::Rouge2 => of(|s| s.rouge2),
            Self::RougeL => of(|s| s.rouge_l),
            Self::Correct => record.correct.map(hit),
            Self::Parses => record.parses.map(hit),
            Self::Accuracy => record.choice.as_ref().map(|c| hit(c.picked == c.gold)),
            Self::AccuracyByByte => record
                .choice
                .as_ref()
                .map(|c| hit(c.picked_by_byte == c.gold)),
            Self::Exposure => record.exposure,
            Self::Loss | Self::BitsPerByte => return self.loss_part(record),
        };
        one.map(|sum| Part { sum, weight: 1.0 })
    }

    fn loss_part(self, record: &Record) -> Option<Part> {
        let loss = record.loss?;
        let (sum, weight) = match self {
            Self::BitsPerByte => (loss.nats / std::f64::consts::LN_2, loss.bytes),
            _ => (loss.nats, loss.tokens),
        };
        let weight = weight as f64;
        (weight > 0.0).then_some(Part { sum, weight })
    }
}

/// What leads to a set of numbers, and the numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The version of the file.
    pub format_version: u32,
    /// The model as the settings name it.
    pub model: String,
    /// Its adapter's folder.
    pub adapter: Option<String>,
    /// SHA-256 of the model's files.
    pub model_digest: String,
    /// The task.
    pub task: String,
    /// The hash of what the answers depend on.
    pub fingerprint: String,
    /// The hash of the data.
    pub data_digest: String,
    /// Path, size and SHA-256 of each data file.
    pub data: Value,
    /// Questions.
    pub rows: usize,
    /// Questions whose prompt left no room for an answer; they count as wrong.
    pub too_long: usize,
    /// Answers that were cut at `max_new_tokens`.
    pub cut: usize,
    /// Tokens of all answers.
    pub new_tokens: usize,
    /// Seconds of all questions.
    pub seconds: f64,
    /// The numbers, with 95 % intervals where rows can be resampled.
    pub metrics: BTreeMap<String, Value>,
    /// Accuracy of each subject or task: `[right, questions]`.
    pub groups: BTreeMap<String, (usize, usize)>,
    /// What the training data shares with the questions, where it is known.
    pub leakage: Option<Leakage>,
}

impl Report {
    pub(super) fn of(evaluation: &Evaluation, records: &[Record]) -> Result<Self> {
        let config = &evaluation.config;
        let count = |is: fn(&&Record) -> bool| records.iter().filter(is).count();
        let task = serde_json::to_value(config.task).ok();
        Ok(Self {
            format_version: FORMAT_VERSION,
            model: config.model_path.clone().unwrap_or_default(),
            adapter: evaluation.adapter().map(|path| path.display().to_string()),
            model_digest: evaluation.subject.digest.clone(),
            task: task
                .as_ref()
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            fingerprint: evaluation.folder.fingerprint.clone(),
            data_digest: evaluation.folder.data_digest.clone(),
            data: file_hashes(evaluation.files())?,
            rows: records.len(),
            too_long: count(|record| record.too_long),
            cut: count(|record| !record.finished),
            new_tokens: records.iter().map(|record| record.new_tokens).sum(),
            seconds: records.iter().map(|record| record.seconds).sum(),
            metrics: numbers(records, config.seed)?,
            groups: groups(records),
            leakage: evaluation.leakage.clone(),
        })
    }

    /// The report as the text of `metrics.json`.
    ///
    /// # Errors
    /// A number that JSON cannot hold.
    pub fn to_json(&self) -> Result<String> {
        let fail = |error: serde_json::Error| Error::input("report", error.to_string());
        let value = serde_json::to_value(self).map_err(fail)?;
        Ok(format!("{value:#}\n"))
    }
}

/// Every number that the rows give.
fn numbers(records: &[Record], seed: u64) -> Result<BTreeMap<String, Value>> {
    let mut numbers = BTreeMap::new();
    for metric in Metric::ALL {
        let parts: Vec<Part> = records.iter().filter_map(|r| metric.part(r)).collect();
        if parts.is_empty() {
            continue;
        }
        let value = interval(&parts, RESAMPLES, seed)?;
        numbers.insert(metric.key().to_owned(), json(value)?);
        if metric == Metric::Loss {
            let exp = Interval {
                value: mean_loss(&parts).exp(),
                low: value.low.exp(),
                high: value.high.exp(),
            };
            numbers.insert("perplexity".to_owned(), json(exp)?);
        }
    }
    let pairs: Vec<Pair> = records
        .iter()
        .filter(|record| record.scores.is_some())
        .map(|record| Pair {
            prediction: record.prediction.clone(),
            reference: record.reference.clone(),
        })
        .collect();
    if !pairs.is_empty() {
        numbers.insert(
            "bleu".to_owned(),
            serde_json::json!({ "value": corpus(&pairs).bleu }),
        );
    }
    Ok(numbers)
}

fn json(value: Interval) -> Result<Value> {
    let fail = |error: serde_json::Error| Error::input("report", error.to_string());
    serde_json::to_value(value).map_err(fail)
}

/// Right answers and questions of each group.
fn groups(records: &[Record]) -> BTreeMap<String, (usize, usize)> {
    let mut groups = BTreeMap::new();
    for record in records {
        let Some(group) = &record.group else { continue };
        let right = match (record.correct, &record.choice, &record.scores) {
            (Some(correct), ..) => correct,
            (_, Some(choice), _) => choice.picked == choice.gold,
            (_, None, Some(scores)) => scores.exact_match == 1.0,
            (_, None, None) => continue,
        };
        let (hits, all) = groups.entry(group.clone()).or_insert((0, 0));
        *hits += usize::from(right);
        *all += 1;
    }
    groups
}
