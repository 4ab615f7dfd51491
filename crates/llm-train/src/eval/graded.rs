//! Exchanges of the closed world whose answers a rule grades: the `tasks.jsonl` of
//! `deeper data synth`.

use std::path::{Path, PathBuf};

use super::choice::{Kind, Question};
use super::lines;
use super::material::asked;
use super::record::Record;
use super::run::Evaluation;
use crate::synth::{Task, grade};
use crate::{Error, Result};

/// The tasks of all files that `path` and `pattern` mean, grouped by what is asked for.
///
/// # Errors
/// Files that cannot be found or read, or a line that is not a task.
pub(super) fn read(path: &Path, pattern: &str) -> Result<(Vec<Question>, Vec<PathBuf>)> {
    let (lines, files) = lines::read::<Task>(path, pattern, "a task of `deeper data synth`")?;
    let question = |line: lines::Line<Task>| Question {
        place: line.place(),
        group: Some(format!("{}: {}", line.value.domain.name(), line.value.kind)),
        asked: asked(&line.value.prompt),
        context: asked(&line.value.prompt),
        kind: Kind::Graded(Box::new(line.value)),
    };
    let questions: Vec<Question> = lines.into_iter().map(question).collect();
    match questions.is_empty() {
        true => Err(Error::file(path, "holds no task")),
        false => Ok((questions, files)),
    }
}

/// Asks one task, in the model's own form of a conversation.
pub(super) fn ask(evaluation: &Evaluation, task: &Task, record: &mut Record) -> Result<()> {
    record.reference.clone_from(&task.reference);
    let prompt = evaluation.subject.codec.prompt_ids(&task.prompt)?;
    record.prompt_tokens = prompt.len();
    evaluation.answer(record, &prompt, &[])?;
    record.correct = Some(grade(task, &record.prediction));
    Ok(())
}
