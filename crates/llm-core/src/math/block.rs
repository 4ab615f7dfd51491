//! One Transformer block: attention reads other tokens, the feed-forward layer thinks about what was
//! read, and both add their part to a stream of vectors that runs straight through.
//!
//! ```text
//! post-norm (2017)       a = norm₁(x + attention(x))        y = norm₂(a + mlp(a))
//! pre-norm  (GPT-2 on)   a = x + attention(norm₁(x))        y = a + mlp(norm₂(a))
//! ```
//!
//! Vaswani et al. (2017) norm the sum, so the stream itself goes through a norm in every half. Since
//! GPT-2 the norm stands before each half instead: from the last block to the first there is a way
//! on which nothing is multiplied, and gradients take it (Xiong et al. 2020).
//!
//! ```
//! use llm_core::math::block::{Block, BlockSizes, Style};
//! use llm_core::math::parameters::Layer;
//! use llm_core::rng::{Purpose, stream};
//! let sizes = BlockSizes::usual(Style::Gpt2, 16, 4);
//! let block = Block::draw(&mut stream(7, Purpose::Init), Style::Gpt2, sizes)?;
//! assert_eq!(block.count(), 12 * 16 * 16 + 13 * 16);
//! # Ok::<(), llm_core::Error>(())
//! ```

use ndarray::{Array2, ArrayView1};

use super::attention::Mask;
use super::layers::{Activation, FeedForward, Linear, Norm};
use super::multi_head::{HeadSizes, HeadsTrace, MultiHead};
use super::parameters::{Layer, Parameter, within};
use crate::Result;
use crate::ops::GeluKind;
use crate::rng::ChaCha8Rng;

/// Where the norms stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// After each sum.
    Post,
    /// Before each half, away from the stream.
    Pre,
}

/// A block as it was built at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// 2017: post-norm, layer norm, ReLU, biases.
    Original,
    /// 2019: pre-norm, layer norm, GELU, biases.
    Gpt2,
    /// 2023: pre-norm, RMS norm, SwiGLU, no biases.
    Llama,
}

impl Style {
    /// All of them, in order of time.
    pub const ALL: [Self; 3] = [Self::Original, Self::Gpt2, Self::Llama];

    /// What it is called on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Gpt2 => "gpt2",
            Self::Llama => "llama",
        }
    }

    /// When it appeared, its norm, where that stands, its feed-forward layer.
    pub fn described(self) -> [&'static str; 4] {
        match self {
            Self::Original => ["2017", "layer", "after", "ReLU, F = 4C"],
            Self::Gpt2 => ["2019", "layer", "before", "GELU, F = 4C"],
            Self::Llama => ["2023", "RMS", "before", "SwiGLU, F = 8C/3"],
        }
    }

    /// Where its norms stand.
    pub fn order(self) -> Order {
        match self {
            Self::Original => Order::Post,
            Self::Gpt2 | Self::Llama => Order::Pre,
        }
    }

    /// F for C channels: 4 C, and 8/3 C where a third matrix has to be paid for.
    pub fn inner(self, channels: usize) -> usize {
        match self {
            Self::Original | Self::Gpt2 => 4 * channels,
            Self::Llama => 8 * channels / 3,
        }
    }

    pub(super) fn norm(self, channels: usize) -> Norm {
        match self {
            Self::Original | Self::Gpt2 => Norm::layer(channels),
            Self::Llama => Norm::rms(channels),
        }
    }
}

/// The sizes of a [`Block`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSizes {
    /// C, H and K
    pub heads: HeadSizes,
    /// F
    pub inner: usize,
}

impl BlockSizes {
    /// As usual for the style: K = H, and its width of the feed-forward layer.
    pub fn usual(style: Style, channels: usize, heads: usize) -> Self {
        let inner = style.inner(channels);
        let kv_heads = heads;
        let heads = HeadSizes {
            channels,
            heads,
            kv_heads,
        };
        Self { heads, inner }
    }
}

/// A block and its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Where the norms stand.
    pub order: Order,
    /// Before or after attention.
    pub norm1: Norm,
    /// Reads other tokens.
    pub attention: MultiHead,
    /// Before or after the feed-forward layer.
    pub norm2: Norm,
    /// Works on each token alone.
    pub mlp: FeedForward,
}

