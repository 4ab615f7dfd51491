//! Loss scaling: a planted float16 overflow lowers the factor and costs no row and no digit.

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor};
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Parameters;
use llm_train::Result;
use llm_train::batch::collate;
use llm_train::labels::Example;
use llm_train::model::LanguageModel;
use llm_train::optimizer::{AdamW, AdamWConfig};
use llm_train::scaler::LossScaler;
use llm_train::schedule::{Schedule, ScheduleKind};
use llm_train::step::Stepper;

use crate::kit::{examples, trainable};

/// The identity whose gradient has float16's range: above it, infinity.
struct Half {
    most: f32,
}

impl CustomOp1 for Half {
    fn name(&self) -> &'static str {
        "half"
    }
    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let values = storage.as_slice::<f32>()?[layout.start_offset()..].to_vec();
        Ok((CpuStorage::F32(values), layout.shape().clone()))
    }
    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let gradient: f32 = gradient.to_scalar()?;
        let kept = if gradient.abs() > self.most {
            f32::INFINITY
        } else {
            gradient
        };
        Ok(Some(Tensor::new(kept, &Device::Cpu)?))
    }
}

fn stepper(parameters: Parameters, scaler: Option<LossScaler>) -> Stepper {
    let optimizer = AdamW::new(&parameters, AdamWConfig::default(), |_, _| true).unwrap();
    let (kind, lr) = (ScheduleKind::Constant, 1e-2);
    let schedule = Schedule {
        kind,
        max_lr: lr,
        min_lr: lr,
        warmup_steps: 0,
        total_steps: 10,
    };
    Stepper {
        parameters,
        optimizer,
        schedule,
        max_grad_norm: Some(1.0),
        scaler,
    }
}

/// Six steps of two micro-batches: losses and norms, the weights, the factor at the end.
fn train(scaler: Option<LossScaler>, most: f32) -> Result<(Vec<f64>, Vec<Vec<f32>>, f64)> {
    let (model, parameters) = trainable(DType::F32);
    let mut stepper = stepper(parameters, scaler);
    let rows = examples(8);
    let mut seen = Vec::new();
    for step in 0..6 {
        let window = |micro: usize| {
            let rows: Vec<&Example> = rows[4 * micro..4 * micro + 4].iter().collect();
            collate(&rows, 0, &Device::Cpu).unwrap()
        };
        // From the third step on the range is smaller, as when activations have grown.
        let most = if step < 2 { f32::MAX } else { most };
        let report = stepper.step(2, |micro| {
            let loss = model.loss(&window(micro), &Pass::eval(Ops::Fused), 0.05)?;
            Ok(loss.apply_op1(Half { most })?)
        })?;
        assert_eq!(report.step, step + 1);
        seen.extend([report.loss, report.grad_norm]);
    }
    let flat = |var: &candle_core::Var| var.flatten_all().unwrap().to_vec1().unwrap();
    let weights = stepper
        .parameters
        .iter()
        .map(|(_, var)| flat(var))
        .collect();
    let factor = stepper.scaler.map_or(1.0, |scaler| scaler.factor());
    Ok((seen, weights, factor))
}

#[test]
fn overflows_lower_the_factor_and_the_weights_are_those_without_scaling() {
    let plain = train(None, f32::MAX).unwrap();
    let scaled = train(Some(LossScaler::default()), 1000.0).unwrap();
    assert_eq!(scaled.2, 512.0, "the largest power of two below the range");
    // Powers of two change no digit, and a step that overflowed was done again.
    assert_eq!(scaled.0, plain.0);
    assert_eq!(scaled.1, plain.1);
    let wide = train(Some(LossScaler::default()), f32::MAX).unwrap();
    assert_eq!((wide.2, &wide.1), (65_536.0, &plain.1));
}

#[test]
fn an_overflow_that_no_factor_helps_against_stops_the_run() {
    let error = train(Some(LossScaler::default()), 0.5).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("step 3"), "{error}");
    let error = train(None, 0.5).unwrap_err();
    assert_eq!(error.exit_code(), 4);
}

#[test]
fn the_factor_is_part_of_the_state() {
    let mut scaler = LossScaler::default();
    scaler.stepped();
    scaler.back_off();
    scaler.stepped();
    let text = serde_json::to_string(&scaler).unwrap();
    assert_eq!(text, r#"{"factor":32768.0,"good_steps":1}"#);
    let again: LossScaler = serde_json::from_str(&text).unwrap();
    assert!(again == scaler && again.is_sound());
    for bad in [
        r#"{"factor":1e300,"good_steps":1}"#,
        r#"{"factor":-2.0,"good_steps":1}"#,
        r#"{"factor":2.0,"good_steps":99999}"#,
    ] {
        assert!(!serde_json::from_str::<LossScaler>(bad).unwrap().is_sound());
    }
}
