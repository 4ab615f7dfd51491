//! Shapes and inputs that the benches share.
