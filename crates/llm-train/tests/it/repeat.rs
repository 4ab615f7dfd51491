//! One seed, one result: on any number of threads, in any process, stopped and resumed or not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use llm_core::kernels::pool::set_threads;
use llm_core::ops::Products;
use llm_train::checkpoint;
use llm_train::config::{Method, TrainConfig};
use llm_train::observe::{Callback, End, Event, Memory, Observer, Outcome};
use llm_train::runs::RunFolder;
use llm_train::session::Session;

use crate::kit::Kit;

const THREADS: &str = "LLM_TRAIN_TEST_THREADS";
/// Set where products round their sides to bf16.
const ROUNDED: &str = "LLM_TRAIN_TEST_ROUNDED";

fn train(
    kit: &Kit,
    config: &TrainConfig,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> (RunFolder, Outcome) {
    let session = Session::open(config.clone(), Some(&kit.base())).unwrap();
    let run = RunFolder::create(&config.output_dir, "test", UNIX_EPOCH).unwrap();
    let outcome = session
        .train(Some(&run), &mut [observer], Some(stop))
        .unwrap();
    (run, outcome)
}

/// The digest of the weights, moments and position of a checkpoint, settings left out.
fn digest(folder: &Path) -> Vec<String> {
    [
        checkpoint::PARAMETERS_FILE,
        checkpoint::OPTIMIZER_FILE,
        checkpoint::STATE_FILE,
    ]
    .map(|name| llm_store::hash::sha256_file(&folder.join(name)).unwrap())
    .to_vec()
}

/// Fifty steps of full training; prints a digest of the result.
#[test]
fn fifty_steps() {
    if let Ok(threads) = std::env::var(THREADS) {
        set_threads(threads.parse().unwrap()).unwrap();
    }
    let kit = Kit::new(true);
    let config = TrainConfig {
        method: Method::Full,
        max_steps: Some(50),
        save_steps: 0,
        eval_steps: 0,
        bf16: std::env::var_os(ROUNDED).is_some(),
        ..kit.config(&kit.rows())
    };
    let mut seen = Memory::default();
    let (run, outcome) = train(&kit, &config, &mut seen, &AtomicBool::new(false));
    let first = seen.events.iter().find_map(|event| match event {
        Event::Stepped(report) => Some(report.loss),
        _ => None,
    });
    assert!(
        outcome.last_loss < first.unwrap() / 2.0,
        "{} to {}",
        first.unwrap(),
        outcome.last_loss
    );
    println!("digest={}", digest(&run.checkpoint(50)).join("-"));
}

#[test]
fn weights_after_fifty_steps_are_the_same_bits_on_one_two_and_four_threads_three_times() {
    let once = |threads: &str, rounded: bool| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "repeat::fifty_steps", "--nocapture"])
            .env(THREADS, threads)
            .env("RAYON_NUM_THREADS", threads);
        if rounded {
            command.env(ROUNDED, "1");
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        let at = text.find("digest=").unwrap();
        text[at..].split_whitespace().next().unwrap().to_owned()
    };
    let first = once("1", false);
    for threads in ["1", "1", "2", "2", "2", "4", "4", "4"] {
        assert_eq!(once(threads, false), first, "{threads} threads");
    }
    let rounded = once("1", true);
    for threads in ["1", "2", "4"] {
        assert_eq!(once(threads, true), rounded, "{threads} threads, rounded");
    }
    assert_eq!(rounded != first, Products::rounding_is_fast());
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_bit_for_bit() {
    for method in [Method::Lora, Method::Full] {
        let kit = Kit::new(true);
        let config = TrainConfig {
            method,
            max_steps: Some(9),
            ..kit.config(&kit.rows())
        };
        let never = AtomicBool::new(false);
        let mut whole = Memory::default();
        let (run, _) = train(&kit, &config, &mut whole, &never);
        let want = digest(&run.checkpoint(9));
        for from in [2, 4, 6, 8] {
            let resume_from = Some(run.checkpoint(from));
            let resumed = TrainConfig {
                resume_from,
                ..config.clone()
            };
            let mut part = Memory::default();
            let (again, outcome) = train(&kit, &resumed, &mut part, &never);
            assert_eq!(
                digest(&again.checkpoint(9)),
                want,
                "{method:?} from step {from}"
            );
            assert_eq!(outcome.steps, 9);
            let losses = |memory: &Memory| -> Vec<(u64, f64)> {
                let loss = |event: &Event| match event {
                    Event::Stepped(report) => Some((report.step, report.loss)),
                    _ => None,
                };
                memory.events.iter().filter_map(loss).collect()
            };
            assert_eq!(losses(&whole)[from as usize..], losses(&part));
        }
    }
}

#[test]
fn a_run_that_is_asked_to_stop_saves_and_goes_on_as_if_nothing_had_been() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        max_steps: Some(7),
        save_steps: 0,
        ..kit.config(&kit.rows())
    };
    let (run, _) = train(
        &kit,
        &config,
        &mut Memory::default(),
        &AtomicBool::new(false),
    );
    let stop = AtomicBool::new(false);
    let mut raise = Callback(|event: &Event| {
        if matches!(event, Event::Stepped(report) if report.step == 3) {
            stop.store(true, Ordering::SeqCst);
        }
    });
    let (stopped, outcome) = train(&kit, &config, &mut raise, &stop);
    assert_eq!((outcome.end, outcome.steps), (End::Interrupted, 3));
    let resume_from = Some(stopped.checkpoint(3));
    let config = TrainConfig {
        resume_from,
        ..config
    };
    let (again, _) = train(
        &kit,
        &config,
        &mut Memory::default(),
        &AtomicBool::new(false),
    );
    assert_eq!(digest(&again.checkpoint(7)), digest(&run.checkpoint(7)));
}

#[test]
fn a_checkpoint_of_another_run_or_a_damaged_one_is_refused() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        max_steps: Some(2),
        ..kit.config(&kit.rows())
    };
    let (run, _) = train(
        &kit,
        &config,
        &mut Memory::default(),
        &AtomicBool::new(false),
    );
    let from = |path: PathBuf| TrainConfig {
        resume_from: Some(path),
        ..config.clone()
    };
    let refused = |config: TrainConfig| {
        let error = Session::open(config, Some(&kit.base())).unwrap_err();
        error.to_string()
    };
    let good = run.checkpoint(2);
    let other = refused(TrainConfig {
        lr: 1e-3,
        ..from(good.clone())
    });
    assert!(
        other.contains("`lr` is 0.001, but the checkpoint's run had 0.005"),
        "{other}"
    );
    let missing = refused(from(run.checkpoint(77)));
    assert!(missing.contains("step-00000077"), "{missing}");
    std::fs::write(good.join(checkpoint::STATE_FILE), "{}").unwrap();
    let damaged = refused(from(good));
    assert!(damaged.contains(checkpoint::STATE_FILE), "{damaged}");
}

#[test]
fn checkpoints_beyond_the_limit_go_and_the_best_stays() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        max_steps: Some(10),
        save_steps: 1,
        eval_steps: 3,
        save_total_limit: 2,
        ..kit.config(&kit.rows())
    };
    let (run, outcome) = train(
        &kit,
        &config,
        &mut Memory::default(),
        &AtomicBool::new(false),
    );
    let (best, _) = outcome.best_val.unwrap();
    let kept: Vec<u64> = checkpoint::list(&run.checkpoints())
        .unwrap()
        .into_iter()
        .map(|(step, _)| step)
        .collect();
    assert!(
        kept.ends_with(&[10]) && kept.contains(&best) && kept.len() <= 3,
        "{kept:?}"
    );
}
