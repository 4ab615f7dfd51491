//! Windows of a text: read T characters, guess the T that follow.
//!
//! ```text
//! ids      h e l l o   h e l l o          N = 11, T = 4
//! window 0 h e l l o                      x = h e l l   y = e l l o
//! window 1   e l l o _                    x = e l l o   y = l l o _
//! …                                       N − T = 7 windows
//! ```
//!
//! y is x moved by one place, so one window asks T questions at once: what follows `h`, what
//! follows `he`, … With a stride above 1 only every stride-th window is used. An epoch is a shuffle
//! of all windows cut into whole batches; the few that do not fill one wait for another epoch
//! (PyTorch's `drop_last`).
//!
//! ```
//! use llm_train::chars::windows::Windows;
//! let windows = Windows::new(vec![2, 1, 3, 3, 4, 0, 2, 1, 3, 3, 4], 4, 1)?;
//! assert_eq!(windows.count(), 7);
//! assert_eq!(windows.pair(1), (&[1, 3, 3, 4][..], &[3, 3, 4, 0][..]));
//! # Ok::<(), llm_train::Error>(())
//! ```

use candle_core::{Device, Tensor};

use crate::batch::Batch;
use crate::order::epoch_order;
use crate::{Error, Result};

/// All windows of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    ids: Vec<u32>,
    context: usize,
    stride: usize,
}

impl Windows {
    /// Windows of `context` + 1 ids, one at every `stride`-th place.
    ///
    /// # Errors
    /// A text of `context` ids or fewer, or a context or stride of 0.
    pub fn new(ids: Vec<u32>, context: usize, stride: usize) -> Result<Self> {
        if context == 0 || stride == 0 {
            let problem = format!("context {context} and stride {stride}, expected 1 or more");
            return Err(Error::input("windows", problem));
        }
        if ids.len() <= context {
            let problem = format!(
                "has {} characters, expected more than the context of {context}",
                ids.len()
            );
            return Err(Error::input("text", problem));
        }
        Ok(Self {
            ids,
            context,
            stride,
        })
    }

    /// How many windows there are: N − T with stride 1.
    pub fn count(&self) -> usize {
        (self.ids.len() - self.context).div_ceil(self.stride)
    }

    /// T
    pub fn context(&self) -> usize {
        self.context
    }

    /// The ids of the whole text.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    // ANCHOR: pair
    /// What one window reads and what it has to guess, each of T ids.
    pub fn pair(&self, index: usize) -> (&[u32], &[u32]) {
        let start = index * self.stride;
        let window = &self.ids[start..=start + self.context];
        (&window[..self.context], &window[1..])
    }
    // ANCHOR_END: pair

    // ANCHOR: batches
    /// The batches of an epoch, as window numbers: a function of seed and epoch alone.
    pub fn batches(&self, seed: u64, epoch: u64, batch_size: usize) -> Vec<Vec<usize>> {
        let order = epoch_order(seed, epoch, self.count());
        let whole = order.chunks_exact(batch_size.max(1));
        whole.map(<[usize]>::to_vec).collect()
    }
    // ANCHOR_END: batches

    /// Stacks windows.
    ///
    /// # Shapes
    /// B window numbers → `ids [B, T]` and B · T targets.
    ///
    /// # Errors
    /// What the tensor library reports.
    pub fn batch(&self, windows: &[usize]) -> Result<Batch> {
        let places = windows.len() * self.context;
        let mut ids = Vec::with_capacity(places);
        let mut targets = Vec::with_capacity(places);
        for &window in windows {
            let (x, y) = self.pair(window);
            ids.extend_from_slice(x);
            targets.extend(y.iter().map(|&id| i64::from(id)));
        }
        Ok(Batch {
            ids: Tensor::from_vec(ids, (windows.len(), self.context), &Device::Cpu)?,
            targets,
            supervised: places,
            tokens: places,
            segments: None,
        })
    }
}
