//! The integration tests of llm-cli, one binary.
//!
//! `cfg(test)` tells clippy that helpers of tests are tests too.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod checkout;
#[cfg(test)]
mod convert;
#[cfg(test)]
mod data;
#[cfg(test)]
mod deeper;
#[cfg(test)]
mod eval;
#[cfg(test)]
mod exercises;
#[cfg(test)]
mod formulas;
#[cfg(all(test, unix))]
#[cfg(test)]
mod kills;
#[cfg(test)]
mod learner;
#[cfg(test)]
mod makefile;
#[cfg(test)]
mod metrics;
#[cfg(all(test, unix, feature = "mpi"))]
#[cfg(test)]
mod mpi;
#[cfg(all(test, unix))]
#[cfg(test)]
mod processes;
#[cfg(test)]
mod shipping;
#[cfg(test)]
mod synth;
#[cfg(test)]
mod train;
#[cfg(test)]
mod watch;
