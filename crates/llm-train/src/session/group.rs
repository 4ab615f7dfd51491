//! Whether processes can share a session, and whether all have opened the same one.

use candle_core::Device;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Session;
use crate::config::TrainConfig;
use crate::processes::Processes;
use crate::resume::{computed, fingerprints};
use crate::runs::environment;
use crate::{Error, Result};

/// Fails where several processes would share a method that is for one: the measures of answers are
/// not summed over processes, and answers are drawn by one.
pub(super) fn check_method(config: &TrainConfig, processes: &Processes) -> Result<()> {
    if processes.is_alone() || config.learns_tokens() {
        return Ok(());
    }
    let method = format!("{:?}", config.method).to_lowercase();
    let size = processes.size();
    let problem = format!(
        "is {method}, which is for one process, not for {size}: start deeper without a launcher"
    );
    Err(Error::input("`method`", problem))
}

impl Session {
    /// Fails in every process unless all would compute the same: each on its share.
    pub(super) fn check_group(&self) -> Result<()> {
        if self.processes.is_alone() {
            return Ok(());
        }
        let same = self.processes.agree(self.what_is_same())?;
        for (what, value) in same {
            let digest = Sha256::digest(value.to_string());
            self.processes.check_same(what, digest.into())?;
        }
        Ok(())
    }

    /// What must not differ between processes, by name.
    fn what_is_same(&self) -> Result<[(&'static str, Value); 5]> {
        let here = environment("");
        let start = self.start.as_ref();
        let checkpoint = start.and_then(|start| start.checkpoint.as_ref());
        let checkpoint = checkpoint.and_then(|path| path.file_name()?.to_str());
        let device = match &self.device {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        };
        Ok([
            // With other instructions the last bits differ, and the weights would drift apart.
            (
                "program and instruction set",
                json!([here["program"], here["instructions"]]),
            ),
            ("the kinds of device", json!(device)),
            ("the settings", json!(computed(&self.config))),
            ("the files", json!(fingerprints(self.facts()?))),
            ("the checkpoint to go on from", json!(checkpoint)),
        ])
    }
}
