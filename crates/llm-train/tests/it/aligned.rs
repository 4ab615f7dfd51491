//! DPO, GRPO and soft prompts as whole runs of the one trainer.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use llm_store::hash::folder_digest;
use llm_train::config::{Method, Policy, TrainConfig};
use llm_train::evaluate::{greedy, mean_loss};
use llm_train::finetune::{Measure, finetune};
use llm_train::monitor::sabotage::{Fault, plant};
use llm_train::observe::{Callback, End, Event, LogRow, Memory, Observer, Outcome};
use llm_train::range_test::Range;
use llm_train::runs::RunFolder;
use llm_train::session::Session;
use serde_json::json;

use crate::kit::Kit;

/// f64 sums of f32 logits that are computed twice in the same way.
const LN_2: f64 = 1e-6;

pub(crate) fn open(kit: &Kit, config: &TrainConfig) -> Session {
    Session::open(config.clone(), Some(&kit.base())).unwrap()
}

/// Pairs: the heart's answers were chosen, the skin's were not.
fn pairs(kit: &Kit) -> PathBuf {
    let mut text = String::new();
    for ask in [
        "what", "how", "in the", "takes", "keeps", "air", "blood", "warm",
    ] {
        for about in ["the lungs", "the skin"] {
            let (chosen, rejected) = ("the heart pumps", "the skin keeps us");
            let prompt = format!("{ask} {about}?");
            let row = json!({"prompt": prompt, "chosen": chosen, "rejected": rejected});
            text.push_str(&format!("{row}\n"));
        }
    }
    kit.write("pairs.jsonl", &text)
}

fn dpo(kit: &Kit, policy: Policy) -> TrainConfig {
    TrainConfig {
        method: Method::Dpo,
        policy,
        beta: Some(0.5),
        ..kit.config(&pairs(kit))
    }
}

/// Questions whose right answer is what the model itself says with the highest probability, so that
/// some of several answers that it draws are right.
fn questions(kit: &Kit) -> PathBuf {
    let session = open(kit, &kit.config(&kit.rows()));
    let mut text = String::new();
    for row in &session.dataset.validation_rows {
        let asked = session.codec.prompt_ids(row.prompt()).unwrap();
        let tokens = greedy(&session.model, &asked, session.codec.stop_tokens(), 1).unwrap();
        let answer = session.codec.decode(&tokens).unwrap();
        if !answer.trim().is_empty() {
            let row = json!({"prompt": row.prompt()[0].content, "completion": answer.trim()});
            text.push_str(&format!("{row}\n"));
        }
    }
    assert!(text.lines().count() >= 2, "{text}");
    kit.write("questions.jsonl", &text)
}

fn grpo(kit: &Kit, policy: Policy) -> TrainConfig {
    let path = questions(kit);
    TrainConfig {
        method: Method::Grpo,
        policy,
        beta: Some(0.1),
        num_generations: 6,
        max_completion_length: 1,
        temperature: 0.2,
        num_iterations: 3,
        validation_path: Some(path.clone()),
        batch_size: 1,
        ..kit.config(&path)
    }
}

pub(crate) fn prompt(kit: &Kit) -> TrainConfig {
    TrainConfig {
        method: Method::Prompt,
        num_virtual_tokens: 5,
        ..kit.config(&kit.rows())
    }
}

fn rows(memory: &Memory) -> Vec<LogRow> {
    let rows = memory.events.iter().filter_map(|event| match event {
        Event::Logged(row) => Some(row.clone()),
        _ => None,
    });
    rows.collect()
}

/// Trains in `run` until the end, or until `stop_after` steps are done.
fn train(kit: &Kit, config: &TrainConfig, run: &RunFolder, stop_after: Option<u64>) -> Outcome {
    let stop = AtomicBool::new(false);
    let mut raise = Callback(|event: &Event| {
        if matches!(event, Event::Stepped(report) if Some(report.step) == stop_after) {
            stop.store(true, Ordering::SeqCst);
        }
    });
    let observers: &mut [&mut dyn Observer] = &mut [&mut raise];
    let session = open(kit, config);
    session.train(Some(run), observers, Some(&stop)).unwrap()
}

