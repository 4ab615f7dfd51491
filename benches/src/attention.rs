//! Causal attention of one text with itself, alone or with its gradients.

use candle_core::{DType, Tensor, Var};
use llm_core::ops::{AttentionSpec, Ops};
use llm_core::rng::{Purpose, normal, stream};
use serde::Deserialize;

use crate::train::SEED;
use crate::{Result, Size, Workload, flops};

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The output alone, without a graph.
    Forward,
    /// The output and the gradients of q, k and v.
    Step,
}

/// The sizes of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionShape {
    /// H
    pub heads: usize,
    /// D
    pub head_size: usize,
    /// T
    pub tokens: usize,
    /// With or without gradients.
    pub part: Part,
}

/// Random q, k and v.
#[derive(Debug)]
pub struct Attention {
    shape: AttentionShape,
    ops: Ops,
    /// Each `[1, T, H, D]`
    qkv: [Var; 3],
}

impl Attention {
    /// Inputs of this shape.
    ///
    /// # Errors
    /// No memory.
    pub fn new(shape: AttentionShape, ops: Ops) -> Result<Self> {
        let mut rng = stream(SEED, Purpose::Demo);
        let sizes = [1, shape.tokens, shape.heads, shape.head_size];
        let mut random = || normal(&mut rng, 1.0, &sizes, DType::F32);
        let [q, k, v] = [random()?, random()?, random()?].map(|x| Var::from_tensor(&x));
        let qkv = [q?, k?, v?];
        Ok(Self { shape, ops, qkv })
    }

    fn attend(&self, [q, k, v]: [&Tensor; 3]) -> Result<Tensor> {
        let spec = AttentionSpec {
            scale: 1.0 / (self.shape.head_size as f64).sqrt(),
            window: None,
        };
        Ok(self.ops.causal_attention(q, k, v, &spec)?)
    }
}

impl Workload for Attention {
    fn size(&self) -> Size {
        let AttentionShape {
            heads,
            head_size,
            tokens,
            part,
        } = self.shape;
        let products = match part {
            Part::Forward => 2,
            Part::Step => 7,
        };
        Size {
            tokens: tokens as u64,
            flops: products * flops::attention_product([1, heads, head_size], tokens, tokens),
            parameters: 0,
        }
    }

    fn run(&mut self) -> Result<()> {
        match self.shape.part {
            Part::Forward => {
                let qkv = self.qkv.each_ref().map(|x| x.as_detached_tensor());
                self.attend(qkv.each_ref())?;
            }
            Part::Step => {
                let out = self.attend(self.qkv.each_ref().map(|x| x.as_tensor()))?;
                // From the output itself, whose gradient is then all ones: the work is the same.
                std::hint::black_box(out.backward()?.get(&self.qkv[0]).is_some());
            }
        }
        Ok(())
    }
}
