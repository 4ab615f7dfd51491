//! What a run's folder holds, and how it begins or goes on.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::Session;
use crate::Result;
use crate::checkpoint::{CONFIG_FILE, Checkpoints, set_aside};
use crate::config::TrainConfig;
use crate::logs::{copy_log, cut_log};
use crate::resume::PROCESSES;
use crate::runs::{DATA_FILE, RunFolder, environment, file_hashes};

/// Files of a tokenizer folder that a trained model needs beside it.
const TOKENIZER_FILES: [&str; 6] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

impl Session {
    /// Ends the logs of a run that goes on at its checkpoint, or begins a new run's logs with those
    /// of the run that its checkpoint is from.
    pub(super) fn prepare_logs(&self, run: &RunFolder, step: u64) -> Result<()> {
        let Some(start) = &self.start else {
            return Ok(());
        };
        if start.in_place && run.resumed {
            start.damaged.iter().try_for_each(set_aside)?;
            let mut logs = run.logs().into_iter();
            return logs.try_for_each(|log| cut_log(&log, step));
        }
        let Some(source) = &start.run else {
            return Ok(());
        };
        for log in run.logs() {
            if let Some(name) = log.file_name() {
                copy_log(&source.join(name), &log, step)?;
            }
        }
        Ok(())
    }

    /// What a resumed run must share with the one that it goes on from.
    pub(super) fn facts(&self) -> Result<&Map<String, Value>> {
        if let Some(facts) = self.facts.get() {
            return Ok(facts);
        }
        let base = match &self.base {
            Some(folder) => json!(llm_store::hash::folder_digest(folder)?),
            None => Value::Null,
        };
        let data = file_hashes(&self.dataset.files)?;
        let tokenizer = file_hashes(&self.tokenizer_files())?;
        let facts = Map::from_iter([
            ("data".to_owned(), data),
            ("tokenizer".to_owned(), tokenizer),
            ("base".to_owned(), base),
        ]);
        Ok(self.facts.get_or_init(|| facts))
    }

    pub(super) fn tokenizer_files(&self) -> Vec<PathBuf> {
        let beside = TOKENIZER_FILES
            .iter()
            .map(|name| self.tokenizer_folder.join(name));
        beside.filter(|path| path.exists()).collect()
    }

    pub(super) fn start_folder(&self, run: &RunFolder, step: u64) -> Result<Checkpoints> {
        let mut facts = self.facts()?.clone();
        let size = self.processes.size();
        if size > 1 {
            facts.insert(PROCESSES.to_owned(), json!(size));
        }
        // Without where it goes on from: a resumed run is the run itself, to the last byte.
        let config = TrainConfig {
            resume_from: None,
            ..self.config.clone()
        };
        let config = config.to_yaml()?;
        run.write(CONFIG_FILE, &config)?;
        let mut environment = environment(&format!("{:?}", self.device.location()));
        environment["dtype"] = json!(self.model.dtype().as_str());
        environment["first_step"] = json!(step + 1);
        run.write_json("env.json", &environment)?;
        let report = json!({ "files": facts, "rows": self.dataset.report });
        run.write_json(DATA_FILE, &report)?;
        Ok(Checkpoints {
            folder: run.checkpoints(),
            config,
            facts,
            keep: self.config.save_total_limit,
            resumed: run.resumed.then_some(step),
        })
    }
}
