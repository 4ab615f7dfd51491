//! Projections: a dense matrix, or a dense matrix with a low-rank adapter beside it.

use candle_core::Tensor;

use super::Pass;
use crate::Result;
use crate::ops::{Adapter, PackedWeight, Products};
use crate::params::Weights;

/// What a projection is called and how large it is.
#[derive(Clone, Copy, Debug)]
pub struct LinearSpec<'a> {
    /// The module's name in the model file, without `.weight`.
    pub name: &'a str,
    /// I
    pub inputs: usize,
    /// O
    pub outputs: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether the file stores `[I, O]` (GPT-2) and not `[O, I]`.
    pub transposed: bool,
}

/// `y = x Wᵀ + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[O, I]`
    weight: PackedWeight,
    /// `[O]`
    bias: Option<Tensor>,
}

impl Linear {
    /// A projection of these tensors.
    ///
    /// # Shapes
    /// `weight [O, I]`, `bias [O]`.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        let weight = PackedWeight::new(weight);
        Self { weight, bias }
    }

    /// W
    ///
    /// # Shapes
    /// `[O, I]`.
    pub fn weight(&self) -> &Tensor {
        self.weight.tensor()
    }

    /// Replaces W.
    ///
    /// # Shapes
    /// `weight [O, I]`.
    pub fn set_weight(&mut self, weight: Tensor) {
        let products = self.weight.products();
        self.weight = PackedWeight::new(weight);
        self.weight.set_products(products);
    }

    /// How this multiplies by W, if W is bf16.
    pub fn products(&self) -> Products {
        self.weight.products()
    }

    /// From now on multiplies so by W, if W is bf16.
    pub fn set_products(&mut self, products: Products) {
        self.weight.set_products(products);
    }

    /// Takes `{name}.weight` and, where the spec says so, `{name}.bias`.
    ///
    /// # Errors
    /// A missing tensor or a wrong shape.
    pub fn load(weights: &mut Weights, spec: &LinearSpec) -> Result<Self> {
        let name = format!("{}.weight", spec.name);
        let shape = [spec.outputs, spec.inputs];
        let weight = match spec.transposed {
            true => weights.take_transposed(&name, shape)?,
            false => weights.take(&name, &shape)?,
        };
        let bias = match spec.bias {
            true => Some(weights.take(&format!("{}.bias", spec.name), &[spec.outputs])?),
            false => None,
        };
        Ok(Self::new(weight, bias))
    }

    /// # Shapes
    /// `x [.., I]` → `[.., O]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        pass.ops.packed_linear(x, &self.weight, self.bias.as_ref())
    }

    /// W as what the operations take.
    pub(crate) fn packed(&self) -> &PackedWeight {
        &self.weight
    }

    /// W and b as what the operations take.
    pub(crate) fn parts(&self) -> (&PackedWeight, Option<&Tensor>) {
        (&self.weight, self.bias.as_ref())
    }
}

/// `y = x Wᵀ + b + s · dropout(x) Aᵀ Bᵀ` (Hu et al. 2021).
#[derive(Clone, Debug)]
pub struct LoraLinear {
    /// The frozen projection.
    pub base: Linear,
    /// `[R, I]`
    pub a: Tensor,
    /// `[O, R]`
    pub b: Tensor,
    /// s, usually α / R.
    pub scale: f64,
    /// Dropout on the adapter's input.
    pub dropout: f64,
}

impl LoraLinear {
    /// # Shapes
    /// `x [.., I]` → `[.., O]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let adapter = Adapter {
            a: &self.a,
            b: &self.b,
            scale: self.scale,
            dropout: pass.dropout_seed().map(|seed| (self.dropout, seed)),
        };
        let Linear { weight, bias, .. } = &self.base;
        pass.ops.lora_linear(x, weight, bias.as_ref(), &adapter)
    }

    /// `s · B A`, what the adapter adds to the weight.
    ///
    /// # Shapes
    /// `[O, I]`.
    pub fn delta(&self) -> Result<Tensor> {
        Ok((self.b.detach().matmul(&self.a.detach())? * self.scale)?)
    }
}

/// A projection of a model: the closed set of ways to multiply by a matrix.
#[derive(Clone, Debug)]
pub enum Proj {
    /// A dense matrix.
    Dense(Linear),
    /// A frozen dense matrix with a low-rank adapter.
    Lora(LoraLinear),
}

impl Proj {
    /// A dense projection from a file; see [`Linear::load`].
    ///
    /// # Errors
    /// A missing tensor or a wrong shape.
    pub fn load(weights: &mut Weights, spec: &LinearSpec) -> Result<Self> {
        Ok(Self::Dense(Linear::load(weights, spec)?))
    }

    /// # Shapes
    /// `x [.., I]` → `[.., O]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        match self {
            Self::Dense(linear) => linear.forward(x, pass),
            Self::Lora(lora) => lora.forward(x, pass),
        }
    }

    /// `residual + dropout(y)`: a projection into the residual stream.
    ///
    /// # Shapes
    /// `residual [.., O]`, `x [.., I]` → `[.., O]`.
    pub fn forward_onto(
        &self,
        residual: &Tensor,
        x: &Tensor,
        dropout: f64,
        pass: &Pass,
    ) -> Result<Tensor> {
        match self {
            Self::Dense(linear) if pass.drops_nothing(dropout) => {
                let Linear { weight, bias } = linear;
                pass.ops.add_linear(residual, x, weight, bias.as_ref())
            }
            _ => {
                let y = self.forward(x, pass)?;
                pass.ops.add(residual, &pass.dropout(&y, dropout)?)
            }
        }
    }

    /// The dense matrix, without the adapter.
    pub fn base(&self) -> &Linear {
        match self {
            Self::Dense(linear) => linear,
            Self::Lora(lora) => &lora.base,
        }
    }

    /// As [`Proj::base`], to change it.
    pub fn base_mut(&mut self) -> &mut Linear {
        match self {
            Self::Dense(linear) => linear,
            Self::Lora(lora) => &mut lora.base,
        }
    }
}
