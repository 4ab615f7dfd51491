//! Losses, gradients and measures of a step against TRL, and against differences of a whole model.
//!
//! `tools/oracle/align.py` describes the problems and wrote the fixture.

use std::collections::HashMap;

use candle_core::{DType, Tensor, Var};
use llm_core::config::ModelConfig;
use llm_core::model::Decoder;
use llm_core::ops::{Ops, record};
use llm_core::params::{Mode, Parameters};

use super::*;
use crate::objective::{Drawn, LossType, advantages};

/// The issue's bound, which f32 has to keep: logits of about 2 round at 1e-7.
const TRL_F32: f64 = 1e-5;
/// Sums of the same double products in another order.
const TRL_F64: f64 = 1e-11;
/// A central difference in f64 with a step of 1e-5, relative to the largest slope of its tensor.
const NUMERIC: f64 = 1e-6;

fn fixture() -> HashMap<String, Tensor> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/align.safetensors"
    );
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn wave(count: usize, salt: f64) -> Vec<f64> {
    (0..count).map(|i| (1.7 * i as f64 + salt).sin()).collect()
}

/// A model that says what it was told to.
struct Given(Tensor);

impl LanguageModel for Given {
    fn next_token_logits(&self, _ids: &Tensor, _pass: &Pass) -> llm_core::Result<Tensor> {
        Ok(self.0.clone())
    }
}

/// Logits `[B, T, V]`, and a batch of which each row counts from an own place to an own place.
fn problem(shape: [usize; 3], salt: f64, dtype: DType) -> (Var, Batch) {
    let [b, t, v] = shape;
    let logits: Vec<f64> = wave(b * t * v, salt).iter().map(|x| 2.0 * x).collect();
    let logits = Tensor::from_vec(logits, (b, t, v), &Device::Cpu).unwrap();
    let target = |place: usize| {
        let (row, column) = (place / t, place % t);
        let counts = column >= row % 3 && column < t - row % 2;
        let id = (place * 5 + place * place * 3) % v;
        if counts { id as i64 } else { IGNORE_INDEX }
    };
    let targets: Vec<i64> = (0..b * t).map(target).collect();
    let batch = Batch {
        ids: Tensor::zeros((b, t), DType::U32, &Device::Cpu).unwrap(),
        supervised: targets.iter().filter(|&&id| id != IGNORE_INDEX).count(),
        targets,
        tokens: b * t,
        segments: None,
    };
    (
        Var::from_tensor(&logits.to_dtype(dtype).unwrap()).unwrap(),
        batch,
    )
}

/// The loss, its gradient by the logits, and the measures of a window of one micro-batch.
fn run(window: &mut Window, logits: &Var) -> (f64, Vec<f64>, Measures) {
    let model = Given(logits.as_tensor().clone());
    let (result, tape) = record(|| window.loss(&model, 0, &Pass::eval(Ops::Fused)));
    let (loss, measures) = result.unwrap();
    assert!(tape.is_complete(&loss), "an operation was not recorded");
    let gradients = tape.backward(&loss).unwrap();
    let gradient = numbers(gradients.get(logits).unwrap());
    (numbers(&loss)[0], gradient, measures)
}

fn close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(1e-3, |most: f64, x| most.max(x.abs()));
    let gaps = got.iter().zip(want).map(|(a, b)| (a - b).abs() / largest);
    let worst = gaps.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((place, gap)) = worst {
        assert!(
            gap <= tolerance,
            "{what}: {gap:e} at {place}, tolerance {tolerance:e}"
        );
    }
}

fn pairs_window(batch: Batch, loss: Dpo, reference: Vec<[f64; 2]>) -> Window {
    Window {
        batches: vec![batch],
        measures: Measures::default(),
        terms: Terms::Pairs {
            loss,
            reference: vec![reference],
        },
    }
}

#[test]
fn dpo_equals_trl() {
    let fixture = fixture();
    for (dtype, tolerance) in [(DType::F64, TRL_F64), (DType::F32, TRL_F32)] {
        for index in 0.. {
            let Some(case) = fixture.get(&format!("dpo.{index}.case")) else {
                assert!(index >= 5);
                break;
            };
            let get = |name: &str| numbers(&fixture[&format!("dpo.{index}.{name}")]);
            let case = numbers(case);
            let [pairs, t, v] = [0, 1, 2].map(|at| case[at] as usize);
            let loss = Dpo {
                beta: case[3],
                label_smoothing: case[4],
            };
            let (logits, batch) = problem([2 * pairs, t, v], f64::from(index), dtype);
            let reference = get("reference");
            let reference = reference.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
            let (value, gradient, measures) =
                run(&mut pairs_window(batch, loss, reference), &logits);
            let what = |name: &str| format!("dpo {index} {dtype:?} {name}");
            close(&what("loss"), &[value], &get("loss"), tolerance);
            close(&what("gradient"), &gradient, &get("gradient"), tolerance);
            let means = measures.means();
            let names = ["chosen", "rejected", "margins", "accuracies"];
            let found = names.map(|name| means[&format!("rewards/{name}")]);
            close(&what("measures"), &found, &get("metrics"), tolerance);
        }
    }
}

