//! llm-store
