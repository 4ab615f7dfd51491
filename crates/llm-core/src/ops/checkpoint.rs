//! Segments of a model whose activations are computed twice instead of kept (Chen et al. 2016).
//!
//! Forward, a segment runs and everything in it but its output is forgotten. Backward, it runs
//! again from its input and the gradient goes through it at once. A training step then holds one
//! segment's activations at a time, for one more forward pass; the gradients have the same bits.
//!
//! ```
//! use candle_core::{DType, Device, Var};
//! use llm_core::ops::{Ops, checkpoint, record};
//! # fn main() -> llm_core::Result<()> {
//! let w = Var::ones((2, 3), DType::F64, &Device::Cpu)?;
//! let x = Var::ones((1, 3), DType::F64, &Device::Cpu)?;
//! let weight = w.as_tensor().clone();
//! let segment = move |x: &candle_core::Tensor| Ops::Fused.linear(x, &weight, None);
//! let (loss, tape) = record(|| Ops::Fused.cross_entropy(&checkpoint(&x, segment)?, &[1], 1.0));
//! let gradients = tape.backward(&loss?)?;
//! assert_eq!(gradients.get(&w).unwrap().to_vec2::<f64>()?, [[0.5; 3], [-0.5; 3]]);
//! # Ok(()) }
//! ```

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, Var, bail};

use super::tape;
use crate::Result;

/// `segment(x)`, recorded as one operation that runs the segment again in the backward pass.
///
/// Outside [`record`](super::record), where nothing would run it again, it just runs. `segment`
/// must be a function of `x` and of variables alone, and of one thread.
///
/// # Shapes
/// `x [..]` → whatever `segment` makes of it, on the CPU.
///
/// # Errors
/// What `segment` reports. The tensor library's own backward pass cannot run a segment again: it
/// fails if another operation keeps the tape from being complete.
pub fn checkpoint(
    x: &Tensor,
    segment: impl Fn(&Tensor) -> Result<Tensor> + 'static,
) -> Result<Tensor> {
    if !tape::is_recording() {
        return segment(x);
    }
    // A recording of its own, so that nothing of the segment stays on the tape.
    let (y, _forgotten) = tape::record(|| segment(&x.detach()));
    let y = y?.detach();
    // The first segment of a model may have no variable before it but many inside.
    let anchor = Var::zeros(1, y.dtype(), y.device())?;
    let y = x.apply_op2(&anchor, Kept(y))?;
    tape::again(x, &y, segment);
    Ok(y)
}

/// A finished output as a node of the tensor library's graph, which says that it has a gradient.
struct Kept(Tensor);

impl CustomOp2 for Kept {
    fn name(&self) -> &'static str {
        "checkpoint"
    }

    fn cpu_fwd(
        &self,
        _x: &CpuStorage,
        _x_layout: &Layout,
        _anchor: &CpuStorage,
        _anchor_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = self.0.contiguous()?;
        let (storage, layout) = y.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else {
            bail!("checkpoint: a segment's output is not on the CPU")
        };
        let range = layout.start_offset()..layout.start_offset() + y.elem_count();
        let copy = match storage {
            CpuStorage::F32(values) => CpuStorage::F32(values[range].to_vec()),
            CpuStorage::F64(values) => CpuStorage::F64(values[range].to_vec()),
            _ => bail!("checkpoint: a segment's output is not f32 or f64"),
        };
        Ok((copy, y.shape().clone()))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        _dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        bail!("checkpoint: an operation that is not recorded stands between loss and segment")
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::ops::{Ops, record};

    fn noise(shape: (usize, usize)) -> Var {
        let values: Vec<f32> = (0..shape.0 * shape.1)
            .map(|i| (i as f32 * 1.7).sin())
            .collect();
        Var::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// Two segments that share a variable, a residual between them; `x` may be a constant.
    fn loss(x: &Tensor, w: &Tensor, kept: bool) -> Result<Tensor> {
        let weight = w.clone();
        let segment = move |x: &Tensor| {
            let y = Ops::Fused.linear(x, &weight, None)?;
            Ops::Fused.add(x, &y)
        };
        let mut x = x.clone();
        for _ in 0..2 {
            x = if kept {
                segment(&x)?
            } else {
                checkpoint(&x, segment.clone())?
            };
        }
        Ops::Fused.cross_entropy(&x, &[0, 2], 1.0)
    }

    #[test]
    fn gradients_have_the_same_bits_with_and_without() {
        let (x, w) = (noise((2, 3)), noise((3, 3)));
        for x in [x.as_tensor().clone(), x.as_detached_tensor()] {
            let [kept, again] = [true, false].map(|kept| {
                let (loss, tape) = record(|| loss(&x, &w, kept));
                let loss = loss.unwrap();
                assert!(tape.is_complete(&loss));
                let store = tape.backward(&loss).unwrap();
                let bits = |of: &Tensor| {
                    store
                        .get(of)
                        .map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap())
                };
                assert_eq!(bits(&x).is_some(), x.is_variable());
                (
                    loss.to_scalar::<f32>().unwrap(),
                    bits(&x),
                    bits(&w).unwrap(),
                )
            });
            assert_eq!(kept, again);
        }
    }

    #[test]
    fn the_librarys_pass_is_an_error_and_not_a_wrong_gradient() {
        let (x, w) = (noise((2, 3)), noise((3, 3)));
        let (loss, tape) = record(|| Ok::<_, crate::Error>((loss(&x, &w, false)? * 2.0)?));
        let message = tape.backward(&loss.unwrap()).unwrap_err().to_string();
        assert!(message.contains("not recorded"), "{message}");
    }

    #[test]
    fn outside_a_recording_it_just_runs() {
        let (x, w) = (noise((2, 3)), noise((3, 3)));
        let store = loss(&x, &w, false).unwrap().backward().unwrap();
        assert_eq!(store.get(&w).unwrap().dtype(), DType::F32);
    }
}
