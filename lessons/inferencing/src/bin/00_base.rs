//! Is everything here that the inference lessons need?
//!
//! What you will see: the device, number type and threads that programs will use, a small computation
//! on them that is checked, and what is installed, with one line that repairs each missing thing.
//! Needs no network and no model.
//!
//! Reads: crates/llm-core/src/device.rs, crates/llm-core/src/config/mod.rs.
//! Try: `--device cuda`, `--threads 1`, `--model path/to/model`.

use candle_core::{DType, Device};
use clap::Args;
use llm_core::config::ModelConfig;
use llm_core::device::Machine;
use llm_core::math::{gradient::compare, linear::linear};
use llm_core::model::tensor_shapes;
use llm_core::ops::Ops;
use llm_core::rng::{Purpose, normal, stream};
use llm_show::{Lesson, Table, number};
use ndarray::Array2;
use std::path::{Path, PathBuf};

/// Sums of 64 products in f32, and in the half types.
const CLOSE: [(DType, f64); 4] =
    [(DType::F64, 1e-12), (DType::F32, 1e-5), (DType::F16, 0.05), (DType::BF16, 0.5)];

/// Own flags.
#[derive(Args)]
struct Own {
    /// The model folder to look at
    #[arg(long, default_value = "output_models/deeper-tiny", value_name = "DIR")]
    model: PathBuf,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let common = lesson.args.clone();
    let machine = Machine::start(common.device.as_str(), common.dtype.as_str(), common.threads)?;

    lesson.step("Where programs compute");
    let mut table = Table::new(&["what", "value"]);
    for (name, value) in machine.describe() {
        table.row([name.into(), value.into()]);
    }
    lesson.show(&table);

    lesson.step("A matrix product there equals the same sums in plain loops");
    let mut rng = stream(common.seed, Purpose::Demo);
    let x = normal(&mut rng, 1.0, &[4, 64], machine.dtype)?;
    let w = normal(&mut rng, 1.0, &[8, 64], machine.dtype)?;
    lesson.shape("y = x Wᵀ", &[('T', 4), ('C', 8)], machine.dtype.as_str());
    let plain = |x: &candle_core::Tensor| x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let loops = linear(
        &Array2::from_shape_vec((4, 64), plain(&x)?)?,
        &Array2::from_shape_vec((8, 64), plain(&w)?)?,
        None,
    );
    // The fused kernels are for f32 and f64 on the CPU.
    let fused = machine.device.is_cpu() && matches!(machine.dtype, DType::F32 | DType::F64);
    let ops = if fused { Ops::Fused } else { Ops::Composed };
    let y = ops.linear(&x.to_device(&machine.device)?, &w.to_device(&machine.device)?, None)?;
    let apart = compare(&plain(&y.to_device(&Device::Cpu)?)?, loops.as_slice().unwrap_or_default());
    let close = CLOSE.iter().find(|(dtype, _)| *dtype == machine.dtype).map_or(0.0, |x| x.1);
    lesson.check("device == plain loops", apart.largest, close);

    lesson.step("What is here and what is not");
    let mut table = Table::new(&["what", "found"]);
    let mut fixes = Vec::new();
    for (what, found, fix) in findings(&own.model) {
        table.row([what.into(), found.as_deref().unwrap_or("missing").into()]);
        if found.is_none() {
            fixes.push((what, fix));
        }
    }
    lesson.show(&table);
    for (what, fix) in &fixes {
        lesson.exhibit_line(&format!("fix {what}: {fix}"));
    }
    lesson.say(&format!(
        "{} missing; nothing above is needed for the lessons without a model",
        fixes.len()
    ));
    Ok(())
}

/// Name, what was found, and the line that repairs it.
type Finding = (&'static str, Option<String>, String);

fn findings(model: &Path) -> Vec<Finding> {
    let size = |path: PathBuf| {
        let meta = std::fs::metadata(path).ok().filter(|meta| meta.is_file())?;
        Some(number::bytes(meta.len()))
    };
    let restore = format!("git checkout -- {}", model.display());
    let config = std::fs::read_to_string(model.join("config.json")).ok();
    let config = config.map(|text| match ModelConfig::from_json(&text) {
        Ok(config) => parameters(&config),
        Err(error) => format!("not usable: {error}"),
    });
    let build = |name: &str, on: bool| -> (Option<String>, String) {
        let command = format!("cargo run --release --features {name} --bin 00_base");
        (on.then(|| "in this build".to_owned()), command)
    };
    let (cuda, cuda_fix) = build("cuda", cfg!(feature = "cuda"));
    let (metal, metal_fix) = build("metal", cfg!(feature = "metal"));
    vec![
        ("model", config, restore.clone()),
        ("tokenizer", size(model.join("tokenizer.json")), restore.clone()),
        ("weights", size(model.join("model.safetensors")), restore),
        ("CUDA", cuda, cuda_fix),
        ("Metal", metal, metal_fix),
    ]
}

fn parameters(config: &ModelConfig) -> String {
    match tensor_shapes(config) {
        Ok(shapes) => {
            let total: usize = shapes.iter().map(|shape| shape.count()).sum();
            format!("{:?}, {} parameters", config.family, number::count(total as u64))
        }
        Err(error) => format!("not usable: {error}"),
    }
}
