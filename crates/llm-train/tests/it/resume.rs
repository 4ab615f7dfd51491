//! Going on in a run's own folder: damaged checkpoints, the log, what must not have changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use llm_train::checkpoint;
use llm_train::config::{Method, TrainConfig};
use llm_train::observe::{Callback, End, Event, MetricsFile, Observer, Outcome};
use llm_train::runs::RunFolder;
use llm_train::session::Session;
use serde_json::Value;

use crate::kit::Kit;

/// Trains in `run` until the end, or until `stop_after` steps are done.
fn train(kit: &Kit, config: &TrainConfig, run: &RunFolder, stop_after: Option<u64>) -> Outcome {
    let session = Session::open(config.clone(), Some(&kit.base())).unwrap();
    let stop = AtomicBool::new(false);
    let mut raise = Callback(|event: &Event| {
        if matches!(event, Event::Stepped(report) if Some(report.step) == stop_after) {
            stop.store(true, Ordering::SeqCst);
        }
    });
    let mut file = MetricsFile::append(&run.metrics()).unwrap();
    let observers: &mut [&mut dyn Observer] = &mut [&mut file, &mut raise];
    session.train(Some(run), observers, Some(&stop)).unwrap()
}

fn begin(config: &TrainConfig) -> RunFolder {
    RunFolder::create(&config.output_dir, "test", UNIX_EPOCH).unwrap()
}

/// The run in `path` goes on to its end.
fn go_on(kit: &Kit, config: &TrainConfig, path: &Path) -> (RunFolder, Outcome) {
    let run = RunFolder::reopen(path).unwrap();
    let resume_from = Some(path.to_path_buf());
    let config = TrainConfig {
        resume_from,
        ..config.clone()
    };
    let outcome = train(kit, &config, &run, None);
    (run, outcome)
}

/// The log without what depends on the clock.
fn log(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        let map = row.as_object_mut().unwrap();
        map.remove("tokens_per_second").unwrap();
        map.remove("eta_seconds").unwrap();
        row
    });
    rows.collect()
}

fn steps(run: &RunFolder) -> Vec<u64> {
    let found = checkpoint::list(&run.checkpoints()).unwrap();
    found.into_iter().map(|(step, _)| step).collect()
}

/// Ten steps whose log, evaluations and checkpoints fall on different ones.
fn uneven(kit: &Kit, method: Method) -> TrainConfig {
    TrainConfig {
        method,
        max_steps: Some(10),
        logging_steps: 3,
        eval_steps: 4,
        save_steps: 2,
        ..kit.config(&kit.rows())
    }
}

#[test]
fn a_run_that_goes_on_in_its_folder_ends_as_if_it_had_never_stopped() {
    for method in [Method::Lora, Method::Full] {
        let kit = Kit::new(true);
        let config = uneven(&kit, method);
        let whole = begin(&config);
        train(&kit, &config, &whole, None);
        let want = llm_store::hash::folder_digest(&whole.checkpoint(10)).unwrap();
        for stop_after in [1, 5, 8] {
            let run = begin(&config);
            let path = run.path.clone();
            let outcome = train(&kit, &config, &run, Some(stop_after));
            assert_eq!((outcome.end, outcome.steps), (End::Interrupted, stop_after));
            // As after a kill: steps behind the checkpoint and half a line.
            let mut text = fs::read_to_string(run.metrics()).unwrap();
            text.push_str("{\"step\":9,\"loss\":77.0}\n{\"step\":10,\"lo");
            fs::write(run.metrics(), text).unwrap();
            fs::create_dir(run.checkpoints().join(".step-00000009.1-1.tmp")).unwrap();
            drop(run);
            let (run, outcome) = go_on(&kit, &config, &path);
            assert_eq!((outcome.end, outcome.steps), (End::Completed, 10));
            let got = llm_store::hash::folder_digest(&run.checkpoint(10)).unwrap();
            assert_eq!(got, want, "{method:?} stopped after {stop_after}");
            assert_eq!(log(&path), log(&whole.path), "{method:?}, {stop_after}");
            assert!(!run.checkpoints().join(".step-00000009.1-1.tmp").exists());
        }
    }
}

