//! Multiple choice: the layouts of the public benchmarks (with questions of our own), how pairs are
//! scored, and log-likelihoods against transformers.

use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use llm_train::config::PromptStyle;
use llm_train::data::DataFormat;
use llm_train::eval::choice::{BBH_FILES, BBH_TASKS, MMLU_SUBJECTS, encode_pair, log_likelihoods};
use llm_train::eval::humaneval::{PROBLEMS, pass_at_k, passes};
use llm_train::eval::{EvalConfig, Evaluation, Material, Record, Report, Subject, Task};
use serde_json::{Value, json};

use crate::kit::Kit;

/// A log-likelihood is a sum of a few f32 losses; transformers' own differ by this much.
const TOLERANCE: f64 = 1e-4;

fn config(kit: &Kit, task: Task, data: &Path) -> EvalConfig {
    EvalConfig {
        model_path: Some(kit.base().display().to_string()),
        task,
        dataset_path: data.to_path_buf(),
        max_new_tokens: 4,
        device: "cpu".into(),
        output_dir: kit.path("evals"),
        ..EvalConfig::default()
    }
}

fn read(kit: &Kit, config: &EvalConfig) -> llm_train::Result<Material> {
    let subject = Subject::open(config, &kit.base(), None).unwrap();
    Ok(Material::read(config, &subject)?.0)
}

fn run(kit: &Kit, config: EvalConfig) -> (PathBuf, Report, Vec<Record>) {
    let evaluation = Evaluation::open(config, kit.base(), None).unwrap();
    let report = evaluation.run(None, |_, _| {}).unwrap();
    let path = evaluation.folder.path.clone();
    let text = std::fs::read_to_string(path.join("predictions.jsonl")).unwrap();
    let records = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (path, report, records)
}

/// tools/oracle/loglikelihood.py, with output_models/deeper-base
fn fixture() -> Value {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("tests/fixtures/loglikelihood.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_perplexity_of_a_text_is_that_of_transformers() {
    /// Relative: a mean of f32 losses.
    const RELATIVE: f64 = 1e-5;
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.txt");
    std::fs::write(&text, fixture["text"].as_str().unwrap()).unwrap();
    let config = EvalConfig {
        model_path: Some("deeper-base".into()),
        dataset_path: text,
        data_format: DataFormat::Text,
        max_length: Some(fixture["window"].as_u64().unwrap() as usize),
        device: "cpu".into(),
        output_dir: folder.path().join("evals"),
        ..EvalConfig::default()
    };
    let base = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../output_models/deeper-base");
    let evaluation = Evaluation::open(config, base, None).unwrap();
    let report = evaluation.run(None, |_, _| {}).unwrap();
    let found = report.metrics["perplexity"]["value"].as_f64().unwrap();
    let want = fixture["perplexity"].as_f64().unwrap();
    let gap = (found / want - 1.0).abs();
    assert!(
        gap <= RELATIVE,
        "{found} and {want}: {gap:e}, tolerance {RELATIVE:e}"
    );
}

#[test]
fn log_likelihoods_are_those_of_transformers() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let fixture = fixture();
    let cases = fixture["pairs"].as_array().unwrap();
    assert_eq!(cases.len(), 51);
    let config = EvalConfig {
        model_path: Some("deeper-base".into()),
        device: "cpu".into(),
        ..EvalConfig::default()
    };
    let base = root.join("../../output_models/deeper-base");
    let subject = Subject::open(&config, &base, None).unwrap();
    let mut worst = (0.0, String::new());
    for case in cases {
        let (context, continuation) = (
            case["context"].as_str().unwrap(),
            case["continuation"].as_str().unwrap(),
        );
        let (before, after) = encode_pair(&subject.codec.tokenizer, context, continuation).unwrap();
        assert_eq!(
            json!([before.len(), after.len()]),
            case["tokens"],
            "{context:?}"
        );
        let found = log_likelihoods(&subject, context, &[continuation.to_owned()]).unwrap()[0];
        let gap = (found - case["log_likelihood"].as_f64().unwrap()).abs();
        if gap > worst.0 {
            worst = (gap, format!("{context:?} {continuation:?}"));
        }
    }
    assert!(
        worst.0 <= TOLERANCE,
        "{:e} at {}, tolerance {TOLERANCE:e}",
        worst.0,
        worst.1
    );
}