/// What stands on the stream and beside it, from the input to the output of a block.
#[derive(Clone, Debug)]
pub struct Stages {
    /// What attention read: x, or its norm. `[T, C]`
    pub attention_input: Array2<f64>,
    /// Every matrix of the attention.
    pub attention: HeadsTrace,
    /// x + attention, before a norm that may follow. `[T, C]`
    pub first_sum: Array2<f64>,
    /// The stream between the halves. `[T, C]`
    pub middle: Array2<f64>,
    /// What the feed-forward layer read. `[T, C]`
    pub mlp_input: Array2<f64>,
    /// What it said. `[T, C]`
    pub mlp_output: Array2<f64>,
    /// The stream after both halves, before a norm that may follow. `[T, C]`
    pub second_sum: Array2<f64>,
    /// `[T, C]`
    pub output: Array2<f64>,
}

impl Stages {
    /// The [`size`] of what stands on the stream and of what the layers read and add.
    pub fn sizes(&self) -> [(&'static str, f64); 6] {
        [
            ("attention reads", size(&self.attention_input)),
            ("attention adds", size(&self.attention.output)),
            ("stream between", size(&self.middle)),
            ("mlp reads", size(&self.mlp_input)),
            ("mlp adds", size(&self.mlp_output)),
            ("stream after", size(&self.output)),
        ]
    }
}

impl Block {
    /// Drawn weights.
    ///
    /// # Errors
    /// Heads that do not divide the channels, key-value heads that do not divide the heads.
    pub fn draw(rng: &mut ChaCha8Rng, style: Style, sizes: BlockSizes) -> Result<Self> {
        let (c, f, bias) = (sizes.heads.channels, sizes.inner, style != Style::Llama);
        let attention = MultiHead::draw(rng, sizes.heads, bias)?;
        let up = Linear::draw(rng, c, f, bias);
        let down = Linear::draw(rng, f, c, bias);
        let plain = |activation, up, down| FeedForward::Plain {
            activation,
            up,
            down,
        };
        let mlp = match style {
            Style::Original => plain(Activation::Relu, up, down),
            Style::Gpt2 => plain(Activation::Gelu(GeluKind::Tanh), up, down),
            Style::Llama => {
                let gate = Linear::draw(rng, c, f, bias);
                FeedForward::Gated { gate, up, down }
            }
        };
        let (norm1, norm2) = (style.norm(c), style.norm(c));
        let order = style.order();
        Ok(Self {
            order,
            norm1,
            attention,
            norm2,
            mlp,
        })
    }