#[test]
fn dpo_starts_at_ln_2_and_moves_the_chosen_answers_up() {
    for policy in [Policy::Lora, Policy::Full] {
        let kit = Kit::new(true);
        let config = TrainConfig {
            epochs: 10,
            lora_dropout: 0.3, // no part of it: probabilities are compared
            ..dpo(&kit, policy)
        };
        let session = open(&kit, &config);
        let before = mean_loss(&session.losses().unwrap());
        assert!((before - 2f64.ln()).abs() <= LN_2, "{before}");
        let run = RunFolder::create(&config.output_dir, "test", UNIX_EPOCH).unwrap();
        let mut seen = Memory::default();
        let measure = Measure {
            answers: 2,
            max_new_tokens: 4,
        };
        let report = finetune(&session, &run, measure, &mut [&mut seen], None, |_| {}).unwrap();
        let rows = rows(&seen);
        let first = &rows[0];
        assert!((first.loss - 2f64.ln()).abs() <= LN_2, "{first:?}");
        assert!(first.measures["rewards/margins"].abs() <= LN_2, "{first:?}");
        let last = rows.last().unwrap();
        for name in ["rewards/margins", "eval_rewards/margins"] {
            assert!(last.measures[name] > 0.2, "{policy:?} {name}: {last:?}");
        }
        assert_eq!(last.measures["eval_rewards/accuracies"], 1.0, "{last:?}");
        let loss = report.loss.unwrap();
        assert!((loss.before - 2f64.ln()).abs() <= LN_2);
        assert!(
            loss.after < loss.before && loss.difference.high < 0.0,
            "{loss:?}"
        );
        match policy {
            Policy::Lora => assert!(run.model().join("adapter_model.safetensors").is_file()),
            Policy::Full => assert!(run.model().join("model.safetensors").is_file()),
        }
    }
}

#[test]
fn micro_batches_of_pairs_are_one_batch() {
    let kit = Kit::new(true);
    let weights = |batch_size, gradient_accumulation_steps| {
        let config = TrainConfig {
            batch_size,
            gradient_accumulation_steps,
            max_steps: Some(2),
            dtype: "f64".into(),
            ..dpo(&kit, Policy::Full)
        };
        let session = open(&kit, &config);
        session.train(None, &mut [], None).unwrap();
        let flat = |var: &candle_core::Var| var.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let all = session.parameters.iter().map(|(_, var)| flat(var));
        all.collect::<Vec<_>>().concat()
    };
    let (whole, parts) = (weights(6, 1), weights(2, 3));
    let gap = whole.iter().zip(&parts).map(|(a, b)| (a - b).abs());
    let gap = gap.fold(0.0, f64::max);
    // Adam divides by a root: what is nearly zero may differ by more than rounding.
    assert!(gap <= 1e-7, "{gap:e}");
}

#[test]
fn grpo_lowers_its_loss_on_the_answers_that_it_drew() {
    for policy in [Policy::Lora, Policy::Full] {
        let kit = Kit::new(true);
        let config = TrainConfig {
            max_steps: Some(3),
            lr: 1e-4,
            warmup_ratio: 0.0,
            num_generations: 12,
            beta: Some(0.0),
            ..grpo(&kit, policy)
        };
        let session = open(&kit, &config);
        let mut seen = Memory::default();
        session.train(None, &mut [&mut seen], None).unwrap();
        let rows = rows(&seen);
        let [first, second, third] = rows.as_slice() else {
            panic!("{rows:?}");
        };
        let reward = first.measures["reward"];
        assert!(0.0 < reward && reward < 1.0, "{first:?}");
        assert!(first.measures["frac_reward_zero_std"] < 1.0, "{first:?}");
        // Advantages of a group add up to nothing, and every ratio is 1.
        assert!(first.loss.abs() < 1e-6, "{first:?}");
        assert_eq!(first.measures["clip_ratio/region_mean"], 0.0);
        // The same answers, drawn once.
        assert!(!second.measures.contains_key("reward"), "{second:?}");
        assert!(
            second.loss < first.loss && third.loss < second.loss,
            "{rows:?}"
        );
    }
}