/// A window of answers whose log-probabilities have moved since they were drawn, where `moves.1`
/// says so, and from the reference, where there is one.
fn of_drawn(
    loss: Grpo,
    advantages: &[f64],
    logits: &Tensor,
    batch: Batch,
    moves: (f64, bool),
) -> Window {
    let (answers, t, v) = logits.dims3().unwrap();
    let drawn = advantages.iter().enumerate().map(|(row, &advantage)| {
        let targets = &batch.targets[row * t..][..t];
        let counts = targets.iter().filter(|&&id| id != IGNORE_INDEX).count();
        let tokens = vec![0; counts];
        Drawn {
            row,
            tokens,
            advantage,
        }
    });
    let flat = logits.reshape((answers * t, v)).unwrap();
    let now = Ops::Fused.log_probs(&flat, &batch.targets).unwrap();
    let moved = |by: f64, salt: f64| -> Vec<f64> {
        let shift = wave(answers * t, salt);
        now.iter().zip(shift).map(|(l, s)| l + by * s).collect()
    };
    let (salt, has_moved) = moves;
    let when = |does: bool, by: f64, salt: f64| if does { moved(by, salt) } else { Vec::new() };
    let micro_batch = MicroBatch {
        answers: drawn.collect(),
        old: when(has_moved, 0.6, salt + 0.5),
        reference: when(loss.beta > 0.0, 0.8, salt + 0.9),
    };
    let tokens = batch.supervised;
    Window {
        batches: vec![batch],
        measures: Measures::default(),
        terms: Terms::Answers {
            loss,
            temperature: 1.0,
            rollout: Rollout {
                steps: 0,
                micro_batches: vec![micro_batch],
            },
            size: StepSize { answers, tokens },
        },
    }
}

#[test]
fn grpo_equals_trl() {
    let fixture = fixture();
    for (dtype, tolerance) in [(DType::F64, TRL_F64), (DType::F32, TRL_F32)] {
        for index in 0.. {
            let Some(case) = fixture.get(&format!("grpo.{index}.case")) else {
                assert!(index >= 5);
                break;
            };
            let get = |name: &str| numbers(&fixture[&format!("grpo.{index}.{name}")]);
            let case = numbers(case);
            let [answers, group, t, v] = [0, 1, 2, 3].map(|at| case[at] as usize);
            let kinds = [LossType::Grpo, LossType::Bnpo, LossType::DrGrpo];
            let loss = Grpo {
                beta: case[4],
                epsilon: [case[5], case[6]],
                loss_type: kinds[case[7] as usize],
                max_completion_length: 9,
            };
            let found = advantages(&get("rewards"), group, true);
            close("advantages", &found, &get("advantages"), TRL_F64);
            let salt = f64::from(10 + index);
            let (logits, batch) = problem([answers, t, v], salt, dtype);
            let mut window = of_drawn(loss, &found, &logits, batch, (salt, case[8] > 0.0));
            let (value, gradient, measures) = run(&mut window, &logits);
            let what = |name: &str| format!("grpo {index} {dtype:?} {name}");
            close(&what("loss"), &[value], &get("loss"), tolerance);
            close(&what("gradient"), &gradient, &get("gradient"), tolerance);
            let means = measures.means();
            let mean = |name: &str| means.get(name).copied().unwrap_or_default();
            let found = [mean("kl"), mean("clip_ratio/region_mean")];
            close(&what("measures"), &found, &get("metrics"), tolerance);
        }
    }
}

#[test]
fn what_does_not_count_has_no_say() {
    let (logits, batch) = problem([4, 6, 11], 0.0, DType::F64);
    let loss = Dpo {
        beta: 0.5,
        label_smoothing: 0.0,
    };
    let reference = vec![[-3.0, -2.0]; 2];
    let mut window = pairs_window(batch, loss, reference.clone());
    let (value, gradient, _) = run(&mut window, &logits);
    // Other logits and other targets where nothing counts: the same loss and the same gradient.
    let targets = window.batches[0].targets.clone();
    let ignored = |place: usize| targets[place] == IGNORE_INDEX;
    assert!((0..24).filter(|&place| ignored(place)).count() > 3);
    let mut other = numbers(logits.as_tensor());
    for place in (0..24).filter(|&place| ignored(place)) {
        for x in &mut other[place * 11..(place + 1) * 11] {
            *x = 7.0 - 3.0 * *x;
        }
        assert!(
            gradient[place * 11..(place + 1) * 11]
                .iter()
                .all(|&x| x == 0.0)
        );
    }
    let other = Var::from_vec(other, (4, 6, 11), &Device::Cpu).unwrap();
    let (_, batch) = problem([4, 6, 11], 0.0, DType::F64);
    let (again, slopes, _) = run(&mut pairs_window(batch, loss, reference), &other);
    assert_eq!((again, slopes), (value, gradient));
}

