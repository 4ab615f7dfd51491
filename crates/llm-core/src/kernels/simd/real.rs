//! The two number types that kernels compute in.

use std::cell::RefCell;
use std::ops::Neg;
use std::sync::OnceLock;

use candle_core::WithDType;
use half::bf16;

use super::portable::Portable;
use super::{Isa, Kernel, Simd, math};
use crate::kernels::gemm::{PanelSlots, Panels, RoundedRight, Tail, View, rounded_product};
use crate::kernels::scratch::FreeList;

/// f32 or f64.
pub(crate) trait Real: WithDType + Neg<Output = Self> + Default + Sync {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// +∞.
    const INFINITY: Self;
    /// 1.5 · 2ᵐ with m digits after the point: adding and subtracting it rounds to an integer, as
    /// no smaller bit fits beside it.
    const ROUND_MAGIC: Self;

    /// Runs `kernel` on `isa`, or on the portable set if there is no such machine or version.
    fn dispatch<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output;

    /// Where this thread keeps buffers of this type.
    fn free_list() -> &'static FreeList<Self>;

    /// The panels of this type among those of a weight.
    fn panels(slots: &PanelSlots) -> &OnceLock<Panels<Self>>;

    /// `eᵃ` per lane, see [`Simd::exp`].
    fn exp_lanes<S: Simd<E = Self>>(simd: S, a: S::V) -> S::V;

    /// The same number in this type, exactly.
    fn widen(value: bf16) -> Self;
    /// The product of sides rounded to bf16, which f32 has.
    ///
    /// # Shapes
    /// `a [M, K]`, `b [K, N]`, `tail` of R more, `bias [N]` → `[M, N]`.
    fn rounded_product(
        a: View<Self>,
        b: RoundedRight<Self>,
        tail: Option<Tail<Self>>,
        bias: Option<&[Self]>,
    ) -> Option<Vec<Self>>;
    /// `√self`.
    fn sqrt(self) -> Self;
    /// `ln self`.
    fn ln(self) -> Self;
    /// `e^self` of the standard library.
    fn exp(self) -> Self;
    /// Whether this is neither infinite nor NaN.
    fn is_finite(self) -> bool;
}

/// Lanes of the portable path: one 128-bit register, which every 64-bit target has.
const PORTABLE_F32_LANES: usize = 4;
const PORTABLE_F64_LANES: usize = 2;

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const INFINITY: Self = f32::INFINITY;
    const ROUND_MAGIC: Self = 12_582_912.0;

    fn dispatch<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                if let Some(simd) = super::avx512::Avx512::detect() {
                    return simd.enter(kernel);
                }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                if let Some(simd) = super::avx2::Avx2::detect() {
                    return simd.enter(kernel);
                }
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => {
                if let Some(simd) = super::neon::Neon::detect() {
                    return simd.enter(kernel);
                }
            }
            _ => {}
        }
        Portable::<f32, PORTABLE_F32_LANES>::new().enter(kernel)
    }

    fn free_list() -> &'static FreeList<Self> {
        thread_local! {
            static LIST: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
        }
        &LIST
    }

    fn panels(slots: &PanelSlots) -> &OnceLock<Panels<Self>> {
        &slots.f32
    }

    #[inline(always)]
    fn exp_lanes<S: Simd<E = Self>>(simd: S, a: S::V) -> S::V {
        math::exp(simd, a)
    }

    #[inline(always)]
    fn widen(value: bf16) -> Self {
        // The upper half of an f32, NaN payloads included.
        f32::from_bits(u32::from(value.to_bits()) << 16)
    }

    fn rounded_product(
        a: View<Self>,
        b: RoundedRight<Self>,
        tail: Option<Tail<Self>>,
        bias: Option<&[Self]>,
    ) -> Option<Vec<Self>> {
        Some(rounded_product(a, b, tail, bias))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        f32::ln(self)
    }

    #[inline(always)]
    fn exp(self) -> Self {
        f32::exp(self)
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const INFINITY: Self = f64::INFINITY;
    const ROUND_MAGIC: Self = 6_755_399_441_055_744.0;

    fn dispatch<K: Kernel<Self>>(_isa: Isa, kernel: K) -> K::Output {
        Portable::<f64, PORTABLE_F64_LANES>::new().enter(kernel)
    }

    fn free_list() -> &'static FreeList<Self> {
        thread_local! {
            static LIST: RefCell<Vec<Vec<f64>>> = const { RefCell::new(Vec::new()) };
        }
        &LIST
    }

    fn panels(slots: &PanelSlots) -> &OnceLock<Panels<Self>> {
        &slots.f64
    }

    #[inline(always)]
    fn exp_lanes<S: Simd<E = Self>>(simd: S, a: S::V) -> S::V {
        simd.map_lanes(a, f64::exp)
    }

    #[inline(always)]
    fn widen(value: bf16) -> Self {
        f64::from(value)
    }

    fn rounded_product(
        _a: View<Self>,
        _b: RoundedRight<Self>,
        _tail: Option<Tail<Self>>,
        _bias: Option<&[Self]>,
    ) -> Option<Vec<Self>> {
        None
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        f64::ln(self)
    }

    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
}