#[test]
fn the_kl_term_is_zero_at_the_start_and_grows_with_the_steps() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        max_steps: Some(6),
        lr: 1e-2,
        ..grpo(&kit, Policy::Lora)
    };
    let session = open(&kit, &config);
    let mut seen = Memory::default();
    session.train(None, &mut [&mut seen], None).unwrap();
    let kl: Vec<f64> = rows(&seen).iter().map(|row| row.measures["kl"]).collect();
    assert!(kl[0].abs() < 1e-9, "{kl:?}");
    assert!(kl[5] > 1e-6 && kl.iter().all(|&kl| kl >= 0.0), "{kl:?}");
    let last = rows(&seen).pop().unwrap();
    let missed = last.val.unwrap();
    assert!((missed - (1.0 - last.measures["eval_reward"])).abs() < 1e-12);
}

#[test]
fn one_seed_draws_the_same_answers_and_another_one_others() {
    let kit = Kit::new(true);
    let config = grpo(&kit, Policy::Lora);
    let losses = |seed: u64| {
        let config = TrainConfig {
            seed,
            max_steps: Some(4),
            ..config.clone()
        };
        let mut seen = Memory::default();
        let session = open(&kit, &config);
        session.train(None, &mut [&mut seen], None).unwrap();
        let all = rows(&seen).into_iter().map(|row| (row.loss, row.measures));
        all.collect::<Vec<_>>()
    };
    assert_eq!(losses(3), losses(3));
    assert_ne!(losses(3), losses(4));
}

#[test]
fn a_run_that_goes_on_ends_as_if_it_had_never_stopped() {
    let kit = Kit::new(true);
    let configs = [
        dpo(&kit, Policy::Lora),
        dpo(&kit, Policy::Full),
        grpo(&kit, Policy::Lora),
        grpo(&kit, Policy::Full),
        prompt(&kit),
    ];
    for config in configs {
        let config = TrainConfig {
            max_steps: Some(8),
            logging_steps: 3,
            eval_steps: 4,
            save_steps: 2,
            ..config
        };
        let begin = || RunFolder::create(&config.output_dir, "test", UNIX_EPOCH).unwrap();
        let whole = begin();
        train(&kit, &config, &whole, None);
        let want = folder_digest(&whole.checkpoint(8)).unwrap();
        // Steps 4 and 5 leave answers behind that steps are left on.
        for stop_after in [1, 3, 4, 5] {
            let run = begin();
            let path = run.path.clone();
            let outcome = train(&kit, &config, &run, Some(stop_after));
            assert_eq!((outcome.end, outcome.steps), (End::Interrupted, stop_after));
            drop(run);
            let run = RunFolder::reopen(&path).unwrap();
            let again = TrainConfig {
                resume_from: Some(path),
                ..config.clone()
            };
            train(&kit, &again, &run, None);
            let got = folder_digest(&run.checkpoint(8)).unwrap();
            let (method, policy) = (config.method, config.policy);
            assert_eq!(
                got, want,
                "{method:?} {policy:?} stopped after {stop_after}"
            );
        }
    }
}

#[test]
fn answers_with_steps_left_are_in_the_checkpoint_and_gone_after_the_last() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        max_steps: Some(3),
        save_steps: 1,
        ..grpo(&kit, Policy::Lora)
    };
    let run = RunFolder::create(&config.output_dir, "test", UNIX_EPOCH).unwrap();
    train(&kit, &config, &run, None);
    let held = |step: u64| {
        let (progress, _) = llm_train::checkpoint::read_progress(&run.checkpoint(step)).unwrap();
        progress
            .rollout
            .map(|rollout| (rollout.steps, rollout.micro_batches.len()))
    };
    assert_eq!(held(1), Some((1, 2)), "two prompts, one a micro-batch");
    assert_eq!(held(2), Some((2, 2)));
    assert_eq!(held(3), None);
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    let kit = Kit::new(true);
    let (dpo, grpo) = (dpo(&kit, Policy::Lora), grpo(&kit, Policy::Lora));
    let all = [(&dpo, "dpo"), (&grpo, "grpo")];
    for (config, name) in all {
        let with = |key: &str, value: serde_json::Value, part: &str| {
            let error = config.with(&[(key.to_owned(), value)]).unwrap_err();
            assert!(error.to_string().contains(part), "{name} {key}: {error}");
        };
        with("batching", json!("packed"), "`batching`");
        with("batching", json!("bucketed"), "`batching`");
        with("data_format", json!("text"), "`data_format`");
        with("shuffle_answers", json!(true), "`shuffle_answers`");
        with("beta", json!(-0.1), "`beta`");
        with("label_smoothing", json!(0.5), "`label_smoothing`");
        with("temperature", json!(0.0), "`temperature`");
        with("num_iterations", json!(0), "`num_iterations`");
        with("loss_type", json!("dapo"), "loss_type");
        with("policy", json!("prompt"), "policy");
    }
    let with = |config: &TrainConfig, key: &str, value: serde_json::Value| {
        config
            .with(&[(key.to_owned(), value)])
            .unwrap_err()
            .to_string()
    };
    assert!(with(&dpo, "beta", json!(0.0)).contains("`beta`"));
    assert!(with(&grpo, "num_generations", json!(1)).contains("`num_generations`"));
    assert!(with(&grpo, "batching", json!("fixed")).contains("`batching`"));
    let packed = with(&prompt(&kit), "batching", json!("packed"));
    assert!(packed.contains("`batching`"), "{packed}");
}

