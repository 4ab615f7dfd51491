//! The smallest GPT that deserves the name: one post-norm block, every tensor small enough to print.
//!
//! ```text
//! x  = token[ids] + position[0..T]
//! x  = norm1(x + attention(x))              post-norm: the sum is normed, as in 2017
//! x  = norm2(x + down(relu(up(x))))
//! logits = head(x)
//! ```
//!
//! With the default sizes it has 2,453 parameters:
//!
//! ```
//! use llm_core::model::tiny_gpt::{TinyGpt, TinyGptConfig};
//! let (_, parameters) = TinyGpt::init(&TinyGptConfig::default(), 7)?;
//! assert_eq!(parameters.count(), 2_453);
//! # Ok::<(), llm_core::Error>(())
//! ```

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::dims::expect_shape;
use crate::nn::{Linear, LinearSpec, Pass};
use crate::ops::AttentionSpec;
use crate::params::{Mode, Parameters, Weights};
use crate::rng::{Purpose, normal, stream, uniform};
use crate::{Error, Result};

/// What keeps a norm's division finite.
const EPS: f64 = 1e-5;

/// The sizes of a [`TinyGpt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TinyGptConfig {
    /// V
    pub vocab_size: usize,
    /// The most tokens it sees at once.
    pub context: usize,
    /// C
    pub channels: usize,
    /// F
    pub inner: usize,
    /// H, a divisor of C.
    pub heads: usize,
}

impl Default for TinyGptConfig {
    /// The model of the first lesson: five characters, a window of four.
    fn default() -> Self {
        Self {
            vocab_size: 5,
            context: 4,
            channels: 16,
            inner: 32,
            heads: 2,
        }
    }
}

/// A small post-norm decoder with learned positions, ReLU and biases everywhere.
#[derive(Clone, Debug)]
pub struct TinyGpt {
    config: TinyGptConfig,
    /// `[V, C]`
    token: Tensor,
    /// `[context, C]`
    position: Tensor,
    qkvo: [Linear; 4],
    /// weight and bias `[C]` of both norms
    norms: [(Tensor, Tensor); 2],
    up: Linear,
    down: Linear,
    head: Linear,
}

impl TinyGpt {
    /// Fresh weights: N(0, 1) embeddings and U(−1/√I, 1/√I) projections, as PyTorch's layers start.
    ///
    /// # Errors
    /// Sizes that do not fit together.
    pub fn init(config: &TinyGptConfig, seed: u64) -> Result<(Self, Parameters)> {
        let mut rng = stream(seed, Purpose::Init);
        let mut tensors = BTreeMap::new();
        for (name, shape) in Self::shapes(config) {
            let tensor = if name.starts_with("norm") {
                let fill = if name.ends_with("weight") { 1f32 } else { 0.0 };
                Tensor::full(fill, shape.as_slice(), &Device::Cpu)?
            } else if name == "token.weight" || name == "position.weight" {
                normal(&mut rng, 1.0, &shape, DType::F32)?
            } else {
                let inputs = if name.starts_with("down") {
                    config.inner
                } else {
                    config.channels
                };
                uniform(&mut rng, 1.0 / (inputs as f64).sqrt(), &shape, DType::F32)?
            };
            tensors.insert(name, tensor);
        }
        let mut weights = Weights::new(tensors, Mode::Trainable, DType::F32, &Device::Cpu);
        let model = Self::load(config, &mut weights)?;
        Ok((model, weights.finish()?))
    }

    /// Every tensor's name and shape, in reading order.
    ///
    /// # Shapes
    /// Projections are `[O, I]`.
    pub fn shapes(config: &TinyGptConfig) -> Vec<(String, Vec<usize>)> {
        let &TinyGptConfig {
            vocab_size: v,
            context,
            channels: c,
            inner: f,
            ..
        } = config;
        let mut shapes = vec![
            ("token.weight".to_owned(), vec![v, c]),
            ("position.weight".to_owned(), vec![context, c]),
        ];
        let mut layer = |name: &str, weight: Vec<usize>, bias: usize| {
            shapes.push((format!("{name}.weight"), weight));
            shapes.push((format!("{name}.bias"), vec![bias]));
        };
        for name in ["query", "key", "value", "output"] {
            layer(name, vec![c, c], c);
        }
        layer("norm1", vec![c], c);
        layer("up", vec![f, c], f);
        layer("down", vec![c, f], c);
        layer("norm2", vec![c], c);
        layer("head", vec![v, c], v);
        shapes
    }

