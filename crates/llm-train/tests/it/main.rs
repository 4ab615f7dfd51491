//! The integration tests of llm-train, one module for each question.

#[cfg(test)]
mod adamw;
#[cfg(test)]
mod aligned;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod bundled;
#[cfg(test)]
mod choices;
#[cfg(test)]
mod config;
#[cfg(test)]
mod convert;
#[cfg(test)]
mod data;
#[cfg(test)]
mod dsl;
#[cfg(test)]
mod early_stopping;
#[cfg(test)]
mod eval;
#[cfg(test)]
mod eval_config;
#[cfg(test)]
mod finetune;
#[cfg(test)]
mod graded;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod mini_gpt;
#[cfg(test)]
mod mini_gpt_text;
#[cfg(test)]
mod monitor_events;
#[cfg(test)]
mod monitor_faults;
#[cfg(test)]
mod parallel_runs;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod quality;
#[cfg(test)]
mod quality_files;
#[cfg(test)]
mod range_test;
#[cfg(test)]
mod repeat;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod scaling;
#[cfg(test)]
mod soft_prompts;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod synth;
#[cfg(test)]
mod tiny;
