//! `deeper train --gradients FILE`: the gradients of a run's first step, to compare implementations,
//! or several processes with one.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use llm_show::Screen;
use llm_show::number::{count, number};
use llm_store::safetensors::write_file;
use llm_train::config::TrainConfig;
use llm_train::processes::Processes;
use llm_train::step::Gradients;

use super::{TrainArgs, open, watch};

/// Computes them in all processes; the first one writes them.
pub(super) fn run(
    args: &TrainArgs,
    config: TrainConfig,
    file: &Path,
    processes: &Processes,
    screen: &mut Screen,
) -> Result<()> {
    let config = TrainConfig {
        resume_from: None,
        sweep: None,
        ..config
    };
    let mut session = open(config, processes)?;
    watch::plan(&mut session, args.sabotage, &args.allow)?;
    let gradients = session.gradients()?;
    if processes.lead(|| write(file, &gradients))?.is_none() {
        return Ok(());
    }
    screen.line(&format!("loss     {}", number(gradients.loss)));
    screen.line(&format!(
        "norm     {}",
        number(gradients.norm / gradients.factor)
    ));
    screen.line(&format!("tensors  {}", count(gradients.sums.len() as u64)));
    Ok(())
}

fn write(file: &Path, gradients: &Gradients) -> llm_train::Result<()> {
    let mut tensors = BTreeMap::new();
    for (name, sum) in &gradients.sums {
        tensors.insert(name.clone(), (sum * (1.0 / gradients.factor))?);
    }
    Ok(write_file(file, &tensors, &BTreeMap::new())?)
}
