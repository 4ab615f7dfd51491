//! The corpus as files.
//!
//! | file | what |
//! |---|---|
//! | `train.txt`, `heldout.txt` | documents for pretraining, each followed by a line `<|endoftext|>` |
//! | `sft_train.jsonl`, `sft_heldout.jsonl` | conversations for fine-tuning |
//! | `tasks.jsonl` | questions with what their answer must fulfil, all on held-out combinations |
//! | `pairs_train.jsonl`, `pairs_heldout.jsonl` | questions with a right and a wrong answer, for DPO |
//! | `comparisons_{train,heldout}.jsonl` | which of two numbers is larger, asked for GRPO |
//! | `report.json` | how many documents of each domain there are, and how improbable they are |

use std::path::Path;

use llm_store::atomic::FolderWriter;
use serde::Serialize;
use serde_json::Value;

use super::{
    Choices, Document, Domain, Shape, Split, Task, comparisons, document, preferences, tasks,
};
use crate::data::DOCUMENT_SEPARATOR;
use crate::{Error, Result};

/// Documents that are held out for each that is trained on: one in so many.
const HELD_OUT_DOCUMENTS_ONE_IN: u64 = 20;
/// And at most so many, since every evaluation of a run reads them all.
const MOST_HELD_OUT_DOCUMENTS: u64 = 2000;
/// Rows for fine-tuning for each document: one in so many.
const ROWS_ONE_IN: u64 = 4;
/// Where the draws of domains begin, far from the documents' own.
const MIX_INDEX: u64 = 1 << 52;
/// Documents between two reports of progress.
const PROGRESS_EVERY: u64 = 256;

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One seed, one corpus.
    pub seed: u64,
    /// Documents to train on; a twentieth, at most 2,000, is held out beside them.
    pub documents: u64,
    /// The domains, by their weights.
    pub domains: Vec<Domain>,
    /// Tasks of each domain, where there are so many.
    pub tasks: usize,
}

/// One of the files of documents or rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub file: &'static str,
    /// Which combinations.
    pub split: Split,
    /// Plain text and conversations, or conversations as rows.
    pub shape: Shape,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::new("train.txt", Split::Train, Shape::Mixed),
        Self::new("heldout.txt", Split::HeldOut, Shape::Mixed),
        Self::new("sft_train.jsonl", Split::Train, Shape::Chat),
        Self::new("sft_heldout.jsonl", Split::HeldOut, Shape::Chat),
    ];

    const fn new(file: &'static str, split: Split, shape: Shape) -> Self {
        Self { file, split, shape }
    }

    /// How many documents it has.
    pub fn documents(self, plan: &Plan) -> u64 {
        let all = match self.split {
            Split::Train => plan.documents,
            Split::HeldOut => {
                let share = plan.documents.div_ceil(HELD_OUT_DOCUMENTS_ONE_IN);
                share.min(MOST_HELD_OUT_DOCUMENTS)
            }
        };
        match self.shape {
            Shape::Mixed => all,
            Shape::Chat => all.div_ceil(ROWS_ONE_IN),
        }
    }

    /// The document at `index`: its domain is drawn by the weights.
    pub fn document(self, plan: &Plan, index: u64) -> Document {
        let chat = u64::from(self.shape == Shape::Chat);
        let place = MIX_INDEX + (index << 1 | chat);
        let mut mix = Choices::new(plan.seed, Domain::Stories, self.split, place);
        let weights: Vec<u32> = plan.domains.iter().map(|domain| domain.weight()).collect();
        let at = mix.weighted(&weights);
        let domain = plan.domains.get(at).copied().unwrap_or(Domain::Stories);
        document(plan.seed, domain, self.split, self.shape, index)
    }
}

/// What one domain came to in one file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DomainReport {
    /// The file.
    pub file: String,
    /// The domain.
    pub domain: String,
    /// Documents.
    pub documents: u64,
    /// Their characters.
    pub characters: u64,
    /// Their bytes in UTF-8.
    pub bytes: u64,
    /// -ln of their probability in all, given the domain of each.
    pub nats: f64,
    /// The same for a document.
    pub nats_per_document: f64,
    /// The same for a character.
    pub nats_per_character: f64,
}