#[test]
fn a_finished_run_that_goes_on_changes_nothing_and_says_how_it_ended() {
    let kit = Kit::new(true);
    let config = uneven(&kit, Method::Lora);
    let run = begin(&config);
    let path = run.path.clone();
    let first = train(&kit, &config, &run, None);
    let before = (log(&path), steps(&run));
    drop(run);
    let (run, second) = go_on(&kit, &config, &path);
    assert_eq!((log(&path), steps(&run)), before);
    let seconds = first.seconds;
    assert_eq!(Outcome { seconds, ..second }, first);
}

#[test]
fn a_flipped_bit_in_any_file_is_found_and_the_checkpoint_before_is_used() {
    let kit = Kit::new(true);
    let config = uneven(&kit, Method::Lora);
    let whole = begin(&config);
    train(&kit, &config, &whole, None);
    let want = llm_store::hash::folder_digest(&whole.checkpoint(10)).unwrap();
    let files = llm_store::hash::file_names(&whole.checkpoint(10)).unwrap();
    assert_eq!(files.len(), 5, "{files:?}");
    for (index, name) in files.iter().enumerate() {
        let run = begin(&config);
        let path = run.path.clone();
        train(&kit, &config, &run, Some(6));
        let newest = run.checkpoint(6);
        drop(run);
        let file = newest.join(name);
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes.len() * (index + 1) / 7;
        bytes[at] ^= 1 << index;
        fs::write(&file, bytes).unwrap();

        let resume_from = Some(path.clone());
        let again = TrainConfig {
            resume_from,
            ..config.clone()
        };
        let session = Session::open(again, Some(&kit.base())).unwrap();
        let told = session.warnings.join("\n");
        assert!(
            told.contains(name) && told.contains("step-00000004"),
            "{told}"
        );
        let (run, _) = go_on(&kit, &config, &path);
        let got = llm_store::hash::folder_digest(&run.checkpoint(10)).unwrap();
        assert_eq!(got, want, "{name}");
        assert_eq!(log(&path), log(&whole.path), "{name}");
        let aside = run.checkpoints().join("damaged-step-00000006");
        assert!(aside.is_dir(), "{name}");
    }
}

#[test]
fn a_run_whose_checkpoints_are_all_damaged_or_missing_does_not_pretend() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        max_steps: Some(3),
        save_steps: 1,
        ..kit.config(&kit.rows())
    };
    let run = begin(&config);
    let path = run.path.clone();
    train(&kit, &config, &run, None);
    for step in steps(&run) {
        fs::write(run.checkpoint(step).join(checkpoint::STATE_FILE), "{}").unwrap();
    }
    let from = |resume_from: PathBuf| TrainConfig {
        resume_from: Some(resume_from),
        ..config.clone()
    };
    let refused = |config: TrainConfig| {
        let error = Session::open(config, Some(&kit.base())).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    let text = refused(from(path.clone()));
    assert!(text.contains("no checkpoint of"), "{text}");
    assert!(text.contains("step-00000003/state.json"), "{text}");
    let text = refused(from("latest".into()));
    assert!(text.contains("no checkpoint of"), "{text}");
    let nowhere = TrainConfig {
        output_dir: kit.path("none"),
        ..from("latest".into())
    };
    assert!(refused(nowhere).contains("has no run"));
    // Without any checkpoint it begins anew, in its folder.
    fs::remove_dir_all(run.checkpoints()).unwrap();
    drop(run);
    let (run, outcome) = go_on(&kit, &config, &path);
    assert_eq!((outcome.steps, log(&path).len()), (3, 3));
    assert_eq!(steps(&run), [1, 2, 3]);
}

#[test]
fn a_named_checkpoint_begins_a_new_run_with_the_log_up_to_it() {
    let kit = Kit::new(true);
    let config = uneven(&kit, Method::Lora);
    let whole = begin(&config);
    train(&kit, &config, &whole, None);
    let resume_from = Some(whole.checkpoint(4));
    let branch = TrainConfig {
        resume_from,
        ..config.clone()
    };
    let run = begin(&branch);
    train(&kit, &branch, &run, None);
    assert_ne!(run.path, whole.path);
    assert_eq!(log(&run.path), log(&whole.path));
    let digest = |run: &RunFolder| llm_store::hash::folder_digest(&run.checkpoint(10)).unwrap();
    assert_eq!(digest(&run), digest(&whole));
}