/// A decoder of 17 tokens in f64, its variables, and a batch for it.
fn decoder(rows: usize) -> (Decoder, Parameters, Batch) {
    let config = ModelConfig::from_json(
        r#"{"model_type": "qwen3", "vocab_size": 17, "hidden_size": 8, "intermediate_size": 12,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "head_dim": 6, "max_position_embeddings": 16, "tie_word_embeddings": true,
            "initializer_range": 0.3}"#,
    );
    let config = config.unwrap();
    let (model, parameters) = Decoder::init(&config, 5, Mode::Trainable, DType::F64).unwrap();
    let (_, mut batch) = problem([rows, 6, 17], 0.0, DType::F64);
    let ids: Vec<u32> = (0..rows as u32 * 6).map(|i| (i * 7 + 3) % 17).collect();
    batch.ids = Tensor::from_vec(ids, (rows, 6), &Device::Cpu).unwrap();
    (model, parameters, batch)
}

/// The gradient of each tensor, at its largest places, is the slope of differences.
fn check_slopes(what: &str, parameters: &Parameters, loss: &mut dyn FnMut() -> Result<Tensor>) {
    const STEP: f64 = 1e-5;
    let (first, tape) = record(&mut *loss);
    let gradients = tape.backward(&first.unwrap()).unwrap();
    for (name, var) in parameters.iter() {
        let gradient = numbers(gradients.get(var).unwrap());
        let mut places: Vec<usize> = (0..gradient.len()).collect();
        places.sort_by(|&a, &b| gradient[b].abs().total_cmp(&gradient[a].abs()));
        let largest = gradient[places[0]].abs();
        assert!(largest > 0.0, "{what}: {name} has no slope");
        let original = numbers(var.as_tensor());
        for &place in places.iter().take(3) {
            let mut at = |by: f64| {
                let mut moved = original.clone();
                moved[place] += by;
                let moved = Tensor::from_vec(moved, var.dims(), &Device::Cpu).unwrap();
                var.set(&moved).unwrap();
                numbers(&loss().unwrap())[0]
            };
            let numeric = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            at(0.0);
            let gap = (numeric - gradient[place]).abs() / largest;
            assert!(gap <= NUMERIC, "{what}: {name} at {place}: {gap:e}");
        }
    }
}

#[test]
fn gradients_of_a_whole_model_are_those_of_the_losses() {
    let pass = Pass::eval(Ops::Fused);
    let (model, parameters, batch) = decoder(4);
    let dpo = Dpo {
        beta: 0.4,
        label_smoothing: 0.1,
    };
    let mut window = pairs_window(batch.clone(), dpo, vec![[-9.0, -12.0], [-14.0, -8.0]]);
    check_slopes("dpo", &parameters, &mut || {
        Ok(window.loss(&model, 0, &pass)?.0)
    });

    let now = model.log_probs(&batch.ids, &batch.targets, 0.7, &pass);
    let now = now.unwrap();
    let moved = |by: f64| -> Vec<f64> {
        let shift = wave(now.len(), by);
        now.iter().zip(shift).map(|(l, s)| l + 0.5 * s).collect()
    };
    let drawn = |(row, advantage): (usize, f64)| Drawn {
        row,
        tokens: vec![0; 5],
        advantage,
    };
    let answers = [1.2, -0.7, 0.4, -0.9].into_iter().enumerate().map(drawn);
    let mut window = Window {
        batches: vec![batch],
        measures: Measures::default(),
        terms: Terms::Answers {
            loss: Grpo {
                beta: 0.2,
                epsilon: [0.2, 0.2],
                loss_type: LossType::Grpo,
                max_completion_length: 6,
            },
            temperature: 0.7,
            rollout: Rollout {
                steps: 0,
                micro_batches: vec![MicroBatch {
                    answers: answers.collect(),
                    old: moved(0.1),
                    reference: moved(0.6),
                }],
            },
            size: StepSize {
                answers: 4,
                tokens: 20,
            },
        },
    };
    check_slopes("grpo", &parameters, &mut || {
        Ok(window.loss(&model, 0, &pass)?.0)
    });
}

#[test]
fn numbers_of_another_batch_are_refused_and_not_read() {
    let (_, batch) = problem([2, 4, 5], 0.0, DType::F64);
    let loss = Grpo {
        beta: 0.0,
        epsilon: [0.2, 0.2],
        loss_type: LossType::Grpo,
        max_completion_length: 4,
    };
    let micro_batch = MicroBatch {
        old: vec![0.0; 3],
        ..MicroBatch::default()
    };
    let error = of_answers(loss, &batch, &[0.0; 8], (&micro_batch, StepSize::default()));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("drawn answers"), "{error}");
}
