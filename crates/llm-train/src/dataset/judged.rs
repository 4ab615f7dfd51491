//! The data of runs that compare answers: pairs, and questions with a check.

use std::path::PathBuf;

use llm_core::ops::IGNORE_INDEX;

use super::{DataReport, Dataset};
use crate::batching::Plan;
use crate::config::TrainConfig;
use crate::data::{Pair, Question, Row, Split, overlap, split_by};
use crate::encode::Encoded;
use crate::labels::{Counts, Example, gather};
use crate::objective::Asked;
use crate::prompt::Codec;
use crate::tokenize::Tokenize;
use crate::{Error, Result};

/// Reads files with one function, and holds out what the settings say.
fn split<T>(
    config: &TrainConfig,
    [train, held]: [&[PathBuf]; 2],
    read: fn(&[PathBuf]) -> Result<Vec<T>>,
    row: impl Fn(&T) -> &Row,
) -> Result<(Vec<T>, Vec<T>)> {
    match held.is_empty() {
        true => split_by(read(train)?, config.validation_fraction, config.seed, row),
        false => Ok((read(train)?, read(held)?)),
    }
}

/// The number of held-out rows whose prompt is also trained on.
fn shared<T>(train: &[T], held: &[T], row: impl Fn(&T) -> &Row) -> usize {
    let rows = |all: &[T]| all.iter().map(|one| row(one).clone()).collect();
    overlap(&Split {
        train: rows(train),
        validation: rows(held),
    })
}

/// Examples to train on and held out, with what became of their rows, and nothing else.
fn counted(
    plan: Plan,
    (train, train_counts): (Vec<Example>, Counts),
    (validation, validation_counts): (Vec<Example>, Counts),
    overlap: usize,
) -> Dataset {
    Dataset {
        report: DataReport {
            train: train_counts,
            validation: validation_counts,
            overlap,
            batches: plan.padding(),
            ..DataReport::default()
        },
        plan,
        train,
        validation,
        asked: Vec::new(),
        held_out_asked: Vec::new(),
        validation_rows: Vec::new(),
        files: Vec::new(),
        notes: Vec::new(),
    }
}

/// Pairs as neighbouring examples, the chosen answer first; of both only the answer counts.
pub(super) fn read_pairs(
    config: &TrainConfig,
    codec: &Codec,
    files: [&[PathBuf]; 2],
) -> Result<Dataset> {
    let (train, held) = split(config, files, crate::data::read_pairs, |pair| &pair.chosen)?;
    let overlap = shared(&train, &held, |pair| &pair.chosen);
    let mut tokenize = Tokenize::new(config, codec)?;
    let mut encode = |what: &str, pairs: Vec<Pair>| -> Result<(Vec<Example>, Counts)> {
        let both = |pair: Pair| [pair.chosen, pair.rejected];
        let rows: Vec<Row> = pairs.into_iter().flat_map(both).collect();
        gather(what, comparable(codec, &rows, tokenize.rows(&rows)?)?)
    };
    let validation_rows = held.iter().map(|pair| pair.chosen.clone()).collect();
    let (train, train_counts) = encode("training pairs", train)?;
    let (validation, validation_counts) = match held.is_empty() {
        true => Default::default(),
        false => encode("held-out pairs", held)?,
    };
    let plan = Plan::pairs(config.batches(), &train);
    Ok(Dataset {
        validation_rows,
        files: files.concat(),
        notes: tokenize.into_notes(),
        ..counted(
            plan,
            (train, train_counts),
            (validation, validation_counts),
            overlap,
        )
    })
}

/// The encoded rows of pairs, with what the assistant said before the answer masked; both rows of a
/// pair are dropped where the cut at `max_length` leaves one of them without an answer, or leaves
/// the same of both.
fn comparable(codec: &Codec, rows: &[Row], encoded: Vec<Encoded>) -> Result<Vec<Encoded>> {
    let mut all = encoded;
    for (row, (example, _cut)) in rows.iter().zip(&mut all) {
        if let Some(example) = example {
            mask_prompt(codec, row, example)?;
        }
    }
    for pair in all.chunks_exact_mut(2) {
        let usable = match &*pair {
            [(Some(chosen), _), (Some(rejected), _)] => {
                chosen.supervised() > 0 && rejected.supervised() > 0 && chosen.ids != rejected.ids
            }
            _ => false,
        };
        if !usable {
            pair.iter_mut().for_each(|(example, _)| *example = None);
        }
    }
    Ok(all)
}

/// Takes the labels of earlier turns of the assistant away.
fn mask_prompt(codec: &Codec, row: &Row, example: &mut Example) -> Result<()> {
    if !row.prompt().iter().any(|turn| turn.role == "assistant") {
        return Ok(());
    }
    let prompt = codec.prompt_ids(row.prompt())?;
    let given = prompt.len().min(example.ids.len());
    if example.ids[..given] != prompt[..given] {
        let problem = "has earlier turns of the assistant, which the chat template writes in \
                       another way before an answer than before a question";
        return Err(Error::line(row.path.as_ref(), row.line, problem));
    }
    example.labels[..given].fill(IGNORE_INDEX);
    Ok(())
}

/// Questions: their prompts to be answered, and examples of right answers.
pub(super) fn read_asked(
    config: &TrainConfig,
    codec: &Codec,
    files: [&[PathBuf]; 2],
) -> Result<Dataset> {
    let (train, held) = split(config, files, crate::data::read_questions, |one| &one.row)?;
    let overlap = shared(&train, &held, |one| &one.row);
    let mut tokenize = Tokenize::new(config, codec)?;
    let (train, asked, _, train_counts) =
        questions(codec, &mut tokenize, "training questions", train)?;
    let (validation, held_out_asked, validation_rows, validation_counts) = match held.is_empty() {
        true => Default::default(),
        false => questions(codec, &mut tokenize, "held-out questions", held)?,
    };
    let plan = Plan::new(config.batches(), &train);
    Ok(Dataset {
        asked,
        held_out_asked,
        validation_rows,
        files: files.concat(),
        notes: tokenize.into_notes(),
        ..counted(
            plan,
            (train, train_counts),
            (validation, validation_counts),
            overlap,
        )
    })
}

/// Examples, what is asked and rows of the same questions, one for one; and what became of all.
type Questions = (Vec<Example>, Vec<Asked>, Vec<Row>, Counts);

fn questions(
    codec: &Codec,
    tokenize: &mut Tokenize,
    what: &str,
    all: Vec<Question>,
) -> Result<Questions> {
    let rows: Vec<Row> = all.iter().map(|one| one.row.clone()).collect();
    let encoded = tokenize.rows(&rows)?;
    let (mut asked, mut kept) = (Vec::new(), Vec::new());
    for (question, (example, _cut)) in all.into_iter().zip(&encoded) {
        // A prompt that fills `max_length` leaves no room for an answer either.
        if example.is_some() {
            asked.push(Asked {
                prompt: codec.prompt_ids(question.row.prompt())?,
                check: question.check,
            });
            kept.push(question.row);
        }
    }
    let (examples, counts) = gather(what, encoded)?;
    Ok((examples, asked, kept, counts))
}
