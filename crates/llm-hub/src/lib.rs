//! llm-hub
