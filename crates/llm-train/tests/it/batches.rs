//! Batches of every kind: what they learn, what padding does, how they resume, what is cached.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use llm_core::nn::Pass;
use llm_core::ops::{IGNORE_INDEX, Ops};
use llm_train::batch::{Batch, collate, pack};
use llm_train::batching::{BatchSettings, Batching, Plan};
use llm_train::config::TrainConfig;
use llm_train::data::DataFormat;
use llm_train::labels::Example;
use llm_train::model::{LanguageModel, row_losses};
use llm_train::observe::Memory;
use llm_train::runs::RunFolder;
use llm_train::session::Session;

use crate::kit::{Kit, examples, trainable};

const ALL: [Batching; 4] = [
    Batching::Dynamic,
    Batching::Fixed,
    Batching::Bucketed,
    Batching::Packed,
];
/// Sums of the same terms in another order, in f64.
const ORDER: f64 = 1e-12;

fn settings(batching: Batching) -> BatchSettings {
    BatchSettings {
        batching,
        batch_size: 3,
        accumulation: 1,
        pad_to_multiple_of: 8,
        max_length: 40,
        seed: 7,
    }
}

/// The batches of the first epoch.
fn batches(batching: Batching, examples: &[Example], pad: u32) -> Vec<Batch> {
    let plan = Plan::new(settings(batching), examples);
    let mut walk = plan.walk(7, 0, 0);
    let mut all = Vec::new();
    while !walk.epoch_is_done() {
        let rows = walk.take(3);
        all.push(plan.batch(examples, &rows, pad, &Device::Cpu).unwrap());
    }
    all
}

#[test]
fn every_pad_has_no_label_though_it_is_the_end_token_whose_labels_stay() {
    const EOS: u32 = 2;
    let ended = |n: u32| {
        let ids: Vec<u32> = (0..n).map(|i| 5 + i % 3).chain([EOS]).collect();
        let mut labels: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        labels[0] = IGNORE_INDEX;
        Example { ids, labels }
    };
    let examples: Vec<Example> = (2..13).map(ended).collect();
    for batching in ALL {
        let mut ends = 0;
        for batch in batches(batching, &examples, EOS) {
            let (b, t) = batch.ids.dims2().unwrap();
            assert!(t % 8 == 0, "{batching:?}: {t}");
            let ids = batch.ids.flatten_all().unwrap().to_vec1::<u32>().unwrap();
            let learnt = batch
                .targets
                .iter()
                .filter(|&&target| target != IGNORE_INDEX);
            assert_eq!(learnt.count(), batch.supervised);
            assert_eq!(batch.supervised, batch.tokens);
            // An end token is only ever read as padding: a row ends before its own.
            let pads = ids.iter().zip(&batch.targets).filter(|&(&id, _)| id == EOS);
            assert!(
                pads.clone().all(|(_, &target)| target == IGNORE_INDEX),
                "{batching:?}"
            );
            assert_eq!(pads.count(), b * t - batch.tokens);
            ends += batch
                .targets
                .iter()
                .filter(|&&target| target == i64::from(EOS))
                .count();
        }
        assert_eq!(ends, examples.len(), "{batching:?}");
    }
}

/// Loss and gradients of all of `batches`, each supervised token weighing the same.
fn learn(batches: &[Batch], ops: Ops) -> Vec<f64> {
    let (model, parameters) = trainable(DType::F64);
    let supervised: usize = batches.iter().map(|batch| batch.supervised).sum();
    let mut sums: BTreeMap<String, Tensor> = BTreeMap::new();
    let mut total = 0.0;
    for batch in batches {
        let pass = Pass::eval(ops).packed(batch.segments.clone());
        let loss = model.loss(batch, &pass, 1.0 / supervised as f64).unwrap();
        total += loss.to_scalar::<f64>().unwrap();
        let store = loss.backward().unwrap();
        for (name, var) in parameters.iter() {
            let gradient = store.get(var).unwrap().clone();
            let sum = match sums.remove(name) {
                Some(sum) => (sum + gradient).unwrap(),
                None => gradient,
            };
            sums.insert(name.to_owned(), sum);
        }
    }
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    std::iter::once(total)
        .chain(sums.values().flat_map(flat))
        .collect()
}

