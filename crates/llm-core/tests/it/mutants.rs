//! Broken models must fail parity: each mistake moves some kept logit by far more than the
//! tolerance, so the parity test can fail.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use llm_core::config::{Family, Llama3Scaling, ModelConfig};
use llm_core::ops::Ops;
use llm_core::params::Mode;

use crate::cases::{self, Case};

/// What a mistake must move a logit by: fifty times the parity tolerance.
const VISIBLE: f64 = 1e-3;

type Weights = BTreeMap<String, Tensor>;

/// Applies `mistake` to every case that it can apply to (it returns false elsewhere) and fails
/// unless all of them, and at least three, differ from transformers by more than [`VISIBLE`].
fn must_show(what: &str, mistake: impl Fn(&Case, &mut ModelConfig, &mut Weights) -> bool) {
    let (cases, expected) = cases::read("logits");
    let mut applied = 0;
    for case in &cases {
        let (mut config, mut tensors) = (case.model_config(), case.tensors());
        if !mistake(case, &mut config, &mut tensors) {
            continue;
        }
        applied += 1;
        let model = cases::load(&config, tensors, Mode::Frozen, DType::F32).0;
        let got = case.logits(&model, Ops::Fused);
        let want = &expected[&format!("{}.f32", case.name)];
        let (difference, _) = cases::largest_difference(&got, want);
        assert!(
            difference > VISIBLE,
            "{what} on {}: largest difference {difference:.2e}, expected more than {VISIBLE:.0e}",
            case.name,
        );
    }
    assert!(applied >= 3, "{what} applies to {applied} cases only");
}

/// Changes every tensor whose name ends with `ending`; whether there was one.
fn change(tensors: &mut Weights, ending: &str, f: impl Fn(&Tensor) -> Tensor) -> bool {
    let mut found = false;
    for (_, tensor) in tensors
        .iter_mut()
        .filter(|(name, _)| name.ends_with(ending))
    {
        *tensor = f(tensor);
        found = true;
    }
    found
}

/// The heads of axis 0 in the order `order`.
fn reorder(tensor: &Tensor, heads: usize, order: impl Fn(usize) -> usize) -> Tensor {
    let size = tensor.dims()[0] / heads;
    let parts: Vec<Tensor> = (0..heads)
        .map(|head| tensor.narrow(0, order(head) * size, size).unwrap())
        .collect();
    Tensor::cat(&parts, 0).unwrap()
}

#[test]
fn rope_switched_off_shows() {
    must_show("rope off", |_, config, _| {
        // Every wavelength is slow next to an original length of 1: all angles become 0.
        config.rope_scaling = Some(Llama3Scaling {
            factor: 1e30,
            low_freq_factor: 1.0,
            high_freq_factor: 2.0,
            original_max_position_embeddings: 1,
        });
        config.family != Family::Gpt2
    });
}

#[test]
fn a_wrong_rope_base_shows() {
    must_show("rope base", |_, config, _| {
        config.rope_theta *= 2.0;
        config.family != Family::Gpt2
    });
}

#[test]
fn ignored_rope_scaling_shows() {
    must_show("no scaling", |_, config, _| {
        config.rope_scaling.take().is_some()
    });
}

#[test]
fn a_wrong_original_rope_length_shows() {
    must_show("original length", |case, config, _| {
        let right = config.inverse_frequencies();
        if let Some(scaling) = &mut config.rope_scaling {
            scaling.original_max_position_embeddings *= 2;
        }
        // A small head may have no wavelength between the two lengths.
        let last = case.ids.len() as f32;
        let turned = |(a, b): (&f32, f32)| (a - b).abs() * last > 0.1;
        right.iter().zip(config.inverse_frequencies()).any(turned)
    });
}

#[test]
fn a_window_off_by_one_shows() {
    for step in [-1, 1] {
        must_show("window", |_, config, _| {
            let mut windows = config.layer_windows.iter_mut().flatten().peekable();
            let found = windows.peek().is_some();
            windows.for_each(|window| *window = window.saturating_add_signed(step));
            found
        });
    }
}

#[test]
fn an_ignored_window_shows() {
    must_show("no window", |_, config, _| {
        let found = config.layer_windows.iter().any(Option::is_some);
        config
            .layer_windows
            .iter_mut()
            .for_each(|window| *window = None);
        found
    });
}

#[test]
fn the_neighbours_key_value_head_shows() {
    must_show("key-value head + 1", |_, config, tensors| {
        let heads = config.num_key_value_heads;
        for part in [
            "k_proj.weight",
            "k_proj.bias",
            "v_proj.weight",
            "v_proj.bias",
        ] {
            change(tensors, part, |tensor| {
                reorder(tensor, heads, |head| (head + 1) % heads)
            });
        }
        heads > 1 && config.family != Family::Gpt2
    });
}

/// Query head h reading key-value head h mod K instead of h / (H / K).
#[test]
fn interleaved_key_value_heads_show() {
    must_show("key-value head h mod K", |_, config, tensors| {
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let group = heads / kv_heads;
        // The head at place j, which reads j / group, is one with h mod K = j / group.
        let order = |j: usize| j % group * kv_heads + j / group;
        for part in ["q_proj.weight", "q_proj.bias"] {
            change(tensors, part, |tensor| reorder(tensor, heads, order));
        }
        change(tensors, "o_proj.weight", |tensor| {
            reorder(&tensor.t().unwrap().contiguous().unwrap(), heads, order)
                .t()
                .unwrap()
        });
        group > 1 && kv_heads > 1
    });
}

#[test]
fn missing_query_and_key_norms_show() {
    must_show("no q/k norm", |_, config, tensors| {
        let found = config.qk_norm();
        config.family = Family::Llama;
        tensors.retain(|name, _| !name.contains("q_norm") && !name.contains("k_norm"));
        found
    });
}

#[test]
fn a_wrong_norm_epsilon_shows() {
    must_show("epsilon", |_, config, _| {
        let large = config.norm_eps >= 1e-2;
        config.norm_eps /= 10.0;
        large
    });
}

#[test]
fn ignored_norm_weights_show() {
    let names = [
        "layernorm.weight",
        "norm.weight",
        "q_norm.weight",
        "k_norm.weight",
    ];
    let gpt2 = ["ln_1.weight", "ln_2.weight", "ln_f.weight"];
    for ending in names.into_iter().chain(gpt2) {
        must_show(ending, |_, _, tensors| {
            change(tensors, ending, |t| t.ones_like().unwrap())
        });
    }
}

#[test]
fn ignored_biases_show() {
    let names = ["q_proj.bias", "k_proj.bias", "v_proj.bias", "o_proj.bias"];
    let mlp = ["gate_proj.bias", "up_proj.bias", "down_proj.bias"];
    let gpt2 = [
        "c_attn.bias",
        "c_proj.bias",
        "c_fc.bias",
        "ln_1.bias",
        "ln_2.bias",
        "ln_f.bias",
    ];
    for ending in names.into_iter().chain(mlp).chain(gpt2) {
        must_show(ending, |_, _, tensors| {
            change(tensors, ending, |t| t.zeros_like().unwrap())
        });
    }
}

#[test]
fn learned_positions_shifted_by_one_show() {
    must_show("position + 1", |_, config, tensors| {
        let rows = config.max_position_embeddings;
        change(tensors, "wpe.weight", |table| {
            reorder(table, rows, |row| (row + 1) % rows)
        })
    });
}
