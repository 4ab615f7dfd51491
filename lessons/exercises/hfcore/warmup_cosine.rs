//! The learning rate of each step: up in a straight line, then down half a cosine. Lesson:
//! 04_dataset_plus_finetune_lora.
//!
//! ```text
//! step < warmup    max · (step + 1) / warmup
//! step < total     min + (max - min) · (1 + cos(π · share)) / 2,   share = (step - warmup) / (total - warmup)
//! later            min
//! ```
//!
//! Steps are counted from 0. Two mistakes go round: a first step with rate 0, which learns nothing, and
//! a cosine that rises again when training goes on past the end.

use std::f64::consts::PI;

/// A schedule.
pub struct Schedule {
    /// The highest rate, and the lowest at the end.
    pub rates: [f64; 2],
    /// Steps that warm up, and steps in all.
    pub steps: [u64; 2],
}

/// The rate of `step`, before all of `warmup` steps are done.
fn rising(max: f64, step: u64, warmup: u64) -> f64 {
    todo!("a part of {max}: not 0 at step {step} of {warmup}, all of it at the last")
}

/// The rate at `share` of the way from the end of the warm-up to the last step.
fn falling([max, min]: [f64; 2], share: f64) -> f64 {
    todo!("from {max} down to {min}, at {share} of half a cosine ({PI} at its end)")
}

/// The rate of `step`.
pub fn rate(schedule: &Schedule, step: u64) -> f64 {
    let [warmup, total] = schedule.steps;
    let left = total.saturating_sub(warmup).max(1) as f64;
    match step {
        step if step < warmup => rising(schedule.rates[0], step, warmup),
        step if step < total => falling(schedule.rates, (step - warmup) as f64 / left),
        step => after_the_end(schedule.rates, step),
    }
}

/// The rate when all steps are done.
fn after_the_end([max, min]: [f64; 2], step: u64) -> f64 {
    todo!("step {step} is past the end: {max} or {min}?")
}