#[test]
fn the_constant_lists_have_the_published_sizes() {
    assert_eq!(
        (MMLU_SUBJECTS.len(), BBH_FILES.len(), PROBLEMS),
        (57, 27, 164)
    );
    assert!(MMLU_SUBJECTS.is_sorted() && BBH_FILES.is_sorted());
    // Two tasks are three files each.
    let sized = |name: &&&str| name.ends_with("_five_objects") || name.ends_with("_seven_objects");
    assert_eq!(
        BBH_FILES.len() - BBH_FILES.iter().filter(sized).count(),
        BBH_TASKS
    );
}

#[test]
fn rows_of_choices_are_read_scored_and_grouped() {
    let kit = Kit::new(true);
    let rows = [
        json!({"query": "the heart pumps", "choices": ["the blood", "the air", "us"], "gold": 0}),
        json!({"query": "the skin keeps", "choices": ["the air", "us warm"], "gold": 1, "group": "skin"}),
    ];
    let text = rows.map(|row| row.to_string()).join("\n\n");
    let data = kit.write("suite.jsonl", &text);
    for style in [PromptStyle::Plain, PromptStyle::Chat] {
        let settings = EvalConfig {
            prompt_format: style,
            ..config(&kit, Task::Choices, &data)
        };
        let (_, report, records) = run(&kit, settings);
        assert_eq!(records.len(), 2);
        assert_eq!(records[1].place, format!("{}:3", data.display()));
        for record in &records {
            let choice = record.choice.as_ref().unwrap();
            let most = choice
                .log_likelihoods
                .iter()
                .copied()
                .fold(f64::MIN, f64::max);
            assert_eq!(choice.log_likelihoods[choice.picked], most);
            assert!(choice.log_likelihoods.iter().all(|log_p| *log_p < 0.0));
        }
        let right = |record: &&Record| {
            let choice = record.choice.as_ref().unwrap();
            choice.picked == choice.gold
        };
        let share = records.iter().filter(right).count() as f64 / 2.0;
        assert_eq!(report.metrics["acc"]["value"], share);
        assert!(report.metrics.contains_key("acc_norm"));
        assert!(report.groups.keys().eq(["skin", "suite"]));
    }
}

