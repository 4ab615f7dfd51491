//! `deeper data`: what is wrong with rows, and what to do about it before training.

mod check;
mod clean;
mod dedup;
mod floor;
mod labels;
mod split;
mod synth;
mod tokenizer;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::{Args, Subcommand};
use llm_show::{Complaint, LookArgs, Weather};
use llm_train::config::PromptStyle;
use llm_train::data::find_files;
use llm_train::prompt::Codec;
use llm_train::quality::{Entries, Entry, Input, Part};

/// Check rows, clean, deduplicate and divide them, and see which tokens are learnt
///
/// Rows are lines of JSON: {"prompt", "completion"}, {"messages"}, {"instruction", "input",
/// "output"} or {"text"}. Files are read as a stream; a million rows need no more memory than their
/// hashes.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  deeper data check --data train.jsonl --held valid.jsonl\n  \
deeper data split --data all.jsonl --out parts\n  deeper data labels --data train.jsonl \
--model path/to/model"
)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Check(check::CheckArgs),
    Clean(clean::CleanArgs),
    Dedup(dedup::DedupArgs),
    Split(split::SplitArgs),
    Labels(labels::LabelsArgs),
    Synth(synth::SynthArgs),
    Tokenizer(tokenizer::TokenizerArgs),
    Floor(floor::FloorArgs),
}

/// What all of them share.
#[derive(Args, Debug)]
struct Shared {
    #[command(flatten)]
    look: LookArgs,
    /// A file, a folder of .jsonl files, or a pattern with * and ? (in quotes); may be repeated
    #[arg(long, value_name = "GLOB", required = true)]
    data: Vec<PathBuf>,
}

impl DataArgs {
    /// The look flags, wherever they were given.
    pub(crate) fn look(&self) -> LookArgs {
        match &self.action {
            Action::Check(args) => args.shared.look,
            Action::Clean(args) => args.shared.look,
            Action::Dedup(args) => args.shared.look,
            Action::Split(args) => args.shared.look,
            Action::Labels(args) => args.shared.look,
            Action::Synth(args) => args.look,
            Action::Tokenizer(args) => args.look,
            Action::Floor(args) => args.look,
        }
    }
}

/// Runs the verb and returns the exit code.
pub(crate) fn run(args: &DataArgs) -> Result<u8> {
    match &args.action {
        Action::Check(args) => check::run(args)?,
        Action::Clean(args) => clean::run(args)?,
        Action::Dedup(args) => dedup::run(args)?,
        Action::Split(args) => split::run(args)?,
        Action::Labels(args) => labels::run(args)?,
        Action::Synth(args) => synth::run(args)?,
        Action::Tokenizer(args) => tokenizer::run(args)?,
        Action::Floor(args) => floor::run(args)?,
    }
    Ok(0)
}

/// The files that paths and patterns mean, each once.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        for file in find_files(path, "*.jsonl")? {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// The files of `--data`, of which every row has to be a line.
fn line_inputs(shared: &Shared) -> Result<Vec<Input>> {
    let files = files(&shared.data)?;
    let is_lines = |file: &&PathBuf| {
        let end = file.extension();
        end.is_some_and(|end| end == "jsonl" || end == "ndjson")
    };
    if let Some(file) = files.iter().find(|file| !is_lines(file)) {
        let problem = format!(
            "{}: expected lines of JSON, in a file .jsonl",
            file.display()
        );
        let hint = "`deeper convert` makes them of other formats";
        return Err(Complaint::new(problem).hint(hint).into());
    }
    Ok(Input::all(Part::Train, files))
}

/// The tokenizer and prompt format of a model, as training uses them.
fn codec(model: &str, style: PromptStyle) -> Result<Codec> {
    Ok(Codec::open(&llm_hub::resolve(model)?, style)?)
}

/// Refuses to write over a file, unless `force` says so and it is none of the files to read.
fn writable(out: &Path, inputs: &[Input], force: bool) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    let same = |other: &Arc<PathBuf>| {
        let (own, other) = (out.canonicalize(), other.canonicalize());
        own.is_ok_and(|own| other.is_ok_and(|other| own == other))
    };
    let (problem, hint) = if inputs.iter().any(|input| same(&input.path)) {
        ("is one of the files to read", "name another file")
    } else if force {
        return Ok(());
    } else {
        ("exists", "--force replaces it; or name another file")
    };
    let problem = format!("{}: {problem}, expected a new file", out.display());
    Err(Complaint::new(problem).hint(hint).into())
}

/// Shows how far a reading is.
fn progress<'w>(weather: &'w mut Weather<'static>) -> impl FnMut(&str, u64, u64) + 'w {
    move |what, done, total| weather.progress(what, done, total)
}

/// Writes lines to `path`: what `line` makes of each row and its number, where it makes anything.
fn write_lines(
    path: &Path,
    inputs: &[Input],
    line: impl FnMut(u32, &Entry) -> llm_train::Result<Option<Vec<u8>>>,
) -> Result<usize> {
    let mut lines = LineWriter::new(path, inputs, line);
    let result = llm_store::atomic::write_with(path, |file| lines.write(file));
    lines.finish(result)
}

/// Copies rows into a file, and remembers an error that is none of the file's own.
struct LineWriter<'p, F> {
    path: &'p Path,
    inputs: &'p [Input],
    line: F,
    written: usize,
    failure: Option<llm_train::Error>,
}

impl<'p, F: FnMut(u32, &Entry) -> llm_train::Result<Option<Vec<u8>>>> LineWriter<'p, F> {
    fn new(path: &'p Path, inputs: &'p [Input], line: F) -> Self {
        Self {
            path,
            inputs,
            line,
            written: 0,
            failure: None,
        }
    }

    fn write(&mut self, file: &mut dyn Write) -> llm_store::Result<()> {
        let fail = |source| llm_store::Error::Io {
            path: self.path.to_path_buf(),
            action: "writing",
            source,
        };
        for (row, entry) in (0..u32::MAX).zip(Entries::new(self.inputs)) {
            match entry.and_then(|entry| (self.line)(row, &entry)) {
                Ok(None) => {}
                Ok(Some(mut bytes)) => {
                    bytes.push(b'\n');
                    file.write_all(&bytes).map_err(fail)?;
                    self.written += 1;
                }
                Err(error) => {
                    self.failure = Some(error);
                    return Err(fail(std::io::Error::other("a row could not be used")));
                }
            }
        }
        Ok(())
    }

    /// The number of lines, or what went wrong.
    fn finish(self, result: llm_store::Result<()>) -> Result<usize> {
        match self.failure {
            Some(error) => Err(error.into()),
            None => Ok(result.map(|()| self.written)?),
        }
    }
}
