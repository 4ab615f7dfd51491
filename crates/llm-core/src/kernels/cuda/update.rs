//! Kernels of the optimizer.

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, DType, Result};

use super::calls::{THREADS, each, typed};
use super::launch::{Arg, Dense, launch, read};
use crate::kernels::adamw::Step;

/// Parts that the squares of one gradient are summed in.
pub(crate) const SQUARE_PARTS: usize = 64;

/// One update of `weights`. `state` holds both moments and, with `master`, the weights in f32.
pub(crate) fn adamw(
    state: &mut CudaStorage,
    weights: &mut CudaStorage,
    gradient: &Dense,
    step: &Step,
    master: bool,
) -> Result<()> {
    let count = gradient.count();
    let name = match (weights.dtype(), gradient.dtype()) {
        (DType::F32, DType::F32) => "adamw_f32_f32",
        (DType::BF16, DType::BF16) => "adamw_bf16_bf16",
        (DType::BF16, DType::F32) => "adamw_bf16_f32",
        (p, g) => candle_core::bail!("adamw: weights in {p:?} and gradients in {g:?}"),
    };
    let t = step.t as f64;
    let args = vec![
        Arg::Out(state),
        Arg::Out(weights),
        read(gradient),
        Arg::U64(count as u64),
        Arg::U32(u32::from(master)),
        Arg::F32((1.0 - step.lr * step.decay) as f32),
        Arg::F32((step.lr / (1.0 - step.beta1.powf(t))) as f32),
        Arg::F32((1.0 / (1.0 - step.beta2.powf(t)).sqrt()) as f32),
        Arg::F32(step.epsilon as f32),
        Arg::F32(step.scale as f32),
        Arg::F32(step.beta1 as f32),
        Arg::F32(step.beta2 as f32),
    ];
    // SAFETY: the arguments of `adamw`; the one caller checks that the weights have as many numbers
    // as the gradient and the state two or three times as many.
    unsafe { launch(gradient.device(), name, args, each("adamw", count)?) }
}

/// Writes `Σ gradient²` in [`SQUARE_PARTS`] parts into `parts`, from the index `first` on.
pub(crate) fn squares(parts: &mut CudaStorage, gradient: &Dense, first: usize) -> Result<()> {
    const NAME: &str = "squares";
    let args = vec![
        Arg::Out(parts),
        read(gradient),
        Arg::U64(gradient.count() as u64),
        Arg::U64(first as u64),
    ];
    let grid = (SQUARE_PARTS as u32, (THREADS, 1));
    // SAFETY: the arguments of `squares`; the one caller has made room for the parts.
    unsafe {
        launch(
            gradient.device(),
            &typed(NAME, gradient.dtype())?,
            args,
            grid,
        )
    }
}
