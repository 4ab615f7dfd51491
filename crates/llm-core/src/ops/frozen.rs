//! A weight that does not train: how it is kept, packed and multiplied by.

use std::sync::{Arc, OnceLock};

use candle_core::{DType, Tensor, WithDType};
use half::bf16;

use super::linear::Sizes;
use super::slices::with_values;
use super::tape;
use crate::kernels::gemm::{
    PanelSlots, Panels, Right, RoundedRight, Tail, View, half_panels, has_rounded_products,
    product_with_tail,
};
use crate::kernels::simd::Real;

/// Rows below which a frozen weight is packed for keeps: then reading it costs more than the
/// arithmetic, as in decoding. Above, packing on the way is cheap and needs no memory.
const KEEP_BELOW_ROWS: usize = 64;

/// How a projection multiplies by a weight in bf16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Products {
    /// In f32, with the bits that the widened weight would give.
    #[default]
    Exact,
    /// With both sides rounded to bf16 and sums in f32: of a weight that trains, which stays f32,
    /// and of a frozen one that is kept in bf16. Twice as fast on a CPU that
    /// [multiplies bf16](Products::rounding_is_fast), and more with tiles. The composed operations
    /// stay exact.
    Rounded,
}

impl Products {
    /// Whether this CPU has instructions for [`Products::Rounded`] (AVX512-BF16, AMX); without
    /// them it is emulated and slow.
    pub fn rounding_is_fast() -> bool {
        has_rounded_products()
    }
}

/// A weight with room for its packed form, which decoding then reads at the speed of memory.
///
/// The packed form is made at the first call with few rows and shared by clones. It is never made
/// for a weight inside the autograd graph, whose values change. Do not write into the memory of a
/// frozen weight: make a new `PackedWeight`.
#[derive(Clone, Debug)]
pub struct PackedWeight {
    /// `[O, I]`
    weight: Tensor,
    panels: Arc<PanelSlots>,
    products: Products,
}

impl PackedWeight {
    /// Wraps `weight` without packing it yet.
    ///
    /// # Shapes
    /// `weight [O, I]`.
    pub fn new(weight: Tensor) -> Self {
        Self {
            weight,
            panels: Arc::default(),
            products: Products::Exact,
        }
    }

    /// How the weight is multiplied by.
    pub fn products(&self) -> Products {
        self.products
    }

    /// From now on multiplies so, if the weight is bf16 or trains; others are always exact.
    pub fn set_products(&mut self, products: Products) {
        self.products = products;
    }

    /// The weight as it was given.
    ///
    /// # Shapes
    /// `[O, I]`.
    pub fn tensor(&self) -> &Tensor {
        &self.weight
    }
}

/// A weight that does not train, as a field of an op.
pub(super) struct Base {
    /// `[O, I]`
    pub(super) weight: Tensor,
    /// `[O]`
    bias: Option<Tensor>,
    panels: Option<Arc<PanelSlots>>,
    /// Whether panels may be made: a training step reads too many rows to need them.
    packs: bool,
    products: Products,
}

impl Base {
    /// A weight that nothing outlives the call of but the backward pass, which needs no panels.
    pub(super) fn once(weight: &Tensor) -> Self {
        Self {
            weight: weight.clone(),
            bias: None,
            panels: None,
            packs: false,
            products: Products::Exact,
        }
    }

    /// `weight` without a bias.
    pub(super) fn of(weight: &PackedWeight) -> Self {
        Self {
            weight: weight.weight.clone(),
            bias: None,
            panels: Some(weight.panels.clone()),
            packs: !tape::is_recording(),
            products: weight.products,
        }
    }

    /// The same with a bias that does not train.
    pub(super) fn with_bias(self, bias: Option<&Tensor>) -> Self {
        let bias = bias.cloned();
        Self { bias, ..self }
    }

