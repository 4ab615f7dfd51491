//! Working memory that a thread keeps for its next kernel.
//!
//! Packing buffers are as large as the activations they hold; taking them from the system each
//! time costs a page fault for every 4 KiB.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

use super::simd::Real;

/// Buffers put away by a thread, the one used last on top.
pub(crate) type FreeList<E> = LocalKey<RefCell<Vec<Vec<E>>>>;

/// The most buffers that a thread puts away, and the largest of them in elements.
const MOST_KEPT: usize = 4;
const LARGEST_KEPT: usize = 1 << 24;

/// A buffer of `len` elements with leftovers of earlier work in it: write before you read.
pub(crate) struct Scratch<E: Real> {
    buffer: Vec<E>,
    len: usize,
}

impl<E: Real> Scratch<E> {
    pub(crate) fn new(len: usize) -> Self {
        let mut buffer = E::free_list().with_borrow_mut(Vec::pop).unwrap_or_default();
        if buffer.len() < len {
            // Old contents are worth nothing: no copy on growth.
            buffer.clear();
            buffer.resize(len, E::ZERO);
        }
        Self { buffer, len }
    }
}

impl<E: Real> Deref for Scratch<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        &self.buffer[..self.len]
    }
}

impl<E: Real> DerefMut for Scratch<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        &mut self.buffer[..self.len]
    }
}

impl<E: Real> Drop for Scratch<E> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.len() > LARGEST_KEPT {
            return;
        }
        E::free_list().with_borrow_mut(|list| {
            if list.len() < MOST_KEPT {
                list.push(buffer);
            }
        });
    }
}
