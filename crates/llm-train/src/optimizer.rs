//! AdamW: Adam with decoupled weight decay, groups, and moments that can be saved.
//!
//! For each scalar `p` with gradient `g` at update `t` (from 1), in PyTorch's order of operations:
//!
//! ```text
//! p ← p (1 − lr λ)                      decay, decoupled: it never meets the moments
//! m ← m + (1 − β₁)(g − m)               v ← β₂ v + (1 − β₂) g²
//! p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
//! ```
//!
//! On the CPU [`llm_core::kernels::adamw`] writes into the variable's own memory; elsewhere the
//! update is spelled out in tensor operations.
//! Kingma and Ba 2015; Loshchilov and Hutter 2019.

use std::collections::BTreeMap;
use std::sync::Mutex;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor, Var};
use llm_core::dims::expect_shape;
use llm_core::kernels::adamw::{self, State, Step};
use llm_core::params::Parameters;
use llm_core::profile::{Cost, span};

use crate::{Error, Result};

/// The constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// β₁, the memory of the mean.
    pub beta1: f64,
    /// β₂, the memory of the square.
    pub beta2: f64,
    /// ε, added to the root.
    pub epsilon: f64,
    /// λ, for the tensors that decay.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
        }
    }
}

/// Whether a tensor decays: matrices do; norms and biases do not; embeddings when asked.
///
/// A norm's weight and every bias have one axis; embeddings are told by their public names.
pub fn decays(name: &str, shape: &[usize], embeddings: bool) -> bool {
    let embedding = [
        "embed_tokens.weight",
        "wte.weight",
        "wpe.weight",
        llm_core::soft_prompt::NAME,
    ];
    shape.len() >= 2 && (embeddings || !embedding.iter().any(|end| name.ends_with(end)))
}

/// The state of the optimizer for a set of parameters.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    updates: u64,
    slots: BTreeMap<String, Slot>,
}

/// What is kept for one tensor.
#[derive(Debug)]
struct Slot {
    decay: bool,
    moments: Moments,
}

/// The first and second moment of each scalar.
#[derive(Debug)]
enum Moments {
    /// Beside the tensor's own elements, updated in place.
    Host(Mutex<HostMoments>),
    /// Tensors on the variable's device.
    Device { m: Tensor, v: Tensor },
}

#[derive(Debug)]
enum HostMoments {
    F32 { m: Vec<f32>, v: Vec<f32> },
    F64 { m: Vec<f64>, v: Vec<f64> },
}

impl AdamW {
    /// Zero moments for `parameters`; `decays(name, shape)` tells which tensors decay.
    ///
    /// # Errors
    /// A variable that is not f32, f64, bf16 or f16.
    pub fn new(
        parameters: &Parameters,
        config: AdamWConfig,
        decays: impl Fn(&str, &[usize]) -> bool,
    ) -> Result<Self> {
        let mut slots = BTreeMap::new();
        for (name, var) in parameters.iter() {
            let n = var.elem_count();
            let moments = match (var.dtype(), var.device().is_cpu()) {
                (DType::F32, true) => host(HostMoments::F32 {
                    m: vec![0.0; n],
                    v: vec![0.0; n],
                }),
                (DType::F64, true) => host(HostMoments::F64 {
                    m: vec![0.0; n],
                    v: vec![0.0; n],
                }),
                (DType::F32 | DType::F64 | DType::BF16 | DType::F16, _) => {
                    let zero = var.as_tensor().zeros_like()?.to_dtype(DType::F32)?;
                    Moments::Device {
                        m: zero.clone(),
                        v: zero,
                    }
                }
                (other, _) => {
                    let problem = format!("is {other:?}; only floating-point tensors train");
                    return Err(llm_core::Error::tensor(name, problem).into());
                }
            };
            slots.insert(
                name.to_owned(),
                Slot {
                    decay: decays(name, var.dims()),
                    moments,
                },
            );
        }
        Ok(Self {
            config,
            updates: 0,
            slots,
        })
    }

    /// The number of updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Updates every parameter by its gradient times `scale` (the clipping factor).
    ///
    /// # Errors
    /// A parameter without a gradient or with one of another shape; nothing is changed then.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &BTreeMap<String, Tensor>,
        lr: f64,
        scale: f64,
    ) -> Result<()> {
        // Value, gradient and two moments are read, all but the gradient are written.
        let _span = span("adamw", || Cost::touch::<f32>(7 * parameters.count()));
        for (name, var) in parameters.iter() {
            let missing = || llm_core::Error::tensor(name, "has no gradient in this step");
            expect_shape(name, gradients.get(name).ok_or_else(missing)?, var.dims())?;
            if !self.slots.contains_key(name) {
                return Err(llm_core::Error::tensor(name, "is unknown to the optimizer").into());
            }
        }
        self.updates += 1;
        let AdamWConfig {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = self.config;
        let (decay, t) = (weight_decay, self.updates);
        let update = Step {
            lr,
            beta1,
            beta2,
            epsilon,
            decay,
            scale,
            t,
        };
        for (name, var) in parameters.iter() {
            if let (Some(gradient), Some(slot)) = (gradients.get(name), self.slots.get_mut(name)) {
                slot.apply(var, gradient, &update)?;
            }
        }
        Ok(())
    }

    /// The moments as tensors called `exp_avg.<name>` and `exp_avg_sq.<name>`, for a checkpoint.
    ///
    /// # Errors
    /// What the tensor library reports.
    pub fn state(&self, parameters: &Parameters) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for (name, var) in parameters.iter() {
            let Some(slot) = self.slots.get(name) else {
                continue;
            };
            let (m, v) = slot.moments.tensors(var)?;
            state.insert(format!("exp_avg.{name}"), m);
            state.insert(format!("exp_avg_sq.{name}"), v);
        }
        Ok(state)
    }

    /// Puts back what [`AdamW::state`] gave after `updates` updates.
    ///
    /// # Errors
    /// A missing moment or one of another shape.
    pub fn load(
        &mut self,
        parameters: &Parameters,
        updates: u64,
        state: &BTreeMap<String, Tensor>,
    ) -> Result<()> {
        for (name, var) in parameters.iter() {
            let Some(slot) = self.slots.get_mut(name) else {
                continue;
            };
            let take = |prefix: &str| {
                let key = format!("{prefix}.{name}");
                let missing = || llm_core::Error::tensor(&key, "is missing in the checkpoint");
                let tensor = state.get(&key).ok_or_else(missing)?;
                expect_shape(&key, tensor, var.dims())?;
                Ok::<_, Error>(tensor.clone())
            };
            slot.moments
                .set(&take("exp_avg")?, &take("exp_avg_sq")?, var)?;
        }
        self.updates = updates;
        Ok(())
    }
}

