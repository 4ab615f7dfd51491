//! One step: accumulation is one large batch, memory does not grow, bad numbers stop the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor};
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_train::batch::{Batch, collate};
use llm_train::labels::Example;
use llm_train::model::LanguageModel;
use llm_train::optimizer::{AdamW, AdamWConfig};
use llm_train::schedule::{Schedule, ScheduleKind};
use llm_train::step::Stepper;

use crate::kit::{examples, trainable};

/// Sums of the same double products in another order.
const SAME: f64 = 1e-12;

/// A stepper with a large ε, so that gradients of almost zero do not decide over signs.
pub(crate) fn stepper(parameters: llm_core::params::Parameters) -> Stepper {
    let config = AdamWConfig {
        epsilon: 1e-3,
        ..AdamWConfig::default()
    };
    let optimizer = AdamW::new(&parameters, config, |_, shape| shape.len() > 1).unwrap();
    let (kind, max_lr, min_lr) = (ScheduleKind::Constant, 1e-2, 1e-2);
    let schedule = Schedule {
        kind,
        max_lr,
        min_lr,
        warmup_steps: 0,
        total_steps: 10,
    };
    Stepper {
        parameters,
        optimizer,
        schedule,
        max_grad_norm: Some(1.0),
        scaler: None,
    }
}

/// Rows in micro-batches of `size`.
pub(crate) fn batches(rows: &[Example], size: usize) -> Vec<Batch> {
    let batch = |rows: &[Example]| {
        let rows: Vec<&Example> = rows.iter().collect();
        collate(&rows, 0, &Device::Cpu).unwrap()
    };
    rows.chunks(size).map(batch).collect()
}

/// The weights after two steps over 32 rows in micro-batches of `size`; `scale` is the factor on
/// a micro-batch's loss, from its own supervised tokens and the window's.
fn weights(size: usize, scale: impl Fn(usize, usize, usize) -> f64) -> BTreeMap<String, Vec<f64>> {
    let (model, parameters) = trainable(DType::F64);
    let mut stepper = stepper(parameters);
    let window = batches(&examples(32), size);
    let total: usize = window.iter().map(|batch| batch.supervised).sum();
    for _ in 0..2 {
        let loss = |micro: usize| {
            let batch = &window[micro];
            let scale = scale(batch.supervised, total, window.len());
            Ok(model.loss(batch, &Pass::eval(Ops::Fused), scale)?)
        };
        stepper.step(window.len(), loss).unwrap();
    }
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
    stepper
        .parameters
        .iter()
        .map(|(name, var)| (name.to_owned(), flat(var)))
        .collect()
}

/// The largest difference over the largest value of its tensor.
fn difference(a: &BTreeMap<String, Vec<f64>>, b: &BTreeMap<String, Vec<f64>>) -> (f64, String) {
    let of = |name: &String| {
        let largest = a[name].iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let gap = a[name]
            .iter()
            .zip(&b[name])
            .fold(0.0f64, |most, (x, y)| most.max((x - y).abs()));
        (gap / largest, name.clone())
    };
    a.keys().map(of).max_by(|x, y| x.0.total_cmp(&y.0)).unwrap()
}

#[test]
fn four_micro_batches_of_eight_unequal_rows_are_one_batch_of_thirty_two() {
    let by_token = |_own: usize, total: usize, _: usize| 1.0 / total as f64;
    let whole = weights(32, by_token);
    for size in [1, 8, 16] {
        let (gap, name) = difference(&whole, &weights(size, by_token));
        println!("accumulation by {size}: largest relative difference {gap:e} in {name}");
        assert!(
            gap <= SAME,
            "by {size}: {gap:e} in {name}, tolerance {SAME:e}"
        );
    }
    // The usual mistake, a mean of means, is far outside: this test can fail.
    let by_batch = |own: usize, _: usize, count: usize| 1.0 / (own * count) as f64;
    let (gap, _) = difference(&whole, &weights(8, by_batch));
    assert!(gap > 1e-5, "a mean of means differs by {gap:e} only");
}

/// The identity, with a marker that lives as long as the graph.
struct Marked(Arc<()>);

impl CustomOp1 for Marked {
    fn name(&self) -> &'static str {
        "marked"
    }
    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        debug_assert!(Arc::strong_count(&self.0) > 1);
        let values = storage.as_slice::<f64>()?[layout.start_offset()..].to_vec();
        Ok((CpuStorage::F64(values), layout.shape().clone()))
    }
    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(gradient.clone()))
    }
}

#[test]
fn no_graph_outlives_its_micro_batch() {
    let (model, parameters) = trainable(DType::F64);
    let mut stepper = stepper(parameters);
    let window = batches(&examples(12), 2);
    let marker = Arc::new(());
    let loss = |micro: usize| {
        let alive = Arc::strong_count(&marker) - 1;
        assert_eq!(
            alive, 0,
            "{alive} graphs alive when micro-batch {micro} begins"
        );
        let loss = model.loss(&window[micro], &Pass::eval(Ops::Fused), 0.1)?;
        Ok(loss.apply_op1(Marked(marker.clone()))?)
    };
    stepper.step(window.len(), loss).unwrap();
    assert_eq!(Arc::strong_count(&marker), 1);
}

#[test]
fn a_loss_that_is_not_finite_stops_before_anything_changes() {
    let (model, parameters) = trainable(DType::F64);
    let mut stepper = stepper(parameters);
    let window = batches(&examples(4), 2);
    let good = |micro: usize| Ok(model.loss(&window[micro], &Pass::eval(Ops::Fused), 0.1)?);
    stepper.step(2, good).unwrap();
    let flat = |stepper: &Stepper| -> Vec<Vec<f64>> {
        let values = |var: &candle_core::Var| var.flatten_all().unwrap().to_vec1().unwrap();
        stepper
            .parameters
            .iter()
            .map(|(_, var)| values(var))
            .collect()
    };
    let before = flat(&stepper);
    for bad in [f64::NAN, f64::INFINITY] {
        let error = stepper
            .step(2, |micro| Ok((good(micro)? * bad)?))
            .unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("step 2: the loss is"), "{error}");
    }
    assert_eq!(before, flat(&stepper));
}
