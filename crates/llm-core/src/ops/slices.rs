//! Between tensors and the slices that kernels work on.

use candle_core::{CpuStorage, DType, Layout, Shape, Storage, Tensor, WithDType};

use crate::kernels::heads::Heads;
use crate::{Error, Result};

/// The common number type of `tensors`, which must be f32 or f64 on the CPU.
pub(super) fn float_type(op: &str, tensors: &[&Tensor]) -> Result<DType> {
    let dtype = tensors[0].dtype();
    for tensor in tensors {
        if !tensor.device().is_cpu() {
            return Err(Error::input(
                op,
                "fused operations run on the CPU; use Ops::Composed",
            ));
        }
        if tensor.dtype() != dtype {
            let found = tensor.dtype().as_str();
            let problem = format!("mixes {} and {found}, expected one type", dtype.as_str());
            return Err(Error::input(op, problem));
        }
    }
    match dtype {
        DType::F32 | DType::F64 => Ok(dtype),
        other => Err(Error::input(
            op,
            format!(
                "{} is not f32 or f64; convert first or use Ops::Composed",
                other.as_str()
            ),
        )),
    }
}

/// The sizes of a tensor with the axes `letters`, one letter each.
pub(super) fn axes<const N: usize>(
    name: &str,
    tensor: &Tensor,
    letters: &str,
) -> Result<[usize; N]> {
    tensor.dims().try_into().map_err(|_| {
        Error::tensor(
            name,
            format!("has shape {:?}, expected [{letters}]", tensor.dims()),
        )
    })
}

/// The size of the last axis.
pub(super) fn last_axis(name: &str, tensor: &Tensor) -> Result<usize> {
    let last = tensor.dims().last().copied();
    last.ok_or_else(|| Error::tensor(name, "is a scalar, expected at least one axis"))
}

/// Fails unless `value` is finite and not negative.
pub(super) fn check_eps(op: &str, eps: f64) -> Result<()> {
    if eps.is_finite() && eps >= 0.0 {
        return Ok(());
    }
    Err(Error::input(
        op,
        format!("eps is {eps}, expected a finite number that is not negative"),
    ))
}

/// The values under `layout`, in row-major order: borrowed where they lie side by side.
pub(super) fn values<'a, E: WithDType>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> candle_core::Result<std::borrow::Cow<'a, [E]>> {
    let data = storage.as_slice::<E>()?;
    Ok(match layout.contiguous_offsets() {
        Some((start, end)) => data[start..end].into(),
        None => gather(data, layout).into(),
    })
}

/// Copies a tensor with gaps or swapped axes into row-major order.
fn gather<E: Copy>(data: &[E], layout: &Layout) -> Vec<E> {
    let (dims, strides) = (layout.dims(), layout.stride());
    let Some((&last, outer)) = dims.split_last() else {
        return vec![data[layout.start_offset()]];
    };
    let step = strides[outer.len()];
    (0..outer.iter().product())
        .flat_map(|row: usize| {
            let mut rest = row;
            let axes = outer.iter().zip(strides).rev();
            let start = axes.fold(layout.start_offset(), |start, (&dim, &stride)| {
                let index = rest % dim;
                rest /= dim;
                start + index * stride
            });
            (0..last).map(move |i| data[start + i * step])
        })
        .collect()
}

/// `f` of the values of each tensor in row-major order.
pub(super) fn with_values<E: WithDType, R, const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[E]; N]) -> candle_core::Result<R>,
) -> candle_core::Result<R> {
    let tensors: Vec<Tensor> = tensors
        .iter()
        .map(|x| x.detach().contiguous())
        .collect::<candle_core::Result<_>>()?;
    let guards: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let mut slices: [&[E]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else {
            candle_core::bail!("a fused operation got a tensor that is not on the CPU")
        };
        let start = layout.start_offset();
        *slice = &storage.as_slice::<E>()?[start..start + layout.shape().elem_count()];
    }
    f(slices)
}

/// `f` of a `[B, T, H, D]` tensor where it lies; only a last axis with gaps is copied.
pub(super) fn with_heads<E: WithDType, R>(
    storage: &CpuStorage,
    layout: &Layout,
    f: impl FnOnce(Heads<E>) -> R,
) -> candle_core::Result<R> {
    let (batch, tokens, heads, size) = layout.shape().dims4()?;
    if let [b, t, h, 1] = *layout.stride() {
        let data = &storage.as_slice::<E>()?[layout.start_offset()..];
        let strides = [b, t, h];
        return Ok(f(Heads {
            data,
            batch,
            tokens,
            heads,
            size,
            strides,
        }));
    }
    let data = values::<E>(storage, layout)?;
    Ok(f(Heads::contiguous(&data, [batch, tokens, heads, size])))
}

/// What `cpu_fwd` returns.
pub(super) fn output<E: WithDType>(values: Vec<E>, shape: &Shape) -> (CpuStorage, Shape) {
    (E::to_cpu_storage_owned(values), shape.clone())
}

/// The tensor of a gradient; `None` where `argument` is outside the graph.
pub(super) fn gradient<E: WithDType>(
    values: Vec<E>,
    argument: &Tensor,
) -> candle_core::Result<Option<Tensor>> {
    if !argument.track_op() {
        return Ok(None);
    }
    Tensor::from_vec(values, argument.shape(), argument.device()).map(Some)
}

/// What a forward pass left for the backward pass.
pub(super) fn saved<'a, T>(
    cell: &'a std::sync::OnceLock<T>,
    op: &'static str,
) -> candle_core::Result<&'a T> {
    cell.get()
        .ok_or_else(|| candle_core::Error::Msg(format!("{op}: backward before forward")))
}
