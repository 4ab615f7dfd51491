//! A frozen projection with a low-rank adapter, `y = x Wᵀ + b + s · x̃ Aᵀ Bᵀ`, x̃ = dropout(x).
//!
//! One graph node. With `z = s · x̃ Aᵀ` the outputs are one product whose K goes on over the rank,
//! `[x, z] · [W, B]ᵀ + b`, so the update never stands in memory; z is kept for the backward pass,
//! the dropped-out input is not. With `e = s · dy B`:
//!
//! `dx = [dy, e] · [W; A]` (with dropout, `dy W + mask ⊙ e A`), `dA = eᵀ x̃`, `dB = dyᵀ z`.

use std::borrow::Cow;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor};

use super::dropout::{check_probability, keep_factor};
use super::frozen::{Base, PackedWeight};
use super::linear::{Sizes, check, output_shape};
use super::slices::{float_type, gradient, output, saved, values, with_values};
use super::{Ops, tape};
use crate::kernels::dropout::scale_by_index;
use crate::kernels::gemm::{Right, Tail, View, product};
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};
use crate::{Error, Result};

const NAME: &str = "lora-linear";

/// A low-rank update of a projection.
#[derive(Clone, Copy, Debug)]
pub struct Adapter<'a> {
    /// `[R, I]`
    pub a: &'a Tensor,
    /// `[O, R]`
    pub b: &'a Tensor,
    /// s, usually α / R.
    pub scale: f64,
    /// Probability and seed of the dropout on the adapter's input, as in [`Ops::dropout`].
    pub dropout: Option<(f64, u64)>,
}

/// The same with an operation for each step.
pub(super) fn composed(
    ops: Ops,
    x: &Tensor,
    weight: &PackedWeight,
    bias: Option<&Tensor>,
    adapter: &Adapter,
) -> Result<Tensor> {
    let dropped = match adapter.dropout {
        Some((p, seed)) => ops.dropout(x, p, seed)?,
        None => x.clone(),
    };
    let narrow = ops.linear(&dropped, adapter.a, None)?;
    let update = ops.scale(&ops.linear(&narrow, adapter.b, None)?, adapter.scale)?;
    ops.add(&ops.packed_linear(x, weight, bias)?, &update)
}

pub(super) fn lora_linear(
    x: &Tensor,
    weight: &PackedWeight,
    bias: Option<&Tensor>,
    adapter: &Adapter,
) -> Result<Tensor> {
    check(x, weight.tensor(), bias)?;
    let Adapter { a, b, .. } = adapter;
    let (outputs, inputs) = weight.tensor().dims2()?;
    let fits = matches!((a.dims(), b.dims()), (&[r, i], &[o, rank])
        if r == rank && i == inputs && o == outputs);
    if !fits {
        let (a, b) = (a.dims(), b.dims());
        let problem = format!("A {a:?} and B {b:?} do not fit weight [{outputs}, {inputs}]");
        return Err(Error::input(NAME, problem));
    }
    let dropout = adapter.dropout.filter(|&(p, _)| p != 0.0);
    if let Some((p, _)) = dropout {
        check_probability(p)?;
    }
    let base = Base::of(weight).with_bias(bias);
    let scale = adapter.scale;
    Ok(match float_type(NAME, &[x, a, b])? {
        DType::F64 => tape::apply3(x, a, b, Op::<f64>::new(base, scale, dropout))?,
        _ => tape::apply3(x, a, b, Op::<f32>::new(base, scale, dropout))?,
    })
}

/// A product between x and the rank, and one between the rank and y.
fn adapter_cost<E>(sizes: Sizes, rank: usize) -> [Cost; 2] {
    [
        Cost::product::<E>(sizes.rows, sizes.inputs, rank),
        Cost::product::<E>(sizes.rows, rank, sizes.outputs),
    ]
}

struct Op<E> {
    base: Base,
    scale: E,
    /// Probability, above zero, and seed.
    dropout: Option<(f64, u64)>,
    /// z `[N, R]`
    narrow: OnceLock<Vec<E>>,
}

