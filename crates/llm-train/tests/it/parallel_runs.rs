//! Whole runs that several processes share: the run of one process, the same weights everywhere,
//! stopping and going on together. The processes are threads that talk over TCP.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use llm_store::hash::{folder_digest, sha256_file};
use llm_train::checkpoint::{OPTIMIZER_FILE, PARAMETERS_FILE};
use llm_train::config::{Method, TrainConfig};
use llm_train::finetune::{Measure, finetune, follow};
use llm_train::observe::{Callback, End, Event, LogRow, MetricsFile, Observer, Outcome};
use llm_train::processes::{Processes, digest};
use llm_train::runs::RunFolder;
use llm_train::session::Session;

use crate::kit::Kit;
use crate::processes::among;

/// Losses of a few steps whose gradients were added up in another order.
const CLOSE: f64 = 1e-4;

/// What one process saw of a run.
struct Seen {
    outcome: Outcome,
    weights: [u8; 32],
    /// The folder, in the process that writes.
    folder: Option<PathBuf>,
}

/// Trains in this process; the last of them asks to stop after `stop_after` steps.
fn train(kit: &Kit, config: &TrainConfig, processes: &Processes, stop_after: Option<u64>) -> Seen {
    let reopened = processes.lead(|| match &config.resume_from {
        Some(path) if path.join("checkpoints").is_dir() => RunFolder::reopen(path).map(Some),
        _ => Ok(None),
    });
    let session = Session::open_among(config.clone(), Some(&kit.base()), processes).unwrap();
    let run = processes.lead(|| match reopened.unwrap().flatten() {
        Some(run) => Ok(run),
        None => RunFolder::create(&config.output_dir, "test", UNIX_EPOCH),
    });
    let run = run.unwrap();
    let stop = AtomicBool::new(false);
    let mut raise = Callback(|event: &Event| {
        let last = processes.rank() + 1 == processes.size();
        if matches!(event, Event::Stepped(report) if last && Some(report.step) == stop_after) {
            stop.store(true, Ordering::SeqCst);
        }
    });
    let mut file = run
        .as_ref()
        .map(|run| MetricsFile::append(&run.metrics()).unwrap());
    let mut observers: Vec<&mut dyn Observer> = vec![&mut raise];
    if let Some(file) = &mut file {
        observers.push(file);
    }
    let outcome = session.train(run.as_ref(), &mut observers, Some(&stop));
    Seen {
        outcome: outcome.unwrap(),
        weights: digest(&session.parameters).unwrap(),
        folder: run.map(|run| run.path),
    }
}

fn together(kit: &Kit, config: &TrainConfig, size: usize, stop_after: Option<u64>) -> Seen {
    let mut all = among(size, |processes| train(kit, config, processes, stop_after));
    for other in &all[1..] {
        assert_eq!(other.weights, all[0].weights, "all end with the same bits");
        assert!(other.folder.is_none());
        let seconds = all[0].outcome.seconds;
        let outcome = other.outcome.clone();
        assert_eq!(Outcome { seconds, ..outcome }, all[0].outcome);
    }
    all.remove(0)
}

fn checkpoint(run: &Path, step: u64) -> PathBuf {
    run.join("checkpoints")
        .join(llm_train::checkpoint::folder_name(step))
}

fn rows(run: &Path) -> Vec<LogRow> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Windows of two micro-batches of two rows: each of two processes computes one of them.
#[test]
fn where_shares_are_micro_batches_the_run_is_that_of_one_process_to_the_last_bit() {
    for method in [Method::Lora, Method::Full, Method::Prompt] {
        let kit = Kit::new(true);
        let config = TrainConfig {
            method,
            num_virtual_tokens: 5, // of a context of 64
            ..kit.config(&kit.rows())
        };
        let alone = train(&kit, &config, &Processes::alone(), None);
        let shared = together(&kit, &config, 2, None);
        assert_eq!(shared.weights, alone.weights, "{method:?}, with dropout");
        assert_eq!(shared.outcome.steps, alone.outcome.steps);
        assert_eq!(shared.outcome.best_val, alone.outcome.best_val);
        let [one, two] = [alone, shared].map(|seen| checkpoint(&seen.folder.unwrap(), 6));
        assert_eq!(folder_digest(&two).unwrap(), folder_digest(&one).unwrap());
    }
}

