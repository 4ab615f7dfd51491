//! A whole run: base model and rows in, adapter and report out; and everything that can be wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::UNIX_EPOCH;

use candle_core::{DType, Tensor};
use llm_core::lora::attach;
use llm_core::model::Decoder;
use llm_core::ops::Products;
use llm_core::params::Mode;
use llm_store::ModelFolder;
use llm_train::config::{Method, TrainConfig};
use llm_train::data::DataFormat;
use llm_train::evaluate::exact_match;
use llm_train::finetune::{FinetuneReport, Measure, Stage, finetune};
use llm_train::observe::{Event, Memory, MetricsFile};
use llm_train::runs::RunFolder;
use llm_train::session::Session;

use crate::kit::Kit;

const MEASURE: Measure = Measure {
    answers: 3,
    max_new_tokens: 8,
};

fn run(kit: &Kit, config: &TrainConfig) -> (Session, RunFolder, FinetuneReport, Memory) {
    let session = Session::open(config.clone(), Some(&kit.base())).unwrap();
    let run = RunFolder::create(&config.output_dir, "test", UNIX_EPOCH).unwrap();
    let mut seen = Memory::default();
    let mut file = MetricsFile::append(&run.metrics()).unwrap();
    let mut stages = Vec::new();
    let observers: &mut [&mut dyn llm_train::observe::Observer] = &mut [&mut seen, &mut file];
    let report = finetune(&session, &run, MEASURE, observers, None, |stage| {
        stages.push(matches!(stage, Stage::Answered(..)));
    })
    .unwrap();
    assert_eq!(stages.iter().filter(|&&answered| answered).count(), 6);
    (session, run, report, seen)
}

fn flat(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Vec<f32>> {
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
    tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), values(tensor)))
        .collect()
}

#[test]
fn lora_learns_leaves_the_base_alone_and_saves_an_adapter_that_loads() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        epochs: 20,
        ..kit.config(&kit.rows())
    };
    let (session, run, report, seen) = run(&kit, &config);
    let loss = report.loss.unwrap();
    assert!(loss.difference.high < 0.0, "{loss:?}");
    let base = ModelFolder::open(&kit.base()).unwrap();
    let stored = flat(&base.tensors().unwrap());
    assert_eq!(
        flat(&session.model.named_tensors().unwrap()),
        stored,
        "the base has changed"
    );

    let adapter = llm_store::adapter::read(&run.model()).unwrap();
    assert_eq!(adapter.config.lora.r, 4);
    let tensors = base.tensors().unwrap();
    let device = candle_core::Device::Cpu;
    let (mut model, _) =
        Decoder::load(&base.config, tensors, Mode::Frozen, DType::F32, &device).unwrap();
    attach(&mut model, &adapter.config.lora, 0)
        .unwrap()
        .assign(&adapter.tensors)
        .unwrap();
    let ids = Tensor::new(&[[1u32, 5, 9, 2, 3]], &device).unwrap();
    let logits = |model: &Decoder| -> Vec<Vec<Vec<f32>>> {
        let pass = llm_core::nn::Pass::eval(llm_core::ops::Ops::Fused);
        model.forward(&ids, &pass).unwrap().to_vec3().unwrap()
    };
    assert_eq!(
        logits(&model),
        logits(&session.model),
        "the saved adapter is another"
    );

    let text = std::fs::read_to_string(run.metrics()).unwrap();
    let logged = seen.events.iter().filter_map(|event| match event {
        Event::Logged(row) => Some(serde_json::to_string(row).unwrap()),
        _ => None,
    });
    assert_eq!(text.lines().collect::<Vec<_>>(), logged.collect::<Vec<_>>());
    for name in [
        "config_used.yaml",
        "env.json",
        "data.json",
        "metrics.json",
        "samples.jsonl",
    ] {
        assert!(run.path.join(name).is_file(), "{name}");
    }
    let used = TrainConfig::load(&run.path.join("config_used.yaml"), &[]).unwrap();
    assert_eq!(used, config);
}

