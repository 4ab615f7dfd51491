//! Processes that send each other their numbers over TCP: nothing to install, for one machine or a
//! few.
//!
//! All talk to the first one, which adds up in the order of processes and sends the result back, so
//! everyone gets the same bits. Its connection carries the gradients of every other process; where
//! those are many or far apart, MPI or NCCL is the better way. Nothing is encrypted: as with those
//! two, the network has to be one that you trust.

mod link;
mod meet;

use std::ops::AddAssign;

use bytemuck::Pod;

use self::link::{Kind, Link};
use super::Transport;
use super::launch::Address;
use crate::{Error, Result};

/// Numbers that are received at a time.
const BLOCK: usize = 1 << 15;

/// The transport. Connections close when it is dropped.
#[derive(Debug)]
pub struct Tcp {
    rank: usize,
    size: usize,
    /// To the first process; that one's own to all others, in their order.
    links: Vec<Link>,
}

impl Tcp {
    /// Meets the others: process `rank` of `size`.
    ///
    /// # Errors
    /// Not all come in time, they differ about how many they are, or the network refuses.
    pub fn meet(rank: usize, size: usize, address: &Address) -> Result<Self> {
        let links = match rank {
            0 => meet::gather(size, address)?,
            _ => vec![meet::join(rank, size, address)?],
        };
        Ok(Self { rank, size, links })
    }

    fn sum<T: Pod + AddAssign>(&self, kind: Kind, values: &mut [T]) -> Result<()> {
        if self.rank > 0 {
            return self.links.iter().try_for_each(|first| {
                first.send(kind, bytemuck::cast_slice(values))?;
                first.receive(kind, bytemuck::cast_slice_mut(values))
            });
        }
        let mut scratch = vec![T::zeroed(); values.len().min(BLOCK)];
        for link in &self.links {
            link.expect(kind, size_of_val(values))?;
            for block in values.chunks_mut(BLOCK) {
                let received = &mut scratch[..block.len()];
                link.read(bytemuck::cast_slice_mut(received))?;
                for (sum, value) in block.iter_mut().zip(received) {
                    *sum += *value;
                }
            }
        }
        // After all have been read: nobody still sends, so nobody waits for anybody.
        let values: &[T] = values;
        self.links
            .iter()
            .try_for_each(|link| link.send(kind, bytemuck::cast_slice(values)))
    }
}

impl Transport for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, own: &[u8], all: &mut [u8]) -> Result<()> {
        if own.is_empty() || all.len() != own.len() * self.size {
            let problem = format!("has {} bytes for {} of each", all.len(), own.len());
            return Err(Error::input("what is gathered", problem));
        }
        if self.rank > 0 {
            return self.links.iter().try_for_each(|first| {
                first.send(Kind::Bytes, own)?;
                first.receive(Kind::Bytes, all)
            });
        }
        let (first, others) = all.split_at_mut(own.len());
        first.copy_from_slice(own);
        for (link, place) in self.links.iter().zip(others.chunks_exact_mut(own.len())) {
            link.receive(Kind::Bytes, place)?;
        }
        let all: &[u8] = all;
        self.links
            .iter()
            .try_for_each(|link| link.send(Kind::Bytes, all))
    }

    fn sum_f32(&self, values: &mut [f32]) -> Result<()> {
        self.sum(Kind::F32, values)
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<()> {
        self.sum(Kind::F64, values)
    }

    fn abandon(&self, code: u8, why: &str) {
        self.links.iter().for_each(|link| link.abandon(code, why));
        self.links.iter().for_each(Link::drain);
    }
}
