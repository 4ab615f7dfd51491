//! The two lessons that train keep their promises.
//!
//! `cfg(test)` tells clippy that everything here is a test.
#![cfg(test)]

mod mini_gpt;
