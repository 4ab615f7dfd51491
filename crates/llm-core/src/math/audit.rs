//! The gradient audit of one head: does each matrix get the gradient that it should?
//!
//! The same head three times: by hand ([`SelfAttention::backward`]), by the autograd of the tensor
//! library over the operations that models run, and by measuring ([`slope_error`]). Where a tensor is
//! detached from the graph, nothing fails and the output is right; one matrix just never learns.
//! `llm_train::audit` asks the same of whole models before a run.
//!
//! ```
//! use candle_core::{DType, Device};
//! use llm_core::math::audit::autograd;
//! use llm_core::math::recall::{Text, channels, grade};
//! use llm_core::math::self_attention::SelfAttention;
//! use llm_core::rng::{Purpose, stream};
//! let rng = &mut stream(7, Purpose::Demo);
//! let (head, text) = (SelfAttention::init(rng, channels(3), 4), Text::draw(rng, 3));
//! let d_y = grade(&head, &text).d_y;
//! let place = (DType::F64, &Device::Cpu);
//! let pass = autograd(&head, (&text.x, &d_y), Some("key"), place)?;
//! assert_eq!(pass.without_gradient(), ["key"]);
//! # Ok::<(), llm_core::Error>(())
//! ```

use candle_core::{DType, Device, Tensor, Var};
use ndarray::Array2;

use super::gradient::{compare, numeric};
use super::recall::{self, Text, Trained, Training};
use super::self_attention::{Forward, SelfAttention};
use crate::Result;
use crate::ops::{AttentionSpec, Ops};

/// The largest difference between `gradient`, number by number, and the measured slopes of `loss`.
pub fn slope_error(
    module: &SelfAttention,
    gradient: &SelfAttention,
    loss: impl Fn(&SelfAttention) -> f64,
) -> f64 {
    let mut largest = 0.0;
    for ((name, weight), (_, by_hand)) in module.parameters().into_iter().zip(gradient.parameters())
    {
        let values = weight.as_slice().unwrap_or_default();
        let slopes = numeric(values, 1e-5, |values| loss(&module.with(name, values)));
        let apart = compare(by_hand.as_slice().unwrap_or_default(), &slopes);
        largest = f64::max(largest, apart.largest);
    }
    largest
}

/// A gradient below this share of the largest one is what rounding leaves of zero, in f32 too.
const ROUNDING: f64 = 1e-6;

/// The gradient of one matrix as the autograd engine gave it: its name and its numbers, row-major;
/// `None` where the engine never reached it.
pub type Named = (&'static str, Option<Vec<f64>>);

/// What the operations of [`crate::ops`] and their autograd made of the same pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Autograd {
    /// `[T, C]`, row-major
    pub y: Vec<f64>,
    /// In the order of [`SelfAttention::parameters`].
    pub gradients: [Named; 4],
}

impl Autograd {
    // ANCHOR: audit
    /// The matrices that would not move: no gradient arrived, or nothing but zeros and rounding.
    pub fn without_gradient(&self) -> Vec<&'static str> {
        let largest = |gradient: &Option<Vec<f64>>| -> f64 {
            let numbers = gradient.iter().flatten();
            numbers.fold(0.0, |most, number| number.abs().max(most))
        };
        let sizes = self.gradients.iter().map(|(name, g)| (*name, largest(g)));
        let overall = sizes.clone().map(|(_, size)| size).fold(0.0, f64::max);
        let still = sizes.filter(|(_, size)| *size <= ROUNDING * overall);
        still.map(|(name, _)| name).collect()
    }
    // ANCHOR_END: audit

    /// The largest difference from what was found by hand, in y and in each gradient; infinite
    /// where one is missing.
    pub fn difference(&self, forward: &Forward, gradients: &SelfAttention) -> f64 {
        let flat = |x: &Array2<f64>| -> Vec<f64> { x.iter().copied().collect() };
        let mut largest = compare(&self.y, &flat(&forward.y)).largest;
        for ((_, ours), (_, by_hand)) in self.gradients.iter().zip(gradients.parameters()) {
            let ours = ours.as_deref().unwrap_or_default();
            largest = largest.max(compare(ours, &flat(by_hand)).largest);
        }
        largest
    }
}