fn host(moments: HostMoments) -> Moments {
    Moments::Host(Mutex::new(moments))
}

fn poisoned<T>(_: T) -> Error {
    Error::input("optimizer", "a thread stopped in the middle of an update")
}

impl Moments {
    fn tensors(&self, var: &Var) -> Result<(Tensor, Tensor)> {
        let (shape, device) = (var.shape(), var.device());
        Ok(match self {
            Self::Device { m, v } => (m.clone(), v.clone()),
            Self::Host(moments) => match &*moments.lock().map_err(poisoned)? {
                HostMoments::F32 { m, v } => (
                    Tensor::from_slice(m, shape, device)?,
                    Tensor::from_slice(v, shape, device)?,
                ),
                HostMoments::F64 { m, v } => (
                    Tensor::from_slice(m, shape, device)?,
                    Tensor::from_slice(v, shape, device)?,
                ),
            },
        })
    }

    fn set(&mut self, new_m: &Tensor, new_v: &Tensor, var: &Var) -> Result<()> {
        match self {
            Self::Device { m, v } => {
                *m = new_m.to_dtype(m.dtype())?.to_device(var.device())?;
                *v = new_v.to_dtype(v.dtype())?.to_device(var.device())?;
            }
            Self::Host(moments) => {
                let (m, v) = (new_m.flatten_all()?, new_v.flatten_all()?);
                let moments = moments.get_mut().map_err(poisoned)?;
                *moments = match moments {
                    HostMoments::F32 { .. } => HostMoments::F32 {
                        m: m.to_vec1()?,
                        v: v.to_vec1()?,
                    },
                    HostMoments::F64 { .. } => HostMoments::F64 {
                        m: m.to_vec1()?,
                        v: v.to_vec1()?,
                    },
                };
            }
        }
        Ok(())
    }
}

impl Slot {
    fn apply(&mut self, var: &Var, gradient: &Tensor, update: &Step) -> Result<()> {
        let decay = if self.decay { update.decay } else { 0.0 };
        let update = Step { decay, ..*update };
        match &mut self.moments {
            Moments::Host(moments) => {
                let gradient = gradient.to_dtype(var.dtype())?.contiguous()?;
                var.inplace_op2(&gradient, &InPlace { update, moments })?;
            }
            Moments::Device { m, v } => {
                let t = update.t as f64;
                let step_size = update.lr / (1.0 - update.beta1.powf(t));
                let root = (1.0 - update.beta2.powf(t)).sqrt();
                let g = (gradient.to_dtype(m.dtype())? * update.scale)?;
                let p = (var.as_tensor().to_dtype(m.dtype())? * (1.0 - update.lr * decay))?;
                *m = (&*m + ((&g - &*m)? * (1.0 - update.beta1))?)?;
                *v = ((&*v * update.beta2)? + (g.sqr()? * (1.0 - update.beta2))?)?;
                let below = ((v.sqrt()? * (1.0 / root))? + update.epsilon)?;
                let p = (p - (m.div(&below)? * step_size)?)?;
                var.set(&p.to_dtype(var.dtype())?)?;
            }
        }
        Ok(())
    }
}

/// The update of one variable, written into its own memory.
struct InPlace<'a> {
    update: Step,
    moments: &'a Mutex<HostMoments>,
}

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        value: &mut CpuStorage,
        value_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (Some(at), Some(from)) = (
            value_layout.contiguous_offsets(),
            gradient_layout.contiguous_offsets(),
        ) else {
            candle_core::bail!("adamw: variable and gradient must be contiguous");
        };
        let Ok(mut moments) = self.moments.lock() else {
            candle_core::bail!("adamw: a thread stopped in the middle of an update");
        };
        match (value, gradient, &mut *moments) {
            (CpuStorage::F32(p), CpuStorage::F32(g), HostMoments::F32 { m, v }) => {
                let (p, g) = (&mut p[at.0..at.1], &g[from.0..from.1]);
                adamw::update_f32(&self.update, p, g, State { m, v })
            }
            (CpuStorage::F64(p), CpuStorage::F64(g), HostMoments::F64 { m, v }) => {
                let (p, g) = (&mut p[at.0..at.1], &g[from.0..from.1]);
                adamw::update_f64(&self.update, p, g, State { m, v })
            }
            _ => candle_core::bail!("adamw: variable, gradient and moments differ in type"),
        }
        .map_err(|error| candle_core::Error::Msg(error.to_string()))
    }
}
