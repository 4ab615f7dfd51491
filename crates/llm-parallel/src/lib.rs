//! What carries gradients between the processes of one training run, where that needs a library of
//! the machine: the [transports](llm_train::processes::Transport) beside
//! [TCP](llm_train::processes::tcp), which needs none.
//!
//! | feature | module | needs | for |
//! |---|---|---|---|
//! | `mpi` | `mpi` | Open MPI or MPICH with headers, libclang | CPUs, started by `mpirun` |
//! | `nccl` | `nccl` | CUDA, NCCL | GPUs, started by either |
//!
//! Without a feature this crate is empty, so that nobody pays for what they do not start.

#[cfg(feature = "mpi")]
pub mod mpi;
#[cfg(feature = "nccl")]
pub mod nccl;
