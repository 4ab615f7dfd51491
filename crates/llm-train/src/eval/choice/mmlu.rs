//! MMLU in its original layout: `test/<subject>_test.csv` and `dev/<subject>_dev.csv` below one
//! folder, rows of question, A, B, C, D and the right letter, without a header (Hendrycks et al.,
//! 2021, <https://arxiv.org/abs/2009.03300>).

use std::path::{Path, PathBuf};

use super::{Kind, Question};
use crate::{Error, Result};

/// The subjects, in alphabetical order.
pub const SUBJECTS: [&str; 57] = [
    "abstract_algebra",
    "anatomy",
    "astronomy",
    "business_ethics",
    "clinical_knowledge",
    "college_biology",
    "college_chemistry",
    "college_computer_science",
    "college_mathematics",
    "college_medicine",
    "college_physics",
    "computer_security",
    "conceptual_physics",
    "econometrics",
    "electrical_engineering",
    "elementary_mathematics",
    "formal_logic",
    "global_facts",
    "high_school_biology",
    "high_school_chemistry",
    "high_school_computer_science",
    "high_school_european_history",
    "high_school_geography",
    "high_school_government_and_politics",
    "high_school_macroeconomics",
    "high_school_mathematics",
    "high_school_microeconomics",
    "high_school_physics",
    "high_school_psychology",
    "high_school_statistics",
    "high_school_us_history",
    "high_school_world_history",
    "human_aging",
    "human_sexuality",
    "international_law",
    "jurisprudence",
    "logical_fallacies",
    "machine_learning",
    "management",
    "marketing",
    "medical_genetics",
    "miscellaneous",
    "moral_disputes",
    "moral_scenarios",
    "nutrition",
    "philosophy",
    "prehistory",
    "professional_accounting",
    "professional_law",
    "professional_medicine",
    "professional_psychology",
    "public_relations",
    "security_studies",
    "sociology",
    "us_foreign_policy",
    "virology",
    "world_religions",
];
const LETTERS: [&str; 4] = ["A", "B", "C", "D"];
/// Columns of a row: the question, four choices, the letter.
const COLUMNS: usize = 6;

/// One row of a file.
struct Row {
    question: String,
    choices: Vec<String>,
    gold: usize,
    place: String,
}

impl Row {
    /// The question with its choices, up to where the letter comes.
    fn asked(&self) -> String {
        let mut text = self.question.trim().to_owned();
        for (letter, choice) in LETTERS.iter().zip(&self.choices) {
            text.push_str(&format!("\n{letter}. {choice}"));
        }
        text.push_str("\nAnswer:");
        text
    }
}

/// The questions of `path`, with `shots` solved ones of the subject's `dev` file before each.
///
/// `path` is the folder above `test` and `dev`, or one subject's test file.
pub(super) fn read(
    path: &Path,
    shots: usize,
    partial: bool,
) -> Result<(Vec<Question>, Vec<PathBuf>)> {
    let tests = if path.is_file() {
        vec![(subject_of(path)?, path.to_path_buf())]
    } else {
        all_subjects(path, partial)?
    };
    let (mut questions, mut files) = (Vec::new(), Vec::new());
    for (subject, file) in tests {
        let mut before = format!(
            "The following are multiple choice questions (with answers) about {}.\n\n",
            subject.replace('_', " ")
        );
        files.push(file.clone());
        if shots > 0 {
            let dev = dev_file(&file, &subject);
            let solved = rows(&dev)?;
            if solved.len() < shots {
                let problem = format!("has {} rows, `shots` asks for {shots}", solved.len());
                return Err(Error::file(&dev, problem));
            }
            for row in solved.iter().take(shots) {
                let letter = LETTERS.get(row.gold).copied().unwrap_or_default();
                before.push_str(&format!("{} {letter}\n\n", row.asked()));
            }
            files.push(dev);
        }
        for row in rows(&file)? {
            let asked = row.asked();
            questions.push(Question {
                context: format!("{before}{asked}"),
                asked,
                group: Some(subject.clone()),
                kind: Kind::Choices(LETTERS.map(str::to_owned).to_vec(), row.gold),
                place: row.place,
            });
        }
    }
    Ok((questions, files))
}

/// The subject that a file's name says.
fn subject_of(path: &Path) -> Result<String> {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let subject = stem.strip_suffix("_test").unwrap_or(stem);
    if SUBJECTS.contains(&subject) {
        return Ok(subject.to_owned());
    }
    Err(Error::file(
        path,
        "is named after no subject of MMLU, expected <subject>_test.csv",
    ))
}

/// The test files of all subjects.
fn all_subjects(path: &Path, partial: bool) -> Result<Vec<(String, PathBuf)>> {
    let folder = path.join("test");
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for subject in SUBJECTS {
        let file = folder.join(format!("{subject}_test.csv"));
        match file.is_file() {
            true => found.push((subject.to_owned(), file)),
            false => missing.push(subject),
        }
    }
    match missing.first() {
        Some(first) if found.is_empty() || !partial => {
            let problem = format!(
                "has {} of {} subjects, {first}_test.csv is missing; set `limit` to ask a part",
                found.len(),
                SUBJECTS.len()
            );
            Err(Error::file(folder, problem))
        }
        _ => Ok(found),
    }
}

/// `dev/<subject>_dev.csv` beside the folder of `test`.
fn dev_file(test: &Path, subject: &str) -> PathBuf {
    let root = test
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("."));
    root.join("dev").join(format!("{subject}_dev.csv"))
}

fn rows(path: &Path) -> Result<Vec<Row>> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true) // a wrong number of columns is told in our words
        .from_reader(file);
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record =
            record.map_err(|error| Error::file(path, format!("row {}: {error}", index + 1)))?;
        let line = record.position().map_or(0, csv::Position::line);
        let fail =
            |problem: String| Error::line(path, usize::try_from(line).unwrap_or_default(), problem);
        let cells: Vec<String> = record.iter().map(str::to_owned).collect();
        let [question, a, b, c, d, letter] = cells.as_slice() else {
            return Err(fail(format!(
                "has {} columns, expected {COLUMNS}",
                cells.len()
            )));
        };
        let gold = LETTERS.iter().position(|known| *known == letter.trim());
        rows.push(Row {
            question: question.clone(),
            choices: [a, b, c, d].map(String::clone).to_vec(),
            gold: gold.ok_or_else(|| fail("ends in no letter of A to D".into()))?,
            place: format!("{}:{line}", path.display()),
        });
    }
    if rows.is_empty() {
        return Err(Error::file(path, "has no rows, expected at least one"));
    }
    Ok(rows)
}
