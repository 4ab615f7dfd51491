//! The projection `y = x Wᵀ + b` with gradients `dx = dy W`, `dW = dyᵀ x`, `db = Σ dy`.
//!
//! All three products run on the batch-invariant [`gemm`](crate::kernels::gemm). A weight outside
//! the graph is a field of the op and not an argument: its gradient is never computed. Which
//! arguments a graph node has depends on what is tracked:
//!
//! | weight | bias | node |
//! |---|---|---|
//! | frozen | none or frozen | [`Frozen`], of x |
//! | frozen | tracked | [`Frozen`], of x, then an addition |
//! | tracked | none | [`Tracked`], of x and W |
//! | tracked | any | [`Tracked`], of x, W and b |
//!
//! A frozen weight may be bf16 beside f32 activations. Its product is that of the widened weight,
//! bit for bit ([`Products::Exact`](super::Products)), or one that rounds the other side too
//! ([`Products::Rounded`](super::Products)). A tracked weight in f32 may have rounded products as
//! well, all three: it stays f32, and so do sums and gradients (Micikevicius et al. 2018).

use std::marker::PhantomData;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Shape, Tensor, bail,
};

use super::frozen::{Base, PackedWeight, Products, transposed};
use super::slices::{float_type, gradient, output, values, with_values};
use super::tape;
use crate::dims::expect_shape;
use crate::kernels::gemm::{Right, RoundedRight, View, product};
use crate::kernels::linear::column_sums;
use crate::kernels::rows::add_in_place;
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};
use crate::{Error, Result};

/// The sizes of one projection.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// N, all leading axes of x together.
    pub(super) rows: usize,
    /// I
    pub(super) inputs: usize,
    /// O
    pub(super) outputs: usize,
}

impl Sizes {
    pub(super) fn new(x: &Shape, weight: &Shape) -> candle_core::Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let Some((&last, leading)) = x.dims().split_last() else {
            bail!("linear: x is a scalar")
        };
        if last != inputs {
            bail!(
                "linear: x {:?} does not fit weight [{outputs}, {inputs}]",
                x.dims()
            );
        }
        Ok(Self {
            rows: leading.iter().product(),
            inputs,
            outputs,
        })
    }

    /// One of the three products.
    pub(super) fn cost<E>(self) -> Cost {
        Cost::product::<E>(self.rows, self.inputs, self.outputs)
    }
}

pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    check(x, weight, bias)?;
    if !weight.track_op() {
        return frozen(x, Base::once(weight), bias);
    }
    tracked(x, weight, bias, Products::Exact)
}

fn tracked(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    products: Products,
) -> Result<Tensor> {
    Ok(match bias {
        Some(bias) => tape::apply3(x, weight, bias, Tracked(products))?,
        None => tape::apply2(x, weight, Tracked(products))?,
    })
}

pub(super) fn packed(x: &Tensor, weight: &PackedWeight, bias: Option<&Tensor>) -> Result<Tensor> {
    check(x, weight.tensor(), bias)?;
    if weight.tensor().track_op() {
        return tracked(x, weight.tensor(), bias, weight.products());
    }
    frozen(x, Base::of(weight), bias)
}

/// `r + x Wᵀ + b`.
pub(super) fn add_packed(
    residual: &Tensor,
    x: &Tensor,
    weight: &PackedWeight,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let trains = weight.tensor().track_op() || bias.is_some_and(Tensor::track_op);
    if trains {
        return Ok(tape::add(residual, &packed(x, weight, bias)?)?);
    }
    check(x, weight.tensor(), bias)?;
    let sizes = Sizes::new(x.shape(), weight.tensor().shape())?;
    expect_shape("residual", residual, output_shape(x.shape(), sizes).dims())?;
    let base = Base::of(weight).with_bias(bias);
    Ok(match float_type("linear", &[residual, x])? {
        DType::F32 => tape::apply2(residual, x, Added::<f32>(base, PhantomData))?,
        _ => tape::apply2(residual, x, Added::<f64>(base, PhantomData))?,
    })
}

