//! Threads, time and memory of this process: weather, since no two runs agree on them.

use std::time::Instant;

use anyhow::Result;
use llm_core::kernels::pool;
use llm_show::number::{bytes, duration};
use llm_show::{Lesson, ToolArgs, Weather};
use llm_train::monitor::system::peak_memory;

/// Takes the threads that `--threads` asks for; when the lesson began, and its flags.
///
/// # Errors
/// More threads than can be.
pub fn begin(lesson: &Lesson) -> Result<(Instant, ToolArgs)> {
    let tool = lesson.args.tool.clone();
    if let Some(threads) = tool.threads {
        pool::set_threads(threads.get())?;
    }
    Ok((Instant::now(), tool))
}

/// Says how long `what` took since `start`, and the most memory that this process has had so far.
pub fn spent(weather: &mut Weather, what: &str, start: Instant) {
    let memory = peak_memory()
        .map_or_else(String::new, |most| format!(", peak memory so far {}", bytes(most)));
    weather.note(&format!("   {what}: {}{memory}", duration(start.elapsed())));
}
