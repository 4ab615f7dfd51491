//! The optimizer's update and the norm of gradients on a GPU, without waiting for it.
//!
//! The state of a tensor is one f32 tensor of planes: both moments and, where the weights are kept in
//! 16 bits, the weights in f32. A step of 1e-4 on a weight of 1 is below what bf16 can tell apart;
//! on the f32 plane it counts, and the 16-bit weights are its rounding.

use candle_core::{DType, Device, Tensor, Var};

use crate::dims::expect_shape;
use crate::kernels::adamw::Step;
use crate::{Error, Result};

/// Whether weights of this type train on a copy in f32.
pub fn has_master(dtype: DType) -> bool {
    matches!(dtype, DType::BF16 | DType::F16)
}

/// The state of `var` before its first update, on the same device.
///
/// # Shapes
/// `var [..]` of N numbers → `[2, N]`, or `[3, N]` with the weights.
///
/// # Errors
/// No memory on the device.
pub fn new_state(var: &Var) -> Result<Tensor> {
    let n = var.elem_count();
    let moments = Tensor::zeros((2, n), DType::F32, var.device())?;
    if !has_master(var.dtype()) {
        return Ok(moments);
    }
    let weights = var.as_tensor().detach().to_dtype(DType::F32)?;
    Ok(Tensor::cat(&[&moments, &weights.reshape((1, n))?], 0)?)
}

/// One AdamW update of `var` and its state.
///
/// # Shapes
/// `gradient` as `var`; `state` as [`new_state`] made it.
///
/// # Errors
/// Another shape, or what the device reports.
pub fn update(var: &Var, gradient: &Tensor, state: &mut Tensor, step: &Step) -> Result<()> {
    expect_shape("gradient", gradient, var.dims())?;
    let planes = 2 + usize::from(has_master(var.dtype()));
    expect_shape("optimizer state", state, &[planes, var.elem_count()])?;
    match var.device() {
        #[cfg(feature = "cuda")]
        Device::Cuda(_) if matches!(var.dtype(), DType::F32 | DType::BF16) => {
            in_place::update(var, gradient, state, step)
        }
        _ => composed(var, gradient, state, step),
    }
}

fn composed(var: &Var, gradient: &Tensor, state: &mut Tensor, step: &Step) -> Result<()> {
    let t = step.t as f64;
    let step_size = step.lr / (1.0 - step.beta1.powf(t));
    let root = (1.0 - step.beta2.powf(t)).sqrt();
    let plane = |index| state.get(index);
    let g = (gradient.to_dtype(DType::F32)?.flatten_all()? * step.scale)?;
    let p = match has_master(var.dtype()) {
        true => plane(2)?,
        false => var
            .as_tensor()
            .detach()
            .to_dtype(DType::F32)?
            .flatten_all()?,
    };
    let (m, v) = (plane(0)?, plane(1)?);
    let p = (p * (1.0 - step.lr * step.decay))?;
    let m = (&m + ((&g - &m)? * (1.0 - step.beta1))?)?;
    let v = ((v * step.beta2)? + (g.sqr()? * (1.0 - step.beta2))?)?;
    let below = ((v.sqrt()? * (1.0 / root))? + step.epsilon)?;
    let p = (p - (m.div(&below)? * step_size)?)?;
    var.set(&p.to_dtype(var.dtype())?.reshape(var.shape())?)?;
    *state = match has_master(var.dtype()) {
        true => Tensor::stack(&[m, v, p], 0)?,
        false => Tensor::stack(&[m, v], 0)?,
    };
    Ok(())
}

