//! Projections: a dense matrix, or a dense matrix with a low-rank adapter beside it.

use candle_core::Tensor;

use super::{Dora, Pass};
use crate::Result;
use crate::ops::{Adapter, Ops, PackedWeight, Products};
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

/// `y = x Wᵀ + b + s · dropout(x) Aᵀ Bᵀ` (Hu et al. 2021), with [`Dora`] under lengths of its own.
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
    /// The lengths of the weight's rows, where they are trained apart.
    pub dora: Option<Dora>,
}

impl LoraLinear {
    /// # Shapes
    /// `x [.., I]` → `[.., O]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let dropout = pass.dropout_seed().map(|seed| (self.dropout, seed));
        if let Some(dora) = &self.dora {
            return self.forward_dora(dora, x, dropout, pass.ops);
        }
        let Linear { weight, bias, .. } = &self.base;
        let adapter = self.adapter(dropout);
        pass.ops.lora_linear(x, weight, bias.as_ref(), &adapter)
    }

    fn adapter(&self, dropout: Option<(f64, u64)>) -> Adapter<'_> {
        Adapter {
            a: &self.a,
            b: &self.b,
            scale: self.scale,
            dropout,
        }
    }

    /// `x̃ W'ᵀ + b + (x − x̃) Wᵀ`: as in PEFT, all that the adapter adds reads the dropped-out x̃, the
    /// new lengths of W's own rows among it.
    ///
    /// # Shapes
    /// `x [.., I]` → `[.., O]`.
    fn forward_dora(
        &self,
        dora: &Dora,
        x: &Tensor,
        dropout: Option<(f64, u64)>,
        ops: Ops,
    ) -> Result<Tensor> {
        let Linear { weight, bias, .. } = &self.base;
        let norms = dora.norms(self, ops)?;
        let through = |x: &Tensor| {
            let y = ops.lora_linear(x, weight, None, &self.adapter(None))?;
            ops.scale_columns(&y, &dora.magnitude, &norms, bias.as_ref())
        };
        match dropout.filter(|&(p, _)| p > 0.0) {
            None => through(x),
            Some((p, seed)) => {
                let dropped = ops.dropout(x, p, seed)?;
                let rest = ops.add(x, &ops.scale(&dropped, -1.0)?)?;
                let rest = ops.packed_linear(&rest, weight, None)?;
                ops.add(&through(&dropped)?, &rest)
            }
        }
    }

    /// `s · B A`, what the adapter adds to the weight before any lengths.
    ///
    /// # Shapes
    /// `[O, I]`.
    pub fn delta(&self) -> Result<Tensor> {
        Ok((self.b.detach().matmul(&self.a.detach())? * self.scale)?)
    }

    /// The weight that gives by itself what base and adapter give, in the base's type; the sum is
    /// made in the wider type of the two.
    ///
    /// # Shapes
    /// `[O, I]`.
    ///
    /// # Errors
    /// A tensor error.
    pub fn merged_weight(&self) -> Result<Tensor> {
        let (weight, delta) = (self.base.weight().detach(), self.delta()?);
        let mut sum = (weight.to_dtype(delta.dtype())? + delta)?;
        if let Some(factors) = self.factors()? {
            sum = sum.broadcast_mul(&factors)?;
        }
        Ok(sum.to_dtype(weight.dtype())?)
    }

    /// The base's weight again from `merged`, what [`LoraLinear::merged_weight`] made of it, to
    /// within rounding.
    ///
    /// # Shapes
    /// `merged [O, I]` → `[O, I]`.
    ///
    /// # Errors
    /// A tensor error.
    pub fn unmerged_weight(&self, merged: &Tensor) -> Result<Tensor> {
        let delta = self.delta()?;
        let mut weight = merged.detach().to_dtype(delta.dtype())?;
        if let Some(factors) = self.factors()? {
            weight = weight.broadcast_div(&factors)?;
        }
        Ok((weight - delta)?.to_dtype(merged.dtype())?)
    }

    /// m / n, a number for each row.
    ///
    /// # Shapes
    /// `[O, 1]`.
    fn factors(&self) -> Result<Option<Tensor>> {
        let Some(dora) = &self.dora else {
            return Ok(None);
        };
        let ops = Ops::for_device(self.a.device());
        let factors = (dora.magnitude.detach() / dora.norms(self, ops)?)?;
        Ok(Some(factors.unsqueeze(1)?))
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
