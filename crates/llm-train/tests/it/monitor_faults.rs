//! Every fault that can be planted is found by its name, by an error, a check, a warning or the
//! diagnosis; and a sound run has none.

use std::path::Path;
use std::time::UNIX_EPOCH;

use llm_train::config::TrainConfig;
use llm_train::finetune::{Measure, finetune};
use llm_train::monitor::diagnose::{Diagnosis, diagnose};
use llm_train::monitor::record::Record;
use llm_train::monitor::rules::Rule;
use llm_train::monitor::sabotage::{Fault, plant};
use llm_train::monitor::{Monitor, failure, template};
use llm_train::observe::MetricsFile;
use llm_train::prompt::Codec;
use llm_train::runs::RunFolder;
use llm_train::session::Session;
use llm_train::{Error, Result};

use crate::kit::{Kit, TEMPLATE};

const MEASURE: Measure = Measure {
    answers: 0,
    max_new_tokens: 1,
};

/// A run with a planted fault: how it ended, and what its folder says.
fn planted(kit: &Kit, fault: Fault, allow: &[&str], more: &[&str]) -> Result<(Result<()>, Record)> {
    let before = kit.config(&kit.rows()).to_yaml()?;
    let all = more.iter().chain(fault.overrides());
    let overrides: Vec<String> = all.map(|&text| text.to_owned()).collect();
    let config = TrainConfig::parse(Path::new("train.yaml"), &before, &overrides)?;
    let mut session = Session::open(config, Some(&kit.base()))?;
    session.monitor.allow = allow.iter().map(|&name| name.to_owned()).collect();
    plant(&mut session, fault)?;
    let run = RunFolder::create(&session.config.output_dir, fault.name(), UNIX_EPOCH)?;
    let mut metrics = MetricsFile::append(&run.metrics())?;
    let mut monitor = Monitor::start(&run, &session, |_| {})?;
    let observers: &mut [&mut dyn llm_train::observe::Observer] = &mut [&mut metrics, &mut monitor];
    let result = finetune(&session, &run, MEASURE, observers, None, |_| {});
    if let Err(error) = &result {
        failure::record(&run, error)?;
    }
    Ok((result.map(|_| ()), Record::read(&run.path)?))
}

fn named(diagnosis: &Diagnosis, fault: Fault) {
    let names: Vec<&str> = diagnosis
        .findings
        .iter()
        .map(|f| f.fault.as_str())
        .collect();
    assert_eq!(names.first(), Some(&fault.name()), "{diagnosis:#?}");
    let finding = &diagnosis.findings[0];
    assert!(
        !finding.evidence.is_empty() && !finding.remedy.is_empty(),
        "{finding:?}"
    );
    println!("{:<22} {}", fault.name(), finding.evidence[0]);
}

#[test]
fn silent_faults_stop_a_run_before_its_first_step_by_name() {
    let kit = Kit::new(true);
    for fault in [
        Fault::DetachedParameter,
        Fault::PartialGradient,
        Fault::FrozenWeight,
        Fault::ZeroAdapter,
        Fault::PromptSupervised,
        Fault::EosUnsupervised,
        Fault::PadSupervised,
        Fault::LabelsShifted,
        Fault::ConstantBatches,
        Fault::LeakingSplit,
        Fault::TemplateDiffers,
        Fault::LossNotNormalised,
        Fault::DropoutInEvaluation,
        Fault::DecayEverything,
    ] {
        let twice = matches!(
            fault,
            Fault::DetachedParameter | Fault::PartialGradient | Fault::FrozenWeight
        );
        for method in ["lora", "full"].iter().take(1 + usize::from(twice)) {
            let asked = format!("method={method}");
            let (result, record) = planted(&kit, fault, &[], &[&asked]).unwrap();
            let error = result.unwrap_err();
            assert_eq!(error.exit_code(), 1, "{fault:?}: {error}");
            assert!(record.rows.is_empty(), "{fault:?} was found after a step");
            match &error {
                Error::Check { name, .. } => assert_eq!(*name, fault.name(), "{error}"),
                Error::Audit { .. } => assert!(
                    matches!(fault, Fault::DetachedParameter | Fault::PartialGradient),
                    "{fault:?}: {error}"
                ),
                other => panic!("{fault:?}: {other}"),
            }
            named(&diagnose(&record), fault);
        }
    }
}