#[test]
fn rows_that_ask_nothing_are_named() {
    let kit = Kit::new(true);
    for (row, part) in [
        (
            json!({"query": "a", "choices": ["b"], "gold": 0}),
            "1 choices",
        ),
        (
            json!({"query": "a", "choices": ["b", "c"], "gold": 2}),
            "gold 2",
        ),
        (
            json!({"query": "a", "choices": ["b", "b"], "gold": 0}),
            "twice",
        ),
        (
            json!({"query": " ", "choices": ["b", "c"], "gold": 0}),
            "empty `query`",
        ),
        (
            json!({"query": "a", "choices": ["b", ""], "gold": 0}),
            "empty choice",
        ),
        (
            json!({"query": "a", "choices": ["b", "c"], "gold": -1}),
            "suite.jsonl:1",
        ),
        (json!({"question": "a"}), "suite.jsonl:1"),
    ] {
        let data = kit.write("suite.jsonl", &row.to_string());
        let error = read(&kit, &config(&kit, Task::Choices, &data)).unwrap_err();
        assert!(error.to_string().contains(part), "{row}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
}

/// A folder in MMLU's layout with two subjects of two questions.
fn mmlu(kit: &Kit) -> PathBuf {
    let root = kit.path("mmlu");
    for part in ["test", "dev"] {
        std::fs::create_dir_all(root.join(part)).unwrap();
        for subject in ["anatomy", "machine_learning"] {
            let text = "\"What, in short, pumps \"\"blood\"\"?\nName it.\",the heart,the skin,the lungs,air,A\n\
                Which keeps us warm?,the air,the skin,the blood,the heart,B\n";
            std::fs::write(root.join(part).join(format!("{subject}_{part}.csv")), text).unwrap();
        }
    }
    root
}

#[test]
fn mmlu_has_the_prompt_of_the_harness() {
    let kit = Kit::new(false);
    let root = mmlu(&kit);
    let all = config(&kit, Task::Mmlu, &root);
    let error = read(&kit, &all).unwrap_err();
    assert!(error.to_string().contains("2 of 57 subjects"), "{error}");
    let part = EvalConfig {
        limit: Some(1),
        shots: 1,
        ..all.clone()
    };
    let Material::Questions(questions) = read(&kit, &part).unwrap() else {
        panic!("no questions");
    };
    assert_eq!(questions.len(), 2);
    let asked = "What, in short, pumps \"blood\"?\nName it.\nA. the heart\nB. the skin\n\
        C. the lungs\nD. air\nAnswer:";
    let want = format!(
        "The following are multiple choice questions (with answers) about machine learning.\n\n\
         {asked} A\n\n{asked}"
    );
    assert_eq!(questions[1].context, want);
    assert_eq!(questions[1].asked, asked);
    assert_eq!(questions[1].group.as_deref(), Some("machine_learning"));

    let greedy = EvalConfig { shots: 9, ..part };
    assert!(
        read(&kit, &greedy)
            .unwrap_err()
            .to_string()
            .contains("`shots` asks for 9")
    );
}

#[test]
fn one_subject_can_be_asked_alone_and_bad_rows_are_named() {
    let kit = Kit::new(false);
    let root = mmlu(&kit);
    let single = config(&kit, Task::Mmlu, &root.join("test/anatomy_test.csv"));
    let Material::Questions(questions) = read(&kit, &single).unwrap() else {
        panic!("no questions");
    };
    assert_eq!(questions.len(), 2);
    assert!(
        questions[1].place.ends_with("anatomy_test.csv:3"),
        "{}",
        questions[1].place
    );
    for (text, part) in [
        ("a,b,c,d,A\n", "5 columns"),
        ("a,b,c,d,e,E\n", "no letter"),
        ("", "no rows"),
        ("a,b,c,d,e,A\n\"a,b,c,d,e,A\n", "anatomy_test.csv"),
    ] {
        let file = root.join("test/anatomy_test.csv");
        std::fs::write(&file, text).unwrap();
        let error = read(&kit, &config(&kit, Task::Mmlu, &file)).unwrap_err();
        assert!(error.to_string().contains(part), "{text:?}: {error}");
    }
}

#[test]
fn bbh_offers_options_words_or_nothing() {
    let kit = Kit::new(false);
    let root = kit.path("bbh");
    std::fs::create_dir(&root).unwrap();
    let write = |name: &str, examples: Value| {
        let text = json!({"canary": "none", "examples": examples}).to_string();
        std::fs::write(root.join(format!("{name}.json")), text).unwrap();
    };
    write(
        "ruin_names",
        json!([{"input": "Which?\nOptions:\n(A) the heart\n(B) the skin", "target": "(B)"}]),
    );
    write(
        "navigate",
        json!([{"input": "Left?", "target": "Yes"}, {"input": "Right?", "target": "No"}]),
    );
    write(
        "word_sorting",
        json!([{"input": "Sort: skin air", "target": "air skin"}]),
    );
    let error = read(&kit, &config(&kit, Task::Bbh, &root)).unwrap_err();
    assert!(error.to_string().contains("3 of 27 files"), "{error}");
    let part = EvalConfig {
        limit: Some(2),
        ..config(&kit, Task::Bbh, &root)
    };
    let (_, report, records) = run(&kit, part);
    assert_eq!(records.len(), 4);
    assert_eq!(report.groups.len(), 3);
    let golds: Vec<&str> = records
        .iter()
        .map(|record| record.reference.as_str())
        .collect();
    assert_eq!(golds, ["Yes", "No", "(B)", "air skin"]);
    assert_eq!(records[0].prompt, "Q: Left?\nA:");
    assert_eq!(records[2].choice.as_ref().unwrap().log_likelihoods.len(), 2);
    assert!(records[3].choice.is_none() && records[3].scores.is_some());
    write(
        "ruin_names",
        json!([{"input": "Options:\n(A) x\n(B) y", "target": "(C)"}]),
    );
    let error = read(
        &kit,
        &config(&kit, Task::Bbh, &root.join("ruin_names.json")),
    )
    .unwrap_err();
    assert!(error.to_string().contains("(C)"), "{error}");
}

#[test]
fn humaneval_writes_candidates_and_runs_nothing() {
    let kit = Kit::new(false);
    let problem = |index: usize| {
        json!({"task_id": format!("Ours/{index}"), "prompt": "the heart\n", "entry_point": "f",
            "canonical_solution": "    the blood\n", "test": "exit(1)"})
    };
    let text: String = (0..3)
        .map(|index| format!("{}\n", problem(index)))
        .collect();
    let path = kit.path("HumanEval.jsonl.gz");
    let mut packed = GzEncoder::new(std::fs::File::create(&path).unwrap(), Compression::fast());
    std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
    packed.finish().unwrap();
    let error = read(&kit, &config(&kit, Task::Humaneval, &path)).unwrap_err();
    assert!(
        error.to_string().contains("3 problems, expected 164"),
        "{error}"
    );
    let part = EvalConfig {
        limit: Some(2),
        samples: 2,
        temperature: 0.8,
        ..config(&kit, Task::Humaneval, &path)
    };
    let (folder, report, records) = run(&kit, part);
    assert_eq!((report.rows, records.len()), (4, 4));
    assert!(report.metrics.contains_key("loss") && !report.metrics.contains_key("exact_match"));
    let samples = std::fs::read_to_string(folder.join("samples.jsonl")).unwrap();
    let tasks: Vec<String> = samples
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["task_id"]
                .as_str()
                .unwrap()
                .into()
        })
        .collect();
    assert_eq!(tasks, ["Ours/0", "Ours/0", "Ours/1", "Ours/1"]);
}

