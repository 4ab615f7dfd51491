//! A small model of random numbers, to put adapters on: they do not need it to speak.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use llm_core::config::{ModelConfig, published};
use llm_core::lora::LoraConfig;
use llm_core::model::{Decoder, count};
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::{Mode, Parameters};
use llm_core::rng::{Purpose, normal, stream};
use llm_show::{Cell, Table, number};

/// Two blocks in the shape of Qwen3.
const CONFIG: &str = r#"{"model_type": "qwen3", "vocab_size": 96, "hidden_size": 48,
    "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 64,
    "initializer_range": 0.15, "tie_word_embeddings": true}"#;

/// Two of the attention's projections.
pub const QV: &[&str] = &["q_proj", "v_proj"];
/// Three of them.
pub const QKV: &[&str] = &["q_proj", "k_proj", "v_proj"];
/// All four of them.
pub const QKVO: &[&str] = &["q_proj", "k_proj", "v_proj", "o_proj"];
/// All seven projections of a block.
pub const ALL: &[&str] =
    &["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// A published model, R, where the adapters stand, in words and by name, and how many parameters
/// PEFT says that trains.
pub type Known = (&'static str, u64, &'static str, &'static [&'static str], u64);

/// What adapters of usual settings cost on published models.
pub const KNOWN: [Known; 8] = [
    ("qwen3-0.6b", 16, "q v", QV, 2_293_760),
    ("qwen3-0.6b", 16, "q k v", QKV, 3_211_264),
    ("qwen3-0.6b", 16, "q k v o", QKVO, 4_587_520),
    ("qwen3-0.6b", 16, "all 7", ALL, 10_092_544),
    ("qwen2.5-0.5b", 16, "all 7", ALL, 8_798_208),
    ("tinyllama-1.1b", 16, "q k v o", QKVO, 4_505_600),
    ("llama-3.1-8b", 64, "all 7", ALL, 167_772_160),
    ("llama-7b", 16, "all 7", ALL, 39_976_960),
];

/// [`KNOWN`] with the counts from the models' shapes, and whether all are those that PEFT says.
///
/// # Errors
/// None in practice.
pub fn known_costs() -> Result<(Table, bool)> {
    let mut table = Table::new(&["model", "R", "on", "trained", "of all with it"]);
    let mut right = true;
    for (name, r, place, targets, expected) in KNOWN {
        let config = published::find(name)?.with_context(|| format!("{name} is published"))?;
        let (trained, total) = (count::lora(&config, r, targets)?, count::total(&config));
        right &= trained == expected;
        let share = format!("{:.4} %", 100.0 * trained as f64 / (total + trained) as f64);
        let [r, trained] = [r, trained].map(|n| Cell::number(number::count(n)));
        table.row([name.into(), r, place.into(), trained, Cell::number(share)]);
    }
    Ok((table, right))
}

/// What adapters of R = 16 cost on Qwen3-0.6B, with their shares of all numbers in percent.
///
/// # Errors
/// None in practice.
pub fn qwen_costs() -> Result<(Table, Vec<String>)> {
    let head = ["Qwen3-0.6B, R = 16, on", "trained", "of all with it", "f32 file"];
    let (mut table, mut shares) = (Table::new(&head), Vec::new());
    let config = published::find("qwen3-0.6b")?.context("a published model")?;
    for (place, targets) in [("q v", QV), ("q k v", QKV), ("all 7", ALL)] {
        let trained = count::lora(&config, 16, targets)?;
        let share = 100.0 * trained as f64 / (count::total(&config) + trained) as f64;
        shares.push(format!("{share:.3}"));
        let size = format!("{:.2} MB", 4e-6 * trained as f64);
        let cells = [number::count(trained), format!("{share:.3} %"), size].map(Cell::number);
        table.push([Cell::from(place)].into_iter().chain(cells).collect());
    }
    Ok((table, shares))
}

/// The model, a function of `seed` alone.
///
/// # Errors
/// None in practice.
pub fn model(seed: u64) -> Result<Decoder> {
    let config = ModelConfig::from_json(CONFIG)?;
    Ok(Decoder::init(&config, seed, Mode::Frozen, DType::F32)?.0)
}

/// Adapters on all seven projections.
pub fn settings(r: u64, lora_alpha: f64, use_dora: bool) -> LoraConfig {
    LoraConfig {
        r: usize::try_from(r).unwrap_or(usize::MAX),
        lora_alpha,
        lora_dropout: 0.0,
        target_modules: ALL.iter().map(|&name| name.to_owned()).collect(),
        use_rslora: false,
        use_dora,
    }
}

/// Stands in for training: B gets numbers, and lengths change by up to a fifth.
///
/// # Errors
/// A tensor error.
pub fn fill(parameters: &Parameters, seed: u64) -> Result<()> {
    let mut rng = stream(seed, Purpose::Demo);
    for (name, var) in parameters.iter() {
        let noise = normal(&mut rng, 0.1, var.dims(), DType::F32)?;
        if name.ends_with("lora_B.weight") {
            var.set(&noise)?;
        }
        if name.ends_with("lora_magnitude_vector") {
            let factors = (noise.clamp(-0.2, 0.2)? + 1.0)?;
            var.set(&(var.as_detached_tensor() * factors)?)?;
        }
    }
    Ok(())
}

/// The logits of twelve tokens.
///
/// # Shapes
/// `[1, T, V]`.
///
/// # Errors
/// A tensor error.
pub fn logits(model: &Decoder) -> Result<Tensor> {
    let ids: Vec<u32> = (0..12).map(|i| (i * 7 + 3) % 96).collect();
    let ids = Tensor::from_vec(ids, (1, 12), &Device::Cpu)?;
    Ok(model.forward(&ids, &Pass::eval(Ops::Fused))?)
}

/// The largest difference of two tensors.
///
/// # Errors
/// Tensors of other shapes.
pub fn apart(a: &Tensor, b: &Tensor) -> Result<f64> {
    let most = (a.detach() - b.detach())?.abs()?.flatten_all()?.max(0)?;
    Ok(f64::from(most.to_scalar::<f32>()?))
}

/// The largest difference of two sets of tensors of the same names.
///
/// # Errors
/// A name that only one has, or another shape.
pub fn largest_change(
    before: &BTreeMap<String, Tensor>,
    after: &BTreeMap<String, Tensor>,
) -> Result<f64> {
    let mut worst = 0.0_f64;
    for (name, tensor) in after {
        let other = before.get(name).with_context(|| format!("{name} was not there before"))?;
        worst = worst.max(apart(tensor, other)?);
    }
    Ok(worst)
}