#[test]
fn three_processes_train_as_one_does_in_every_way_to_make_batches() {
    let kit = Kit::new(true);
    for batching in ["dynamic", "fixed", "bucketed", "packed"] {
        let config = TrainConfig {
            lora_dropout: 0.0,
            batching: serde_json::from_value(batching.into()).unwrap(),
            pad_to_multiple_of: 8,
            adam_epsilon: 1e-3, // signs of almost nothing decide over nothing
            early_stopping_patience: Some(2),
            lr: 0.02,
            ..kit.config(&kit.rows())
        };
        let alone = train(&kit, &config, &Processes::alone(), None);
        let shared = together(&kit, &config, 3, None);
        let ended = |seen: &Seen| (seen.outcome.end, seen.outcome.steps);
        assert_eq!(ended(&shared), ended(&alone), "{batching}");
        let [one, three] = [alone, shared].map(|seen| rows(&seen.folder.unwrap()));
        assert_eq!(one.len(), three.len());
        for (one, three) in one.iter().zip(&three) {
            let gap = (one.loss - three.loss).abs();
            let gap = gap.max((one.val.unwrap_or(0.0) - three.val.unwrap_or(0.0)).abs());
            assert!(gap <= CLOSE, "{batching}, step {}: {gap:e}", one.step);
            assert_eq!((one.lr, one.epoch), (three.lr, three.epoch));
        }
    }
}

#[test]
fn one_process_that_is_asked_to_stop_stops_all_and_they_go_on_together() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        batch_size: 5, // shares of three and two rows, which are no whole micro-batches
        gradient_accumulation_steps: 1,
        ..kit.config(&kit.rows())
    };
    let whole = together(&kit, &config, 2, None);
    let last = whole.outcome.steps;
    let want = folder_digest(&checkpoint(&whole.folder.unwrap(), last)).unwrap();
    let stopped = together(&kit, &config, 2, Some(1));
    assert_eq!(
        (stopped.outcome.end, stopped.outcome.steps),
        (End::Interrupted, 1)
    );
    let path = stopped.folder.unwrap();
    assert!(checkpoint(&path, 1).join("manifest.json").is_file());
    let from = |resume_from: PathBuf| TrainConfig {
        resume_from: Some(resume_from),
        ..config.clone()
    };
    // Another number of processes adds up in another order: not the same run.
    let error = Session::open(from(path.clone()), Some(&kit.base())).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let text = error.to_string();
    assert!(text.contains("had 2 processes and now has 1"), "{text}");
    let refused = among(3, |processes| {
        let session = Session::open_among(from(path.clone()), Some(&kit.base()), processes);
        session.unwrap_err().to_string()
    });
    assert!(
        refused.iter().all(|text| text.contains("and now has 3")),
        "{refused:?}"
    );
    let again = together(&kit, &from(path.clone()), 2, None);
    assert_eq!(
        (again.outcome.end, again.outcome.steps),
        (End::Completed, last)
    );
    assert_eq!(again.folder.as_ref(), Some(&path));
    assert_eq!(folder_digest(&checkpoint(&path, last)).unwrap(), want);
    assert_eq!(
        rows(&path).len() as u64,
        last,
        "no step is missing or stands twice"
    );
    // A new run from a checkpoint may have any number.
    let branch = train(&kit, &from(checkpoint(&path, 1)), &Processes::alone(), None);
    assert_eq!(branch.outcome.steps, last);
    assert_ne!(branch.folder, Some(path));
}

#[test]
fn the_first_process_measures_answers_and_writes_and_the_others_follow() {
    let kit = Kit::new(true);
    let config = kit.config(&kit.rows());
    let measure = Measure {
        answers: 2,
        max_new_tokens: 4,
    };
    let report = |run: &Path| std::fs::read_to_string(run.join("samples.jsonl")).unwrap();
    let alone = || {
        let session = Session::open(config.clone(), Some(&kit.base())).unwrap();
        let run = RunFolder::create(&config.output_dir, "alone", UNIX_EPOCH).unwrap();
        let found = finetune(&session, &run, measure, &mut [], None, |_| {}).unwrap();
        (found.loss, report(&run.path), run.path)
    };
    let (loss, answers, path) = alone();
    let shared = among(2, |processes| {
        let session = Session::open_among(config.clone(), Some(&kit.base()), processes).unwrap();
        if !processes.leads() {
            follow(&session, None).unwrap();
            return None;
        }
        let run = RunFolder::create(&config.output_dir, "shared", UNIX_EPOCH).unwrap();
        let found = finetune(&session, &run, measure, &mut [], None, |_| {}).unwrap();
        Some((found.loss, run.path))
    });
    assert!(shared[1].is_none());
    let (shared_loss, run) = shared[0].as_ref().unwrap();
    assert_eq!(*shared_loss, loss);
    assert_eq!(report(run), answers);
    let weights = "model/adapter_model.safetensors";
    let [one, two] = [&path, run].map(|run| sha256_file(&run.join(weights)).unwrap());
    assert_eq!(one, two);
    for name in [PARAMETERS_FILE, OPTIMIZER_FILE] {
        let [one, two] =
            [&path, run].map(|run| sha256_file(&checkpoint(run, 6).join(name)).unwrap());
        assert_eq!(one, two, "{name}");
    }
}