#[test]
fn pass_at_k_is_the_share_of_drawings_with_a_right_one() {
    // Every k of n candidates, drawn without putting back.
    for n in 1..=8usize {
        for correct in 0..=n {
            for k in 1..=n {
                let draws = (0..1u32 << n).filter(|draw| draw.count_ones() as usize == k);
                let (mut hits, mut all) = (0.0, 0.0);
                for draw in draws {
                    all += 1.0;
                    hits += f64::from(u8::from(draw & ((1 << correct) - 1) != 0));
                }
                let found = pass_at_k(n, correct, k).unwrap();
                let gap = (found - hits / all).abs();
                assert!(
                    gap < 1e-12,
                    "n {n}, c {correct}, k {k}: {found}, off by {gap:e}"
                );
            }
        }
    }
    assert_eq!(pass_at_k(3, 4, 1), None);
    let kit = Kit::new(false);
    let rows = [("a", true), ("a", false), ("b", false), ("b", false)].map(|(task, passed)| {
        json!({"task_id": task, "passed": passed, "result": "x"}).to_string()
    });
    let file = kit.write("results.jsonl", &rows.join("\n"));
    let found = passes(&file).unwrap();
    assert_eq!(
        (found.problems, found.samples, found.at),
        (2, 2, vec![(1, 0.25)])
    );
    let bad = kit.write("results.jsonl", "{\"task_id\": \"a\"}\n");
    assert!(
        passes(&bad)
            .unwrap_err()
            .to_string()
            .contains("results.jsonl:1")
    );
}