#[test]
fn an_epoch_has_one_loss_and_one_gradient_however_its_rows_are_made() {
    let examples = examples(17);
    let dynamic = learn(&batches(Batching::Dynamic, &examples, 0), Ops::Fused);
    for batching in ALL {
        for ops in [Ops::Fused, Ops::Composed] {
            let found = learn(&batches(batching, &examples, 1), ops);
            let apart = dynamic.iter().zip(&found).map(|(a, b)| (a - b).abs());
            let apart = apart.fold(0.0, f64::max);
            assert!(
                apart <= ORDER,
                "{batching:?} {ops:?}: |Δ| = {apart:e} (tolerance {ORDER:e})"
            );
        }
    }
}

#[test]
fn a_packed_row_has_the_losses_of_its_documents() {
    let (model, _) = trainable(DType::F64);
    let examples = examples(5);
    let group: Vec<&Example> = examples.iter().collect();
    let t = group.iter().map(|e| e.ids.len() - 1).sum::<usize>() + 3;
    let packed = pack(std::slice::from_ref(&group), t, 4, &Device::Cpu).unwrap();
    let together = row_losses(&model, &packed, Ops::Fused).unwrap();
    let alone: f64 = group
        .iter()
        .flat_map(|example| {
            let batch = collate(&[example], 0, &Device::Cpu).unwrap();
            row_losses(&model, &batch, Ops::Fused).unwrap()
        })
        .sum();
    assert!(
        (together[0] - alone).abs() <= ORDER * 100.0,
        "{together:?} {alone}"
    );
    assert!(pack(&[group], t - 4, 4, &Device::Cpu).is_err());
}

fn run(kit: &Kit, config: &TrainConfig) -> (Session, RunFolder, Memory) {
    let session = Session::open(config.clone(), Some(&kit.base())).unwrap();
    session.audit().unwrap();
    let time = std::time::UNIX_EPOCH;
    let run = RunFolder::create(&config.output_dir, "test", time).unwrap();
    let mut seen = Memory::default();
    session.train(Some(&run), &mut [&mut seen], None).unwrap();
    (session, run, seen)
}

fn weights(run: &RunFolder, step: u64) -> String {
    let path = run.checkpoint(step).join("parameters.safetensors");
    llm_store::hash::sha256_file(&path).unwrap()
}

#[test]
fn runs_of_every_kind_resume_bit_for_bit_and_say_how_much_they_pad() {
    for batching in ALL {
        let kit = Kit::new(true);
        let config = TrainConfig {
            batching,
            pad_to_multiple_of: 8,
            max_steps: Some(6),
            ..kit.config(&kit.rows())
        };
        let (session, whole, _) = run(&kit, &config);
        assert_eq!(session.total_steps(), 6);
        let resumed = TrainConfig {
            resume_from: Some(whole.checkpoint(4)),
            ..config.clone()
        };
        let (_, again, _) = run(&kit, &resumed);
        assert_eq!(weights(&whole, 6), weights(&again, 6), "{batching:?}");
        let data = std::fs::read_to_string(whole.path.join("data.json")).unwrap();
        let data: serde_json::Value = serde_json::from_str(&data).unwrap();
        assert!(data["rows"]["batches"]["positions"].as_u64().unwrap() > 0);
    }
}

#[test]
fn packed_rows_make_fewer_steps_and_text_has_nothing_to_pack() {
    let kit = Kit::new(false);
    let steps = |batching, format, data: &Path| {
        let config = TrainConfig {
            batching,
            data_format: format,
            gradient_accumulation_steps: 1,
            ..kit.config(data)
        };
        let session = Session::open(config, Some(&kit.base())).unwrap();
        (session.total_steps(), session.dataset.report)
    };
    let rows = kit.rows();
    let (dynamic, report) = steps(Batching::Dynamic, DataFormat::Auto, &rows);
    let (packed, dense) = steps(Batching::Packed, DataFormat::Auto, &rows);
    assert!(packed < dynamic, "{packed} {dynamic}");
    assert_eq!(report.instead[1], dense.batches);
    let text = kit.write("corpus.txt", &"the heart pumps the blood. ".repeat(60));
    let (dynamic, _) = steps(Batching::Dynamic, DataFormat::Text, &text);
    assert_eq!(steps(Batching::Packed, DataFormat::Text, &text).0, dynamic);
}

