//! The integration tests of llm-cli, one binary.
//!
//! `cfg(test)` tells clippy that helpers of tests are tests too.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod checkout;
#[cfg(test)]
mod deeper;
#[cfg(test)]
mod exercises;
#[cfg(test)]
mod formulas;
#[cfg(test)]
mod learner;
#[cfg(test)]
mod train;
#[cfg(test)]
mod watch;
