//! The integration tests of llm-core, one binary.

mod decoder;