/// A causal [`SelfAttention`] made of [`crate::ops`], its gradient left to autograd.
///
/// The matrix called `forgotten` is detached from the graph before it is used: the mistake behind
/// most parameters that never learn. Nothing fails, `y` is the same, one gradient is missing.
///
/// # Shapes
/// `x [T, C]`, `d_y [T, C]`.
///
/// # Errors
/// What the tensor library reports.
pub fn autograd(
    module: &SelfAttention,
    (x, d_y): (&Array2<f64>, &Array2<f64>),
    forgotten: Option<&str>,
    (dtype, device): (DType, &Device),
) -> Result<Autograd> {
    let tensor = |x: &Array2<f64>| -> Result<Tensor> {
        let values: Vec<f64> = x.iter().copied().collect();
        Ok(Tensor::from_vec(values, x.dim(), &Device::Cpu)?
            .to_dtype(dtype)?
            .to_device(device)?)
    };
    let numbers = |x: &Tensor| -> Result<Vec<f64>> {
        let x = x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        Ok(x.flatten_all()?.to_vec1()?)
    };
    let mut vars = Vec::new();
    for (name, weight) in module.parameters() {
        vars.push((name, Var::from_tensor(&tensor(weight)?)?));
    }
    // A detached tensor has the numbers of its variable and no way back to it.
    let weight = |index: usize| {
        let (name, var): &(&str, Var) = &vars[index];
        match forgotten {
            Some(forgotten) if forgotten == *name => var.as_tensor().detach(),
            _ => var.as_tensor().clone(),
        }
    };
    // The same four projections and one attention, each a node of the graph.
    let (ops, (t, c), d) = (Ops::for_device(device), x.dim(), module.query.nrows());
    let x = tensor(x)?;
    let project = |index| ops.reshape(&ops.linear(&x, &weight(index), None)?, (1, t, 1, d));
    let (q, k, v) = (project(0)?, project(1)?, project(2)?);
    let (scale, window) = (module.scale(), None);
    let read = ops.causal_attention(&q, &k, &v, &AttentionSpec { scale, window })?;
    let y = ops.linear(&ops.reshape(&read, (t, d))?, &weight(3), None)?;
    // The loss Σ y · d_y has the gradient d_y.
    let store = (&y * tensor(d_y)?)?.sum_all()?.backward()?;
    let y = numbers(&y.reshape((t, c))?)?;
    let mut gradients: [Named; 4] = [("", None), ("", None), ("", None), ("", None)];
    // Here the lost gradient shows: the store has no entry for its variable.
    for (slot, (name, var)) in gradients.iter_mut().zip(&vars) {
        *slot = (name, store.get(var).map(numbers).transpose()?);
    }
    Ok(Autograd { y, gradients })
}

/// What one lost gradient does: a matrix cut off from the graph, looked at and trained.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The matrix, or `nothing`.
    pub matrix: &'static str,
    /// What the audit says has no gradient, or `nothing`.
    pub audited: String,
    /// Whether the output of the pass is the same to the last bit.
    pub same_output: bool,
    /// What came of the training.
    pub trained: Trained,
}

/// Cuts off nothing and then each matrix, and trains on texts like `text`.
///
/// # Errors
/// As [`recall::train`], and what the tensor library reports.
pub fn cut_each(
    module: &SelfAttention,
    text: &Text,
    (seed, rate): (u64, f64),
    place: (DType, &Device),
) -> Result<Vec<Cut>> {
    let d_y = recall::grade(module, text).d_y;
    let whole = autograd(module, (&text.x, &d_y), None, place)?;
    let names = module.parameters().map(|(name, _)| Some(name));
    let mut cuts = Vec::new();
    for forgotten in [None].into_iter().chain(names) {
        let pass = autograd(module, (&text.x, &d_y), forgotten, place)?;
        let named = pass.without_gradient();
        let training = Training {
            rate,
            forgotten,
            ..Training::default()
        };
        cuts.push(Cut {
            matrix: forgotten.unwrap_or("nothing"),
            audited: match named.is_empty() {
                true => "nothing".to_owned(),
                false => named.join(", "),
            },
            // Forward, a detached tensor counts like any other.
            same_output: pass.y == whole.y,
            trained: recall::trained(module, seed, text.names.len(), &training)?,
        });
    }
    Ok(cuts)
}
