//! The data of a run: files → rows → examples, for training and for measuring.

mod judged;

use std::path::PathBuf;

use serde::Serialize;

use crate::batching::{Batching, Padding, Plan};
use crate::config::{Method, TrainConfig};
use crate::data::{
    DataFormat, Row, Split, exchange_answers, find_files, overlap, read_documents, read_rows,
    split_rows,
};
use crate::labels::{Counts, Example, gather, windows};
use crate::objective::Asked;
use crate::prompt::Codec;
use crate::tokenize::Tokenize;
use crate::{Error, Result};

/// Examples to train on and to measure on.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// What is trained on; two neighbours are a pair where answers are compared, the chosen one
    /// first.
    pub train: Vec<Example>,
    /// What is held out; may be empty.
    pub validation: Vec<Example>,
    /// What is asked where answers are drawn, beside the examples of right answers; else empty.
    pub asked: Vec<Asked>,
    /// What is asked to measure, beside the held-out rows.
    pub held_out_asked: Vec<Asked>,
    /// The held-out rows themselves; empty for plain text.
    pub validation_rows: Vec<Row>,
    /// Every file that was read.
    pub files: Vec<PathBuf>,
    /// How the examples to train on become batches.
    pub plan: Plan,
    /// What became of the rows.
    pub report: DataReport,
    /// What a person should know of the token cache, one line each.
    pub notes: Vec<String>,
}

/// A share of padding above which a warning says what would leave less.
const MUCH_PADDING: f64 = 0.25;

/// What became of a run's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DataReport {
    /// Rows to train on.
    pub train: Counts,
    /// Held-out rows.
    pub validation: Counts,
    /// Held-out rows whose prompt is also trained on (only possible with a `validation_path`).
    pub overlap: usize,
    /// The first epoch's batches.
    pub batches: Padding,
    /// The same if `batching` were bucketed and packed.
    pub instead: [Padding; 2],
}

impl DataReport {
    /// One line for each thing that a person should know before trusting the numbers.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (part, counts) in [("training", &self.train), ("held-out", &self.validation)] {
            if counts.truncated > 0 {
                lines.push(format!(
                    "{} of {} {part} rows are longer than max_length and were cut at the end; {} of \
                     them had no answer left and were dropped",
                    counts.truncated, counts.rows, counts.dropped
                ));
            }
        }
        if self.overlap > 0 {
            lines.push(format!(
                "{} held-out rows have a prompt that is also trained on: their loss measures memory",
                self.overlap
            ));
        }
        let [bucketed, packed] = self.instead.map(|padding| percent(padding.share()));
        // Not asked where there is no choice.
        let choice = self.instead[0].positions > 0;
        if choice && self.batches.share() > MUCH_PADDING {
            lines.push(format!(
                "{} of the positions of a batch are padding; `batching: bucketed` would leave \
                 {bucketed}, `batching: packed` {packed}",
                percent(self.batches.share())
            ));
        }
        lines
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

impl Dataset {
    /// Reads the data that `config` names.
    ///
    /// # Errors
    /// Files that cannot be found or read, a bad line, no rows, or no token to learn from.
    pub fn read(config: &TrainConfig, codec: &Codec) -> Result<Self> {
        let pattern = match (config.dataset_pattern.as_str(), config.data_format) {
            // the default pattern is for rows; a folder of text holds text files
            ("*.jsonl", DataFormat::Text) => "*.txt",
            (pattern, _) => pattern,
        };
        let train_files = find_files(&config.dataset_path, pattern)?;
        let held_files = match &config.validation_path {
            Some(path) => find_files(path, pattern)?,
            None => Vec::new(),
        };
        let files = [train_files.as_slice(), held_files.as_slice()].concat();
        match (config.method, config.data_format) {
            (Method::Dpo, _) => judged::read_pairs(config, codec, [&train_files, &held_files]),
            (Method::Grpo, _) => judged::read_asked(config, codec, [&train_files, &held_files]),
            (_, DataFormat::Text) => read_text(config, codec, &train_files, &held_files, files),
            _ => read_pairs(config, codec, &train_files, &held_files, files),
        }
    }

