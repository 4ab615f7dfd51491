//! Rotary position embedding: each pair `(x₁, x₂)`, half a head apart, turns by the angle of its
//! position and frequency.
//!
//! ```text
//! y₁ = x₁ cos − x₂ sin        y₂ = x₂ cos + x₁ sin
//! ```
//!
//! The gradient turns back: the same with −sin.

use super::heads::Heads;
use super::pool::build;
use super::rows::{grain, zip_map};
use super::simd::{Isa, Kernel, Real, Simd};

/// Positions that one task turns.
const CHUNK_TOKENS: usize = 16;

/// Angles of the tokens of one pass.
#[derive(Clone, Copy)]
pub(crate) struct Angles<'a, E> {
    /// `[T, D/2]`
    pub(crate) cos: &'a [E],
    /// `[T, D/2]`
    pub(crate) sin: &'a [E],
}

/// `x` with every head turned by its angles.
///
/// # Shapes
/// `x [B, T, H, D]` → `[B, T, H, D]`.
pub(crate) fn rotate<E: Real>(x: Heads<E>, angles: Angles<E>) -> Vec<E> {
    let token = x.heads * x.size;
    let isa = Isa::active();
    build(
        x.batch * x.tokens * token,
        CHUNK_TOKENS * token,
        grain(CHUNK_TOKENS * token),
        |chunk, y| {
            isa.run(Rotate {
                x,
                angles,
                first: chunk * CHUNK_TOKENS,
                y,
            });
        },
    )
}

struct Rotate<'a, E> {
    x: Heads<'a, E>,
    angles: Angles<'a, E>,
    /// The token, counted over the batch, that `y` begins with.
    first: usize,
    y: &'a mut [E],
}

impl<E: Real> Kernel<E> for Rotate<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, simd: S) {
        let (h, d) = (self.x.heads, self.x.size);
        let half = d / 2;
        for (row, y) in self.y.chunks_exact_mut(d).enumerate() {
            let token = self.first + row / h;
            let (b, t) = (token / self.x.tokens, token % self.x.tokens);
            let cos = &self.angles.cos[t * half..][..half];
            let sin = &self.angles.sin[t * half..][..half];
            let (x1, x2) = self.x.row(b, t, row % h).split_at(half);
            let (y1, y2) = y.split_at_mut(half);
            zip_map(simd, [x1, x2, cos, sin], y1, |[x1, x2, cos, sin]| {
                simd.sub(simd.mul(x1, cos), simd.mul(x2, sin))
            });
            zip_map(simd, [x1, x2, cos, sin], y2, |[x1, x2, cos, sin]| {
                simd.add(simd.mul(x2, cos), simd.mul(x1, sin))
            });
        }
    }
}
