//! Seeded randomness by purpose.
//!
//! One seed gives one independent ChaCha stream for each [`Purpose`], so that drawing one more
//! dropout mask never changes the order of the data or the initial weights.
//!
//! ```
//! use llm_core::rng::{Purpose, stream};
//! use rand::Rng;
//! let a: u64 = stream(7, Purpose::Init).random();
//! assert_eq!(a, stream(7, Purpose::Init).random::<u64>());
//! assert_ne!(a, stream(7, Purpose::Shuffle).random::<u64>());
//! ```

use candle_core::{DType, Device, Tensor, WithDType};
use half::{bf16, f16};
use rand::{Rng, SeedableRng};
pub use rand_chacha::ChaCha8Rng;

use crate::Result;

/// What a stream of random numbers is for. The number is part of the file formats: never reorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights of a model.
    Init = 0,
    /// Initial weights of adapters.
    Lora = 1,
    /// The order of training rows.
    Shuffle = 2,
    /// Dropout masks.
    Dropout = 3,
    /// Choosing the next token.
    Sample = 4,
    /// Splitting data into parts.
    Split = 5,
    /// Resampling for intervals.
    Bootstrap = 6,
    /// Generated data.
    Data = 7,
    /// Inputs of demonstrations.
    Demo = 8,
}

/// The stream of `purpose` under `seed`.
pub fn stream(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose as u64);
    rng
}

/// One draw from N(0, 1), by the polar method of Box, Muller and Marsaglia.
pub fn standard_normal(rng: &mut impl Rng) -> f64 {
    loop {
        let (u, v) = (rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0f64));
        let s: f64 = u * u + v * v;
        if s > 0.0 && s < 1.0 {
            return u * (-2.0 * s.ln() / s).sqrt();
        }
    }
}

/// A tensor of draws from N(0, `std`²), in row-major order.
pub fn normal(rng: &mut impl Rng, std: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
    drawn(shape, dtype, || std * standard_normal(rng))
}

/// A tensor of draws from U(-`bound`, `bound`), in row-major order.
pub fn uniform(rng: &mut impl Rng, bound: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
    drawn(shape, dtype, || bound * rng.random_range(-1.0..1.0))
}

/// Draws are made in f64 and narrowed one by one: all of them in f64 would be more memory than the
/// model that they are for.
fn drawn(shape: &[usize], dtype: DType, draw: impl FnMut() -> f64) -> Result<Tensor> {
    fn collect<T: WithDType>(shape: &[usize], mut draw: impl FnMut() -> f64) -> Result<Tensor> {
        let count: usize = shape.iter().product();
        let values: Vec<T> = (0..count).map(|_| T::from_f64(draw())).collect();
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }
    match dtype {
        DType::F32 => collect::<f32>(shape, draw),
        DType::BF16 => collect::<bf16>(shape, draw),
        DType::F16 => collect::<f16>(shape, draw),
        _ => Ok(collect::<f64>(shape, draw)?.to_dtype(dtype)?),
    }
}
