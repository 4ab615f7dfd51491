//! The operations on NVIDIA GPUs: our kernels and cuBLAS, one graph node each.
//!
//! Nothing here waits for the GPU. Everything is recorded on the [tape](super::tape), so that a
//! training step runs its backward pass without tensors of zeros. What has no kernel of its own is
//! composed of basic operations.

mod attention;
mod linear;
mod nodes;

use candle_core::{CudaStorage, DType, Storage, Tensor};

use self::nodes::{Given, Made, Node1, Node2, Node3, Slope, final1, final2, final3};
use super::slices::{check_eps, last_axis};
use super::{RopeTable, tape};
use crate::dims::expect_shape;
use crate::kernels::cuda::{self as kernel, Turn, both, dense};
use crate::{Error, Result};

pub(super) use attention::{causal_attention, packed};
pub(super) use linear::linear;

/// Whether the kernels take these tensors: on a GPU, of one number type, f32 or bf16.
pub(super) fn takes(tensors: &[&Tensor]) -> bool {
    let dtype = tensors.first().map(|tensor| tensor.dtype());
    let takes = |tensor: &&Tensor| tensor.device().is_cuda() && Some(tensor.dtype()) == dtype;
    matches!(dtype, Some(DType::F32 | DType::BF16)) && tensors.iter().all(takes)
}

/// `f`, if anything asks for the gradient of `x`.
fn wanted(
    x: &Tensor,
    f: impl FnOnce() -> candle_core::Result<Tensor>,
) -> candle_core::Result<Slope> {
    x.track_op().then(f).transpose()
}

/// `f` of the storage of a tensor on a GPU.
fn with_storage<R>(
    tensor: &Tensor,
    f: impl FnOnce(Given) -> candle_core::Result<R>,
) -> candle_core::Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cuda(storage) => f((storage, layout)),
        _ => candle_core::bail!("a CUDA operation got a tensor that is not on a GPU"),
    }
}

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    check_eps("rms_norm", eps)?;
    expect_shape("rms_norm weight", weight, &[last_axis("rms_norm x", x)?])?;
    let forward = move |x: Given, weight: Given| -> Made {
        let shape = x.1.shape().clone();
        let (x, weight) = both(x, weight)?;
        Ok((kernel::rms_norm(&x, &weight, eps)?, shape))
    };
    let backward = move |[x, weight]: [&Tensor; 2], dy: &Tensor| {
        let (x_values, values, dy) = (x.detach(), weight.detach(), dy.detach());
        let dx = wanted(x, || {
            let op = Node3::new("rms_norm_dx", rms_norm_dx(eps), final3);
            x_values.apply_op3_no_bwd(&values, &dy, &op)
        })?;
        let dw = wanted(weight, || {
            let op = Node2::new("rms_norm_dw", rms_norm_dw(eps), final2);
            let parts = x_values.apply_op2_no_bwd(&dy, &op)?;
            parts.sum(0)?.to_dtype(weight.dtype())
        })?;
        Ok([dx, dw])
    };
    let op = Node2::new("rms_norm", forward, backward);
    Ok(tape::apply2(x, weight, op)?)
}

fn rms_norm_dx(eps: f64) -> impl Fn([Given; 3]) -> Made {
    move |[x, weight, dy]| {
        let shape = x.1.shape().clone();
        let ((x, weight), dy) = (both(x, weight)?, dense(dy.0, dy.1)?);
        Ok((kernel::rms_norm_dx(&x, &weight, &dy, eps)?, shape))
    }
}

fn rms_norm_dw(eps: f64) -> impl Fn(Given, Given) -> Made {
    move |x, dy| {
        let c = x.1.dims().last().copied().unwrap_or(1);
        let (x, dy) = both(x, dy)?;
        let (parts, count) = kernel::rms_norm_dw(&x, &dy, c, eps)?;
        Ok((parts, (count, c).into()))
    }
}

/// # Shapes
/// `x [B, T, H, D]`, rows of `table [.., D]` for the positions from `offset` on.
fn turn(x: &Tensor, table: &Tensor, offset: usize) -> Result<Tensor> {
    let (_b, t, h, d) = x.dims4()?;
    let turned = |back| {
        let half = d / 2;
        let at = Turn {
            t,
            h,
            half,
            offset,
            back,
        };
        move |x: Given, table: Given| -> Made {
            let shape = x.1.shape().clone();
            let (x, table) = both(x, table)?;
            Ok((kernel::rope(&x, &table, &at)?, shape))
        }
    };
    let back = turned(true);
    let backward = move |[x, table]: [&Tensor; 2], dy: &Tensor| {
        let dx = wanted(x, || {
            let op = Node2::new("rope back", back, final2);
            dy.detach().apply_op2_no_bwd(table, &op)
        })?;
        Ok([dx, None])
    };
    let op = Node2::new("rope", turned(false), backward);
    Ok(tape::apply2(x, table, op)?)
}

pub(super) fn rope(x: &Tensor, table: &RopeTable, offset: usize) -> Result<Tensor> {
    table.check(x, offset)?;
    turn(x, &table.on(x.device())?, offset)
}

pub(super) fn rope_at(x: &Tensor, table: &RopeTable, positions: &[u32]) -> Result<Tensor> {
    let (b, t, h, d) = x.dims4()?;
    table.check_at(x, positions)?;
    let positions = Tensor::from_slice(positions, b * t, x.device())?;
    let rows = table.on(x.device())?.index_select(&positions, 0)?;
    // One long row, in which each token has angles of its own.
    let row = tape::reshape(x, (1, b * t, h, d))?;
    Ok(tape::reshape(&turn(&row, &rows, 0)?, (b, t, h, d))?)
}

