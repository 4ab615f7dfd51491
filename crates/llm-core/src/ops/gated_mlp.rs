//! The feed-forward half of a Llama block whose weights are frozen, as one graph node.
//!
//! `y = x + down(silu(gate(n)) · up(n))`, `n = rms_norm(x)`. A chain of operations keeps the output
//! of each for the backward pass, 4C + 3F numbers a token. Without gradients of weights, x and the
//! outputs of gate and up are enough, C + 2F; norm and activation are computed again from them,
//! which costs a thousandth of the products. The bits are those of the chain.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};

use super::frozen::{Base, PackedWeight};
use super::linear::{Sizes, check};
use super::slices::{
    check_eps, float_type, gradient, last_axis, output, saved, values, with_values,
};
use super::{Ops, tape};
use crate::Result;
use crate::dims::expect_shape;
use crate::kernels::activation::{swiglu, swiglu_backward};
use crate::kernels::norm::{Norm, RowStats};
use crate::kernels::rows::add_in_place;
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};

const NAME: &str = "gated_mlp";

/// The weights of [`Ops::gated_mlp`].
#[derive(Clone, Copy, Debug)]
pub struct GatedMlp<'a> {
    /// `[C]`
    pub norm: &'a Tensor,
    /// Inside the root of the norm.
    pub eps: f64,
    /// `[F, C]`
    pub gate: (&'a PackedWeight, Option<&'a Tensor>),
    /// `[F, C]`
    pub up: (&'a PackedWeight, Option<&'a Tensor>),
    /// `[C, F]`
    pub down: (&'a PackedWeight, Option<&'a Tensor>),
}

impl GatedMlp<'_> {
    fn trains(&self) -> bool {
        let projections = [self.gate, self.up, self.down];
        let trains = |(weight, bias): (&PackedWeight, Option<&Tensor>)| {
            weight.tensor().track_op() || bias.is_some_and(Tensor::track_op)
        };
        self.norm.track_op() || projections.into_iter().any(trains)
    }
}

/// The same with an operation for each step.
pub(super) fn chain(ops: Ops, x: &Tensor, mlp: &GatedMlp) -> Result<Tensor> {
    let normed = ops.rms_norm(x, mlp.norm, mlp.eps)?;
    let gate = ops.packed_linear(&normed, mlp.gate.0, mlp.gate.1)?;
    let up = ops.packed_linear(&normed, mlp.up.0, mlp.up.1)?;
    let gated = ops.swiglu(&gate, &up)?;
    ops.add(x, &ops.packed_linear(&gated, mlp.down.0, mlp.down.1)?)
}

pub(super) fn gated_mlp(x: &Tensor, mlp: &GatedMlp) -> Result<Tensor> {
    if mlp.trains() {
        return chain(Ops::Fused, x, mlp);
    }
    check_eps(NAME, mlp.eps)?;
    expect_shape("gated_mlp norm", mlp.norm, &[last_axis("gated_mlp x", x)?])?;
    for (weight, bias) in [mlp.gate, mlp.up] {
        check(x, weight.tensor(), bias)?;
    }
    let (f, c) = mlp.gate.0.tensor().dims2()?;
    expect_shape("gated_mlp up", mlp.up.0.tensor(), &[f, c])?;
    expect_shape("gated_mlp down", mlp.down.0.tensor(), &[c, f])?;
    Ok(match float_type(NAME, &[x, mlp.norm])? {
        DType::F32 => tape::apply1(x, Op::<f32>::new(mlp)?)?,
        _ => tape::apply1(x, Op::<f64>::new(mlp)?)?,
    })
}

struct Op<E> {
    /// `[C]`
    norm: Vec<E>,
    eps: f64,
    gate: Base,
    up: Base,
    down: Base,
    kept: OnceLock<Kept<E>>,
}

/// What the backward pass needs beside x.
struct Kept<E> {
    /// `[N]`
    stats: Vec<RowStats>,
    /// `[N, F]`
    gate: Vec<E>,
    /// `[N, F]`
    up: Vec<E>,
}

impl<E: Real> Op<E> {
    fn new(mlp: &GatedMlp) -> Result<Self> {
        let base = |(weight, bias)| Base::of(weight).with_bias(bias);
        Ok(Self {
            norm: mlp.norm.to_vec1()?,
            eps: mlp.eps,
            gate: base(mlp.gate),
            up: base(mlp.up),
            down: base(mlp.down),
            kept: OnceLock::new(),
        })
    }

    fn norm(&self) -> Norm<'_, E> {
        Norm::root_mean_square(&self.norm, self.eps)
    }

    /// Sizes of gate and up, and of down.
    fn sizes(&self, x: &Shape) -> candle_core::Result<(Sizes, Sizes)> {
        let wide = Sizes::new(x, self.gate.weight.shape())?;
        let back = Sizes {
            inputs: wide.outputs,
            outputs: wide.inputs,
            ..wide
        };
        Ok((wide, back))
    }
}

impl<E: Real> CustomOp1 for Op<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (wide, back) = self.sizes(layout.shape())?;
        let _span = span(NAME, || wide.cost::<E>().times(2).and(back.cost::<E>()));
        let x = values::<E>(x, layout)?;
        let (normed, stats) = self.norm().forward(&x);
        let gate = self.gate.forward(&normed, None, wide)?;
        let up = self.up.forward(&normed, None, wide)?;
        drop(normed);
        let mut y = self.down.forward(&swiglu(&gate, &up), None, back)?;
        add_in_place(&mut y, &x);
        self.kept.get_or_init(|| Kept { stats, gate, up });
        Ok(output(y, layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let (wide, back) = self.sizes(x.shape())?;
        let _span = span("gated_mlp backward", || {
            let touched = Cost::touch::<E>(5 * wide.rows * wide.outputs);
            wide.cost::<E>().times(2).and(back.cost::<E>()).and(touched)
        });
        let Kept { stats, gate, up } = saved(&self.kept, NAME)?;
        let dx = with_values([x, dy], |[x, dy]| {
            let d_gated = self.down.input_gradient(dy, None, back)?;
            let (d_gate, d_up) = swiglu_backward(gate, up, &d_gated);
            drop(d_gated);
            let mut d_normed = self.up.input_gradient(&d_up, None, wide)?;
            add_in_place(
                &mut d_normed,
                &self.gate.input_gradient(&d_gate, None, wide)?,
            );
            let mut dx = self.norm().backward(x, stats, &d_normed).x;
            add_in_place(&mut dx, dy);
            Ok(dx)
        })?;
        gradient(dx, x)
    }
}
