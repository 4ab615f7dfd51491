//! Projections by cuBLAS. Nothing is computed for a weight that does not train.

use candle_core::backend::BackendStorage;
use candle_core::op::Add;
use candle_core::{CudaStorage, D, Layout, Tensor};

use super::nodes::{Given, Made, Node1, Node2, Node3};
use super::{wanted, with_storage};
use crate::kernels::cuda::{dense, product};
use crate::ops::{composed, tape};
use crate::{Error, Result};

const NAME: &str = "linear";

/// # Shapes
/// `x [.., I]`, `weight [O, I]`, `bias [O]` → `[.., O]`.
pub(in crate::ops) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let fits = x.dims().last() == Some(&inputs) && bias.is_none_or(|bias| bias.dims() == [outputs]);
    if !fits {
        let (x, bias) = (x.dims(), bias.map(Tensor::dims));
        let problem = format!("x {x:?} and bias {bias:?} do not fit [{outputs}, {inputs}]");
        return Err(Error::input(NAME, problem));
    }
    match (weight.track_op(), bias) {
        (false, Some(bias)) if bias.track_op() => composed::linear(x, weight, Some(bias)),
        (false, bias) => frozen(x, weight, bias.cloned()),
        (true, None) => {
            let forward = |x: Given, weight: Given| -> Made { forward(x, weight, None) };
            let op = Node2::new(NAME, forward, |[x, weight]: [&Tensor; 2], dy: &Tensor| {
                Ok([input_slope(x, weight, dy)?, weight_slope(x, weight, dy)?])
            });
            Ok(tape::apply2(x, weight, op)?)
        }
        (true, Some(bias)) => {
            let forward =
                |[x, weight, bias]: [Given; 3]| -> Made { forward(x, weight, Some(bias)) };
            let op = Node3::new(
                NAME,
                forward,
                |[x, weight, bias]: [&Tensor; 3], dy: &Tensor| {
                    let db = wanted(bias, || rows(dy)?.sum(0))?;
                    let (dx, dw) = (input_slope(x, weight, dy)?, weight_slope(x, weight, dy)?);
                    Ok([dx, dw, db])
                },
            );
            Ok(tape::apply3(x, weight, bias, op)?)
        }
    }
}

fn frozen(x: &Tensor, weight: &Tensor, bias: Option<Tensor>) -> Result<Tensor> {
    let weight = weight.detach();
    let matrix = weight.clone();
    let forward = move |x: Given| -> Made {
        with_storage(&matrix, |weight| match &bias {
            None => forward(x, weight, None),
            Some(bias) => with_storage(bias, |bias| forward(x, weight, Some(bias))),
        })
    };
    let op = Node1::new(NAME, forward, move |x: &Tensor, dy: &Tensor| {
        input_slope(x, &weight, dy)
    });
    Ok(tape::apply1(x, op)?)
}

fn forward(x: Given, weight: Given, bias: Option<Given>) -> Made {
    let (outputs, inputs) = weight.1.shape().dims2()?;
    let rows = x.1.shape().elem_count() / inputs;
    let mut dims = x.1.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = outputs;
    }
    let y = product(&dense(x.0, x.1)?, &dense(weight.0, weight.1)?, rows)?;
    let y = match bias {
        None => y,
        Some(bias) => add_to_rows(&y, bias, (rows, outputs))?,
    };
    Ok((y, dims.into()))
}

fn add_to_rows(
    y: &CudaStorage,
    (bias, at): Given,
    sizes: (usize, usize),
) -> candle_core::Result<CudaStorage> {
    let repeated = at.broadcast_as(sizes)?;
    y.binary_impl::<Add>(bias, &Layout::contiguous(sizes), &repeated)
}

/// # Shapes
/// `x [.., I]` → `[N, I]`, outside the graph.
fn rows(x: &Tensor) -> candle_core::Result<Tensor> {
    let last = x.dim(D::Minus1)?;
    x.detach().contiguous()?.reshape(((), last))
}

/// `dx = dy W`
fn input_slope(x: &Tensor, weight: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
    wanted(x, || rows(dy)?.matmul(&weight.detach())?.reshape(x.shape()))
}

/// `dW = dyᵀ x`
fn weight_slope(x: &Tensor, weight: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
    wanted(weight, || rows(dy)?.t()?.matmul(&rows(x)?))
}
