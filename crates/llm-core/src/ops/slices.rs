//! Between tensors and the slices that kernels work on.

use candle_core::{CpuStorage, DType, Layout, Shape, Storage, Tensor, WithDType};

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
