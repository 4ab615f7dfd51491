//! Finished evaluations side by side: each number with its interval, and the difference to the
//! first one with the interval of the paired rows.

use std::path::{Path, PathBuf};

use super::record::{self, Record};
use super::report::{Metric, Report};
use super::results::{FORMAT_VERSION, METRICS_FILE, PREDICTIONS_FILE};
use crate::bootstrap::{Interval, Part, RESAMPLES, interval, paired_difference};
use crate::{Error, Result};

/// A results file larger than this is not one.
const LARGEST_BYTES: u64 = 1 << 26;

/// A finished evaluation, read back.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its folder.
    pub folder: PathBuf,
    /// Its numbers.
    pub report: Report,
    records: Vec<Record>,
}

impl Finished {
    /// Reads a result folder.
    ///
    /// # Errors
    /// An evaluation that is not finished, or files of something else.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(METRICS_FILE);
        if !path.is_file() {
            let problem = "has no metrics.json, expected the folder of a finished evaluation";
            return Err(Error::file(folder, problem));
        }
        let size = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
        if size > LARGEST_BYTES {
            return Err(Error::file(
                &path,
                format!("has {size} bytes, too many for results"),
            ));
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let report: Report = serde_json::from_str(&text).map_err(|error| {
            let problem = format!("is not the result of an evaluation ({error})");
            Error::file(&path, problem)
        })?;
        if report.format_version != FORMAT_VERSION {
            let version = report.format_version;
            let problem = format!("has format version {version}, expected {FORMAT_VERSION}");
            return Err(Error::file(&path, problem));
        }
        let records = record::read(&folder.join(PREDICTIONS_FILE), false)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            report,
            records,
        })
    }
}

/// One number of one evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Which number.
    pub metric: Metric,
    /// Which evaluation, in the order given.
    pub evaluation: usize,
    /// Its value and interval.
    pub own: Interval,
    /// Its difference to the first evaluation; `None` for the first itself.
    pub difference: Option<Interval>,
}

/// Every number that all of `evaluations` have.
///
/// # Errors
/// Fewer than one evaluation, or evaluations of other tasks, data or rows than the first one's.
pub fn compare(evaluations: &[Finished], seed: u64) -> Result<Vec<Compared>> {
    let Some(first) = evaluations.first() else {
        return Err(Error::input(
            "--compare",
            "names no folder, expected one or more",
        ));
    };
    for other in evaluations {
        same_questions(first, other)?;
    }
    let mut table = Vec::new();
    for metric in Metric::ALL {
        let parts = paired(evaluations, metric);
        let Some(base) = parts.first().filter(|parts| !parts.is_empty()) else {
            continue;
        };
        for (evaluation, own) in parts.iter().enumerate() {
            let difference = match evaluation {
                0 => None,
                _ => Some(paired_difference(base, own, RESAMPLES, seed)?),
            };
            table.push(Compared {
                metric,
                evaluation,
                own: interval(own, RESAMPLES, seed)?,
                difference,
            });
        }
    }
    Ok(table)
}

/// The parts of the rows that every evaluation has a value for, in the same order.
fn paired(evaluations: &[Finished], metric: Metric) -> Vec<Vec<Part>> {
    let all: Vec<Vec<Option<Part>>> = evaluations
        .iter()
        .map(|one| {
            one.records
                .iter()
                .map(|record| metric.part(record))
                .collect()
        })
        .collect();
    let rows = all.first().map_or(0, Vec::len);
    let whole = |row: &usize| all.iter().all(|one| matches!(one.get(*row), Some(Some(_))));
    let kept: Vec<usize> = (0..rows).filter(whole).collect();
    all.iter()
        .map(|one| {
            kept.iter()
                .filter_map(|&row| one.get(row).copied().flatten())
                .collect()
        })
        .collect()
}

fn same_questions(first: &Finished, other: &Finished) -> Result<()> {
    let differ = |what: &str| {
        let first = first.folder.display();
        let problem = format!("{what} than {first}, so that their rows cannot be paired");
        Err(Error::file(&other.folder, problem))
    };
    if first.report.task != other.report.task {
        return differ("has another task");
    }
    if first.report.data_digest != other.report.data_digest {
        return differ("has other data");
    }
    let questions =
        |one: &Finished| -> Vec<usize> { one.records.iter().map(|r| r.index).collect() };
    if questions(first) != questions(other) {
        return differ("has other rows");
    }
    Ok(())
}
