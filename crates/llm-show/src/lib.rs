//! llm-show
