//! llm-train
