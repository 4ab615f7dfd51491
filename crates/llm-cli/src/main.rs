//! The `deeper` command.
fn main() {}