#[test]
fn a_bf16_base_trains_an_adapter_and_full_training_keeps_its_weights_in_f32() {
    let kit = Kit::new(true);
    let good = TrainConfig {
        epochs: 20,
        ..kit.config(&kit.rows())
    };
    for (bf16, dtype) in [(true, "auto"), (false, "bf16")] {
        let config = TrainConfig {
            bf16,
            dtype: dtype.into(),
            ..good.clone()
        };
        let (session, _, report, _) = run(&kit, &config);
        let rounds = bf16 && Products::rounding_is_fast();
        assert_eq!(session.model.products() == Products::Rounded, rounds);
        let tensors = session.model.named_tensors().unwrap();
        let halves = tensors
            .values()
            .filter(|t| t.dtype() == DType::BF16)
            .count();
        assert_eq!(halves, tensors.values().filter(|t| t.rank() == 2).count());
        let loss = report.loss.unwrap();
        assert!(loss.difference.high < 0.0, "{loss:?}");
    }
    let full = TrainConfig {
        method: Method::Full,
        ..good
    };
    let asked = TrainConfig {
        bf16: true,
        ..full.clone()
    };
    let session = Session::open(asked, Some(&kit.base())).unwrap();
    let fast = Products::rounding_is_fast();
    let says = |text: &String| text.contains("trains in f32");
    assert_eq!(session.warnings.iter().any(says), !fast);
    assert_eq!(session.model.products() == Products::Rounded, fast);
    assert_eq!(session.model.dtype(), DType::F32);
    session.audit().unwrap();
    let asked = TrainConfig {
        dtype: "bf16".into(),
        ..full
    };
    let (text, _) = refusal(&kit, asked);
    assert!(
        text.contains("`dtype`") && text.contains("is bf16"),
        "{text}"
    );
}

#[test]
fn gradient_checkpointing_changes_no_bit_of_a_run() {
    let kit = Kit::new(true);
    for method in [Method::Lora, Method::Full] {
        let [kept, again] = [false, true].map(|gradient_checkpointing| {
            let config = TrainConfig {
                method,
                gradient_checkpointing,
                ..kit.config(&kit.rows())
            };
            let session = Session::open(config, Some(&kit.base())).unwrap();
            session.train(None, &mut [], None).unwrap();
            let values = |(name, var): (&str, &candle_core::Var)| {
                let values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                (name.to_owned(), values)
            };
            session
                .parameters
                .iter()
                .map(values)
                .collect::<BTreeMap<_, _>>()
        });
        assert!(kept == again, "{method:?}");
    }
}

#[test]
fn full_training_changes_every_tensor_and_saves_a_model_folder() {
    let kit = Kit::new(false);
    let config = TrainConfig {
        method: Method::Full,
        ..kit.config(&kit.rows())
    };
    let (session, run, report, _) = run(&kit, &config);
    assert_eq!(report.trainable, report.total);
    let before = flat(&ModelFolder::open(&kit.base()).unwrap().tensors().unwrap());
    let saved = flat(&ModelFolder::open(&run.model()).unwrap().tensors().unwrap());
    assert_eq!(saved, flat(&session.model.named_tensors().unwrap()));
    for (name, values) in &saved {
        assert_ne!(values, &before[name], "{name} was not trained");
    }
    assert!(run.model().join("tokenizer.json").is_file());
}

#[test]
fn a_new_model_is_pretrained_on_text() {
    let kit = Kit::new(false);
    let text = "the heart pumps the blood. ".repeat(40) + "\n<|endoftext|>\n";
    let data = kit.write("text.txt", &(text.repeat(2) + "the lungs take in the air."));
    let config = TrainConfig {
        model_name: None,
        model_config: Some(kit.base().join("config.json")),
        tokenizer: Some(kit.base()),
        data_format: DataFormat::Text,
        max_length: 16,
        max_steps: Some(30),
        lr: 1e-2,
        ..kit.config(&data)
    };
    let session = Session::open(config.clone(), None).unwrap();
    let run = RunFolder::create(&config.output_dir, "test", UNIX_EPOCH).unwrap();
    let report = finetune(&session, &run, MEASURE, &mut [], None, |_| {}).unwrap();
    let loss = report.loss.unwrap();
    assert!(loss.after < loss.before - 1.0, "{loss:?}");
    assert!(report.exact_match.is_none());
    ModelFolder::open(&run.model()).unwrap();
}

