//! The integration tests of llm-train, one module for each question.

mod adamw;
mod bundled;
