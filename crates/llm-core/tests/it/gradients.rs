//! Gradients of whole small decoders against central differences, in f64.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use llm_core::config::ModelConfig;
use llm_core::lora::{self, LoraConfig};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::{IGNORE_INDEX, Ops, record};
use llm_core::params::{Mode, Parameters};
use llm_core::soft_prompt;

use crate::cases::{largest, largest_difference};
use crate::formula;

/// Relative to the tensor's largest gradient. A central difference with [`STEP`] errs by about
/// 1e-10 · |f'''| from curvature and 1e-11 from rounding, far below it.
const NUMERIC: f64 = 1e-6;
/// Fused and composed gradients differ by f64 rounding only.
const FUSED_COMPOSED: f64 = 1e-11;
/// Half the distance of the two points of a difference.
const STEP: f64 = 1e-5;
/// Coordinates of each tensor beside its largest gradient.
const SAMPLES: usize = 5;
const SEED: u64 = 11;
const B: usize = 2;
const T: usize = 7;

/// A family's `config.json` with odd sizes, two layers, a window and scaling where it has them.
fn config(family: &str, tied: bool) -> ModelConfig {
    let own = match family {
        "gpt2" => {
            r#""n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 9, "n_inner": 20,
               "resid_pdrop": 0.2, "embd_pdrop": 0.1"#
        }
        "llama" => {
            r#""attention_bias": true, "mlp_bias": true, "rope_theta": 100.0,
               "rope_scaling": {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0,
                   "high_freq_factor": 4.0, "original_max_position_embeddings": 16}"#
        }
        "mistral" => r#""sliding_window": 3"#,
        "qwen2" => r#""use_sliding_window": true, "sliding_window": 3, "max_window_layers": 1"#,
        _ => r#""attention_bias": false"#,
    };
    let sizes = match family {
        "gpt2" => "",
        _ => {
            r#""hidden_size": 10, "intermediate_size": 14, "num_hidden_layers": 2,
               "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6,
               "max_position_embeddings": 32, "rms_norm_eps": 1e-5,"#
        }
    };
    let json = format!(
        r#"{{"model_type": "{family}", "vocab_size": 17, "tie_word_embeddings": {tied},
            {sizes} {own}}}"#
    );
    ModelConfig::from_json(&json).unwrap()
}

/// A decoder whose weights follow from the formula: norms and biases far from 1 and 0.
fn decoder(family: &str, tied: bool, mode: Mode) -> (Decoder, Parameters) {
    let config = config(family, tied);
    let (fresh, _) = Decoder::init(&config, SEED, Mode::Frozen, DType::F64).unwrap();
    let mut tensors = fresh.named_tensors().unwrap();
    for (name, tensor) in &mut tensors {
        *tensor = formula::weight(SEED, name, tensor.dims());
    }
    Decoder::load(&config, tensors, mode, DType::F64, &Device::Cpu).unwrap()
}

/// The mean loss over a batch in which some tokens do not count.
fn loss(model: &Decoder, pass: &Pass) -> Tensor {
    let v = model.config().vocab_size;
    let ids: Vec<u32> = (0..B * T)
        .map(|i| (i * 5 + i * i * 3) as u32 % v as u32)
        .collect();
    let target = |i: usize| {
        if i % 5 == 2 {
            IGNORE_INDEX
        } else {
            (i * 7 + 3) as i64 % v as i64
        }
    };
    let targets: Vec<i64> = (0..B * T).map(target).collect();
    let counted = targets
        .iter()
        .filter(|&&target| target != IGNORE_INDEX)
        .count();
    let ids = Tensor::from_vec(ids, (B, T), &Device::Cpu).unwrap();
    let logits = model.forward(&ids, pass).unwrap();
    let logits = pass.ops.reshape(&logits, (B * T, v)).unwrap();
    pass.ops
        .cross_entropy(&logits, &targets, 1.0 / counted as f64)
        .unwrap()
}

fn scalar(loss: &Tensor) -> f64 {
    loss.to_scalar::<f64>().unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap()
}

/// The central difference of `f` along coordinate `index` of `var`, which is put back.
fn difference(var: &Var, index: usize, f: &dyn Fn() -> f64) -> f64 {
    let original = values(var.as_tensor());
    let at = |value: f64| {
        let mut moved = original.clone();
        moved[index] = value;
        var.set(&Tensor::from_vec(moved, var.dims(), &Device::Cpu).unwrap())
            .unwrap();
        f()
    };
    let slope = (at(original[index] + STEP) - at(original[index] - STEP)) / (2.0 * STEP);
    at(original[index]);
    slope
}

/// Compares every tensor of `parameters` on its largest and on [`SAMPLES`] seeded coordinates.
fn check_against_differences(
    what: &str,
    parameters: &Parameters,
    gradients: &GradStore,
    f: &dyn Fn() -> f64,
) {
    for (name, var) in parameters.iter() {
        let found = gradients
            .get(var)
            .unwrap_or_else(|| panic!("{what}: {name} has no gradient"));
        assert_eq!(found.dims(), var.dims(), "{what}: {name}");
        let analytic = values(found);
        let peak =
            (0..analytic.len()).max_by(|&a, &b| analytic[a].abs().total_cmp(&analytic[b].abs()));
        let picks = formula::unit(SEED, name, SAMPLES);
        let picks = picks
            .iter()
            .map(|x| ((x + 1.0) / 2.0 * analytic.len() as f64) as usize);
        let (mut worst, mut scale) = ((0.0, 0), 0.0f64);
        for index in peak.into_iter().chain(picks) {
            let numeric = difference(var, index, f);
            scale = scale.max(numeric.abs());
            let error = (analytic[index] - numeric).abs();
            let error = if error.is_nan() { f64::INFINITY } else { error };
            if error > worst.0 {
                worst = (error, index);
            }
        }
        let relative = worst.0 / scale;
        assert!(
            relative <= NUMERIC,
            "{what}: {name} at {}: error {relative:.2e} of the largest gradient {scale:.2e}, tolerance {NUMERIC:.0e}",
            worst.1,
        );
    }
}