    /// `x Wᵀ + b`, with more of K.
    ///
    /// # Shapes
    /// `x [N, I]`, `tail` to `[N, O]` → `[N, O]`.
    pub(super) fn forward<E: Real>(
        &self,
        x: &[E],
        tail: Option<Tail<E>>,
        sizes: Sizes,
    ) -> candle_core::Result<Vec<E>> {
        let bias = match &self.bias {
            Some(bias) => Some(bias.to_vec1::<E>()?),
            None => None,
        };
        let bias = bias.as_deref();
        let view = View::row_major(x, sizes.rows, sizes.inputs);
        let few = sizes.rows < KEEP_BELOW_ROWS && self.packs;
        if self.weight.dtype() != DType::BF16 {
            let slot = self.panels.as_deref().map(E::panels);
            let pack = |w: &[E]| Panels::new(transposed(w, sizes));
            return match kept(slot, few, &self.weight, pack)? {
                Some(panels) => Ok(product_with_tail(view, Right::Panels(panels), tail, bias)),
                None => with_values([&self.weight], |[w]| {
                    let w = Right::View(transposed(w, sizes));
                    Ok(product_with_tail(view, w, tail, bias))
                }),
            };
        }
        if let Some(y) = self.rounded(x, (sizes.rows, sizes.inputs), true, (tail, bias))? {
            return Ok(y);
        }
        let slot = self.panels.as_deref().map(|slots| &slots.bf16);
        let pack = |w: &[bf16]| half_panels(transposed(w, sizes));
        match kept(slot, few, &self.weight, pack)? {
            Some(panels) => Ok(product_with_tail(
                view,
                Right::HalfPanels(panels),
                tail,
                bias,
            )),
            None => with_values([&self.weight], |[w]| {
                let w = Right::Half(transposed(w, sizes));
                Ok(product_with_tail(view, w, tail, bias))
            }),
        }
    }

    /// `dx = dy W`, with more of K.
    ///
    /// # Shapes
    /// `dy [N, O]`, `tail` to `[N, I]` → `[N, I]`.
    pub(super) fn input_gradient<E: Real>(
        &self,
        dy: &[E],
        tail: Option<Tail<E>>,
        sizes: Sizes,
    ) -> candle_core::Result<Vec<E>> {
        let Sizes {
            rows,
            inputs,
            outputs,
        } = sizes;
        let view = View::row_major(dy, rows, outputs);
        if self.weight.dtype() != DType::BF16 {
            return with_values([&self.weight], |[w]| {
                let w = Right::View(View::row_major(w, outputs, inputs));
                Ok(product_with_tail(view, w, tail, None))
            });
        }
        if let Some(dx) = self.rounded(dy, (rows, outputs), false, (tail, None))? {
            return Ok(dx);
        }
        with_values([&self.weight], |[w]| {
            let w = Right::Half(View::row_major(w, outputs, inputs));
            Ok(product_with_tail(view, w, tail, None))
        })
    }

    /// The product of the `shape` = (rows, columns) matrix `left` with W, or with Wᵀ if `flipped`,
    /// where this weight's products are rounded and the numbers are f32.
    fn rounded<E: Real>(
        &self,
        left: &[E],
        shape: (usize, usize),
        flipped: bool,
        rest: (Option<Tail<E>>, Option<&[E]>),
    ) -> candle_core::Result<Option<Vec<E>>> {
        let (tail, bias) = rest;
        if self.products == Products::Exact {
            return Ok(None);
        }
        let (outputs, inputs) = self.weight.dims2()?;
        let left = View::row_major(left, shape.0, shape.1);
        with_values([&self.weight], |[w]: [&[bf16]; 1]| {
            let w = View::row_major(w, outputs, inputs);
            let w = if flipped { w.transposed() } else { w };
            Ok(E::rounded_product(left, RoundedRight::Half(w), tail, bias))
        })
    }
}

/// The panels of `weight`: those of `slot`, made now by `pack` if there are `few` rows.
fn kept<'a, T: WithDType, E>(
    slot: Option<&'a OnceLock<Panels<E>>>,
    few: bool,
    weight: &Tensor,
    pack: impl FnOnce(&[T]) -> Panels<E>,
) -> candle_core::Result<Option<&'a Panels<E>>> {
    match slot {
        Some(slot) if few && slot.get().is_none() => {
            with_values([weight], |[w]| Ok(Some(slot.get_or_init(|| pack(w)))))
        }
        Some(slot) => Ok(slot.get()),
        None => Ok(None),
    }
}

/// `Wᵀ` as the right-hand side of the forward product.
pub(super) fn transposed<E: Copy>(w: &[E], sizes: Sizes) -> View<'_, E> {
    View::row_major(w, sizes.outputs, sizes.inputs).transposed()
}