/// `Σ g²` of each gradient, all read from the device at once.
///
/// # Errors
/// Gradients on several devices, or what the device reports.
pub fn squares(gradients: &[&Tensor]) -> Result<Vec<f64>> {
    let Some(first) = gradients.first() else {
        return Ok(Vec::new());
    };
    if let Some(other) = gradients
        .iter()
        .find(|x| !x.device().same_device(first.device()))
    {
        let problem = format!("{:?} stands on another device", other.shape());
        return Err(Error::input("gradients", problem));
    }
    #[cfg(feature = "cuda")]
    if first.device().is_cuda() && gradients.iter().all(|x| in_place::takes(x)) {
        return in_place::squares(gradients, first.device());
    }
    let sum = |x: &&Tensor| x.to_dtype(DType::F32)?.sqr()?.sum_all();
    let sums: Vec<Tensor> = gradients
        .iter()
        .map(sum)
        .collect::<candle_core::Result<_>>()?;
    let sums = Tensor::stack(&sums, 0)?.to_device(&Device::Cpu)?;
    Ok(sums.to_dtype(DType::F64)?.to_vec1()?)
}

#[cfg(feature = "cuda")]
mod in_place {
    use std::cell::RefCell;

    use candle_core::{CpuStorage, CudaStorage, InplaceOp1, InplaceOp2, Layout, Result};
    use candle_core::{DType, Device, Tensor, Var};

    use crate::kernels::adamw::Step;
    use crate::kernels::cuda::{self, Dense, SQUARE_PARTS, dense};

    pub(super) fn update(
        var: &Var,
        gradient: &Tensor,
        state: &Tensor,
        step: &Step,
    ) -> crate::Result<()> {
        let gradient = match gradient.dtype() {
            DType::F32 | DType::BF16 if var.dtype() == DType::BF16 => gradient.clone(),
            _ => gradient.to_dtype(var.dtype())?,
        };
        Ok(var.inplace_op2(&gradient, &Outer { state, step })?)
    }