fn frozen(x: &Tensor, base: Base, bias: Option<&Tensor>) -> Result<Tensor> {
    Ok(match bias {
        Some(bias) if bias.track_op() => {
            let y = tape::apply1(x, Frozen(base))?;
            // Tracked alone, and of another shape: the library's addition.
            y.broadcast_add(bias)?
        }
        _ => tape::apply1(x, Frozen(base.with_bias(bias)))?,
    })
}

pub(super) fn check(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<()> {
    // A frozen weight in bf16 is widened on the way, beside activations that are not.
    let widened = weight.dtype() == DType::BF16 && !weight.track_op() && weight.device().is_cpu();
    let weight_too = (!widened).then_some(weight);
    let tensors: Vec<&Tensor> = [x].into_iter().chain(weight_too).chain(bias).collect();
    float_type("linear", &tensors)?;
    let (x, weight) = (x.dims(), weight.dims());
    if weight.len() != 2 || x.last() != weight.last() {
        let problem =
            format!("x {x:?} does not fit weight {weight:?}, expected [.., I] and [O, I]");
        return Err(Error::input("linear", problem));
    }
    match bias {
        Some(bias) if bias.dims() != [weight[0]] => {
            let problem = format!("bias {:?} does not fit weight {weight:?}", bias.dims());
            Err(Error::input("linear", problem))
        }
        _ => Ok(()),
    }
}

/// `A · B + bias`, of rounded sides where the numbers are f32 and `products` says so.
fn multiply<E: Real>(a: View<E>, b: View<E>, bias: Option<&[E]>, products: Products) -> Vec<E> {
    let rounded = match products {
        Products::Rounded => E::rounded_product(a, RoundedRight::Wide(b), None, bias),
        Products::Exact => None,
    };
    rounded.unwrap_or_else(|| product(a, Right::View(b), bias))
}

/// `dx = dy W`
fn input_gradient<E: Real>(dy: &[E], w: &[E], sizes: Sizes, products: Products) -> Vec<E> {
    let dy = View::row_major(dy, sizes.rows, sizes.outputs);
    let w = View::row_major(w, sizes.outputs, sizes.inputs);
    multiply(dy, w, None, products)
}

/// `dW = dyᵀ x`
fn weight_gradient<E: Real>(dy: &[E], x: &[E], sizes: Sizes, products: Products) -> Vec<E> {
    let dy = View::row_major(dy, sizes.rows, sizes.outputs).transposed();
    let x = View::row_major(x, sizes.rows, sizes.inputs);
    multiply(dy, x, None, products)
}

pub(super) fn output_shape(x: &Shape, sizes: Sizes) -> Shape {
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = sizes.outputs;
    }
    dims.into()
}

/// The op of a weight that does not train.
struct Frozen(Base);

impl Frozen {
    fn run<E: Real>(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(layout.shape(), self.0.weight.shape())?;
        let _span = span("linear", || sizes.cost::<E>());
        let y = self
            .0
            .forward(&values::<E>(storage, layout)?, None, sizes)?;
        Ok(output(y, &output_shape(layout.shape(), sizes)))
    }

    fn dx<E: Real>(&self, x: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let sizes = Sizes::new(x.shape(), self.0.weight.shape())?;
        let _span = span("linear backward", || sizes.cost::<E>());
        let dx = with_values([dy], |[dy]| self.0.input_gradient::<E>(dy, None, sizes))?;
        gradient(dx, x)
    }
}

/// The op of a frozen projection into a residual stream.
struct Added<E>(Base, PhantomData<E>);

