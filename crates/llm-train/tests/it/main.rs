//! The integration tests of llm-train, one module for each question.

#[cfg(test)]
mod adamw;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod bundled;
#[cfg(test)]
mod config;
#[cfg(test)]
mod data;
#[cfg(test)]
mod finetune;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod mini_gpt;
#[cfg(test)]
mod mini_gpt_text;
#[cfg(test)]
mod monitor_events;
#[cfg(test)]
mod monitor_faults;
#[cfg(test)]
mod repeat;
#[cfg(test)]
mod steps;
