//! One slab per layer, filled from the front.

use candle_core::{DType, Device, Tensor};

use crate::config::ModelConfig;
use crate::{Error, Result};

/// Keys and values of one layer.
#[derive(Debug)]
pub struct LayerCache {
    /// `[B, capacity, K, D]`
    keys: Tensor,
    /// `[B, capacity, K, D]`
    values: Tensor,
}

impl LayerCache {
    /// Writes the keys and values of the tokens at `offset..offset + T` and returns views of all
    /// up to there.
    ///
    /// # Shapes
    /// `k` and `v [B, T, K, D]` → two views `[B, offset + T, K, D]`.
    ///
    /// # Errors
    /// Tokens past the capacity.
    pub(crate) fn extend(
        &mut self,
        offset: usize,
        k: &Tensor,
        v: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let (_b, t, _k, _d) = k.dims4()?;
        let (_b, capacity, _k, _d) = self.keys.dims4()?;
        let end = offset + t;
        if end > capacity {
            let problem = format!("{end} tokens do not fit the cache of {capacity}");
            return Err(Error::input("kv cache", problem));
        }
        // The cache is outside the graph: generation has no gradient.
        self.keys.slice_set(&k.detach().contiguous()?, 1, offset)?;
        self.values
            .slice_set(&v.detach().contiguous()?, 1, offset)?;
        Ok((self.keys.narrow(1, 0, end)?, self.values.narrow(1, 0, end)?))
    }
}

/// Keys and values of all layers, for a batch of texts of equal length.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    len: usize,
    capacity: usize,
}

impl KvCache {
    /// An empty cache for `batch` texts of up to `capacity` tokens.
    ///
    /// # Errors
    /// A capacity beyond the model's context, or no memory.
    pub fn new(
        config: &ModelConfig,
        batch: usize,
        capacity: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        if capacity > config.max_position_embeddings {
            let context = config.max_position_embeddings;
            let problem = format!("{capacity} tokens do not fit the context of {context}");
            return Err(Error::input("context", problem));
        }
        let shape = (batch, capacity, config.num_key_value_heads, config.head_dim);
        let slab = || Tensor::zeros(shape, dtype, device);
        let layer = |_| {
            Ok(LayerCache {
                keys: slab()?,
                values: slab()?,
            })
        };
        let layers = (0..config.num_hidden_layers)
            .map(layer)
            .collect::<Result<_>>()?;
        Ok(Self {
            layers,
            len: 0,
            capacity,
        })
    }

    /// A cache of `batch` texts, each of which begins as the one text of this cache.
    ///
    /// # Errors
    /// No memory.
    pub fn repeated(&self, batch: usize) -> Result<Self> {
        let repeat = |slab: &Tensor| slab.repeat((batch, 1, 1, 1));
        let layer = |layer: &LayerCache| {
            Ok(LayerCache {
                keys: repeat(&layer.keys)?,
                values: repeat(&layer.values)?,
            })
        };
        Ok(Self {
            layers: self.layers.iter().map(layer).collect::<Result<_>>()?,
            ..*self
        })
    }

    /// Tokens remembered so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was read yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The most tokens it can remember.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub(crate) fn layer_mut(&mut self, layer: usize) -> Option<&mut LayerCache> {
        self.layers.get_mut(layer)
    }

    pub(crate) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }
}
