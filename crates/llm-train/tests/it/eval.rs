//! A whole evaluation: what is asked, what is scored, how it stops and goes on, what it refuses.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use llm_train::Error;
use llm_train::config::{PromptStyle, TrainConfig};
use llm_train::data::{DataFormat, find_files, read_rows};
use llm_train::eval::{
    EvalConfig, Evaluation, Finished, Metric, Named, Record, Report, Task, compare,
};
use llm_train::evaluate::mean_loss;
use llm_train::finetune::{Measure, finetune};
use llm_train::prompt::Codec;
use llm_train::runs::RunFolder;
use llm_train::session::Session;

use crate::kit::Kit;

/// Sums of f32 losses in another grouping: a few units in the last place of a few dozen tokens.
const LOSS_TOLERANCE: f64 = 1e-5;

fn config(kit: &Kit, data: &Path) -> EvalConfig {
    EvalConfig {
        model_path: Some(kit.base().display().to_string()),
        dataset_path: data.to_path_buf(),
        max_new_tokens: 6,
        device: "cpu".into(),
        output_dir: kit.path("evals"),
        run_name: Some("test".into()),
        ..EvalConfig::default()
    }
}

fn open(kit: &Kit, config: EvalConfig) -> llm_train::Result<Evaluation> {
    Evaluation::open(config, kit.base(), None)
}

fn run(kit: &Kit, config: EvalConfig) -> (Evaluation, Report, Vec<Record>) {
    let evaluation = open(kit, config).unwrap();
    let report = evaluation.run(None, |_, _| {}).unwrap();
    let records = records(&evaluation.folder.path);
    (evaluation, report, records)
}