#[test]
fn what_does_not_fit_the_model_or_the_rows_is_refused_by_name() {
    let kit = Kit::new(true);
    let dpo = dpo(&kit, Policy::Lora);
    let refused = |config: TrainConfig, part: &str| {
        let error = Session::open(config, Some(&kit.base())).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
        assert_eq!(error.exit_code(), 2, "{error}");
    };
    let shape = TrainConfig {
        model_name: None,
        model_config: Some(kit.base().join("config.json")),
        tokenizer: Some(kit.base()),
        ..dpo.clone()
    };
    refused(shape, "`model_config`");
    refused(
        TrainConfig {
            num_virtual_tokens: 64,
            ..prompt(&kit)
        },
        "num_virtual_tokens",
    );
    refused(
        TrainConfig {
            max_length: 62,
            ..prompt(&kit)
        },
        "context is 59",
    );
    // Rows of another method name what is missing.
    let rows = kit.rows();
    let other = TrainConfig {
        dataset_path: rows,
        ..dpo
    };
    refused(other, "has no `chosen`");
}

#[test]
fn range_tests_and_planted_faults_have_their_methods() {
    let kit = Kit::new(true);
    let range = Range {
        low: 1e-6,
        high: 1e-2,
        steps: 10,
    };
    let session = open(&kit, &grpo(&kit, Policy::Lora));
    let error = session.range_test(range, |_| {}).unwrap_err();
    assert!(error.to_string().contains("is grpo"), "{error}");
    let session = open(&kit, &dpo(&kit, Policy::Lora));
    assert_eq!(session.range_test(range, |_| {}).unwrap().points.len(), 10);
    let mut session = open(&kit, &dpo(&kit, Policy::Lora));
    let error = plant(&mut session, Fault::BadRows).unwrap_err();
    assert!(error.to_string().contains("lora or full"), "{error}");
}

#[test]
fn a_checkpoint_whose_answers_were_changed_is_refused() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        max_steps: Some(3),
        save_steps: 1,
        ..grpo(&kit, Policy::Lora)
    };
    let run = RunFolder::create(&config.output_dir, "test", UNIX_EPOCH).unwrap();
    train(&kit, &config, &run, Some(1));
    let state = run.checkpoint(1).join(llm_train::checkpoint::STATE_FILE);
    let text = fs::read_to_string(&state).unwrap();
    assert!(text.contains("micro_batches"), "{text}");
    fs::write(&state, text.replacen("\"row\": ", "\"row\": 1", 1)).unwrap();
    let resume_from = Some(run.checkpoint(1));
    let again = TrainConfig {
        resume_from,
        ..config
    };
    let error = Session::open(again, Some(&kit.base())).unwrap_err();
    assert!(error.to_string().contains("state.json"), "{error}");
}

#[test]
fn the_settings_for_the_embedded_model_are_valid() {
    for (name, method) in [
        ("dpo", Method::Dpo),
        ("grpo", Method::Grpo),
        ("prompt", Method::Prompt),
    ] {
        let path = crate::mini_gpt::root().join(format!("configs/deeper_tiny/{name}.yaml"));
        let config = TrainConfig::load(&path, &[]).unwrap();
        assert_eq!(config.method, method, "{name}");
    }
}