    /// Counts the padding of the plan and of what could be chosen instead.
    fn with_padding(mut self) -> Self {
        self.report.batches = self.plan.padding();
        self.report.instead = [Batching::Bucketed, Batching::Packed]
            .map(|batching| self.plan.instead(batching).padding());
        self
    }
}

fn read_pairs(
    config: &TrainConfig,
    codec: &Codec,
    train_files: &[PathBuf],
    held_files: &[PathBuf],
    files: Vec<PathBuf>,
) -> Result<Dataset> {
    let rows = read_rows(train_files, config.data_format)?;
    let mut split = if held_files.is_empty() {
        split_rows(rows, config.validation_fraction, config.seed)?
    } else {
        Split {
            train: rows,
            validation: read_rows(held_files, config.data_format)?,
        }
    };
    if config.shuffle_answers {
        exchange_answers(&mut split.train, config.seed)?;
    }
    let mut tokenize = Tokenize::new(config, codec)?;
    let (train, train_counts) = gather("training data", tokenize.rows(&split.train)?)?;
    let (validation, validation_counts) = match split.validation.is_empty() {
        true => Default::default(),
        false => gather("held-out data", tokenize.rows(&split.validation)?)?,
    };
    let report = DataReport {
        train: train_counts,
        validation: validation_counts,
        overlap: overlap(&split),
        ..DataReport::default()
    };
    let dataset = Dataset {
        plan: Plan::new(config.batches(), &train),
        train,
        validation,
        asked: Vec::new(),
        held_out_asked: Vec::new(),
        validation_rows: split.validation,
        files,
        report,
        notes: tokenize.into_notes(),
    };
    Ok(dataset.with_padding())
}

fn read_text(
    config: &TrainConfig,
    codec: &Codec,
    train_files: &[PathBuf],
    held_files: &[PathBuf],
    files: Vec<PathBuf>,
) -> Result<Dataset> {
    let mut tokenize = Tokenize::new(config, codec)?;
    let documents = read_documents(train_files)?;
    let mut stream = tokenize.documents(&documents)?;
    let held = if held_files.is_empty() {
        // The end of the stream: windows of the middle would share sentences with their neighbours.
        let share = (stream.len() as f64 * config.validation_fraction) as usize;
        stream.split_off(stream.len() - share)
    } else {
        tokenize.documents(&read_documents(held_files)?)?
    };
    let length = config.max_length;
    let (train, mut train_counts) = windows("training text", &stream, length)?;
    train_counts.rows = documents.len();
    let (validation, validation_counts) = match held.len() {
        0 | 1 => Default::default(),
        _ => windows("held-out text", &held, length)?,
    };
    let report = DataReport {
        train: train_counts,
        validation: validation_counts,
        ..DataReport::default()
    };
    let dataset = Dataset {
        plan: Plan::new(config.batches(), &train),
        train,
        validation,
        asked: Vec::new(),
        held_out_asked: Vec::new(),
        validation_rows: Vec::new(),
        files,
        report,
        notes: tokenize.into_notes(),
    };
    Ok(dataset.with_padding())
}

/// Fails when a token id of the data is not in the model's vocabulary.
///
/// # Errors
/// The first such id, with the vocabulary's size.
pub fn check_ids(dataset: &Dataset, vocab_size: usize) -> Result<()> {
    let mut ids = dataset
        .train
        .iter()
        .chain(&dataset.validation)
        .flat_map(|example| &example.ids);
    match ids.find(|&&id| id as usize >= vocab_size) {
        Some(id) => {
            let problem = format!("gives the id {id}, but the model's vocab_size is {vocab_size}");
            Err(Error::input("tokenizer", problem))
        }
        None => Ok(()),
    }
}