    /// Takes the tensors of [`TinyGpt::shapes`].
    ///
    /// # Errors
    /// Sizes that do not fit together, a missing tensor or a wrong shape.
    pub fn load(config: &TinyGptConfig, weights: &mut Weights) -> Result<Self> {
        let &TinyGptConfig {
            vocab_size: v,
            context,
            channels: c,
            inner: f,
            heads,
        } = config;
        if heads == 0 || !c.is_multiple_of(heads) {
            return Err(Error::config(
                "heads",
                format!("{heads} does not divide {c} channels"),
            ));
        }
        let token = weights.take("token.weight", &[v, c])?;
        let position = weights.take("position.weight", &[context, c])?;
        let mut linear = |name, inputs, outputs| {
            let spec = LinearSpec {
                name,
                inputs,
                outputs,
                bias: true,
                transposed: false,
            };
            Linear::load(weights, &spec)
        };
        let qkvo = [
            linear("query", c, c)?,
            linear("key", c, c)?,
            linear("value", c, c)?,
            linear("output", c, c)?,
        ];
        let (up, down, head) = (
            linear("up", c, f)?,
            linear("down", f, c)?,
            linear("head", c, v)?,
        );
        let mut norm = |name: &str| -> Result<(Tensor, Tensor)> {
            let weight = weights.take(&format!("{name}.weight"), &[c])?;
            Ok((weight, weights.take(&format!("{name}.bias"), &[c])?))
        };
        let norms = [norm("norm1")?, norm("norm2")?];
        Ok(Self {
            config: *config,
            token,
            position,
            qkvo,
            norms,
            up,
            down,
            head,
        })
    }

    /// The scores of every next token.
    ///
    /// # Shapes
    /// `ids [B, T]` of u32 → `[B, T, V]`.
    ///
    /// # Errors
    /// More tokens than the context, or an id outside the vocabulary.
    pub fn forward(&self, ids: &Tensor, pass: &Pass) -> Result<Tensor> {
        let (_b, t) = ids.dims2()?;
        if t > self.config.context {
            let problem = format!(
                "{t} tokens do not fit the context of {}",
                self.config.context
            );
            return Err(Error::input("position", problem));
        }
        if pass.segments().is_some() {
            return Err(Error::input("segments", "this model has no packed rows"));
        }
        let ops = pass.ops;
        let positions = self.position.narrow(0, 0, t)?;
        let x = ops.embedding(&self.token, ids)?.broadcast_add(&positions)?;
        let x = self.norm(0, &(&x + self.attention(&x, pass)?)?, pass)?;
        let wide = self.up.forward(&x, pass)?.relu()?;
        let x = self.norm(1, &(&x + self.down.forward(&wide, pass)?)?, pass)?;
        self.head.forward(&x, pass)
    }

    /// # Shapes
    /// `x [B, T, C]` → `[B, T, C]`.
    fn norm(&self, index: usize, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let (weight, bias) = &self.norms[index];
        pass.ops.layer_norm(x, weight, bias, EPS)
    }

    /// # Shapes
    /// `x [B, T, C]` → `[B, T, C]`.
    fn attention(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let (b, t, c) = x.dims3()?;
        let (h, d) = (self.config.heads, c / self.config.heads);
        let [query, key, value, output] = &self.qkvo;
        let split = |linear: &Linear| -> Result<Tensor> {
            Ok(linear.forward(x, pass)?.reshape((b, t, h, d))?)
        };
        let spec = AttentionSpec {
            scale: 1.0 / (d as f64).sqrt(),
            window: None,
        };
        let mixed =
            pass.ops
                .causal_attention(&split(query)?, &split(key)?, &split(value)?, &spec)?;
        expect_shape("attention output", &mixed, &[b, t, h, d])?;
        output.forward(&mixed.reshape((b, t, c))?, pass)
    }

    /// The mean cross-entropy of guessing, in every window, each token from those before it.
    ///
    /// # Shapes
    /// `windows` of T + 1 tokens each → a scalar.
    ///
    /// # Errors
    /// Windows of unequal length or longer than the context, or an id outside the vocabulary.
    pub fn loss(&self, windows: &[&[u32]], pass: &Pass) -> Result<Tensor> {
        let t = windows
            .first()
            .map_or(0, |window| window.len().saturating_sub(1));
        if t == 0 || windows.iter().any(|window| window.len() != t + 1) {
            return Err(Error::input(
                "windows",
                "expected one length of at least 2 tokens",
            ));
        }
        let inputs: Vec<u32> = windows
            .iter()
            .flat_map(|window| &window[..t])
            .copied()
            .collect();
        let targets = windows.iter().flat_map(|window| &window[1..]);
        let targets: Vec<i64> = targets.map(|&id| i64::from(id)).collect();
        let inputs = Tensor::from_vec(inputs, (windows.len(), t), self.token.device())?;
        let logits = self.forward(&inputs, pass)?.flatten(0, 1)?;
        pass.ops
            .cross_entropy(&logits, &targets, 1.0 / targets.len() as f64)
    }

