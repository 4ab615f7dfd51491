//! What the machine could do: fused multiply-adds on registers alone.
//!
//! As many independent sums as the tile of a matrix product has, so the figure is the ceiling of
//! `kernels::gemm` and not of a loop that nobody writes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::pool;
use super::simd::{Isa, Kernel, MAX_LANES, Simd};

/// Rounds of multiply-adds between two looks at the clock: about a tenth of a millisecond.
const ROUNDS: usize = 1 << 15;
/// Items for each thread, so that one that starts late takes fewer.
const ITEMS_PER_THREAD: usize = 8;
/// Columns of registers of a tile.
const COLUMNS: usize = 3;

/// Multiply-adds per second in f32 on all threads of the pool, as floating-point operations (two
/// for each), the best try within `time`.
///
/// ```
/// use std::time::Duration;
/// let peak = llm_core::kernels::peak::flops_per_second(Duration::from_millis(5));
/// assert!(peak > 1e8);
/// ```
pub fn flops_per_second(time: Duration) -> f64 {
    let isa = Isa::active();
    let items = pool::threads() * ITEMS_PER_THREAD;
    let start = Instant::now();
    let mut best: f64 = 0.0;
    loop {
        let begin = Instant::now();
        pool::parallel(items, 1, |range| {
            for _ in range {
                black_box(isa.run::<f32, _>(Sums));
            }
        });
        let flops = (items * isa.run::<f32, _>(Width) * ROUNDS * 2) as f64;
        best = best.max(flops / begin.elapsed().as_secs_f64());
        if start.elapsed() >= time {
            return best;
        }
    }
}

/// Lanes of all sums of a tile on an instruction set.
struct Width;

impl Kernel<f32> for Width {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd<E = f32>>(self, _s: S) -> usize {
        S::TILE_ROWS * COLUMNS * S::LANES
    }
}

/// [`ROUNDS`] multiply-adds on each sum of a tile.
struct Sums;

impl Kernel<f32> for Sums {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd<E = f32>>(self, s: S) -> f32 {
        match S::TILE_ROWS {
            8 => rounds::<S, 8>(s),
            4 => rounds::<S, 4>(s),
            2 => rounds::<S, 2>(s),
            _ => rounds::<S, 1>(s),
        }
    }
}

/// The loop, with the sums in registers: they are loaded before it and stored after it.
#[inline(always)]
fn rounds<S: Simd<E = f32>, const R: usize>(s: S) -> f32 {
    // x ← x/2 + 1 stays near 2 for ever: no overflow, no slow denormal numbers.
    let (half, one) = (s.splat(black_box(0.5)), s.splat(black_box(1.0)));
    let mut memory = black_box([[1.0f32; MAX_LANES * COLUMNS]; R]);
    let mut sums = [[s.zero(); COLUMNS]; R];
    for (sums, memory) in sums.iter_mut().zip(&memory) {
        for (sum, lanes) in sums.iter_mut().zip(memory.chunks_exact(MAX_LANES)) {
            *sum = s.load(lanes);
        }
    }
    for _ in 0..ROUNDS {
        // Two plain loops: through `flatten` the sums would lie in memory.
        for sums in &mut sums {
            for sum in sums {
                *sum = s.mul_add(*sum, half, one);
            }
        }
    }
    for (sums, memory) in sums.iter().zip(&mut memory) {
        for (&sum, lanes) in sums.iter().zip(memory.chunks_exact_mut(MAX_LANES)) {
            s.store(lanes, sum);
        }
    }
    memory.iter().flatten().sum()
}
