//! A table of training data as a data frame: read, filter, group, join, split, write.
//!
//! A *data frame* holds a table by columns: one array for each, all values of one type, and a bit for
//! each value that says whether it is known. Questions about a column ("which scores are at least
//! 0.5?") run over one array; that is why this shape is used for data that trains models.
//!
//! ```
//! use lessons_basics_polars::{group_mean, prompts};
//! let means = group_mean(&prompts()?, "source", "score")?;
//! assert_eq!(means.column("mean")?.f64()?.get(1), Some((0.6 + 0.5) / 2.0)); // puzzles
//! # Ok::<(), polars::prelude::PolarsError>(())
//! ```

use std::collections::BTreeSet;
use std::io::Cursor;

use llm_show::{Cell, Complaint, Table};
use polars::prelude::*;

/// Ten prompts for a model, some without a score: what a file of training data looks like.
pub const PROMPTS_CSV: &str = include_str!("../data/prompts.csv");
/// Where prompts come from and under which licence.
const SOURCES_CSV: &str = include_str!("../data/sources.csv");
/// Text in a table is cut here, so that a row is a line.
const LONGEST_TEXT: usize = 33;

/// The ten prompts.
///
/// # Errors
/// Text that is no CSV.
pub fn prompts() -> PolarsResult<DataFrame> {
    Format::Csv.read(PROMPTS_CSV.as_bytes())
}

/// Their sources.
///
/// # Errors
/// Text that is no CSV.
pub fn sources() -> PolarsResult<DataFrame> {
    Format::Csv.read(SOURCES_CSV.as_bytes())
}

// ANCHOR: format
/// A form in which a frame lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text, one row a line. No types: each reader guesses them from the values.
    Csv,
    /// One JSON object a line, what training tools read. Names on every row, few types.
    JsonLines,
    /// Binary, by columns, compressed; keeps types, reads single columns.
    Parquet,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Csv, Self::JsonLines, Self::Parquet];

    /// The usual ending of file names.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
        }
    }

    /// The bytes of a file with this frame.
    ///
    /// # Errors
    /// A type that the format cannot hold.
    pub fn write(self, frame: &DataFrame) -> PolarsResult<Vec<u8>> {
        let (mut bytes, mut frame) = (Vec::new(), frame.clone()); // the columns are shared, not copied
        match self {
            Self::Csv => CsvWriter::new(&mut bytes).finish(&mut frame)?,
            Self::JsonLines => JsonWriter::new(&mut bytes)
                .with_json_format(JsonFormat::JsonLines)
                .finish(&mut frame)?,
            Self::Parquet => {
                ParquetWriter::new(&mut bytes).finish(&mut frame)?;
            }
        }
        Ok(bytes)
    }

    /// The frame in a file of these bytes.
    ///
    /// # Errors
    /// Bytes that are not of this format.
    pub fn read(self, bytes: &[u8]) -> PolarsResult<DataFrame> {
        let bytes = Cursor::new(bytes);
        match self {
            Self::Csv => CsvReader::new(bytes).finish(),
            Self::JsonLines => {
                JsonReader::new(bytes).with_json_format(JsonFormat::JsonLines).finish()
            }
            Self::Parquet => ParquetReader::new(bytes).finish(),
        }
    }
}
// ANCHOR_END: format

// ANCHOR: filter
/// The rows whose `column` of whole numbers is at least `limit`. An unknown value is not.
///
/// # Errors
/// No such column, or not of whole numbers.
pub fn at_least(frame: &DataFrame, column: &str, limit: i64) -> PolarsResult<DataFrame> {
    // A mask: one yes or no a row. Filtering is comparing a column and keeping the rows with a yes.
    let mask = frame.column(column)?.i64()?.gt_eq(limit);
    frame.filter(&mask)
}
// ANCHOR_END: filter

// ANCHOR: group
/// The mean of a column in each group of equal values in another: split, reduce, put together.
///
/// Groups stand in the order in which they first come; rows without a key are a group of their own.
/// Unknown values do not count, neither above nor below the fraction bar.
///
/// # Errors
/// No such column.
pub fn group_mean(frame: &DataFrame, by: &str, column: &str) -> PolarsResult<DataFrame> {
    let (mut rows, mut known, mut means) = (Vec::new(), Vec::new(), Vec::new());
    for group in frame.partition_by_stable([by], true)? {
        let values = group.column(column)?;
        rows.push(group.height() as u32);
        known.push((group.height() - values.null_count()) as u32);
        means.push(values.as_materialized_series().mean()); // None where nothing is known
    }
    let mut result = distinct(&frame.select([by])?, by)?;
    result.with_column(Series::new("rows".into(), rows).into())?;
    result.with_column(Series::new("known".into(), known).into())?;
    result.with_column(Series::new("mean".into(), means).into())?;
    Ok(result)
}
// ANCHOR_END: group

/// The mean of the known values of a column; NaN if nothing is known.
///
/// # Errors
/// No such column.
pub fn mean(frame: &DataFrame, column: &str) -> PolarsResult<f64> {
    let mean = frame.column(column)?.as_materialized_series().mean();
    Ok(mean.unwrap_or(f64::NAN))
}