/// Compares the whole gradient of every tensor.
fn check_against_composed(
    what: &str,
    parameters: &Parameters,
    fused: &GradStore,
    composed: &GradStore,
) {
    for (name, var) in parameters.iter() {
        let want = composed
            .get(var)
            .unwrap_or_else(|| panic!("{what}: {name} has no gradient"));
        let (error, index) = largest_difference(fused.get(var).unwrap(), want);
        let relative = error / largest(want);
        assert!(
            relative <= FUSED_COMPOSED,
            "{what}: {name} at {index}: fused and composed differ by {relative:.2e} of the largest gradient, tolerance {FUSED_COMPOSED:.0e}",
        );
    }
}

fn check(what: &str, model: &Decoder, parameters: &Parameters, pass: impl Fn(Ops) -> Pass) {
    let gradients = |ops| loss(model, &pass(ops)).backward().unwrap();
    let (value, tape) = record(|| loss(model, &pass(Ops::Fused)));
    assert!(
        tape.is_complete(&value),
        "{what}: an operation was not recorded"
    );
    let fused = tape.backward(&value).unwrap();
    let library = &gradients(Ops::Fused);
    check_against_composed(
        &format!("{what}, library's pass"),
        parameters,
        &fused,
        library,
    );
    check_against_differences(what, parameters, &fused, &|| {
        scalar(&loss(model, &pass(Ops::Fused)))
    });
    check_against_composed(what, parameters, &fused, &gradients(Ops::Composed));
}

fn check_family(family: &str) {
    for tied in [true, false] {
        let (model, parameters) = decoder(family, tied, Mode::Trainable);
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name).collect();
        assert_eq!(names.contains(&"lm_head.weight"), !tied, "{names:?}");
        check(
            &format!("{family}, tied {tied}"),
            &model,
            &parameters,
            Pass::eval,
        );
    }
}

#[test]
fn gpt2_gradients_are_those_of_the_loss() {
    check_family("gpt2");
}

#[test]
fn llama_gradients_are_those_of_the_loss() {
    check_family("llama");
}

#[test]
fn mistral_gradients_are_those_of_the_loss() {
    check_family("mistral");
}

#[test]
fn qwen2_gradients_are_those_of_the_loss() {
    check_family("qwen2");
}

#[test]
fn qwen3_gradients_are_those_of_the_loss() {
    check_family("qwen3");
}

/// The masks are a function of the pass's seed, so a pass with dropout has differences too.
#[test]
fn gradients_under_dropout_are_those_of_the_loss() {
    let (model, parameters) = decoder("gpt2", true, Mode::Trainable);
    let plain = scalar(&loss(&model, &Pass::eval(Ops::Fused)));
    let dropped = scalar(&loss(&model, &Pass::train(Ops::Fused, 5)));
    assert!((plain - dropped).abs() > 1e-3, "dropout changes nothing");
    check("gpt2 with dropout", &model, &parameters, |ops| {
        Pass::train(ops, 5)
    });
}

/// Only the adapter is trained; its gradients are exact and the base has none.
#[test]
fn adapter_gradients_are_those_of_the_loss() {
    let (mut model, base) = decoder("qwen3", true, Mode::Frozen);
    assert!(base.is_empty());
    let targets = [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    ];
    let config = LoraConfig {
        r: 3,
        lora_alpha: 6.0,
        lora_dropout: 0.1,
        target_modules: targets.map(String::from).to_vec(),
        use_rslora: false,
        use_dora: false,
    };
    let parameters = lora::attach(&mut model, &config, SEED).unwrap();
    assert_eq!(parameters.len(), 2 * 7 * 2);
    // B starts at zero, where the gradient of A is zero as well.
    let filled: BTreeMap<String, Tensor> = parameters
        .iter()
        .map(|(name, var)| (name.to_string(), formula::weight(SEED, name, var.dims())))
        .collect();
    parameters.assign(&filled).unwrap();
    check("qwen3 with LoRA", &model, &parameters, Pass::eval);
    check("qwen3 with LoRA and dropout", &model, &parameters, |ops| {
        Pass::train(ops, 9)
    });
}

/// Only the vectors before the text are trained; learned positions and rotated ones move with them.
#[test]
fn soft_prompt_gradients_are_those_of_the_loss() {
    for family in ["gpt2", "qwen3"] {
        let (mut model, _) = decoder(family, true, Mode::Frozen);
        let parameters = soft_prompt::attach(&mut model, 2, SEED).unwrap();
        assert_eq!(parameters.count(), 2 * model.config().hidden_size);
        check(
            &format!("{family} with a soft prompt"),
            &model,
            &parameters,
            Pass::eval,
        );
    }
}