    /// The update of the weights, which needs the state's memory too.
    struct Outer<'a> {
        state: &'a Tensor,
        step: &'a Step,
    }

    /// The same with the weights at hand.
    struct Inner<'a> {
        weights: RefCell<&'a mut CudaStorage>,
        gradient: Dense<'a>,
        step: &'a Step,
        master: bool,
    }

    fn on_the_cpu() -> Result<()> {
        candle_core::bail!("adamw: this is the CUDA operation")
    }

    impl InplaceOp2 for Outer<'_> {
        fn name(&self) -> &'static str {
            "adamw"
        }

        fn cpu_fwd(
            &self,
            _: &mut CpuStorage,
            _: &Layout,
            _: &CpuStorage,
            _: &Layout,
        ) -> Result<()> {
            on_the_cpu()
        }

        fn cuda_fwd(
            &self,
            weights: &mut CudaStorage,
            layout: &Layout,
            gradient: &CudaStorage,
            gradient_layout: &Layout,
        ) -> Result<()> {
            let whole = (0, layout.shape().elem_count());
            if layout.contiguous_offsets() != Some(whole) || !self.state.is_contiguous() {
                candle_core::bail!("adamw: the weights or their state are part of another tensor");
            }
            let inner = Inner {
                weights: RefCell::new(weights),
                gradient: dense(gradient, gradient_layout)?,
                step: self.step,
                master: self.state.dim(0)? == 3,
            };
            self.state.inplace_op1(&inner)
        }
    }

    impl InplaceOp1 for Inner<'_> {
        fn name(&self) -> &'static str {
            "adamw"
        }

        fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
            on_the_cpu()
        }

        fn cuda_fwd(&self, state: &mut CudaStorage, layout: &Layout) -> Result<()> {
            let planes = 2 + usize::from(self.master);
            if layout.contiguous_offsets() != Some((0, planes * self.gradient.count())) {
                candle_core::bail!("adamw: the state is part of another tensor");
            }
            let mut weights = self.weights.borrow_mut();
            cuda::adamw(state, &mut weights, &self.gradient, self.step, self.master)
        }
    }

    pub(super) fn takes(gradient: &Tensor) -> bool {
        matches!(gradient.dtype(), DType::F32 | DType::BF16)
    }

    pub(super) fn squares(gradients: &[&Tensor], device: &Device) -> crate::Result<Vec<f64>> {
        let parts = Tensor::zeros((gradients.len(), SQUARE_PARTS), DType::F32, device)?;
        for (index, gradient) in gradients.iter().enumerate() {
            parts.inplace_op2(gradient, &Squares(index * SQUARE_PARTS))?;
        }
        let parts = parts.to_vec2::<f32>()?;
        let sum = |parts: Vec<f32>| parts.into_iter().map(f64::from).sum();
        Ok(parts.into_iter().map(sum).collect())
    }

    /// Where the parts of a gradient's squares begin.
    struct Squares(usize);

    impl InplaceOp2 for Squares {
        fn name(&self) -> &'static str {
            "squares"
        }

        fn cpu_fwd(
            &self,
            _: &mut CpuStorage,
            _: &Layout,
            _: &CpuStorage,
            _: &Layout,
        ) -> Result<()> {
            candle_core::bail!("squares: this is the CUDA operation")
        }

        fn cuda_fwd(
            &self,
            parts: &mut CudaStorage,
            _: &Layout,
            gradient: &CudaStorage,
            layout: &Layout,
        ) -> Result<()> {
            cuda::squares(parts, &dense(gradient, layout)?, self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::adamw::{State, update_f32};

    const STEP: Step = Step {
        lr: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decay: 0.1,
        scale: 0.5,
        t: 1,
    };
    /// Three steps in f32, with another order of operations.
    const F32: f32 = 1e-6;

    /// Three composed updates of `var`, and the same by the CPU's kernel on the weights in f32.
    fn three_steps(var: &Var) -> (Tensor, Vec<f32>) {
        let n = var.elem_count();
        let mut state = new_state(var).unwrap();
        let weights = var.as_tensor().to_dtype(DType::F32).unwrap();
        let mut weights: Vec<f32> = weights.flatten_all().unwrap().to_vec1().unwrap();
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        for t in 1..=3 {
            let gradient: Vec<f32> = (0..n).map(|i| (i as f32 + t as f32).sin()).collect();
            let step = Step { t, ..STEP };
            let (m, v) = (&mut m, &mut v);
            update_f32(&step, &mut weights, &gradient, State { m, v }).unwrap();
            let gradient = Tensor::from_vec(gradient, var.shape(), &Device::Cpu).unwrap();
            update(var, &gradient, &mut state, &step).unwrap();
        }
        (state, weights)
    }

    fn assert_close(found: &Tensor, expected: &[f32], tolerance: f32) {
        let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
        for (found, expected) in found.iter().zip(expected) {
            let error = (found - expected).abs();
            assert!(error <= tolerance, "{found} is {error:e} from {expected}");
        }
    }

    #[test]
    fn the_composed_update_is_the_kernels() {
        let values: Vec<f32> = (0..6).map(|i| (i as f32 * 1.3).cos()).collect();
        let var = Var::from_vec(values, (2, 3), &Device::Cpu).unwrap();
        let (state, expected) = three_steps(&var);
        assert_eq!(state.dims(), [2, 6]);
        assert_close(var.as_tensor(), &expected, F32);
    }

    #[test]
    fn weights_in_16_bits_are_the_rounding_of_those_that_train() {
        let one = Tensor::ones(4, DType::BF16, &Device::Cpu).unwrap();
        let var = Var::from_tensor(&one).unwrap();
        let (state, expected) = three_steps(&var);
        assert_close(&state.get(2).unwrap(), &expected, F32);
        let rounded = state.get(2).unwrap().to_dtype(DType::BF16).unwrap();
        let rounded = rounded.to_dtype(DType::F32).unwrap().to_vec1().unwrap();
        assert_close(
            &var.as_tensor().to_dtype(DType::F32).unwrap(),
            &rounded,
            0.0,
        );
    }

    #[test]
    fn squares_of_all_gradients_come_at_once() {
        let a = Tensor::new(&[3f32, 4.0], &Device::Cpu).unwrap();
        let b = Tensor::new(&[[1f64], [2.0]], &Device::Cpu).unwrap();
        assert_eq!(squares(&[&a, &b]).unwrap(), [25.0, 5.0]);
        assert!(squares(&[]).unwrap().is_empty());
    }
}
