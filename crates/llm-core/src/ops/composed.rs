//! Every operation spelled out in basic tensor operations.
//!
//! Slow and plain on purpose: only operations whose backward the tensor library is known to have
//! (no `softmax_last_dim`, no fused norm, no fused rope).

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use candle_core::{D, DType, Device, Tensor};

use super::{AttentionSpec, GeluKind, IGNORE_INDEX, RopeTable};
use crate::{Error, Result};

pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    // A frozen weight may be stored in bf16 beside wider activations.
    let weight = match weight.dtype() {
        DType::BF16 => weight.to_dtype(x.dtype())?,
        _ => weight.clone(),
    };
    let y = x.contiguous()?.broadcast_matmul(&weight.t()?)?;
    Ok(match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    })
}

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
    Ok(x.broadcast_div(&(mean_square + eps)?.sqrt()?)?
        .broadcast_mul(weight)?)
}

pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    Ok(normed.broadcast_mul(weight)?.broadcast_add(bias)?)
}

pub(super) fn rope(x: &Tensor, table: &RopeTable, offset: usize) -> Result<Tensor> {
    let (_b, t, _h, d) = x.dims4()?;
    let (cos, sin) = table.rows(offset, t, x.dtype(), x.device())?;
    let by_token = |angles: Tensor| angles.reshape((1, t, 1, d / 2));
    turn(x, &by_token(cos)?, &by_token(sin)?)
}

pub(super) fn rope_at(x: &Tensor, table: &RopeTable, positions: &[u32]) -> Result<Tensor> {
    let (b, t, _h, d) = x.dims4()?;
    super::rope::check_positions(b * t, positions)?;
    let (cos, sin) = table.gather(positions)?;
    let by_token = |angles: Vec<f64>| -> Result<Tensor> {
        let angles = Tensor::from_vec(angles, (b, t, 1, d / 2), &Device::Cpu)?;
        Ok(angles.to_dtype(x.dtype())?.to_device(x.device())?)
    };
    turn(x, &by_token(cos)?, &by_token(sin)?)
}

/// # Shapes
/// `x [B, T, H, D]`, `cos` and `sin [.., T, 1, D/2]`.
fn turn(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let d = x.dim(D::Minus1)?;
    let (x1, x2) = (x.narrow(3, 0, d / 2)?, x.narrow(3, d / 2, d / 2)?);
    let y1 = (x1.broadcast_mul(cos)? - x2.broadcast_mul(sin)?)?;
    let y2 = (x2.broadcast_mul(cos)? + x1.broadcast_mul(sin)?)?;
    Ok(Tensor::cat(&[y1, y2], 3)?)
}

pub(super) fn causal_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    spec: &AttentionSpec,
) -> Result<Tensor> {
    let (b, t, h, d) = q.dims4()?;
    let (_b, s, kv, _d) = k.dims4()?;
    let group = h / kv;
    let heads = |x: &Tensor| -> Result<Tensor> {
        let x = x
            .transpose(1, 2)?
            .unsqueeze(2)?
            .broadcast_as((b, kv, group, s, d))?;
        Ok(x.contiguous()?.reshape((b, h, s, d))?)
    };
    let q = q.transpose(1, 2)?.contiguous()?;
    let scores = (q.matmul(&heads(k)?.t()?.contiguous()?)? * spec.scale)?;
    let hidden: Vec<u8> = (0..t)
        .flat_map(|row| (0..s).map(move |key| (s - t + row, key)))
        .map(|(position, key)| u8::from(!spec.reads(position, key)))
        .collect();
    let hidden = Tensor::from_vec(hidden, (1, 1, t, s), q.device())?.broadcast_as((b, h, t, s))?;
    let minus_infinity =
        Tensor::full(f32::NEG_INFINITY, (b, h, t, s), q.device())?.to_dtype(q.dtype())?;
    let scores = hidden.where_cond(&minus_infinity, &scores)?;
    let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?;
    let weights = shifted.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    Ok(weights.matmul(&heads(v)?)?.transpose(1, 2)?.contiguous()?)
}

pub(super) fn causal_attention_packed(
    qkv: &Tensor,
    (h, kv): (usize, usize),
    spec: &AttentionSpec,
) -> Result<Tensor> {
    let (b, t, width) = qkv.dims3()?;
    let d = width / (h + 2 * kv);
    let by_head = qkv.reshape((b, t, h + 2 * kv, d))?;
    let part = |first, count| by_head.narrow(2, first, count);
    let read = causal_attention(&part(0, h)?, &part(h, kv)?, &part(h + kv, kv)?, spec)?;
    Ok(read.reshape((b, t, h * d))?)
}

pub(super) fn gelu(x: &Tensor, kind: GeluKind) -> Result<Tensor> {
    // Not `gelu` and `gelu_erf`: their backward has constants of six digits, an error of 4e-7.
    let gate = match kind {
        GeluKind::Tanh => (((x * x.sqr()?)? * 0.044_715)? + x)?
            .affine(FRAC_2_PI.sqrt(), 0.0)?
            .tanh()?,
        GeluKind::Erf => (x * FRAC_1_SQRT_2)?.erf()?,
    };
    Ok(((gate + 1.0)? * (x * 0.5)?)?)
}

pub(super) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let sigmoid = ((gate.neg()?.exp()? + 1.0)?).recip()?;
    Ok(((gate * sigmoid)? * up)?)
}

pub(super) fn cross_entropy(logits: &Tensor, targets: &[i64], scale: f64) -> Result<Tensor> {
    Ok((row_losses(logits, targets)?.sum_all()? * scale)?)
}

/// −log p(target) of each row, 0 where it is ignored.
///
/// # Shapes
/// `logits [N, V]`, `targets` of length N → `[N]`.
pub(super) fn row_losses(logits: &Tensor, targets: &[i64]) -> Result<Tensor> {
    let (n, _v) = logits.dims2()?;
    let device = logits.device();
    let counts: Vec<f32> = targets
        .iter()
        .map(|&t| f32::from(t != IGNORE_INDEX))
        .collect();
    let ids: Vec<u32> = targets
        .iter()
        .map(|&t| u32::try_from(t).unwrap_or(0))
        .collect();
    let ids = Tensor::from_vec(ids, (n, 1), device)?;
    let counts = Tensor::from_vec(counts, n, device)?.to_dtype(logits.dtype())?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
    let log_sum = shifted.exp()?.sum_keepdim(1)?.log()?;
    let loss = (log_sum - shifted.gather(&ids, 1)?)?.squeeze(1)?;
    Ok((loss * counts)?)
}

pub(super) fn dropout(x: &Tensor, p: f64, seed: u64) -> Result<Tensor> {
    let mask: Vec<f64> = (0..x.elem_count() as u64)
        .map(|index| super::dropout::keep_factor(seed, index, p))
        .collect();
    let mask = Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?;
    Ok((x * mask)?)
}

pub(super) fn embedding(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (b, t) = ids.dims2()?;
    let (v, c) = table.dims2()?;
    let flat = ids.to_dtype(DType::U32)?.flatten_all()?;
    if let Some(id) = flat
        .to_vec1::<u32>()?
        .into_iter()
        .find(|&id| id as usize >= v)
    {
        return Err(Error::input("token id", format!("{id} is not in 0..{v}")));
    }
    Ok(table.index_select(&flat, 0)?.reshape((b, t, c))?)
}
