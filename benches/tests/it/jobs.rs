//! Lines of JSON in, lines of JSON out.

use llm_benches::job::Desk;
use serde_json::json;

const TRAIN: &str = r#"{"work": "train", "size": "tiny", "steps": 2}"#;

#[test]
fn every_kind_of_work_answers_with_its_times_and_size() {
    let mut desk = Desk::default();
    for job in [
        TRAIN,
        r#"{"work": "train", "layers": 1, "heads": 1, "channels": 8, "tokens": 4, "batch": 1,
            "vocabulary": 11, "steps": 2, "warm_up": 0}"#,
        r#"{"work": "attention", "heads": 2, "head_size": 8, "tokens": 16, "part": "forward", "steps": 2}"#,
        r#"{"work": "attention", "heads": 2, "head_size": 8, "tokens": 16, "part": "step", "steps": 2}"#,
        r#"{"work": "decode", "size": "tiny", "steps": 2}"#,
    ] {
        let answer = desk.answer(job);
        let times = answer["ms"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(times.len(), 2, "{answer}");
        assert!(times.iter().all(|ms| ms.as_f64().unwrap() > 0.0));
        assert!(answer["flops"].as_u64().unwrap() > 0, "{answer}");
    }
    assert!(desk.answer(r#"{"work": "forget"}"#)["error"].is_null());
}

#[test]
fn bad_jobs_are_sentences() {
    let mut desk = Desk::default();
    for (job, word) in [
        ("{", "job"),
        (r#"{"work": "sleep"}"#, "sleep"),
        (r#"{"work": "train", "size": "huge"}"#, "huge"),
        (r#"{"work": "train", "size": "tiny", "steps": -1}"#, "steps"),
        (
            r#"{"work": "train", "size": "tiny", "colour": 1}"#,
            "colour",
        ),
        (
            r#"{"work": "lora", "config": "nowhere.json", "batch": 1, "tokens": 2, "r": 1, "lora_alpha": 1}"#,
            "nowhere.json",
        ),
    ] {
        let answer = desk.answer(job);
        let error = answer["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"));
        assert!(error.contains(word), "{job}: {error}");
    }
    assert!(desk.answer(TRAIN)["error"].is_null());
}

#[test]
fn a_run_in_pieces_learns_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let ids: Vec<u8> = (0..400u32).map(|i| (i % 5) as u8).collect();
    let starts: Vec<u8> = (0..40u32)
        .flat_map(|i| (i * 7 % 300).to_le_bytes())
        .collect();
    std::fs::write(folder.path().join("ids"), ids).unwrap();
    std::fs::write(folder.path().join("starts"), starts).unwrap();
    let job = |steps: u64, score: bool| {
        let fit = json!({
            "work": "fit", "ids": folder.path().join("ids"), "train": 360,
            "starts": folder.path().join("starts"), "total_steps": 20, "warmup_steps": 2,
            "max_lr": 0.02, "seed": 1, "steps": steps, "warm_up": 0, "score": score,
            "shape": {"layers": 1, "heads": 2, "channels": 16, "tokens": 8, "batch": 2, "vocabulary": 5},
        });
        fit.to_string()
    };
    let mut desk = Desk::default();
    let before = desk.answer(&job(0, true))["score"].as_f64().unwrap();
    assert!(desk.answer(&job(10, false))["error"].is_null());
    let after = desk.answer(&job(10, true))["score"].as_f64().unwrap();
    assert!(after < 0.7 * before, "{before} → {after}");
    let over = desk.answer(&job(1, false));
    assert!(over["error"].as_str().unwrap().contains("over"), "{over}");
}

#[test]
fn rows_are_loaded_checked_and_tokenized() {
    let folder = tempfile::tempdir().unwrap();
    let row = |prompt: &str| json!({"prompt": prompt, "completion": "the heart"}).to_string();
    let data = folder.path().join("rows.jsonl");
    std::fs::write(&data, [row("a"), row("b"), row("a")].join("\n")).unwrap();
    let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/../output_models/deeper-base");
    let job = |stage: &str| {
        let job = json!({
            "work": "rows", "data": data, "stage": stage, "max_length": 64, "steps": 1, "warm_up": 0,
            "tokenizer": tokenizer, "cache": folder.path().join("cache"), "score": true,
        });
        job.to_string()
    };
    let mut desk = Desk::default();
    assert_eq!(desk.answer(&job("load"))["tokens"], 3);
    let checked = desk.answer(&job("check"));
    assert_eq!(
        (&checked["tokens"], &checked["score"]),
        (&json!(3), &json!(1.0))
    );
    let tokens = desk.answer(&job("tokenize"))["tokens"].as_u64().unwrap();
    assert!((9..60).contains(&tokens), "{tokens}");
    assert_eq!(
        std::fs::read_dir(folder.path().join("cache"))
            .unwrap()
            .count(),
        1
    );
}
