//! One token after a text that the cache holds.

use candle_core::{DType, Device, Tensor};
use llm_core::cache::KvCache;
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use serde::Deserialize;

use crate::shape::token;
use crate::train::SEED;
use crate::{GptShape, Result, Size, Workload, flops};

/// A random GPT and how much it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeShape {
    /// L
    pub layers: usize,
    /// H
    pub heads: usize,
    /// C
    pub channels: usize,
    /// V
    pub vocabulary: usize,
    /// S, the tokens in the cache
    pub context: usize,
}

impl DecodeShape {
    /// A few thousand parameters, for tests.
    pub const TINY: Self = Self::new([2, 2, 16, 65, 8]);
    /// The small GPT after 63 tokens.
    pub const SMALL: Self = Self::new([4, 4, 128, 65, 63]);
    /// The large GPT after 255 tokens.
    pub const LARGE: Self = Self::new([6, 6, 384, 65, 255]);

    /// L, H, C, V, S.
    pub const fn new([layers, heads, channels, vocabulary, context]: [usize; 5]) -> Self {
        Self {
            layers,
            heads,
            channels,
            vocabulary,
            context,
        }
    }

    /// The shape called `tiny`, `small` or `large`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "tiny" => Some(Self::TINY),
            "small" => Some(Self::SMALL),
            "large" => Some(Self::LARGE),
            _ => None,
        }
    }

    /// The sizes by their letters.
    pub fn label(&self) -> String {
        format!("L={}/C={}/S={}", self.layers, self.channels, self.context)
    }

    /// A frozen model of this shape with random weights.
    ///
    /// # Errors
    /// Sizes that do not fit together.
    pub fn model(&self) -> Result<Decoder> {
        let shape = GptShape {
            layers: self.layers,
            heads: self.heads,
            channels: self.channels,
            tokens: self.context + 1,
            batch: 1,
            vocabulary: self.vocabulary,
        };
        let config = shape.config()?;
        Ok(Decoder::init(&config, SEED, Mode::Frozen, DType::F32)?.0)
    }
}

/// A model and a full cache: every run reads one token more and forgets it again.
#[derive(Debug)]
pub struct Decode {
    model: Decoder,
    cache: KvCache,
    context: usize,
}

impl Decode {
    /// Lets `model` read `context` tokens.
    ///
    /// # Errors
    /// A context that the model does not have.
    pub fn new(model: Decoder, context: usize) -> Result<Self> {
        let config = model.config();
        let (dtype, device) = (model.dtype(), model.device());
        let mut cache = KvCache::new(config, 1, context + 1, dtype, device)?;
        if context > 0 {
            let v = config.vocab_size;
            let ids: Vec<u32> = (0..context).map(|i| token(i, v)).collect();
            let ids = Tensor::from_vec(ids, (1, context), device)?;
            let pass = Pass::eval(Ops::for_device(device));
            model.hidden(&ids, Some(&mut cache), &pass)?;
        }
        Ok(Self {
            model,
            cache,
            context,
        })
    }
}

impl Workload for Decode {
    fn size(&self) -> Size {
        let config = self.model.config();
        Size {
            tokens: 1,
            flops: flops::decode_token(config, self.context),
            parameters: flops::matrix_scalars(config),
        }
    }

    fn run(&mut self) -> Result<()> {
        self.cache.truncate(self.context);
        let id = token(self.context, self.model.config().vocab_size);
        let ids = Tensor::from_vec(vec![id], (1, 1), &Device::Cpu)?;
        let ids = ids.to_device(self.model.device())?;
        let pass = Pass::eval(Ops::for_device(self.model.device()));
        let hidden = self.model.hidden(&ids, Some(&mut self.cache), &pass)?;
        let logits = self.model.logits(&hidden, &pass)?;
        // The caller samples from numbers on the host: bring them there.
        std::hint::black_box(
            logits
                .flatten_all()?
                .to_dtype(DType::F32)?
                .to_vec1::<f32>()?,
        );
        Ok(())
    }
}
