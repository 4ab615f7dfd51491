//! What does a table of data look like before it becomes numbers for a model?
//!
//! What you will see: ten prompts as a data frame: what is missing, how long they are, a second
//! table joined to them, means of groups, a split that leaks and one that does not, three formats.
//!
//! Reads: lessons/basics/polars/src/lib.rs, and data/prompts.csv beside it.
//! Try: `--by licence`, `--mean words`, `--min-words 5`, `--every 2`.

use clap::Args;
use lessons_basics_polars::{self as frames, Format};
use llm_show::{Cell, Histogram, Lesson, Table, svg};
use polars::prelude::{DataFrame, DataFrameJoinOps};

/// Sums of ten numbers in another order.
const CLOSE: f64 = 1e-12;

/// Own flags.
#[derive(Args)]
struct Own {
    /// Column whose equal values make a group
    #[arg(long, default_value = "source", value_name = "COLUMN")]
    by: String,
    /// Column of numbers that is averaged
    #[arg(long, default_value = "score", value_name = "COLUMN")]
    mean: String,
    /// Shortest prompt that the filter keeps, in words
    #[arg(long, default_value_t = 8, value_name = "N")]
    min_words: u8,
    /// Every Nth row is held out, 2 to 10
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=10))]
    every: u16,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let (prompts, sources) = (frames::prompts()?, frames::sources()?);
    let joined = prompts.left_join(&sources, ["source"], ["source"])?;
    frames::expect_column(&joined, "--by", &own.by, false)?;
    frames::expect_column(&joined, "--mean", &own.mean, true)?;

    lesson.step("A data frame holds a table by columns; each has a name and one type");
    lesson.say(&frames::schema(&prompts));
    lesson.show(&frames::table(&prompts)?);

    lesson.step("Unknown is not zero: a prompt without a score is not a bad prompt");
    let scores = frames::numbers(&prompts, "score")?;
    let (sum, mean) = (scores.iter().sum::<f64>(), frames::mean(&prompts, "score")?);
    lesson.say(&format!("{} of {} scores are known", scores.len(), prompts.height()));
    let with_zeros = sum / prompts.height() as f64;
    lesson.say(&format!("their mean is {mean:.4}; with 0 in the gaps it would be {with_zeros:.4}"));
    lesson.check("mean == sum / number of the known", mean - sum / scores.len() as f64, CLOSE);

    lesson.step(&format!("Filter: one yes or no for each row, here words >= {}", own.min_words));
    let words = frames::numbers(&prompts, "words")?;
    lesson.show(&Histogram::new("words", &words, (0.0, 24.0), 6));
    let kept = frames::at_least(&prompts, "words", own.min_words.into())?;
    lesson.show(&frames::table(&kept.select(["id", "words", "prompt"])?)?);
    let by_hand = words.iter().filter(|&&words| words >= f64::from(own.min_words)).count();
    lesson.check_equal("rows kept, counted by hand", &kept.height(), &by_hand);

    lesson.step("Join: a second table knows the licence; not every row is found in it");
    lesson.show(&frames::table(&sources)?);
    let inner = prompts.inner_join(&sources, ["source"], ["source"])?.height();
    let without = joined.column("licence")?.null_count();
    lesson.say(&format!("left join: {} rows, {without} without a licence", joined.height()));
    lesson.say(&format!("inner join: {inner} rows; the others are gone without a word"));
    lesson.check_equal("inner + without == all", &(inner + without), &prompts.height());

    groups(lesson, &joined, own)?;
    leaks(lesson, &prompts, own.every.into())?;
    formats(lesson, &prompts)
}

/// Step 5: one number a group.
fn groups(lesson: &mut Lesson, joined: &DataFrame, own: &Own) -> anyhow::Result<()> {
    lesson.step(&format!("Group by {}: split the rows, average {} in each", own.by, own.mean));
    let groups = frames::group_mean(joined, &own.by, &own.mean)?;
    lesson.show(&frames::table(&groups)?);
    let known = frames::numbers(&groups, "known")?.into_iter().filter(|&known| known > 0.0);
    let means = frames::numbers(&groups, "mean")?;
    let total: f64 = means.iter().zip(known).map(|(mean, known)| mean * known).sum();
    let apart = total - frames::numbers(joined, &own.mean)?.iter().sum::<f64>();
    lesson.check("means weighted by known == sum of all", apart, CLOSE);
    let bars = frames::pairs(&groups, &own.by, "mean")?;
    lesson.picture(|| svg::bars(&format!("Mean {} by {}", own.mean, own.by), &own.mean, &bars));
    Ok(())
}

/// Step 6: what a model has seen must not examine it.
fn leaks(lesson: &mut Lesson, prompts: &DataFrame, every: usize) -> anyhow::Result<()> {
    lesson.step("Split: a prompt that stands in both parts is an answer known before the exam");
    let unique = frames::distinct(prompts, "prompt")?;
    let mut table = Table::new(&["rows", "train", "held out", "prompts in both"]);
    let mut both = 0;
    for (name, frame) in [("as they are", prompts), ("without copies", &unique)] {
        let [train, held] = frames::split(frame, every)?;
        both = frames::shared(&train, &held, "prompt")?;
        table.row([name.into(), train.height().into(), held.height().into(), both.into()]);
    }
    lesson.show(&table);
    lesson.check_equal("in both, without copies", &both, &0);
    let forum = frames::group_mean(&unique, "source", "score")?;
    lesson.solution(frames::numbers(&forum, "mean")?[2], 1e-3);
    Ok(())
}

/// Step 7: the same frame as a file.
fn formats(lesson: &mut Lesson, prompts: &DataFrame) -> anyhow::Result<()> {
    lesson.step("Files: CSV keeps no types, JSONL repeats every name, Parquet keeps both once");
    let mut table = Table::new(&["format", "10 rows, bytes", "1,024 copies, bytes", "same frame"]);
    let large = frames::repeated(prompts, 10)?;
    for format in Format::ALL {
        let (bytes, many) = (format.write(prompts)?, format.write(&large)?);
        let same = format.read(&bytes)?.equals_missing(prompts);
        let verdict = Cell::from(if same { "yes" } else { "no" });
        table.row([format.ending().into(), bytes.len().into(), many.len().into(), verdict]);
    }
    lesson.show(&table);
    lesson.say("Copies are the extreme case: Parquet stores a value that comes again once.");
    let parquet = Format::Parquet.read(&Format::Parquet.write(prompts)?)?;
    let csv = Format::Csv.write(&parquet)? == frames::PROMPTS_CSV.as_bytes();
    lesson.check_that("CSV -> Parquet -> CSV", "the same bytes", csv);
    Ok(())
}
