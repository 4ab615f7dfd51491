//! A soft prompt from training to PEFT's files and back, and the frozen copy of a model.

use std::time::UNIX_EPOCH;

use candle_core::{DType, Device, Tensor};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use llm_store::ModelFolder;
use llm_store::adapter::Tuned;
use llm_train::config::TrainConfig;
use llm_train::eval::{EvalConfig, Subject};
use llm_train::finetune::{Measure, finetune};
use llm_train::runs::RunFolder;

use crate::aligned::{open, prompt};
use crate::kit::Kit;

fn logits(model: &Decoder) -> Vec<Vec<Vec<f32>>> {
    let ids = Tensor::new(&[[1u32, 5, 9, 2, 3]], &Device::Cpu).unwrap();
    let pass = Pass::eval(Ops::Fused);
    model.forward(&ids, &pass).unwrap().to_vec3().unwrap()
}

#[test]
fn a_soft_prompt_learns_saves_and_loads_and_the_base_stays() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        epochs: 30,
        lr: 5e-2,
        ..prompt(&kit)
    };
    let session = open(&kit, &config);
    assert_eq!(session.parameters.count(), 5 * 16);
    assert_eq!(session.total_parameters().unwrap() - 5 * 16, {
        let base = ModelFolder::open(&kit.base()).unwrap();
        let tensors = base.tensors().unwrap();
        tensors
            .values()
            .map(|tensor| tensor.elem_count())
            .sum::<usize>()
    });
    let run = RunFolder::create(&config.output_dir, "test", UNIX_EPOCH).unwrap();
    let measure = Measure {
        answers: 2,
        max_new_tokens: 4,
    };
    let report = finetune(&session, &run, measure, &mut [], None, |_| {}).unwrap();
    let loss = report.loss.unwrap();
    assert!(loss.difference.high < 0.0, "{loss:?}");

    let tuned = Tuned::read(&run.model()).unwrap();
    let base = kit.base().display().to_string();
    assert_eq!(tuned.base(), Some(base.as_str()));
    let mut loaded = session.model.frozen().unwrap();
    let plain = logits(&loaded);
    tuned.put_on(&mut loaded).unwrap();
    assert_eq!(loaded.virtual_tokens(), 5);
    assert_eq!(
        logits(&loaded),
        logits(&session.model),
        "the saved prompt is another"
    );
    let folder = ModelFolder::open(&kit.base()).unwrap();
    let tensors = folder.tensors().unwrap();
    let (cpu, mode) = (Device::Cpu, Mode::Frozen);
    let stored = Decoder::load(&folder.config, tensors, mode, DType::F32, &cpu);
    assert_eq!(plain, logits(&stored.unwrap().0), "the base has changed");
    // An evaluation reads it as it reads an adapter.
    let subject = Subject::open(&EvalConfig::default(), &kit.base(), Some(&run.model())).unwrap();
    assert_eq!(logits(&subject.model), logits(&session.model));
    assert_eq!(subject.context(), 64 - 5);
}

#[test]
fn a_frozen_copy_is_the_base_without_its_adapter() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        max_steps: Some(4),
        ..kit.config(&kit.rows())
    };
    let session = open(&kit, &config);
    let frozen = || logits(&session.model.frozen().unwrap());
    let before = frozen();
    session.train(None, &mut [], None).unwrap();
    assert_ne!(logits(&session.model), before);
    assert_eq!(frozen(), before);
}