#[test]
fn a_check_that_fails_in_the_first_process_ends_the_others() {
    let kit = Kit::new(true);
    let config = kit.config(&kit.rows());
    let errors = among(2, |processes| {
        let mut session =
            Session::open_among(config.clone(), Some(&kit.base()), processes).unwrap();
        let fault = llm_train::monitor::sabotage::Fault::LeakingSplit;
        llm_train::monitor::sabotage::plant(&mut session, fault).unwrap();
        let measure = Measure {
            answers: 0,
            max_new_tokens: 1,
        };
        let error = match processes.leads() {
            true => {
                let run = RunFolder::create(&config.output_dir, "x", UNIX_EPOCH).unwrap();
                finetune(&session, &run, measure, &mut [], None, |_| {}).unwrap_err()
            }
            false => follow(&session, None).unwrap_err(),
        };
        (error.exit_code(), error.to_string())
    });
    assert!(
        errors[0].1.starts_with("check `leaking-split`"),
        "{errors:?}"
    );
    assert!(
        errors[1].1.starts_with("process 0: check `leaking-split`"),
        "{errors:?}"
    );
    assert_eq!((errors[0].0, errors[1].0), (1, 1));
}

#[test]
fn processes_with_other_settings_or_data_do_not_begin() {
    let kit = Kit::new(true);
    let config = kit.config(&kit.rows());
    let other = kit.path("other.jsonl");
    let text = std::fs::read_to_string(kit.rows()).unwrap();
    std::fs::write(&other, text.replacen("us warm", "us dry!", 1)).unwrap();
    let refused = |change: &(dyn Fn(&mut TrainConfig) + Sync)| {
        let found = among(2, |processes| {
            let mut own = config.clone();
            if !processes.leads() {
                change(&mut own);
            }
            let opened = Session::open_among(own, Some(&kit.base()), processes);
            opened.unwrap_err().to_string()
        });
        assert!(found[1].starts_with("process 0: "), "{found:?}");
        found[0].clone()
    };
    let text = refused(&|config| config.lr = 1e-3);
    assert!(text.starts_with("the settings: process 1"), "{text}");
    let text = refused(&|config| config.seed = 9);
    assert!(text.starts_with("the settings: process 1"), "{text}");
    let text = refused(&|config| config.dataset_path = other.clone());
    assert!(text.starts_with("the settings: process 1"), "{text}");
    // What says only where and how often may differ.
    let free = among(2, |processes| {
        let mut own = config.clone();
        own.logging_steps += processes.rank() as u64;
        Session::open_among(own, Some(&kit.base()), processes).is_ok()
    });
    assert_eq!(free, [true, true]);
}

#[test]
fn methods_that_compare_answers_are_for_one_process() {
    let kit = Kit::new(true);
    let rows = kit.rows();
    for (method, name) in [(Method::Dpo, "dpo"), (Method::Grpo, "grpo")] {
        let found = among(2, |processes| {
            let config = TrainConfig {
                method,
                ..kit.config(&rows)
            };
            let opened = Session::open_among(config, Some(&kit.base()), processes);
            let error = opened.unwrap_err();
            (error.exit_code(), error.to_string())
        });
        let refusal = format!("`method`: is {name}, which is for one process, not for 2");
        assert!(found[0].1.starts_with(&refusal), "{found:?}");
        // The other one hears it.
        let heard = format!("process 0: {refusal}");
        assert!(found[1].1.starts_with(&heard), "{found:?}");
        assert_eq!((found[0].0, found[1].0), (2, 2));
    }
}
