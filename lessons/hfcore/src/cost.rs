//! Time and memory of this process: weather, since no two runs agree on them.

use std::time::Instant;

use llm_show::Weather;
use llm_show::number::{bytes, duration};
use llm_train::monitor::system::peak_memory;

/// Says how long `what` took since `start`, and the most memory that this process has had so far.
pub fn spent(weather: &mut Weather, what: &str, start: Instant) {
    let memory = peak_memory()
        .map_or_else(String::new, |most| format!(", peak memory so far {}", bytes(most)));
    weather.note(&format!("   {what}: {}{memory}", duration(start.elapsed())));
}