impl<E: Real> CustomOp2 for Added<E> {
    fn name(&self) -> &'static str {
        "linear-added"
    }

    fn cpu_fwd(
        &self,
        residual: &CpuStorage,
        residual_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(x_layout.shape(), self.0.weight.shape())?;
        let _span = span("linear", || sizes.cost::<E>());
        let mut y = self.0.forward(&values::<E>(x, x_layout)?, None, sizes)?;
        add_in_place(&mut y, &values::<E>(residual, residual_layout)?);
        Ok(output(y, residual_layout.shape()))
    }

    fn bwd(
        &self,
        residual: &Tensor,
        x: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::new(x.shape(), self.0.weight.shape())?;
        let d_residual = residual.track_op().then(|| dy.copy()).transpose()?;
        if !x.track_op() {
            return Ok((d_residual, None));
        }
        let _span = span("linear backward", || sizes.cost::<E>());
        let dx = with_values([dy], |[dy]| self.0.input_gradient::<E>(dy, None, sizes))?;
        Ok((d_residual, gradient(dx, x)?))
    }
}

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "linear-frozen"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        match storage {
            CpuStorage::F64(_) => self.run::<f64>(storage, layout),
            _ => self.run::<f32>(storage, layout),
        }
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        match (x.track_op(), x.dtype()) {
            (false, _) => Ok(None),
            (true, DType::F64) => self.dx::<f64>(x, dy),
            (true, _) => self.dx::<f32>(x, dy),
        }
    }
}

/// The op of a weight that trains.
struct Tracked(Products);

type Argument<'a> = (&'a CpuStorage, &'a Layout);
type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl Tracked {
    fn run<E: Real>(
        &self,
        x: Argument<'_>,
        weight: Argument<'_>,
        bias: Option<Argument<'_>>,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(x.1.shape(), weight.1.shape())?;
        let _span = span("linear", || sizes.cost::<E>());
        let shape = output_shape(x.1.shape(), sizes);
        let (x, w) = (values::<E>(x.0, x.1)?, values::<E>(weight.0, weight.1)?);
        let bias = match bias {
            Some((storage, layout)) => Some(values::<E>(storage, layout)?),
            None => None,
        };
        let x = View::row_major(&x, sizes.rows, sizes.inputs);
        let y = multiply(x, transposed(&w, sizes), bias.as_deref(), self.0);
        Ok(output(y, &shape))
    }

    fn any(
        &self,
        x: Argument<'_>,
        weight: Argument<'_>,
        bias: Option<Argument<'_>>,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        match x.0 {
            CpuStorage::F64(_) => self.run::<f64>(x, weight, bias),
            _ => self.run::<f32>(x, weight, bias),
        }
    }

    fn gradients<E: Real>(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        dy: &Tensor,
    ) -> candle_core::Result<Gradients> {
        let sizes = Sizes::new(x.shape(), weight.shape())?;
        let products = usize::from(x.track_op()) + usize::from(weight.track_op());
        let _span = span("linear backward", || sizes.cost::<E>().times(products));
        // Detached once, so that a dy with gaps is copied once.
        let dy = dy.detach().contiguous()?;
        let dx = match x.track_op() {
            true => gradient(
                with_values([&dy, weight], |[dy, w]| {
                    Ok(input_gradient::<E>(dy, w, sizes, self.0))
                })?,
                x,
            )?,
            false => None,
        };
        let dw = match weight.track_op() {
            true => gradient(
                with_values([&dy, x], |[dy, x]| {
                    Ok(weight_gradient::<E>(dy, x, sizes, self.0))
                })?,
                weight,
            )?,
            false => None,
        };
        let db = match bias {
            Some(bias) if bias.track_op() => gradient(
                with_values([&dy], |[dy]| Ok(column_sums::<E>(dy, sizes.outputs)))?,
                bias,
            )?,
            _ => None,
        };
        Ok((dx, dw, db))
    }

    fn any_gradients(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        dy: &Tensor,
    ) -> candle_core::Result<Gradients> {
        match x.dtype() {
            DType::F64 => self.gradients::<f64>(x, weight, bias, dy),
            _ => self.gradients::<f32>(x, weight, bias, dy),
        }
    }
}

impl CustomOp2 for Tracked {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.any((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = self.any_gradients(x, weight, None, dy)?;
        Ok((dx, dw))
    }
}

impl CustomOp3 for Tracked {
    fn name(&self) -> &'static str {
        "linear-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.any(
            (x, x_layout),
            (weight, weight_layout),
            Some((bias, bias_layout)),
        )
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<Gradients> {
        self.any_gradients(x, weight, Some(bias), dy)
    }
}
