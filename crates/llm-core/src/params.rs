//! Named tensors: what a model file holds, and what a training run changes.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};

use crate::dims::expect_shape;
use crate::{Error, Result};

/// Whether a model's tensors are part of the autograd graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Plain tensors: no gradient is computed for them.
    Frozen,
    /// Variables: each gets a gradient and is listed in [`Parameters`].
    Trainable,
}

/// The trainable tensors of a model or adapter by name, in name order.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    vars: BTreeMap<String, Var>,
}

impl Parameters {
    /// Adds a variable under `name`.
    pub fn insert(&mut self, name: impl Into<String>, var: Var) {
        self.vars.insert(name.into(), var);
    }

    /// Names and variables in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The variable called `name`.
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.vars.get(name)
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.vars.len()
    }

    /// Whether there is nothing to train.
    pub fn is_empty(&self) -> bool {
        self.vars.is_empty()
    }

    /// The number of scalars in all tensors.
    pub fn count(&self) -> usize {
        self.vars.values().map(|var| var.elem_count()).sum()
    }

    /// Replaces the value of each variable by the tensor of its name.
    ///
    /// # Errors
    /// A missing tensor or another shape; nothing is changed then.
    pub fn assign(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, var) in self.iter() {
            let tensor = tensors.get(name).ok_or_else(|| Error::tensor(name, "is missing"))?;
            expect_shape(name, tensor, var.dims())?;
        }
        for (name, var) in self.iter() {
            if let Some(tensor) = tensors.get(name) {
                var.set(&tensor.to_dtype(var.dtype())?.to_device(var.device())?)?;
            }
        }
        Ok(())
    }
}

/// The tensors of a model file while a model is being built from them.
///
/// Layers take what they need by name; [`Weights::finish`] fails on what nobody took.
#[derive(Debug)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
    mode: Mode,
    dtype: DType,
    device: Device,
    parameters: Parameters,
}

impl Weights {
    /// Weights that become `dtype` tensors on `device` when they are taken.
    pub fn new(
        tensors: BTreeMap<String, Tensor>,
        mode: Mode,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let parameters = Parameters::default();
        Self { tensors, mode, dtype, device: device.clone(), parameters }
    }

    /// Whether a tensor called `name` is still here.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Takes the tensor called `name`.
    ///
    /// # Errors
    /// No such tensor, or another shape than `shape`.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let found = self.tensors.remove(name);
        let tensor = found
            .ok_or_else(|| Error::tensor(name, format!("is missing, expected shape {shape:?}")))?;
        expect_shape(name, &tensor, shape)?;
        self.place(name, &tensor)
    }

    /// As [`Weights::take`] for a file that stores the transposed matrix: `shape` is what the
    /// model wants, the file holds `[shape[1], shape[0]]`.
    ///
    /// # Errors
    /// As [`Weights::take`].
    pub fn take_transposed(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor> {
        let found = self.tensors.remove(name);
        let stored = [shape[1], shape[0]];
        let tensor = found
            .ok_or_else(|| Error::tensor(name, format!("is missing, expected shape {stored:?}")))?;
        expect_shape(name, &tensor, &stored)?;
        self.place(name, &tensor.t()?.contiguous()?)
    }

    fn place(&mut self, name: &str, tensor: &Tensor) -> Result<Tensor> {
        let tensor = tensor.to_dtype(self.dtype)?.to_device(&self.device)?.contiguous()?;
        if self.mode == Mode::Frozen {
            return Ok(tensor.detach());
        }
        let var = Var::from_tensor(&tensor)?;
        let tensor = var.as_tensor().clone();
        self.parameters.insert(name, var);
        Ok(tensor)
    }

    /// The trainable tensors, in name order.
    ///
    /// # Errors
    /// A tensor that no layer took.
    pub fn finish(self) -> Result<Parameters> {
        match self.tensors.keys().next() {
            Some(name) => Err(Error::tensor(name, "is in the file but not part of this model")),
            None => Ok(self.parameters),
        }
    }
}