#[test]
fn an_unknown_key_stops_before_anything_is_read() {
    let kit = Kit::new(true);
    let error = planted(&kit, Fault::UnknownKey, &[], &[]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(
        error.to_string().contains("unknown key `learning_rte`"),
        "{error}"
    );
}

/// Trains with a planted fault and expects its name.
fn trouble(fault: Fault, more: &[&str]) {
    let kit = Kit::new(true);
    // Four times the rows of the kit, no two the same.
    let mut rows = String::new();
    for line in std::fs::read_to_string(kit.rows()).unwrap().lines() {
        (0..4).for_each(|copy| rows += &(line.replace('?', &format!(" {copy}?")) + "\n"));
    }
    let data = format!("dataset_path={}", kit.write("many.jsonl", &rows).display());
    let all: Vec<&str> = [data.as_str(), "save_steps=0", "eval_steps=0"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    let (result, record) = planted(&kit, fault, &[], &all).unwrap();
    if let Err(error) = result {
        assert!(
            fault == Fault::LrTooHigh && error.exit_code() == 4,
            "{fault:?}: {error}"
        );
    }
    named(&diagnose(&record), fault);
}

#[test]
fn a_learning_rate_that_is_too_high() {
    trouble(Fault::LrTooHigh, &["max_steps=20"]);
    trouble(Fault::LrTooHigh, &["max_steps=30", "method=full"]);
}

#[test]
fn a_learning_rate_that_is_too_low() {
    trouble(Fault::LrTooLow, &["max_steps=70", "lora_dropout=0"]);
}

#[test]
fn a_few_bad_rows() {
    trouble(Fault::BadRows, &["epochs=8", "method=full"]);
}

#[test]
fn few_rows_and_many_epochs() {
    trouble(Fault::Overfit, &["method=full", "lr=1e-2"]);
}

#[test]
fn input_that_keeps_a_run_waiting() {
    trouble(Fault::SlowInput, &["max_steps=8"]);
}

#[test]
#[cfg(target_os = "linux")] // memory is not measured elsewhere
fn memory_that_is_full() {
    trouble(Fault::OutOfMemory, &["max_steps=2"]);
}

#[test]
fn a_fault_that_is_let_pass_is_still_named() {
    let kit = Kit::new(true);
    let allow = ["prompt-supervised"];
    let (result, record) = planted(&kit, Fault::PromptSupervised, &allow, &[]).unwrap();
    result.unwrap();
    assert!(!record.rows.is_empty() && record.metrics.is_some());
    named(&diagnose(&record), Fault::PromptSupervised);
}

#[test]
fn a_model_is_asked_in_the_form_it_was_trained_in() {
    let kit = Kit::new(true);
    let session = Session::open(kit.config(&kit.rows()), Some(&kit.base())).unwrap();
    let run = RunFolder::create(&session.config.output_dir, "form", UNIX_EPOCH).unwrap();
    finetune(&session, &run, MEASURE, &mut [], None, |_| {}).unwrap();
    let open = |kit: &Kit| Codec::open(&kit.base(), session.config.prompt_format).unwrap();
    template::check(&run.model(), &open(&kit)).unwrap();
    // A folder that says nothing is not checked.
    template::check(&kit.base(), &open(&kit)).unwrap();

    let changed = |settings: serde_json::Value| {
        let path = kit.base().join("tokenizer_config.json");
        std::fs::write(path, settings.to_string()).unwrap();
        let error = template::check(&run.model(), &open(&kit)).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        error.to_string()
    };
    let other = TEMPLATE.replace("{{ m.role }}\n", "{{ m.role }}\n\n");
    let text = changed(serde_json::json!({"eos_token": "<|im_end|>", "chat_template": other}));
    assert!(
        text.contains("template-differs") && text.contains("user\\n\\n"),
        "{text}"
    );
    let text = changed(serde_json::json!({"eos_token": "<|im_end|>"}));
    assert!(text.contains("chat and plain"), "{text}");
    let text =
        changed(serde_json::json!({"eos_token": "<|endoftext|>", "chat_template": TEMPLATE}));
    assert!(text.contains("stop tokens"), "{text}");
}

#[test]
fn not_finite_is_the_learning_rate_only_when_something_led_up_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let failure = |step: u64| {
        format!(
            r#"{{"kind": "not-finite", "step": {step}, "error": "step {step}: the loss is NaN", "exit_code": 4}}"#
        )
    };
    let row = |step: u64, loss: f64, grad: f64| {
        format!(
            r#"{{"step": {step}, "epoch": 0.1, "loss": {loss}, "lr": 0.0001, "grad": {grad}, "tokens_per_second": 1.0, "eta_seconds": 1.0}}"#
        ) + "\n"
    };
    let first = |folder: &Path| {
        diagnose(&Record::read(folder).unwrap()).findings[0]
            .fault
            .clone()
    };
    write("error.json", &failure(1));
    assert_eq!(first(folder.path()), "not-finite");
    write("error.json", &failure(4));
    write("metrics.jsonl", &(row(1, 2.0, 1.0) + &row(2, 1.9, 1.0)));
    assert_eq!(first(folder.path()), "not-finite");
    write("metrics.jsonl", &(row(1, 2.0, 1.0) + &row(2, 2.1, 900.0)));
    assert_eq!(first(folder.path()), "lr-too-high");
    write("metrics.jsonl", &(row(1, 2.0, 1.0) + &row(3, 8.0, 60.0)));
    assert_eq!(first(folder.path()), "lr-too-high");
}

#[test]
fn a_killed_run_with_full_memory_was_out_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("config_used.yaml", "model_name: base\n");
    write(
        "system.jsonl",
        "{\"step\": 3, \"memory_bytes\": 95, \"memory_limit\": 100}\n",
    );
    let diagnosis = diagnose(&Record::read(folder.path()).unwrap());
    named(&diagnosis, Fault::OutOfMemory);
    assert!(
        diagnosis.findings[0]
            .remedy
            .contains("gradient_checkpointing")
    );
    write(
        "system.jsonl",
        "{\"step\": 3, \"memory_bytes\": 50, \"memory_limit\": 100}\n",
    );
    let diagnosis = diagnose(&Record::read(folder.path()).unwrap());
    assert!(diagnosis.healthy && diagnosis.notes.iter().any(|n| n.contains("has not ended")));
}

#[test]
fn every_name_is_one_fault_and_every_rule_has_a_hint() {
    for fault in Fault::ALL {
        assert_eq!(fault.name().parse::<Fault>().unwrap(), fault);
    }
    let error = "nan".parse::<Fault>().unwrap_err().to_string();
    assert!(error.contains("lr-too-high"), "{error}");
    for name in llm_train::monitor::checks::NAMES {
        name.parse::<Fault>().unwrap();
    }
    assert!(Rule::Memory.hint().contains("batch_size"));
}
