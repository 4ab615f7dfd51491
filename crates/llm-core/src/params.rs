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
            let tensor = tensors
                .get(name)
                .ok_or_else(|| Error::tensor(name, "is missing"))?;
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

/// Where a model's tensors come from while it is being built.
#[derive(Debug)]
enum Source {
    /// A file's tensors by name.
    File(BTreeMap<String, Tensor>),
    /// No file: the shapes that the layers ask for are written down.
    Shapes(Vec<(String, Vec<usize>)>),
}

/// The tensors of a model file while a model is being built from them.
///
/// Layers take what they need by name; [`Weights::finish`] fails on what nobody took.
#[derive(Debug)]
pub struct Weights {
    source: Source,
    mode: Mode,
    dtype: DType,
    device: Device,
    parameters: Parameters,
    taken: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Weights that become `dtype` tensors on `device` when they are taken.
    ///
    /// The CPU computes in f32 and f64. There frozen `bf16` weights keep their matrices in bf16,
    /// half the memory, which projections widen as they read them; all else is widened to f32.
    pub fn new(
        tensors: BTreeMap<String, Tensor>,
        mode: Mode,
        dtype: DType,
        device: &Device,
    ) -> Self {
        Self::from_source(Source::File(tensors), mode, dtype, device)
    }

    /// Weights without numbers: what is taken has its shape and no memory behind it.
    pub fn shapes() -> Self {
        Self::from_source(
            Source::Shapes(Vec::new()),
            Mode::Frozen,
            DType::F32,
            &Device::Cpu,
        )
    }

    fn from_source(source: Source, mode: Mode, dtype: DType, device: &Device) -> Self {
        let (parameters, taken) = (Parameters::default(), BTreeMap::new());
        Self {
            source,
            mode,
            dtype,
            device: device.clone(),
            parameters,
            taken,
        }
    }

    /// Takes the tensor called `name`.
    ///
    /// # Errors
    /// No such tensor, or another shape than `shape`.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.stored(name, shape)?;
        self.place(name, &tensor)
    }

    /// As [`Weights::take`] for a matrix that the file stores transposed: `shape` is what the
    /// model wants, the file holds `[shape[1], shape[0]]`.
    ///
    /// # Errors
    /// As [`Weights::take`].
    pub fn take_transposed(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor> {
        let tensor = self.stored(name, &[shape[1], shape[0]])?.t()?;
        self.place(name, &tensor)
    }

    fn stored(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensors = match &mut self.source {
            Source::File(tensors) => tensors,
            Source::Shapes(list) => {
                list.push((name.into(), shape.into()));
                return Ok(Tensor::zeros(1, self.dtype, &self.device)?.broadcast_as(shape)?);
            }
        };
        let missing = || Error::tensor(name, format!("is missing, expected shape {shape:?}"));
        let tensor = tensors.remove(name).ok_or_else(missing)?;
        expect_shape(name, &tensor, shape)?;
        Ok(tensor)
    }

    /// The number type of activations, and of tensors that are not matrices.
    pub fn activation_dtype(&self) -> DType {
        match (self.dtype, self.mode) {
            (DType::BF16, Mode::Frozen) if self.device.is_cpu() => DType::F32,
            (dtype, _) => dtype,
        }
    }

    fn place(&mut self, name: &str, tensor: &Tensor) -> Result<Tensor> {
        if matches!(self.source, Source::Shapes(_)) {
            return Ok(tensor.clone());
        }
        let dtype = match tensor.rank() {
            2 => self.dtype,
            _ => self.activation_dtype(),
        };
        let tensor = tensor
            .to_dtype(dtype)?
            .to_device(&self.device)?
            .contiguous()?;
        let tensor = match self.mode {
            Mode::Frozen => tensor.detach(),
            Mode::Trainable => {
                let var = Var::from_tensor(&tensor)?;
                let tensor = var.as_tensor().clone();
                self.parameters.insert(name, var);
                tensor
            }
        };
        self.taken.insert(name.into(), tensor.clone());
        Ok(tensor)
    }

    /// What was taken so far, by name, as the layers hold it.
    pub fn taken(&self) -> &BTreeMap<String, Tensor> {
        &self.taken
    }

    /// The trainable tensors, in name order.
    ///
    /// # Errors
    /// A tensor that no layer took.
    pub fn finish(self) -> Result<Parameters> {
        match &self.source {
            Source::File(tensors) if !tensors.is_empty() => {
                let name = tensors.keys().next().cloned().unwrap_or_default();
                Err(Error::tensor(
                    name,
                    "is in the file but not part of this model",
                ))
            }
            _ => Ok(self.parameters),
        }
    }

    /// Names and stored shapes of everything that was taken, in the order of taking; empty unless
    /// these are [`Weights::shapes`].
    pub fn into_shapes(self) -> Vec<(String, Vec<usize>)> {
        match self.source {
            Source::File(_) => Vec::new(),
            Source::Shapes(list) => list,
        }
    }
}
