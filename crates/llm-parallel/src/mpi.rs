//! Processes of an `mpirun`.
//!
//! `MPI_Allreduce` may add up in any order, and with it the last bits would hang on the library, the
//! size of a message and the number of processes. Here the order is always that of the processes:
//!
//! ```text
//! all to all     process p gets the p-th piece of everyone's values
//! it adds        ((v0 + v1) + v2) + …
//! all gather     everyone gets the sums of all pieces
//! ```
//!
//! That moves as many bytes as a ring, each process adds its piece only, and the bits are those of
//! [TCP](llm_train::processes::tcp).
//!
//! An MPI error, or a process that is gone, ends all of them: that is MPI's own way, and mpirun's.

use std::fmt::{self, Debug, Formatter};
use std::ops::AddAssign;

use ::mpi::environment::Universe;
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator, CommunicatorCollectives, Equivalence};
use ::mpi::{Threading, initialize_with_threading};
use llm_train::processes::Transport;
use llm_train::processes::launch::MOST_PROCESSES;
use llm_train::{Error, Result};

/// Numbers that a process adds up at a time. With this many for each of the most processes a message
/// still has fewer numbers than MPI can count.
const PIECE: usize = 1 << 16;

/// The processes of this `mpirun`. MPI ends when it is dropped.
pub struct Mpi {
    rank: usize,
    size: usize,
    world: SimpleCommunicator,
    /// The last field: it is dropped last.
    _universe: Universe,
}

impl Mpi {
    /// Joins the others. To be called once, by the thread that trains.
    ///
    /// # Errors
    /// MPI runs already, or gives no such threads, or there are too many processes.
    pub fn start() -> Result<Self> {
        let twice = || Error::processes("MPI was started before");
        // Kernels have threads of their own, which never call MPI.
        let (universe, given) = initialize_with_threading(Threading::Funneled).ok_or_else(twice)?;
        if given < Threading::Funneled {
            return Err(Error::processes(
                "this MPI allows no threads beside its own",
            ));
        }
        let world = universe.world();
        let number = |number: i32| {
            let number = usize::try_from(number).ok();
            let found = number.filter(|number| *number <= MOST_PROCESSES);
            found.ok_or_else(|| {
                Error::processes(format!("MPI has more than {MOST_PROCESSES} processes"))
            })
        };
        Ok(Self {
            rank: number(world.rank())?,
            size: number(world.size())?,
            world,
            _universe: universe,
        })
    }

    fn sum<T: Equivalence + Copy + Default + AddAssign>(&self, values: &mut [T]) {
        let piece = values.len().div_ceil(self.size).clamp(1, PIECE);
        let mut sent = vec![T::default(); piece * self.size];
        let mut received = sent.clone();
        let mut sums = vec![T::default(); piece];
        for block in values.chunks_mut(piece * self.size) {
            let (used, rest) = sent.split_at_mut(block.len());
            used.copy_from_slice(block);
            rest.fill(T::default());
            self.world.all_to_all_into(&sent[..], &mut received[..]);
            let mut pieces = received.chunks_exact(piece);
            if let Some(first) = pieces.next() {
                sums.copy_from_slice(first);
            }
            for other in pieces {
                for (sum, value) in sums.iter_mut().zip(other) {
                    *sum += *value;
                }
            }
            self.world.all_gather_into(&sums[..], &mut received[..]);
            block.copy_from_slice(&received[..block.len()]);
        }
    }
}

impl Debug for Mpi {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { rank, size, .. } = self;
        write!(f, "Mpi({rank} of {size})")
    }
}

impl Transport for Mpi {
    fn name(&self) -> &'static str {
        "mpi"
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, own: &[u8], all: &mut [u8]) -> Result<()> {
        if own.len() > PIECE || all.len() != own.len() * self.size {
            let problem = format!("has {} bytes for {} of each", all.len(), own.len());
            return Err(Error::input("what is gathered", problem));
        }
        self.world.all_gather_into(own, all);
        Ok(())
    }

    fn sum_f32(&self, values: &mut [f32]) -> Result<()> {
        self.sum(values);
        Ok(())
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<()> {
        self.sum(values);
        Ok(())
    }

    /// Ends all processes, this one too: MPI has no other way to reach one that waits.
    fn abandon(&self, code: u8, _: &str) {
        self.world.abort(i32::from(code))
    }
}