pub(super) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    expect_shape("swiglu up", up, gate.dims())?;
    let forward = |gate: Given, up: Given| -> Made {
        let shape = gate.1.shape().clone();
        let (gate, up) = both(gate, up)?;
        Ok((kernel::swiglu(&gate, &up)?, shape))
    };
    let backward = |[gate, up]: [&Tensor; 2], dy: &Tensor| {
        let op = Node3::new("swiglu_grad", swiglu_grad, final3);
        let grads = gate
            .detach()
            .apply_op3_no_bwd(&up.detach(), &dy.detach(), &op)?;
        let part = |x: &Tensor, index| {
            let part = grads.narrow(0, index, 1)?.reshape(x.shape())?;
            // Gradients are added to in place, which two views of one memory cannot be.
            match gate.id() == up.id() {
                true => part.copy(),
                false => Ok(part),
            }
        };
        Ok([wanted(gate, || part(gate, 0))?, wanted(up, || part(up, 1))?])
    };
    let op = Node2::new("swiglu", forward, backward);
    Ok(tape::apply2(gate, up, op)?)
}

fn swiglu_grad([gate, up, dy]: [Given; 3]) -> Made {
    let count = gate.1.shape().elem_count();
    let ((gate, up), dy) = (both(gate, up)?, dense(dy.0, dy.1)?);
    Ok((kernel::swiglu_grad(&gate, &up, &dy)?, (2, count).into()))
}

pub(super) fn dropout(x: &Tensor, p: f64, seed: u64) -> Result<Tensor> {
    let masked = move |x: Given| -> Made {
        let shape = x.1.shape().clone();
        Ok((kernel::dropout(&dense(x.0, x.1)?, p, seed)?, shape))
    };
    let backward = move |x: &Tensor, dy: &Tensor| {
        wanted(x, || {
            let op = Node1::new("dropout back", masked, final1);
            dy.detach().apply_op1_no_bwd(&op)
        })
    };
    let op = Node1::new("dropout", masked, backward);
    Ok(tape::apply1(x, op)?)
}

/// The loss is in f32, whatever the logits are in.
pub(super) fn cross_entropy(logits: &Tensor, targets: &[i64], scale: f64) -> Result<Tensor> {
    if !scale.is_finite() {
        let problem = format!("scale is {scale}, expected a finite number");
        return Err(Error::input("cross_entropy", problem));
    }
    let (n, v) = logits.dims2()?;
    let targets = Tensor::from_slice(targets, n, logits.device())?;
    let forward = move |logits: Given, targets: Given| -> Made {
        let (logits, targets) = both(logits, targets)?;
        let loss = kernel::cross_entropy(&logits, &targets, v, scale)?;
        Ok((loss, ().into()))
    };
    let backward = move |[logits, targets]: [&Tensor; 2], upstream: &Tensor| {
        let gradient = move |[logits, targets, upstream]: [Given; 3]| -> Made {
            let shape = logits.1.shape().clone();
            let (logits, targets) = both(logits, targets)?;
            let upstream = dense(upstream.0, upstream.1)?;
            let of = (v, scale);
            let gradient = kernel::cross_entropy_grad(&logits, &targets, &upstream, of)?;
            Ok((gradient, shape))
        };
        let d_logits = wanted(logits, || {
            let op = Node3::new("cross_entropy_grad", gradient, final3);
            let upstream = upstream.detach().to_dtype(DType::F32)?;
            logits.detach().apply_op3_no_bwd(targets, &upstream, &op)
        })?;
        Ok([d_logits, None])
    };
    let op = Node2::new("cross_entropy", forward, backward);
    Ok(tape::apply2(logits, &targets, op)?)
}

/// Rows of a table that trains. The ids were checked where they entered the program: to look at
/// them here would mean waiting for the GPU, which itself stops at one that is out of range.
pub(super) fn embedding(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (b, t) = ids.dims2()?;
    let (v, c) = table.dims2()?;
    let flat = ids.to_dtype(DType::U32)?.flatten_all()?.contiguous()?;
    if !table.track_op() {
        return Ok(table.index_select(&flat, 0)?.reshape((b, t, c))?);
    }
    let rows = flat.clone();
    let forward = move |table: Given| -> Made {
        let picked = with_storage(&rows, |ids| pick(table, ids))?;
        Ok((picked, (b, t, c).into()))
    };
    let backward = move |table: &Tensor, dy: &Tensor| {
        wanted(table, || {
            let sum = move |dy: Given, ids: Given| -> Made {
                let (dy, ids) = both(dy, ids)?;
                let gradient = kernel::embedding_grad(&dy, &ids, [v, c])?;
                Ok((gradient, (v, c).into()))
            };
            let op = Node2::new("embedding_grad", sum, final2);
            dy.detach().apply_op2_no_bwd(&flat, &op)
        })
    };
    let op = Node1::new("embedding", forward, backward);
    Ok(tape::apply1(table, op)?)
}

fn pick(table: Given, ids: Given) -> candle_core::Result<CudaStorage> {
    use candle_core::backend::BackendStorage;
    table.0.index_select(ids.0, table.1, ids.1, 0)
}