    // ANCHOR: forward
    /// Through both halves; no token sees a later one.
    ///
    /// # Shapes
    /// `x [T, C]` → [`Stages`] with the output `[T, C]`.
    ///
    /// # Errors
    /// Heads that do not divide their channels.
    pub fn forward(&self, x: &Array2<f64>) -> Result<Stages> {
        let before = |norm: &Norm, x: &Array2<f64>| match self.order {
            Order::Pre => norm.forward(x),
            Order::Post => x.clone(),
        };
        let after = |norm: &Norm, sum: &Array2<f64>| match self.order {
            Order::Pre => sum.clone(),
            Order::Post => norm.forward(sum),
        };
        let attention_input = before(&self.norm1, x);
        let attention = self.attention.forward(&attention_input, Mask::Causal)?;
        // The halves only ever add: whatever they do not want to change stays as it was.
        let first_sum = x + &attention.output;
        let middle = after(&self.norm1, &first_sum);
        let mlp_input = before(&self.norm2, &middle);
        let mlp_output = self.mlp.forward(&mlp_input);
        let second_sum = &middle + &mlp_output;
        let output = after(&self.norm2, &second_sum);
        Ok(Stages {
            attention_input,
            attention,
            first_sum,
            middle,
            mlp_input,
            mlp_output,
            second_sum,
            output,
        })
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
    /// The gradients of its tensors and of `x`: the halves in reverse.
    ///
    /// # Shapes
    /// `x` and `d_y [T, C]` → and `[T, C]`.
    ///
    /// # Errors
    /// As [`Block::forward`].
    pub fn backward(&self, x: &Array2<f64>, d_y: &Array2<f64>) -> Result<(Self, Array2<f64>)> {
        let stages = self.forward(x)?;
        let think = |x: &Array2<f64>, d: &Array2<f64>| Ok(self.mlp.backward(x, d));
        let read = |x: &Array2<f64>, d: &Array2<f64>| self.attention.backward(x, Mask::Causal, d);
        let second = [&stages.middle, &stages.mlp_input, &stages.second_sum];
        let (norm2, mlp, d_middle) = self.half_backward(&self.norm2, second, d_y, think)?;
        let first = [x, &stages.attention_input, &stages.first_sum];
        let (norm1, attention, d_x) = self.half_backward(&self.norm1, first, &d_middle, read)?;
        let gradients = Self {
            order: self.order,
            norm1,
            attention,
            norm2,
            mlp,
        };
        Ok((gradients, d_x))
    }

    /// Back through one half: from the gradient after it to the gradient before it.
    ///
    /// A sum hands its gradient to both terms unchanged. So whatever comes back through the layer is
    /// added to what comes back along the stream.
    fn half_backward<L>(
        &self,
        norm: &Norm,
        [stream, input, sum]: [&Array2<f64>; 3],
        d_after: &Array2<f64>,
        layer: impl Fn(&Array2<f64>, &Array2<f64>) -> Result<(L, Array2<f64>)>,
    ) -> Result<(Norm, L, Array2<f64>)> {
        match self.order {
            Order::Pre => {
                let (layer, d_input) = layer(input, d_after)?;
                let (norm, d_stream) = norm.backward(stream, &d_input);
                Ok((norm, layer, d_stream + d_after))
            }
            Order::Post => {
                // Here the stream itself passes through the norm, and its gradient with it.
                let (norm, d_sum) = norm.backward(sum, d_after);
                let (layer, d_stream) = layer(input, &d_sum)?;
                Ok((norm, layer, d_stream + d_sum))
            }
        }
    }
    // ANCHOR_END: backward

    /// How far each token's output moves when token `changed` of `x` becomes another one.
    ///
    /// # Shapes
    /// `x [T, C]` → `[T]`.
    ///
    /// # Errors
    /// As [`Block::forward`].
    pub fn moved_by(&self, x: &Array2<f64>, changed: usize) -> Result<Vec<f64>> {
        let mut other = x.clone();
        other.row_mut(changed).mapv_inplace(|x| 1.0 - x);
        let moved = self.forward(&other)?.output - self.forward(x)?.output;
        let largest = |row: ArrayView1<f64>| row.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        Ok(moved.outer_iter().map(largest).collect())
    }

    /// The part of the gradient of `x` that passes neither layer: along the stream and through
    /// whatever stands on it.
    pub(super) fn straight_down(&self, x: &Array2<f64>, d_y: &Array2<f64>) -> Result<Array2<f64>> {
        match self.order {
            Order::Pre => Ok(d_y.clone()), // nothing stands on it
            Order::Post => {
                let stages = self.forward(x)?;
                let (_, d_middle) = self.norm2.backward(&stages.second_sum, d_y);
                Ok(self.norm1.backward(&stages.first_sum, &d_middle).1)
            }
        }
    }
}

impl Layer for Block {
    fn parameters(&self) -> Vec<Parameter<'_>> {
        [
            within("norm1", &self.norm1),
            within("attention", &self.attention),
            within("norm2", &self.norm2),
            within("mlp", &self.mlp),
        ]
        .concat()
    }

    fn parameters_mut(&mut self) -> Vec<&mut [f64]> {
        let mut all = self.norm1.parameters_mut();
        all.extend(self.attention.parameters_mut());
        all.extend(self.norm2.parameters_mut());
        all.extend(self.mlp.parameters_mut());
        all
    }
}

/// The root of the mean square of a matrix: the size of its typical number.
pub fn size(x: &Array2<f64>) -> f64 {
    (x.mapv(|x| x * x).sum() / x.len().max(1) as f64).sqrt()
}
