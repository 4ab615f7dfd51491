//! The integration tests of llm-benches, one binary.
//!
//! `cfg(test)` tells clippy that helpers of tests are tests too.

#[cfg(test)]
mod counts;
#[cfg(test)]
mod jobs;
