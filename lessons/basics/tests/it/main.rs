//! The lessons of this shelf keep their promises.
//!
//! `cfg(test)` tells clippy that everything here is a test.
#![cfg(test)]

mod attention_impl;
mod attention_math;
mod conclusion;
mod math;
mod mha;
mod ndarray;
mod positions;

use std::path::Path;

/// Four printed decimals, of which rounding may change the last.
const PRINTED: f64 = 2e-4;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}
