//! The integration tests of llm-dashboard.

#[cfg(test)]
mod pages;
