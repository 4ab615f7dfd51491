//! What is counted against what the operations themselves report.

use llm_benches::attention::{Attention, AttentionShape, Part};
use llm_benches::decode::{Decode, DecodeShape};
use llm_benches::lora::{LoraShape, LoraStep};
use llm_benches::measure::Times;
use llm_benches::shape::{LARGE, TINY};
use llm_benches::train::TrainStep;
use llm_benches::{Workload, flops};
use llm_core::ops::Ops;
use llm_core::profile::{Profile, record};

fn profile(work: &mut dyn Workload) -> Profile {
    let (result, profile) = record(|| work.run());
    result.unwrap();
    profile
}

fn assert_counted(work: &mut dyn Workload) -> Profile {
    let profile = profile(work);
    assert_eq!(profile.total().flops, work.size().flops, "{profile:?}");
    profile
}

#[test]
fn a_training_step_is_what_its_operations_add_up_to() {
    let profile = assert_counted(&mut TrainStep::new(&TINY, Ops::Fused).unwrap());
    for name in [
        "linear",
        "linear backward",
        "layer_norm",
        "causal_attention backward",
        "cross_entropy",
        "embedding backward",
        "gelu",
        "clip",
        "adamw",
    ] {
        let row = profile.row(name).unwrap_or_else(|| panic!("no {name}"));
        assert!(row.calls > 0 && row.bytes > 0, "{name}: {row:?}");
    }
    // One of each: the graph itself has no arithmetic of its own.
    for name in ["step", "graph forward", "graph backward"] {
        let row = profile.row(name).unwrap();
        assert_eq!((row.calls, row.flops), (1, 0), "{name}");
    }
}

#[test]
fn attention_counts_two_products_forward_and_seven_in_all() {
    let shape = |part| AttentionShape {
        heads: 3,
        head_size: 8,
        tokens: 21,
        part,
    };
    for (part, products) in [(Part::Forward, 2), (Part::Step, 7)] {
        let mut work = Attention::new(shape(part), Ops::Fused).unwrap();
        // 21 · 22 / 2 pairs, 8 multiply-adds, 3 heads
        assert_eq!(work.size().flops, products * 2 * 231 * 8 * 3);
        assert_counted(&mut work);
    }
}

#[test]
fn adapters_pay_for_dx_of_the_base_and_not_for_its_dw() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let text = r#"{"model_type": "qwen3", "vocab_size": 40, "hidden_size": 16, "head_dim": 8,
        "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 32, "tie_word_embeddings": true}"#;
    std::fs::write(&config, text).unwrap();
    let shape = LoraShape {
        config: Some(config),
        dtype: "f32".into(),
        batch: 2,
        tokens: 6,
        r: 2,
        lora_alpha: 4,
        sizes: None,
    };
    assert_counted(&mut LoraStep::new(&shape).unwrap());
}

#[test]
fn a_decoded_token_reads_every_matrix_once_and_every_cached_key() {
    let shape = DecodeShape::TINY;
    let mut work = Decode::new(shape.model().unwrap(), shape.context).unwrap();
    assert_counted(&mut work);
    assert_counted(&mut work); // the cache does not grow
}

#[test]
fn the_known_sizes_are_what_they_are_called() {
    let size = TrainStep::new(&LARGE, Ops::Fused).unwrap().size();
    assert_eq!((size.tokens, size.parameters / 100_000), (2048, 107));
    let config = LARGE.config().unwrap();
    assert_eq!(size.flops, flops::train_step(&config, 8, 256));
    for (model, sizes) in llm_benches::growth::MODELS {
        let config = llm_benches::growth::shape(sizes, 256).config().unwrap();
        let millions = flops::matrix_scalars(&config) as f64 / 1e6;
        let off = (millions / model as f64 - 1.0).abs();
        assert!(off <= 0.05, "{model} M: {millions:.2} M");
    }
}

#[test]
fn medians_and_minima_are_those_of_the_list() {
    let times = |ms: &[f64]| Times(ms.to_vec());
    assert_eq!(times(&[3.0, 1.0, 2.0]).median(), 2.0);
    assert_eq!(times(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
    assert_eq!(times(&[3.0, 1.0, 2.0]).minimum(), 1.0);
    assert!(times(&[]).median().is_nan() && times(&[]).minimum().is_nan());
}
