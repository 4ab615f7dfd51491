//! A recorded run in the form that trace viewers open.

use std::path::Path;

use anyhow::Result;
use llm_core::profile::Profile;
use serde_json::{Value, json};

/// Writes profiles with their names as Chrome's trace events, each as a process of its own. Times
/// are microseconds with their fractions.
pub(crate) fn write<'p>(
    path: &Path,
    profiles: impl Iterator<Item = (&'p str, &'p Profile)>,
) -> Result<()> {
    let events: Vec<Value> = profiles
        .enumerate()
        .flat_map(|(index, (name, profile))| events(index, name, profile))
        .collect();
    let trace = json!({ "displayTimeUnit": "ms", "traceEvents": events });
    llm_store::atomic::write_file(path, trace.to_string().as_bytes())?;
    Ok(())
}

fn events(index: usize, name: &str, profile: &Profile) -> Vec<Value> {
    let process = json!({ "ph": "M", "name": "process_name", "pid": index, "tid": 0,
        "args": { "name": name } });
    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6;
    let mut all = vec![process];
    all.extend(profile.events.iter().map(|event| {
        json!({ "ph": "X", "name": event.name, "cat": "operation", "pid": index, "tid": 0,
            "ts": micros(event.start), "dur": micros(event.time),
            "args": { "flops": event.cost.flops, "bytes": event.cost.bytes } })
    }));
    all
}