#[test]
fn what_changed_is_named() {
    let kit = Kit::new(true);
    let config = uneven(&kit, Method::Lora);
    let run = begin(&config);
    let path = run.path.clone();
    train(&kit, &config, &run, Some(2));
    drop(run);
    let refused = |change: &dyn Fn(&mut TrainConfig)| {
        let mut again = config.clone();
        again.resume_from = Some(path.clone());
        change(&mut again);
        let error = Session::open(again, Some(&kit.base())).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    let text = refused(&|config| config.lora_alpha = 9.0);
    assert!(text.contains("`lora_alpha` is 9"), "{text}");

    let rows = kit.path("rows.jsonl");
    let good = fs::read_to_string(&rows).unwrap();
    fs::write(&rows, good.replacen("us warm", "us dry!", 1)).unwrap();
    let text = refused(&|_| {});
    assert!(
        text.contains("the data differs") && text.contains("rows.jsonl"),
        "{text}"
    );
    fs::write(&rows, good).unwrap();

    let tokenizer = kit.base().join("tokenizer_config.json");
    let good = fs::read_to_string(&tokenizer).unwrap();
    fs::write(&tokenizer, format!("{good}\n")).unwrap();
    let text = refused(&|_| {});
    assert!(text.contains("the tokenizer differs"), "{text}");
    assert!(text.contains("tokenizer_config.json"), "{text}");
    fs::write(&tokenizer, good).unwrap();

    fs::write(kit.base().join("note.txt"), "new").unwrap();
    let text = refused(&|_| {});
    assert!(text.contains("the base differs"), "{text}");
    fs::remove_file(kit.base().join("note.txt")).unwrap();
    // What says only where and how often may change.
    let mut free = config.clone();
    free.save_steps = 5;
    free.save_total_limit = 1;
    go_on(&kit, &free, &path);
}

#[test]
fn the_best_checkpoints_stay_and_of_the_others_the_newest() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        max_steps: Some(12),
        save_steps: 1,
        eval_steps: 2,
        save_total_limit: 1,
        save_best_k: 2,
        lr: 0.05, // high enough for the held-out loss to go up and down
        ..kit.config(&kit.rows())
    };
    let run = begin(&config);
    train(&kit, &config, &run, None);
    let mut evaluated: Vec<(f64, u64)> = log(&run.path)
        .iter()
        .filter_map(|row| Some((row["val"].as_f64()?, row["step"].as_u64()?)))
        .collect();
    assert_eq!(evaluated.len(), 6);
    evaluated.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut want: Vec<u64> = evaluated.iter().take(2).map(|&(_, step)| step).collect();
    want.push(12);
    want.sort_unstable();
    want.dedup();
    // When the last one is among the best, the newest of the others stays beside it.
    let kept = steps(&run);
    let missing: Vec<&u64> = want.iter().filter(|step| !kept.contains(step)).collect();
    assert!(missing.is_empty(), "{kept:?} without {missing:?}");
    assert!(kept.len() <= 3, "{kept:?}");
}

#[test]
fn the_checkpoint_that_was_gone_on_from_is_never_removed() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        max_steps: Some(8),
        save_steps: 1,
        eval_steps: 0,
        save_total_limit: 1,
        ..kit.config(&kit.rows())
    };
    let run = begin(&config);
    let path = run.path.clone();
    train(&kit, &config, &run, Some(3));
    assert_eq!(steps(&run), [3]);
    drop(run);
    let (run, _) = go_on(&kit, &config, &path);
    // The last step has the only evaluation, so its checkpoint is the best one.
    assert_eq!(steps(&run), [3, 7, 8]);
}

#[test]
fn a_first_part_is_that_of_the_whole_run_and_can_go_on() {
    let kit = Kit::new(true);
    let config = uneven(&kit, Method::Full);
    let whole = begin(&config);
    train(&kit, &config, &whole, None);
    let weights = |run: &RunFolder, step| {
        let path = run.checkpoint(step).join(checkpoint::PARAMETERS_FILE);
        llm_store::hash::sha256_file(&path).unwrap()
    };
    let part = TrainConfig {
        stop_after: Some(4),
        ..config.clone()
    };
    let run = begin(&part);
    let path = run.path.clone();
    let outcome = train(&kit, &part, &run, None);
    assert_eq!((outcome.end, outcome.steps), (End::Completed, 4));
    assert_eq!(weights(&run, 4), weights(&whole, 4));
    drop(run);
    let (run, outcome) = go_on(&kit, &config, &path);
    assert_eq!((outcome.end, outcome.steps), (End::Completed, 10));
    assert_eq!(weights(&run, 10), weights(&whole, 10));
}