fn records(folder: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(folder.join("predictions.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn value(report: &Report, key: &str) -> f64 {
    report.metrics[key]["value"].as_f64().unwrap()
}

/// Records without the one field that no two runs share.
fn timeless(mut records: Vec<Record>) -> Vec<Record> {
    records.iter_mut().for_each(|record| record.seconds = 0.0);
    records
}

#[test]
fn questions_have_the_ids_of_training_and_answers_hold_no_prompt() {
    for chat in [true, false] {
        let kit = Kit::new(chat);
        let data = kit.rows();
        let (evaluation, report, records) = run(&kit, config(&kit, &data));
        let codec = Codec::open(&kit.base(), PromptStyle::Auto).unwrap();
        let rows = read_rows(&find_files(&data, "*").unwrap(), DataFormat::Auto).unwrap();
        assert_eq!((records.len(), report.rows), (rows.len(), rows.len()));
        for (row, record) in rows.iter().zip(&records) {
            let prompt = codec.prompt_ids(row.prompt()).unwrap();
            let (example, _) = codec.example(row, 64).unwrap();
            let example = example.unwrap();
            // Generation starts from exactly the tokens that training masks.
            assert_eq!(example.ids[..prompt.len()], prompt);
            assert!(
                example.labels[..prompt.len()]
                    .iter()
                    .all(|&label| label < 0)
            );
            assert!(example.labels[prompt.len()] >= 0);
            assert_eq!(record.prompt_tokens, prompt.len());
            let new = llm_train::evaluate::greedy(
                &evaluation.subject.model,
                &prompt,
                codec.stop_tokens(),
                6,
            );
            let new = new.unwrap();
            assert_eq!(record.prediction, codec.decode(&new).unwrap().trim());
            assert_eq!(record.new_tokens, new.len());
            assert!(
                !record.prediction.contains(&row.prompt()[0].content),
                "{record:?}"
            );
            assert_eq!(record.reference, row.completion());
            let scores = record.scores.unwrap();
            assert_eq!(
                scores.exact_match == 1.0,
                record.prediction == row.completion().trim()
            );
        }
    }
}

#[test]
fn the_loss_is_that_of_training_and_its_other_names_follow() {
    let kit = Kit::new(true);
    let data = kit.rows();
    let train = TrainConfig {
        validation_path: Some(data.clone()),
        ..kit.config(&data)
    };
    let session = Session::open(train, Some(&kit.base())).unwrap();
    let want = mean_loss(&session.losses().unwrap());
    let (_, report, records) = run(&kit, config(&kit, &data));
    let loss = value(&report, "loss");
    let gap = (loss - want).abs();
    assert!(
        gap <= LOSS_TOLERANCE,
        "{loss} and {want}: {gap:e}, tolerance {LOSS_TOLERANCE:e}"
    );
    assert!((value(&report, "perplexity") - loss.exp()).abs() < 1e-12);
    let nats: f64 = records.iter().map(|r| r.loss.unwrap().nats).sum();
    let bytes: usize = records.iter().map(|r| r.reference.len()).sum();
    let bits = nats / std::f64::consts::LN_2 / bytes as f64;
    assert!((value(&report, "bits_per_byte") - bits).abs() < 1e-12);
}

#[test]
fn plain_text_is_predicted_once_token_by_token() {
    let kit = Kit::new(false);
    let text = "the heart pumps the blood – thé lungs, 空気.\n";
    let data = kit.write("text.txt", &text.repeat(9));
    let settings = EvalConfig {
        data_format: DataFormat::Text,
        max_length: Some(17),
        ..config(&kit, &data)
    };
    let (_, report, records) = run(&kit, settings);
    let loss = |record: &Record| record.loss.unwrap();
    let codec = Codec::open(&kit.base(), PromptStyle::Auto).unwrap();
    let stream = codec.stream(&[text.repeat(9)], false).unwrap();
    let tokens: usize = records.iter().map(|record| loss(record).tokens).sum();
    assert_eq!(tokens, stream.len() - 1);
    // All bytes but those of the first token, which nothing predicts.
    let bytes: usize = records.iter().map(|record| loss(record).bytes).sum();
    let first = codec.decode(&stream[..1]).unwrap().len();
    assert_eq!(bytes, 9 * text.len() - first);
    assert!(
        report
            .metrics
            .keys()
            .eq(["bits_per_byte", "loss", "perplexity"])
    );
}

#[test]
fn a_stopped_evaluation_goes_on_and_ends_as_one_that_was_not() {
    let kit = Kit::new(true);
    let data = kit.rows();
    let sampled = |name: &str| EvalConfig {
        temperature: 0.8,
        output_dir: kit.path(name),
        ..config(&kit, &data)
    };
    let (_, whole, want) = run(&kit, sampled("whole"));
    let mut parts = 0;
    for stop_after in [1, 5, 6, 100] {
        let evaluation = open(&kit, sampled("parts")).unwrap();
        let stop = AtomicBool::new(false);
        let result = evaluation.run(Some(&stop), |done, _| {
            stop.store(done >= stop_after, Ordering::SeqCst);
        });
        parts = match (result, stop_after) {
            (Ok(report), 100) => report.rows,
            (Err(Error::Stopped { done, .. }), _) => done,
            (other, _) => panic!("{other:?}"),
        };
        // A write that was cut in the middle of a line loses that line alone.
        let partial = evaluation.folder.path.join("predictions.partial.jsonl");
        if stop_after == 5 {
            let bytes = std::fs::read(&partial).unwrap();
            std::fs::write(&partial, &bytes[..bytes.len() - 9]).unwrap();
        }
        assert_eq!(partial.exists(), stop_after != 100);
    }
    assert_eq!(parts, 16);
    let folder = open(&kit, sampled("parts")).unwrap().folder;
    assert_eq!(timeless(records(&folder.path)), timeless(want));
    let finished = Finished::read(&folder.path).unwrap();
    assert_eq!(finished.report.metrics, whole.metrics);
}

#[test]
fn what_is_answered_is_not_asked_again_and_what_differs_has_a_folder_of_its_own() {
    let kit = Kit::new(true);
    let data = kit.rows();
    let (first, _, records_first) = run(&kit, config(&kit, &data));
    let evaluation = open(&kit, config(&kit, &data)).unwrap();
    assert_eq!(evaluation.folder.path, first.folder.path);
    let mut asked = 0;
    evaluation.run(None, |_, _| asked += 1).unwrap();
    assert_eq!(asked, 0);
    // Times and all: nothing was written anew.
    assert_eq!(records(&evaluation.folder.path), records_first);

    let other = |settings: EvalConfig| open(&kit, settings).unwrap().folder.path;
    let longer = EvalConfig {
        max_new_tokens: 7,
        ..config(&kit, &data)
    };
    assert_ne!(other(longer), first.folder.path);
    let mut text = std::fs::read_to_string(&data).unwrap();
    text.push_str("{\"prompt\": \"what?\", \"completion\": \"the air\"}\n");
    std::fs::write(&data, text).unwrap();
    assert_ne!(other(config(&kit, &data)), first.folder.path);
}

/// The run folder of `train`, whose data has the fault `allowed` on purpose.
fn trained(kit: &Kit, train: TrainConfig, allowed: &str) -> RunFolder {
    let mut session = Session::open(train, Some(&kit.base())).unwrap();
    session.monitor.allow = vec![allowed.to_owned()];
    let folder = RunFolder::create(&kit.path("runs"), "test", std::time::UNIX_EPOCH).unwrap();
    let measure = Measure {
        answers: 0,
        max_new_tokens: 1,
    };
    finetune(&session, &folder, measure, &mut [], None, |_| {}).unwrap();
    folder
}

#[test]
fn an_adapter_is_found_with_its_base_and_beats_it_on_paired_rows() {
    let kit = Kit::new(true);
    let data = kit.rows();
    let train = TrainConfig {
        validation_path: Some(data.clone()),
        epochs: 20,
        ..kit.config(&data)
    };
    let folder = trained(&kit, train, "leaking-split");

    let tuned = EvalConfig {
        model_path: Some(folder.model().display().to_string()),
        ..config(&kit, &data)
    };
    let named = Named::of(&tuned).unwrap();
    assert_eq!(named.model, kit.base().display().to_string());
    assert_eq!(named.adapter, Some(folder.model()));
    let after = Evaluation::open(tuned, PathBuf::from(named.model), named.adapter).unwrap();
    after.run(None, |_, _| {}).unwrap();
    // The run folder names its training data: all questions stand in it.
    let leakage = after.leakage.as_ref().unwrap();
    assert_eq!((leakage.rows, leakage.training_rows), (16, 16));
    assert_eq!(leakage.kinds["exact"], 16);

    let (before, _, _) = run(&kit, config(&kit, &data));
    let finished = [&before, &after].map(|one| Finished::read(&one.folder.path).unwrap());
    let table = compare(&finished, 7).unwrap();
    let of = |metric, evaluation| {
        let mut rows = table.iter();
        let found = rows.find(|one| one.metric == metric && one.evaluation == evaluation);
        found.unwrap().clone()
    };
    let loss = of(Metric::Loss, 1);
    let difference = loss.difference.unwrap();
    assert!(difference.high < 0.0, "{loss:?}");
    let gap = loss.own.value - of(Metric::Loss, 0).own.value - difference.value;
    assert!(gap.abs() < 1e-12, "{gap}");
    assert_eq!(of(Metric::Loss, 0).difference, None);
}

#[test]
fn leaks_are_counted_by_kind_and_can_end_the_evaluation() {
    let kit = Kit::new(true);
    let row = |prompt: &str| {
        format!(
            "{}\n",
            serde_json::json!({"prompt": prompt, "completion": "the air"})
        )
    };
    let train = ["What takes in the air?", "in the heart?", "a  b"]
        .map(row)
        .concat();
    let train = kit.write("train.jsonl", &train);
    let held = ["what takes in the air?", "in the heart?", "a b", "new"]
        .map(row)
        .concat();
    let held = kit.write("held.jsonl", &held);
    let gated = |most| EvalConfig {
        train_path: Some(train.clone()),
        max_leakage: most,
        ..config(&kit, &held)
    };
    let evaluation = open(&kit, gated(Some(2))).unwrap();
    let leakage = evaluation.leakage.clone().unwrap();
    assert_eq!((leakage.rows, leakage.training_rows), (3, 3));
    let kinds: Vec<(&str, usize)> = leakage
        .kinds
        .iter()
        .map(|(kind, count)| (kind.as_str(), *count))
        .collect();
    assert_eq!(kinds, [("case", 1), ("exact", 1), ("whitespace", 1)]);
    let error = evaluation.gate().unwrap_err();
    assert_eq!(error.exit_code(), 1);
    let shown = error.to_string();
    assert!(
        shown.contains("3 rows") && shown.contains("held.jsonl:1"),
        "{shown}"
    );
    assert!(open(&kit, gated(Some(3))).unwrap().gate().is_ok());
    assert!(open(&kit, gated(None)).unwrap().gate().is_ok());
}

#[test]
fn a_gate_that_cannot_look_is_closed() {
    let kit = Kit::new(true);
    let data = kit.rows();
    let gated = |most| EvalConfig {
        max_leakage: most,
        ..config(&kit, &data)
    };
    let error = open(&kit, gated(Some(0))).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`max_leakage`: cannot be checked"),
        "{error}"
    );
    let evaluation = open(&kit, gated(None)).unwrap();
    assert!(evaluation.leakage.is_none());
    let told = |line: &String| line.contains("leaks are not checked");
    assert!(evaluation.warnings.iter().any(told));
}

#[test]
fn a_secret_that_was_trained_on_is_exposed_and_another_is_not() {
    let kit = Kit::new(true);
    let row = |prompt: &str, completion: &str| {
        format!(
            "{}\n",
            serde_json::json!({"prompt": prompt, "completion": completion})
        )
    };
    let data = kit.write("rows.jsonl", &row("the code?", "the heart 73914").repeat(8));
    let train = TrainConfig {
        validation_fraction: 0.0,
        eval_steps: 0,
        epochs: 25,
        lora_dropout: 0.0,
        lr: 2e-2,
        ..kit.config(&data)
    };
    let folder = trained(&kit, train, "constant-batches");
    let canary = |secret: &str| {
        let row = serde_json::json!({"prompt": "the code?", "completion": "the heart {}", "secret": secret});
        format!("{row}\n")
    };
    let canaries = kit.write(
        "canaries.jsonl",
        &[canary("73914"), canary("20586")].concat(),
    );
    let settings = EvalConfig {
        task: Task::Canary,
        model_path: Some(folder.model().display().to_string()),
        ..config(&kit, &canaries)
    };
    let evaluation = Evaluation::open(settings, kit.base(), Some(folder.model())).unwrap();
    let report = evaluation.run(None, |_, _| {}).unwrap();
    let records = records(&evaluation.folder.path);
    let exposures: Vec<f64> = records
        .iter()
        .map(|record| record.exposure.unwrap())
        .collect();
    // The highest of 512: nine bits.
    assert!((exposures[0] - 9.0).abs() < 1e-12, "{exposures:?}");
    assert_eq!(records[0].prediction, "73914");
    assert!(exposures[1] < 7.0, "{exposures:?}");
    assert!((value(&report, "exposure") - (exposures[0] + exposures[1]) / 2.0).abs() < 1e-12);
    for secret in ["12", "é-é"] {
        let bad = kit.write("canaries.jsonl", &canary(secret));
        let settings = EvalConfig {
            task: Task::Canary,
            ..config(&kit, &bad)
        };
        let error = open(&kit, settings).unwrap_err();
        assert!(error.to_string().contains("canaries.jsonl:1"), "{error}");
    }
}

#[test]
fn a_prompt_that_fills_the_context_counts_as_wrong_and_is_counted() {
    let kit = Kit::new(true);
    let long = "the heart ".repeat(40);
    let rows = [long.as_str(), "the skin?"]
        .map(|prompt| serde_json::json!({"prompt": prompt, "completion": "us warm"}).to_string());
    let data = kit.write("long.jsonl", &rows.join("\n"));
    let (_, report, records) = run(&kit, config(&kit, &data));
    assert_eq!((report.rows, report.too_long), (2, 1));
    assert!(records[0].too_long && records[0].loss.is_none() && records[0].prediction.is_empty());
    assert_eq!(records[0].scores.unwrap().exact_match, 0.0);
    assert!(!records[1].too_long && records[1].loss.is_some());
}

#[test]
fn results_of_other_questions_are_not_compared() {
    let kit = Kit::new(true);
    let data = kit.rows();
    let (one, _, _) = run(&kit, config(&kit, &data));
    let fewer = EvalConfig {
        limit: Some(3),
        ..config(&kit, &data)
    };
    let (two, _, _) = run(&kit, fewer);
    let finished = [&one, &two].map(|one| Finished::read(&one.folder.path).unwrap());
    let error = compare(&finished, 7).unwrap_err();
    assert!(error.to_string().contains("other rows"), "{error}");
    assert_eq!(error.exit_code(), 2);
    assert!(compare(&[], 7).is_err());

    let unfinished = kit.path("nothing");
    std::fs::create_dir(&unfinished).unwrap();
    let error = Finished::read(&unfinished).unwrap_err();
    assert!(error.to_string().contains("metrics.json"), "{error}");
    std::fs::write(unfinished.join("metrics.json"), "{\"loss\": 1}").unwrap();
    assert!(
        Finished::read(&unfinished)
            .unwrap_err()
            .to_string()
            .contains("metrics.json")
    );
}
