//! The exercises: the list of them, and where their files are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use llm_show::Complaint;
use llm_show::cards::CARDS;
use serde::Deserialize;

use super::progress::Progress;

/// The list, from the root of the checkout.
const LIST: &str = "lessons/exercises/exercises.toml";

/// One exercise, as it stands in the list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exercise {
    /// The name of its files.
    pub id: String,
    /// The program of its lesson.
    pub lesson: String,
    /// The folder of its files.
    pub shelf: String,
    /// A few words.
    pub title: String,
    /// What helps.
    pub hint: String,
}

impl Exercise {
    /// Its file from the root of the checkout, with `/`.
    pub(crate) fn file(&self) -> String {
        format!("lessons/exercises/{}/{}.rs", self.shelf, self.id)
    }
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    exercise: Vec<Exercise>,
}

/// All exercises of a checkout.
pub(crate) struct Exercises {
    /// The root of the checkout.
    pub root: PathBuf,
    /// In the order of their lessons.
    pub all: Vec<Exercise>,
}

impl Exercises {
    /// Reads the list of the checkout around the current folder.
    pub(crate) fn load() -> Result<Self> {
        let root = super::root()?;
        let path = root.join(LIST);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let list: List = toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].lines().count().max(1));
            Complaint::new(format!("{}:{line}: {}", path.display(), error.message()))
        })?;
        let mut all = list.exercise;
        let place = |exercise: &Exercise| {
            CARDS
                .iter()
                .position(|card| card.binary == exercise.lesson)
                .unwrap_or(CARDS.len())
        };
        all.sort_by_key(place);
        Ok(Self { root, all })
    }

    /// The exercise called `id`.
    pub(crate) fn named(&self, id: &str) -> Result<&Exercise> {
        if let Some(exercise) = self.all.iter().find(|exercise| exercise.id == id) {
            return Ok(exercise);
        }
        let names = self.all.iter().map(|exercise| exercise.id.as_str());
        Err(super::unknown("exercise", id, names, &super::command("exercises")).into())
    }

    /// The first exercise that is not solved yet.
    pub(crate) fn unsolved(&self, progress: &Progress) -> Option<&Exercise> {
        self.all
            .iter()
            .find(|exercise| progress.solved(&exercise.id).is_none())
    }

    /// An exercise and the file to check: by its id, or by the path of a file that is named like
    /// it, such as its solution.
    pub(crate) fn file_of(&self, named: &str) -> Result<(&Exercise, PathBuf)> {
        let path = Path::new(named);
        if path.extension().is_some_and(|end| end == "rs") {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let exercise = self.named(&stem)?;
            // A path may be given from the current folder or, as on screen, from the root.
            let file = [path.to_path_buf(), self.root.join(path)]
                .into_iter()
                .find(|file| file.is_file())
                .ok_or_else(|| Complaint::new(format!("{named}: no such file")))?;
            return Ok((exercise, file));
        }
        let exercise = self.named(named)?;
        Ok((exercise, self.root.join(exercise.file())))
    }
}
