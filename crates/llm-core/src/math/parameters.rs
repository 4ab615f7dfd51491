//! The numbers that a layer learns, and what can be done with all of them at once.
//!
//! Gradients come back as a layer of the same kind that holds the slope of each number in that
//! number's place. So a step of training is `layer.add(&gradients, -rate)`, and no list of names has
//! to be kept in step with another.

use ndarray::{Array, Dimension};

use crate::Result;

/// One tensor of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter<'a> {
    /// Where it is: `mlp.up.weight`.
    pub name: String,
    /// Its sizes, outputs first.
    pub shape: Vec<usize>,
    /// Its numbers, row-major.
    pub values: &'a [f64],
}

impl<'a> Parameter<'a> {
    pub(super) fn new<D: Dimension>(name: &str, array: &'a Array<f64, D>) -> Self {
        Self {
            name: name.to_owned(),
            shape: array.shape().to_vec(),
            values: array.as_slice().unwrap_or_default(),
        }
    }
}

/// What every layer can say about its numbers.
pub trait Layer: Clone {
    /// Every tensor in reading order.
    fn parameters(&self) -> Vec<Parameter<'_>>;

    /// The numbers of the same tensors in the same order, to be changed.
    fn parameters_mut(&mut self) -> Vec<&mut [f64]>;

    /// How many numbers it learns.
    fn count(&self) -> usize {
        self.parameters().iter().map(|p| p.values.len()).sum()
    }

    /// Adds `factor · other`, number by number: a step of gradient descent when `other` is the
    /// gradient and `factor` the negative learning rate.
    fn add(&mut self, other: &Self, factor: f64) {
        for (mine, theirs) in self.parameters_mut().into_iter().zip(other.parameters()) {
            for (number, step) in mine.iter_mut().zip(theirs.values) {
                *number += factor * step;
            }
        }
    }

    /// The sum of products, number by number. With a gradient it says how fast the loss changes when
    /// all numbers move in the direction `other` at once.
    fn dot(&self, other: &Self) -> f64 {
        let (mine, theirs) = (self.parameters(), other.parameters());
        let pairs = mine.iter().zip(&theirs);
        pairs
            .flat_map(|(a, b)| a.values.iter().zip(b.values))
            .map(|(a, b)| a * b)
            .sum()
    }

    /// The tensors in which no number is further from zero than `nothing`: of a gradient, those that
    /// would never learn.
    fn still(&self, nothing: f64) -> Vec<String> {
        let is_still = |p: &Parameter| p.values.iter().all(|x| x.abs() <= nothing);
        let still = self.parameters().into_iter().filter(is_still);
        still.map(|p| p.name).collect()
    }
}

/// How far `loss` goes up for a small move of all numbers along `gradients`, over what the gradient
/// promises: 1 if every slope is right. Measured to both sides, as in [`super::gradient`].
///
/// # Errors
/// Whatever `loss` reports.
pub fn kept_promise<L: Layer>(
    layer: &L,
    gradients: &L,
    loss: impl Fn(&L) -> Result<f64>,
) -> Result<f64> {
    let moved = |factor: f64| {
        let mut layer = layer.clone();
        layer.add(gradients, factor);
        loss(&layer)
    };
    // Along itself a gradient rises by its own squared length.
    let promised = gradients.dot(gradients);
    // A step of length 1e-5: long enough to be seen above rounding, short enough to be straight.
    let h = 1e-5 / promised.sqrt().max(1.0);
    Ok((moved(h)? - moved(-h)?) / (2.0 * h * promised))
}

/// The tensors of a part, named after the part.
pub(super) fn within<'a>(part: &str, layer: &'a impl Layer) -> Vec<Parameter<'a>> {
    let mut parameters = layer.parameters();
    for parameter in &mut parameters {
        parameter.name = format!("{part}.{}", parameter.name);
    }
    parameters
}
