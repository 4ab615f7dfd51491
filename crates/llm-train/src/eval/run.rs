//! Asking: every question once, each answer on the disk before the next is asked.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use llm_core::sample::SamplerConfig;

use super::choice;
use super::config::{EvalConfig, Grammar};
use super::leak::{self, Leakage};
use super::material::{Material, answer_bytes, asked, max_length, place};
use super::record::{Loss, Record};
use super::report::Report;
use super::results::ResultFolder;
use super::subject::{Subject, stopped};
use crate::data::Row;
use crate::labels::Example;
use crate::{Error, Result, dsl, metrics};

/// How far the seeds of successive questions are apart (an odd constant).
pub(super) const QUESTION_STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// An evaluation that is ready to ask.
#[derive(Debug)]
pub struct Evaluation {
    /// The settings.
    pub config: EvalConfig,
    /// The model.
    pub subject: Subject,
    /// The questions.
    pub material: Material,
    /// What the training data shares with the questions, where training data is known.
    pub leakage: Option<Leakage>,
    /// What a person should know before trusting the numbers, one line each.
    pub warnings: Vec<String>,
    /// Where results go.
    pub folder: ResultFolder,
    adapter: Option<PathBuf>,
    files: Vec<PathBuf>,
}

impl Evaluation {
    /// Loads model and data, looks for leaks, and opens the result folder.
    ///
    /// `base` is the folder that the model's name stands for (a hub id is resolved by the caller),
    /// `adapter` that of [`super::Named`].
    ///
    /// # Errors
    /// Whatever is wrong with settings, model or data, or leaks that cannot be looked for although
    /// `max_leakage` is set.
    pub fn open(config: EvalConfig, base: PathBuf, adapter: Option<PathBuf>) -> Result<Self> {
        let subject = Subject::open(&config, &base, adapter.as_deref())?;
        let (material, files) = Material::read(&config, &subject)?;
        let mut warnings = Vec::new();
        let tuned = adapter.as_deref().unwrap_or(&base);
        let leakage = leak::find(&config, tuned, &material, &mut warnings)?;
        let folder = ResultFolder::open(&config, &subject, &files)?;
        Ok(Self {
            config,
            subject,
            material,
            leakage,
            warnings,
            folder,
            adapter,
            files,
        })
    }

    /// Questions, each sample of a program counted.
    pub fn total(&self) -> usize {
        self.material.len() * self.config.samples
    }

    /// Fails when more rows stand in the training data than `max_leakage` allows.
    ///
    /// # Errors
    /// [`Error::Failed`], which names the first such row.
    pub fn gate(&self) -> Result<()> {
        leak::gate(&self.config, self.leakage.as_ref())
    }

    /// Asks what is not answered yet, and writes the results; `each` is told how many of how many
    /// questions are answered.
    ///
    /// # Errors
    /// [`Error::Stopped`] when `stop` was raised (what is answered stays), or what the model, the
    /// data or the disk reports.
    pub fn run(
        &self,
        stop: Option<&AtomicBool>,
        mut each: impl FnMut(usize, usize),
    ) -> Result<Report> {
        let total = self.total();
        let mut records = self.folder.answered(total)?;
        if records.len() < total {
            let mut log = self.folder.append(&records)?;
            each(records.len(), total);
            for index in 0..total {
                if records.contains_key(&index) {
                    continue;
                }
                if stopped(stop) {
                    let (done, folder) = (records.len(), self.folder.path.clone());
                    return Err(Error::Stopped {
                        done,
                        total,
                        folder,
                    });
                }
                let begun = Instant::now();
                let mut record = self.ask(index)?;
                record.seconds = begun.elapsed().as_secs_f64();
                log.push(&record)?;
                records.insert(index, record);
                each(records.len(), total);
            }
        }
        let records: Vec<Record> = records.into_values().collect();
        let report = Report::of(self, &records)?;
        self.folder.finish(&self.config, &report, &records)?;
        Ok(report)
    }

    /// The adapter's folder.
    pub(super) fn adapter(&self) -> Option<&PathBuf> {
        self.adapter.as_ref()
    }

    /// The data files.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    fn ask(&self, index: usize) -> Result<Record> {
        let missing = || Error::input("question", format!("{index} does not exist"));
        match &self.material {
            Material::Rows(rows) => self.row(index, rows.get(index).ok_or_else(missing)?),
            Material::Windows(windows) => {
                let (example, bytes) = windows.get(index).ok_or_else(missing)?;
                let mut record = Record::at(index, self.material.place(index));
                record.loss = Some(self.loss(example, *bytes)?);
                Ok(record)
            }
            Material::Questions(questions) => {
                let question = questions.get(index / self.config.samples);
                let question = question.ok_or_else(missing)?;
                choice::ask(self, index, question)
            }
        }
    }

    /// One prompt: the loss of its answer, and an answer of the model's own.
    fn row(&self, index: usize, row: &Row) -> Result<Record> {
        let mut record = Record::at(index, place(row));
        record.prompt = asked(row.prompt());
        record.reference = row.completion().to_owned();
        let length = max_length(&self.config, &self.subject)?;
        let (example, cut) = self.subject.codec.example(row, length)?;
        if let Some(example) = example {
            let bytes = answer_bytes(row, &example, cut, &self.subject)?;
            record.loss = Some(self.loss(&example, bytes)?);
        }
        let at_row = |error: Error| Error::line(row.path.as_ref(), row.line, error.to_string());
        let prompt = self
            .subject
            .codec
            .prompt_ids(row.prompt())
            .map_err(at_row)?;
        record.prompt_tokens = prompt.len();
        if self.config.max_new_tokens == 0 {
            return Ok(record);
        }
        self.answer(&mut record, &prompt, &[])?;
        record.scores = Some(metrics::row(&record.prediction, &record.reference));
        record.parses = self.config.grammar.map(|grammar| match grammar {
            Grammar::Quayline => dsl::Query::parse(&record.prediction).is_ok(),
        });
        Ok(record)
    }

    /// The loss of an example whose supervised tokens stand for `bytes` bytes.
    pub(super) fn loss(&self, example: &Example, bytes: usize) -> Result<Loss> {
        Ok(Loss {
            nats: self.subject.nats(example)?,
            tokens: example.supervised(),
            bytes,
        })
    }

    /// Lets the model answer `prompt`, into `record`. White space around an answer is no part of
    /// it, except where `until` cuts programs.
    pub(super) fn answer(&self, record: &mut Record, prompt: &[u32], until: &[&str]) -> Result<()> {
        let shift = (record.index as u64).wrapping_mul(QUESTION_STRIDE);
        let sampler = SamplerConfig {
            seed: self.config.seed.wrapping_add(shift),
            ..self.config.sampler()
        };
        let most = self.config.max_new_tokens;
        match self.subject.reply(prompt, sampler, most, until)? {
            Some(reply) => {
                record.new_tokens = reply.tokens;
                record.finished = reply.finished;
                record.prediction = match until {
                    [] => reply.text.trim().to_owned(),
                    _ => reply.text,
                };
            }
            None => record.too_long = true,
        }
        Ok(())
    }
}