    /// Continues `ids` by `count` tokens, always the likeliest one; the model sees the last
    /// `context` tokens.
    ///
    /// # Errors
    /// No ids to start from, or an id outside the vocabulary.
    pub fn greedy(&self, ids: &[u32], count: usize, pass: &Pass) -> Result<Vec<u32>> {
        if ids.is_empty() {
            return Err(Error::input(
                "prompt",
                "is empty, expected at least one token",
            ));
        }
        let mut all = ids.to_vec();
        for _ in 0..count {
            let seen = &all[all.len().saturating_sub(self.config.context)..];
            let input = Tensor::from_slice(seen, (1, seen.len()), self.token.device())?;
            let logits = self.forward(&input, pass)?.narrow(1, seen.len() - 1, 1)?;
            all.push(logits.flatten_all()?.argmax(0)?.to_scalar::<u32>()?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Ops;

    #[test]
    fn the_shapes_are_those_of_the_reference_table() {
        let (_, parameters) = TinyGpt::init(&TinyGptConfig::default(), 1).unwrap();
        let shape = |name: &str| parameters.get(name).unwrap().dims().to_vec();
        let expected: [(&str, &[usize]); 8] = [
            ("token.weight", &[5, 16]),
            ("position.weight", &[4, 16]),
            ("query.weight", &[16, 16]),
            ("up.weight", &[32, 16]),
            ("down.weight", &[16, 32]),
            ("norm1.weight", &[16]),
            ("head.weight", &[5, 16]),
            ("head.bias", &[5]),
        ];
        for (name, dims) in expected {
            assert_eq!(shape(name), dims, "{name}");
        }
        assert_eq!(parameters.len(), 20);
        assert_eq!(parameters.count(), 80 + 64 + 1_088 + 1_072 + 64 + 85);
    }

    #[test]
    fn every_tensor_gets_the_gradient_of_the_composed_model() {
        let config = TinyGptConfig::default();
        let (model, parameters) = TinyGpt::init(&config, 3).unwrap();
        let windows: [&[u32]; 2] = [&[2, 1, 3, 3, 4], &[4, 0, 2, 1, 3]];
        let stores = [Ops::Composed, Ops::Fused].map(|ops| {
            let loss = model.loss(&windows, &Pass::eval(ops)).unwrap();
            loss.backward().unwrap()
        });
        for (name, var) in parameters.iter() {
            let [slow, fast] = [0, 1].map(|at: usize| {
                let gradient = stores[at]
                    .get(var)
                    .unwrap_or_else(|| panic!("{name}: none"));
                gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            });
            let apart = slow
                .iter()
                .zip(&fast)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(apart <= 1e-6, "{name}: |Δ| = {apart:e} (tolerance 1e-6)");
            // Softmax does not see a constant in every key, so the key bias has no gradient to have.
            assert!(
                name == "key.bias" || slow.iter().any(|x| x.abs() > 1e-8),
                "{name}: zero"
            );
        }
    }

    #[test]
    fn bad_input_is_named() {
        let config = TinyGptConfig {
            heads: 3,
            ..TinyGptConfig::default()
        };
        assert!(
            TinyGpt::init(&config, 1)
                .unwrap_err()
                .to_string()
                .contains("3 does not divide")
        );
        let (model, _) = TinyGpt::init(&TinyGptConfig::default(), 1).unwrap();
        let pass = Pass::eval(Ops::Composed);
        let long = Tensor::zeros((1, 5), DType::U32, &Device::Cpu).unwrap();
        assert!(
            model
                .forward(&long, &pass)
                .unwrap_err()
                .to_string()
                .contains("context of 4")
        );
        assert!(model.loss(&[], &pass).is_err());
        assert!(model.loss(&[&[1, 2], &[1]], &pass).is_err());
        assert!(model.greedy(&[], 1, &pass).is_err());
        assert!(model.greedy(&[9], 1, &pass).is_err());
    }
}