/// The numbers of a column, unknown ones left out.
///
/// # Errors
/// No such column.
pub fn numbers(frame: &DataFrame, column: &str) -> PolarsResult<Vec<f64>> {
    let column = frame.column(column)?.cast(&DataType::Float64)?;
    Ok(column.f64()?.iter().flatten().collect())
}

/// Each value of one column as a word, with the number beside it in another; unknown numbers are
/// left out, an unknown word is `unknown`.
///
/// # Errors
/// No such column.
pub fn pairs(frame: &DataFrame, words: &str, numbers: &str) -> PolarsResult<Vec<(String, f64)>> {
    let words = frame.column(words)?.cast(&DataType::String)?;
    let numbers = frame.column(numbers)?.cast(&DataType::Float64)?;
    let rows = words.str()?.iter().zip(numbers.f64()?.iter());
    let known = rows.filter_map(|(word, number)| Some((word.unwrap_or("unknown"), number?)));
    Ok(known.map(|(word, number)| (word.to_owned(), number)).collect())
}

/// The frame `2^doublings` times, one copy below the other.
///
/// # Errors
/// Too many rows.
pub fn repeated(frame: &DataFrame, doublings: u32) -> PolarsResult<DataFrame> {
    let mut repeated = frame.clone();
    for _ in 0..doublings {
        repeated = repeated.vstack(&repeated)?;
    }
    repeated.rechunk_mut();
    Ok(repeated)
}

/// The number of rows and the name and type of each column, in one line.
pub fn schema(frame: &DataFrame) -> String {
    let columns = frame.columns().iter();
    let columns = columns.map(|column| format!("{} {}", column.name(), column.dtype()));
    format!("{} rows: {}", frame.height(), columns.collect::<Vec<_>>().join(", "))
}

/// The first row of each value of a column, in order.
///
/// # Errors
/// No such column.
pub fn distinct(frame: &DataFrame, column: &str) -> PolarsResult<DataFrame> {
    frame.unique_stable(Some(&[column.to_owned()]), UniqueKeepStrategy::First, None)
}

// ANCHOR: split
/// A train and a held-out part: every `nth` row is held out, whatever order it was written in.
///
/// # Errors
/// Rows that cannot be selected.
pub fn split(frame: &DataFrame, nth: usize) -> PolarsResult<[DataFrame; 2]> {
    let held: BooleanChunked = (1..=frame.height()).map(|row| row.is_multiple_of(nth)).collect();
    Ok([frame.filter(&!&held)?, frame.filter(&held)?])
}

/// How many texts stand in both parts: a model that is tested on them recites.
///
/// # Errors
/// No such column, or not of text.
pub fn shared(left: &DataFrame, right: &DataFrame, column: &str) -> PolarsResult<usize> {
    let texts = |frame: &DataFrame| -> PolarsResult<BTreeSet<String>> {
        let column = frame.column(column)?.str()?.iter();
        Ok(column.flatten().map(str::to_owned).collect())
    };
    Ok(texts(left)?.intersection(&texts(right)?).count())
}
// ANCHOR_END: split

/// A column that a flag names has to be there, and of numbers where it is averaged.
///
/// # Errors
/// What was expected: the columns that would do.
pub fn expect_column(
    frame: &DataFrame,
    flag: &str,
    name: &str,
    numeric: bool,
) -> Result<(), Complaint> {
    let columns = frame.columns().iter();
    let fitting = columns.filter(|column| !numeric || column.dtype().is_primitive_numeric());
    let fitting: Vec<&str> = fitting.map(|column| column.name().as_str()).collect();
    if fitting.contains(&name) {
        return Ok(());
    }
    let kind = if numeric { "a column of numbers" } else { "a column" };
    let problem = format!("{flag} is `{name}`, expected {kind}: {}", fitting.join(", "));
    let example = fitting.last().copied().unwrap_or_default();
    Err(Complaint::new(problem).hint(format!("{flag} {example}")))
}

/// A frame as a table for the screen: unknown values are `–`, long texts are cut.
///
/// # Errors
/// A row that cannot be read.
pub fn table(frame: &DataFrame) -> PolarsResult<Table> {
    let names: Vec<&str> = frame.get_column_names().iter().map(|name| name.as_str()).collect();
    let mut table = Table::new(&names);
    for row in 0..frame.height() {
        let cells = frame.columns().iter().map(|column| Ok(cell(&column.get(row)?)));
        table.push(cells.collect::<PolarsResult<Vec<Cell>>>()?);
    }
    Ok(table)
}

fn cell(value: &AnyValue) -> Cell {
    match value {
        AnyValue::Null => "–".into(),
        AnyValue::Float64(x) => (*x).into(),
        AnyValue::Int64(n) => Cell::number(n.to_string()),
        AnyValue::UInt32(n) => Cell::number(n.to_string()),
        other => {
            let text = other.get_str().map_or_else(|| other.to_string(), str::to_owned);
            match text.char_indices().nth(LONGEST_TEXT) {
                Some((end, _)) => format!("{}…", text[..end].trim_end()).into(),
                None => text.into(),
            }
        }
    }
}
