//! The integration tests of llm-cli, one binary.
//!
//! `cfg(test)` tells clippy that helpers of tests are tests too.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod deeper;
#[cfg(test)]
mod train;