fn dataset(kit: &Kit, config: &TrainConfig) -> llm_train::dataset::Dataset {
    Session::open(config.clone(), Some(&kit.base()))
        .unwrap()
        .dataset
}

/// The files of the cache.
fn cached(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    files.sort();
    files
}

#[test]
fn a_cache_of_tokens_gives_the_same_examples_and_is_mended_when_damaged() {
    let kit = Kit::new(true);
    let folder = kit.path("cache");
    let without = kit.config(&kit.rows());
    let with = TrainConfig {
        token_cache: Some(folder.clone()),
        ..without.clone()
    };
    let want = dataset(&kit, &without);
    assert!(cached(&folder).is_empty());
    for _ in 0..2 {
        let found = dataset(&kit, &with);
        assert_eq!(
            (&found.train, &found.validation),
            (&want.train, &want.validation)
        );
        assert_eq!((found.report, found.notes.len()), (want.report, 0));
        assert_eq!(cached(&folder).len(), 2, "training and held-out rows");
    }
    let file = &cached(&folder)[0];
    let whole = std::fs::read(file).unwrap();
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    std::fs::write(file, bytes).unwrap();
    let found = dataset(&kit, &with);
    assert_eq!(
        (&found.train, &found.validation),
        (&want.train, &want.validation)
    );
    assert!(
        found.notes[0].contains("is written again"),
        "{:?}",
        found.notes
    );
    assert_eq!(std::fs::read(file).unwrap(), whole);
    assert!(dataset(&kit, &with).notes.is_empty());
}

#[test]
fn whatever_changes_the_tokens_changes_the_file() {
    let kit = Kit::new(true);
    let folder = kit.path("cache");
    let config = TrainConfig {
        token_cache: Some(folder.clone()),
        validation_fraction: 0.0,
        ..kit.config(&kit.rows())
    };
    let mut known = 0;
    let mut is_new = |config: &TrainConfig| {
        let (with, files) = (dataset(&kit, config), cached(&folder).len());
        let without = TrainConfig {
            token_cache: None,
            ..config.clone()
        };
        assert_eq!(with.train, dataset(&kit, &without).train);
        let new = files - known;
        known = files;
        new == 1
    };
    assert!(is_new(&config));
    assert!(!is_new(&TrainConfig {
        epochs: 9,
        seed: 3,
        ..config.clone()
    }));
    assert!(is_new(&TrainConfig {
        max_length: 40,
        ..config.clone()
    }));
    let plain = llm_train::config::PromptStyle::Plain;
    assert!(is_new(&TrainConfig {
        prompt_format: plain,
        ..config.clone()
    }));
    assert!(is_new(&TrainConfig {
        shuffle_answers: true,
        ..config.clone()
    }));
    let text = kit.write("corpus.txt", &"the <|im_end|> heart ".repeat(60));
    let text = TrainConfig {
        data_format: DataFormat::Text,
        dataset_path: text,
        ..config.clone()
    };
    assert!(is_new(&text));
    assert!(!is_new(&text));
    assert!(is_new(&TrainConfig {
        parse_special_tokens: true,
        ..text
    }));
    let template = format!("{}{{# another file, the same ids #}}", crate::kit::TEMPLATE);
    let settings = serde_json::json!({"eos_token": "<|im_end|>", "chat_template": template});
    std::fs::write(
        kit.base().join("tokenizer_config.json"),
        settings.to_string(),
    )
    .unwrap();
    assert!(is_new(&config));
}

#[test]
fn a_template_that_asks_for_the_time_is_not_cached() {
    let kit = Kit::new(true);
    let template = format!(
        "{}{{% if false %}}{{{{ strftime_now('%d') }}}}{{% endif %}}",
        crate::kit::TEMPLATE
    );
    let settings = serde_json::json!({"eos_token": "<|im_end|>", "chat_template": template});
    std::fs::write(
        kit.base().join("tokenizer_config.json"),
        settings.to_string(),
    )
    .unwrap();
    let config = TrainConfig {
        token_cache: Some(kit.path("cache")),
        ..kit.config(&kit.rows())
    };
    let found = dataset(&kit, &config);
    assert!(
        found.notes[0].contains("asks for the time"),
        "{:?}",
        found.notes
    );
    assert!(cached(&kit.path("cache")).is_empty());
}