impl DomainReport {
    fn add(&mut self, text: &str, nats: f64) {
        self.documents += 1;
        self.characters += text.chars().count() as u64;
        self.bytes += text.len() as u64;
        self.nats += nats;
        self.nats_per_document = self.nats / self.documents as f64;
        self.nats_per_character = self.nats / self.characters.max(1) as f64;
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// For each file of documents and each domain, in order.
    pub domains: Vec<DomainReport>,
    /// Tasks.
    pub tasks: u64,
}

/// Writes the corpus of `plan` as the folder `out`: whole, or not at all. `progress` is called with
/// the documents done and all of them.
///
/// # Errors
/// No domain, no document, `out` exists and `overwrite` is false, or a disk that refuses.
pub fn write(
    out: &Path,
    plan: &Plan,
    overwrite: bool,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report> {
    if plan.domains.is_empty() {
        return Err(Error::input("domains", "are none, expected one or more"));
    }
    if plan.documents == 0 {
        return Err(Error::input("documents", "are 0, expected 1 or more"));
    }
    let folder = FolderWriter::create(out, overwrite)?;
    let total = Part::ALL.iter().map(|part| part.documents(plan)).sum();
    let mut report = Report {
        seed: plan.seed,
        ..Report::default()
    };
    let mut done = 0;
    for part in Part::ALL {
        let mut step = |more: u64| {
            done += more;
            progress(done, total);
        };
        report
            .domains
            .extend(write_part(&folder, part, plan, &mut step)?);
    }
    report.tasks = write_tasks(&folder, plan)?;
    write_judged(&folder, plan)?;
    let json = serde_json::to_string_pretty(&report).unwrap_or_default();
    folder.write("report.json", format!("{json}\n").as_bytes())?;
    folder.commit()?;
    Ok(report)
}

fn write_part(
    folder: &FolderWriter,
    part: Part,
    plan: &Plan,
    step: &mut dyn FnMut(u64),
) -> Result<Vec<DomainReport>> {
    let mut reports: Vec<DomainReport> = plan
        .domains
        .iter()
        .map(|domain| DomainReport {
            file: part.file.to_owned(),
            domain: domain.name().to_owned(),
            ..DomainReport::default()
        })
        .collect();
    let mut failure = None;
    folder.write_with(part.file, |file| {
        for index in 0..part.documents(plan) {
            let document = part.document(plan, index);
            let text = document.text();
            let name = document.domain.name();
            if let Some(report) = reports.iter_mut().find(|report| report.domain == name) {
                report.add(&text, document.nats);
            }
            let line = match part.shape {
                Shape::Mixed => format!("{text}{DOCUMENT_SEPARATOR}\n"),
                Shape::Chat => document
                    .row()
                    .map_or_else(String::new, |row| format!("{row}\n")),
            };
            if let Err(source) = file.write_all(line.as_bytes()) {
                failure = Some(source);
                break;
            }
            if (index + 1).is_multiple_of(PROGRESS_EVERY) {
                step(PROGRESS_EVERY);
            }
        }
        Ok(())
    })?;
    step(part.documents(plan) % PROGRESS_EVERY);
    match failure {
        Some(source) => Err(Error::io(Path::new(part.file))(source)),
        None => Ok(reports),
    }
}

fn write_tasks(folder: &FolderWriter, plan: &Plan) -> Result<u64> {
    let mut lines = String::new();
    let mut count = 0;
    for &domain in &plan.domains {
        for task in tasks(domain, plan.seed, plan.tasks) {
            lines += &format!("{}\n", task.row());
            count += 1;
        }
    }
    folder.write("tasks.jsonl", lines.as_bytes())?;
    Ok(count)
}

/// Pairs of all domains that have right answers, and comparisons where arithmetic is one of them.
fn write_judged(folder: &FolderWriter, plan: &Plan) -> Result<()> {
    let lines =
        |rows: Vec<Value>| -> String { rows.iter().map(|row| format!("{row}\n")).collect() };
    for (name, split) in [("train", Split::Train), ("heldout", Split::HeldOut)] {
        let pairs = plan.domains.iter().flat_map(|&domain| {
            let pairs = preferences(domain, split, plan.seed, plan.tasks);
            pairs.into_iter().map(|pair| pair.row())
        });
        let pairs = lines(pairs.collect());
        folder.write(&format!("pairs_{name}.jsonl"), pairs.as_bytes())?;
        if plan.domains.contains(&Domain::Arithmetic) {
            let tasks = comparisons(split, plan.seed, plan.tasks);
            let rows = lines(tasks.iter().map(Task::row).collect());
            folder.write(&format!("comparisons_{name}.jsonl"), rows.as_bytes())?;
        }
    }
    Ok(())
}
