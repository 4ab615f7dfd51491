//! Jobs as lines of JSON, for scripts that let this program and another one take turns.
//!
//! ```
//! use llm_benches::job::Desk;
//! let mut desk = Desk::default();
//! let answer = desk.answer(r#"{"work": "train", "size": "tiny", "steps": 3}"#);
//! assert_eq!(answer["ms"].as_array().map(Vec::len), Some(3));
//! assert!(desk.answer(r#"{"work": "sleep"}"#)["error"].is_string());
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `work` | `train`, `attention`, `lora`, `decode`, `fit`, `rows`, or `forget` to drop all that lives |
//! | `steps` | runs with the clock, 10 by default; 0 only builds |
//! | `warm_up` | runs before them; by default 2 when the work is new and none later |
//! | `score` | whether to say how good the result is |
//! | `size` | of `train` and `decode`: tiny, small, large |
//!
//! The other keys are the fields of the shape of that work. What a job built lives until `forget`,
//! so that the same job again goes on with it.

use llm_core::ops::Ops;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::attention::{Attention, AttentionShape};
use crate::decode::{Decode, DecodeShape};
use crate::fit::{Fit, FitShape};
use crate::lora::{LoraShape, LoraStep};
use crate::measure::{Times, peak_memory};
use crate::rows::{Rows, RowsShape};
use crate::shape::GptShape;
use crate::train::TrainStep;
use crate::{Result, Workload};

const STEPS: u64 = 10;
const WARM_UP: u64 = 2;

/// What can be asked for.
#[derive(Debug, Deserialize)]
#[serde(tag = "work", rename_all = "lowercase")]
enum Order {
    Train(GptShape),
    Attention(AttentionShape),
    Lora(LoraShape),
    Decode(DecodeShape),
    Fit(FitShape),
    Rows(RowsShape),
}

impl Order {
    fn build(&self) -> Result<Box<dyn Workload>> {
        Ok(match self {
            Self::Train(shape) => Box::new(TrainStep::new(shape, Ops::Fused)?),
            Self::Attention(shape) => Box::new(Attention::new(*shape, Ops::Fused)?),
            Self::Lora(shape) => Box::new(LoraStep::new(shape)?),
            Self::Decode(shape) => Box::new(Decode::new(shape.model()?, shape.context)?),
            Self::Fit(fit) => Box::new(Fit::new(fit)?),
            Self::Rows(rows) => Box::new(Rows::new(rows)?),
        })
    }
}

/// The workloads that live, by the job that made them.
#[derive(Default)]
pub struct Desk {
    alive: Vec<(String, Box<dyn Workload>)>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.alive.iter().map(|alive| &alive.0))
            .finish()
    }
}

impl Desk {
    /// Does one job; an object with `error` where that fails.
    pub fn answer(&mut self, line: &str) -> Value {
        match self.work(line) {
            Ok(answer) => answer,
            Err(problem) => json!({ "error": problem }),
        }
    }

    fn work(&mut self, line: &str) -> std::result::Result<Value, String> {
        let text = |e: serde_json::Error| format!("job: {e}");
        let mut job: Map<String, Value> = serde_json::from_str(line).map_err(text)?;
        if job.get("work") == Some(&json!("forget")) {
            self.alive.clear();
            return Ok(json!({ "peak_memory": peak_memory() }));
        }
        let steps = number(&mut job, "steps")?.unwrap_or(STEPS);
        let warm_up = number(&mut job, "warm_up")?;
        let score = job.remove("score") == Some(json!(true));
        let key = Value::Object(job.clone()).to_string();
        named_size(&mut job)?;
        let found = self.alive.iter().position(|alive| alive.0 == key);
        let index = match found {
            Some(index) => index,
            None => {
                let order: Order = serde_json::from_value(Value::Object(job)).map_err(text)?;
                let work = order.build().map_err(|e| e.to_string())?;
                self.alive.push((key, work));
                self.alive.len() - 1
            }
        };
        let new = if found.is_none() { WARM_UP } else { 0 };
        let work = &mut *self.alive[index].1;
        measure(work, [warm_up.unwrap_or(new), steps], score).map_err(|e| e.to_string())
    }
}

fn measure(work: &mut dyn Workload, [warm_up, steps]: [u64; 2], score: bool) -> Result<Value> {
    let times = Times::of(work, warm_up as usize, steps as usize)?;
    let size = work.size();
    let mut answer = json!({
        "ms": times.0,
        "tokens": size.tokens,
        "flops": size.flops,
        "parameters": size.parameters,
        "threads": llm_core::kernels::pool::threads(),
        "peak_memory": peak_memory(),
    });
    if score {
        answer["score"] = json!(work.score()?);
    }
    Ok(answer)
}

/// Takes a count out of a job.
fn number(job: &mut Map<String, Value>, key: &str) -> std::result::Result<Option<u64>, String> {
    match job.remove(key) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(format!("{key}: is {value}, expected a count")),
        },
    }
}

/// Replaces `size` by the sizes that it names.
fn named_size(job: &mut Map<String, Value>) -> std::result::Result<(), String> {
    let Some(name) = job.remove("size") else {
        return Ok(());
    };
    let unknown = || format!("size: {name} is not tiny, small or large");
    let size = name.as_str().ok_or_else(unknown)?;
    let sizes = if job.get("work") == Some(&json!("decode")) {
        let shape = DecodeShape::named(size).ok_or_else(unknown)?;
        json!({
            "layers": shape.layers, "heads": shape.heads, "channels": shape.channels,
            "vocabulary": shape.vocabulary, "context": shape.context,
        })
    } else {
        let shape = GptShape::named(size).ok_or_else(unknown)?;
        json!({
            "layers": shape.layers, "heads": shape.heads, "channels": shape.channels,
            "tokens": shape.tokens, "batch": shape.batch, "vocabulary": shape.vocabulary,
        })
    };
    if let Value::Object(sizes) = sizes {
        job.extend(sizes);
    }
    Ok(())
}
