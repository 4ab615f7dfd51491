//! What a learner has done: a small JSON file in their data folder.
//!
//! `progress.json` under the folder that `DEEPER_DATA` names, or under `llm-deeper` in the system's
//! place for the data of a person. Nothing here may stop a lesson: what cannot be read or written
//! is a warning. A damaged file is moved aside, never overwritten; the file of a newer program is
//! left alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use llm_show::Weather;
use serde::{Deserialize, Serialize};

/// The version of the file that this program writes.
const VERSION: u32 = 1;
/// The environment variable that names the data folder.
const FOLDER: &str = "DEEPER_DATA";
const FILE: &str = "progress.json";

/// The file's contents: when each thing was done first, by its name.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Done {
    version: u32,
    #[serde(default)]
    lessons: BTreeMap<String, String>,
    #[serde(default)]
    exercises: BTreeMap<String, String>,
}

/// What was done so far, and where that is kept.
pub(crate) struct Progress {
    done: Done,
    /// None where nothing can be kept.
    file: Option<PathBuf>,
}

impl Progress {
    /// Reads the file; a missing one is an empty one.
    pub(crate) fn load(weather: &mut Weather) -> Self {
        let Some(file) = file() else {
            weather.warn(&format!(
                "no data folder for your progress; set {FOLDER} to one"
            ));
            return Self {
                done: Done::default(),
                file: None,
            };
        };
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Self {
                    done: Done::default(),
                    file: Some(file),
                };
            }
            // Not text, which is damage, or not readable, which is not.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => String::new(),
            Err(error) => {
                weather.warn(&format!(
                    "{}: {error}; your progress is not kept",
                    file.display()
                ));
                return Self {
                    done: Done::default(),
                    file: None,
                };
            }
        };
        // The version first: later ones may look different.
        let version = serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|value| value.get("version")?.as_u64());
        if version.is_some_and(|version| version > u64::from(VERSION)) {
            let name = file.display();
            weather.warn(&format!(
                "{name} is of a newer deeper; your progress is not kept"
            ));
            return Self {
                done: Done::default(),
                file: None,
            };
        }
        match serde_json::from_str::<Done>(&text) {
            Ok(done) => Self {
                done,
                file: Some(file),
            },
            Err(error) => {
                let kept = set_aside(&file, weather, &error.to_string());
                Self {
                    done: Done::default(),
                    file: kept.then_some(file),
                }
            }
        }
    }

    /// When the lesson ran first, as a date.
    pub(crate) fn ran(&self, binary: &str) -> Option<&str> {
        self.done.lessons.get(binary).map(|when| date(when))
    }

    /// When the exercise was solved first, as a date.
    pub(crate) fn solved(&self, id: &str) -> Option<&str> {
        self.done.exercises.get(id).map(|when| date(when))
    }

    /// Notes that a lesson ran.
    pub(crate) fn run(&mut self, binary: &str, weather: &mut Weather) {
        self.note(weather, |done| &mut done.lessons, binary);
    }

    /// Notes that an exercise is solved.
    pub(crate) fn solve(&mut self, id: &str, weather: &mut Weather) {
        self.note(weather, |done| &mut done.exercises, id);
    }

    fn note(
        &mut self,
        weather: &mut Weather,
        of: fn(&mut Done) -> &mut BTreeMap<String, String>,
        name: &str,
    ) {
        // Another terminal may have noted something since the file was read.
        *self = Self::load(weather);
        let Some(file) = &self.file else { return };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        of(&mut self.done)
            .entry(name.to_owned())
            .or_insert_with(|| llm_train::runs::stamp(now.as_secs()));
        self.done.version = VERSION;
        if let Err(problem) = write(file, &self.done) {
            weather.warn(&format!("{problem}; your progress is not kept"));
        }
    }
}

fn file() -> Option<PathBuf> {
    let own = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty());
    let folder = match own {
        Some(folder) => PathBuf::from(folder),
        None => dirs::data_dir()?.join("llm-deeper"),
    };
    Some(folder.join(FILE))
}

/// The day of a moment: `2026-01-31` of `2026-01-31_23-59-59`.
fn date(when: &str) -> &str {
    when.split('_').next().unwrap_or(when)
}

/// Moves a damaged file beside itself under a free name; false if that fails.
fn set_aside(file: &Path, weather: &mut Weather, problem: &str) -> bool {
    let free = (1..1000).map(|n| file.with_file_name(format!("progress.damaged-{n}.json")));
    let Some(copy) = free.into_iter().find(|copy| !copy.exists()) else {
        return false;
    };
    let (name, copy_name) = (file.display(), copy.display());
    match std::fs::rename(file, &copy) {
        Ok(()) => {
            weather.warn(&format!(
                "{name} is damaged ({problem}); kept as {copy_name}, starting anew"
            ));
            true
        }
        Err(error) => {
            weather.warn(&format!("{name} is damaged and cannot be moved: {error}"));
            false
        }
    }
}

fn write(file: &Path, done: &Done) -> Result<(), String> {
    let text = serde_json::to_string_pretty(done).map_err(|error| error.to_string())?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    llm_store::atomic::write_file(file, format!("{text}\n").as_bytes())
        .map_err(|error| error.to_string())
}