#[test]
fn an_exact_match_ignores_outer_white_space_only() {
    assert!(exact_match(" the heart\n", "the heart"));
    assert!(!exact_match("The heart", "the heart"));
    assert!(!exact_match("the  heart", "the heart"));
}

fn refusal(kit: &Kit, config: TrainConfig) -> (String, u8) {
    let error = Session::open(config, Some(&kit.base())).unwrap_err();
    assert!(!error.to_string().contains('\n'), "{error}");
    (error.to_string(), error.exit_code())
}

#[test]
fn what_cannot_work_is_refused_by_name_before_anything_is_written() {
    let kit = Kit::new(true);
    let data = kit.rows();
    let good = kit.config(&data);
    for (config, part) in [
        (
            TrainConfig {
                max_length: 65,
                ..good.clone()
            },
            "the model's context is 64",
        ),
        (
            TrainConfig {
                max_length: 4,
                ..good.clone()
            },
            "no token to learn from",
        ),
        (
            TrainConfig {
                dataset_path: kit.path("none"),
                ..good.clone()
            },
            "does not exist",
        ),
        (
            TrainConfig {
                lora_target_modules: vec!["x_proj".into()],
                ..good.clone()
            },
            "x_proj",
        ),
        (
            TrainConfig {
                tokenizer: Some(kit.path("none")),
                ..good.clone()
            },
            "tokenizer.json",
        ),
        (
            TrainConfig {
                validation_fraction: 2.0,
                ..good.clone()
            },
            "validation_fraction",
        ),
        (
            TrainConfig {
                dtype: "f8".into(),
                ..good.clone()
            },
            "f8",
        ),
    ] {
        let (message, code) = refusal(&kit, config);
        assert!(message.contains(part), "{part}: {message}");
        assert!(code == 2 || code == 3, "{message}: exit code {code}");
    }
    assert!(!kit.path("runs").exists());
}

#[test]
fn rows_that_are_cut_are_counted_and_said() {
    let kit = Kit::new(true);
    let good = kit.config(&kit.rows());
    let whole = Session::open(good.clone(), Some(&kit.base())).unwrap();
    let longest = whole
        .dataset
        .train
        .iter()
        .map(|example| example.ids.len())
        .max()
        .unwrap();
    let max_length = longest - 1;
    let cut = TrainConfig { max_length, ..good };
    let session = Session::open(cut, Some(&kit.base())).unwrap();
    assert!(session.dataset.report.train.truncated > 0);
    assert!(
        session
            .warnings
            .iter()
            .any(|line| line.contains("longer than max_length"))
    );
}

#[test]
fn weights_with_nan_stop_with_the_numerical_exit_code() {
    let kit = Kit::new(true);
    let folder = ModelFolder::open(&kit.base()).unwrap();
    let mut tensors = folder.tensors().unwrap();
    let name = "model.norm.weight";
    tensors.insert(name.into(), (&tensors[name] * f64::NAN).unwrap());
    let file = kit.base().join("model.safetensors");
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    llm_store::safetensors::write_file(&file, &tensors, &metadata).unwrap();
    let (message, code) = refusal(&kit, kit.config(&kit.rows()));
    assert!(message.contains(name) && code == 4, "{message}: {code}");
}

#[test]
fn an_output_folder_that_cannot_be_written_is_an_io_error() {
    let kit = Kit::new(true);
    let file = kit.write("file", "");
    let error = RunFolder::create(&file, "x", UNIX_EPOCH).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(Path::new(&file).is_file());
}