impl<E: Real> Op<E> {
    fn new(base: Base, scale: f64, dropout: Option<(f64, u64)>) -> Self {
        Self {
            base,
            scale: E::from_f64(scale),
            dropout,
            narrow: OnceLock::new(),
        }
    }

    /// `values` under the dropout mask.
    fn dropped<'a>(&self, values: &'a [E]) -> Cow<'a, [E]> {
        match self.dropout {
            Some((p, seed)) => scale_by_index(values, |i| keep_factor(seed, i, p)).into(),
            None => values.into(),
        }
    }

    /// `s · left · right`
    fn scaled(&self, left: View<E>, right: View<E>) -> Vec<E> {
        let mut product = product(left, Right::View(right), None);
        product.iter_mut().for_each(|value| *value *= self.scale);
        product
    }

    /// `dx` from dy `[N, O]`, e `[N, R]` and A `[R, I]`.
    fn input_gradient(
        &self,
        dy: &[E],
        e: View<E>,
        a: View<E>,
        sizes: Sizes,
    ) -> candle_core::Result<Vec<E>> {
        if self.dropout.is_none() {
            return self
                .base
                .input_gradient(dy, Some(Tail { a: e, b: a }), sizes);
        }
        let mut dx = self.base.input_gradient(dy, None, sizes)?;
        let update = product(e, Right::View(a), None);
        dx.iter_mut()
            .zip(&*self.dropped(&update))
            .for_each(|(dx, &update)| *dx += update);
        Ok(dx)
    }
}

impl<E: Real> CustomOp3 for Op<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(x_layout.shape(), self.base.weight.shape())?;
        let (rank, inputs) = a_layout.shape().dims2()?;
        let _span = span(NAME, || {
            let [narrow, wide] = adapter_cost::<E>(sizes, rank);
            sizes.cost::<E>().and(narrow).and(wide)
        });
        let x = values::<E>(x, x_layout)?;
        let (a, b) = (values::<E>(a, a_layout)?, values::<E>(b, b_layout)?);
        let dropped = self.dropped(&x);
        let narrow = self.scaled(
            View::row_major(&dropped, sizes.rows, inputs),
            View::row_major(&a, rank, inputs).transposed(),
        );
        let tail = Tail {
            a: View::row_major(&narrow, sizes.rows, rank),
            b: View::row_major(&b, sizes.outputs, rank).transposed(),
        };
        let y = self.base.forward(&x, Some(tail), sizes)?;
        self.narrow.get_or_init(|| narrow);
        Ok(output(y, &output_shape(x_layout.shape(), sizes)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::new(x.shape(), self.base.weight.shape())?;
        let (rank, rows) = (a.dims2()?.0, sizes.rows);
        let _span = span("lora-linear backward", || {
            let [narrow, wide] = adapter_cost::<E>(sizes, rank);
            // e, dA and dB, and where something is below, dx on both ways.
            let below = usize::from(x.track_op());
            let dx = sizes.cost::<E>().and(narrow).times(below);
            dx.and(narrow).and(wide.times(2))
        });
        let narrow = saved(&self.narrow, NAME)?;
        with_values([x, a, b, dy], |[x_values, a_values, b_values, dy]| {
            let dy_view = View::row_major(dy, rows, sizes.outputs);
            let a_view = View::row_major(a_values, rank, sizes.inputs);
            let e = self.scaled(dy_view, View::row_major(b_values, sizes.outputs, rank));
            let e = View::row_major(&e, rows, rank);
            let dx = match x.track_op() {
                true => gradient(self.input_gradient(dy, e, a_view, sizes)?, x)?,
                false => None,
            };
            let dropped = self.dropped(x_values);
            let dropped = View::row_major(&dropped, rows, sizes.inputs);
            let da = product(e.transposed(), Right::View(dropped), None);
            let narrow = Right::View(View::row_major(narrow, rows, rank));
            let db = product(dy_view.transposed(), narrow, None);
            Ok((dx, gradient(da, a)?, gradient(db, b)?))
        })
    }
}
