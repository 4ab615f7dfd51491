//! Several runs from one file: a grid of settings.
//!
//! ```yaml
//! sweep: {lr: [1e-3, 3e-3], lora_r: [4, 16]}
//! ```
//!
//! is four runs, the last key changing fastest. Each is a *cell*: the file's settings with its own
//! values, checked before the first run starts.

use serde_json::{Map, Value, json};

use crate::config::TrainConfig;
use crate::{Error, Result};

/// More runs than this are a mistake in the file.
const MOST_CELLS: usize = 1000;
/// Keys that say where a run goes: a sweep sets them itself.
const OWN: [&str; 5] = ["sweep", "output_dir", "run_name", "resume_from", "device"];

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Its folder's name: `cell-001` and so on.
    pub name: String,
    /// What it has of its own.
    pub settings: Vec<(String, Value)>,
    /// All its settings.
    pub config: TrainConfig,
}

/// The runs that a file's `sweep` asks for.
///
/// # Errors
/// A key that is not one or cannot be swept, no values, a value that cannot be, or too many runs.
pub fn cells(config: &TrainConfig) -> Result<Vec<Cell>> {
    let none = Map::new();
    let grid = config.sweep.as_ref().unwrap_or(&none);
    let base = TrainConfig {
        sweep: None,
        ..config.clone()
    };
    let mut rows: Vec<Vec<(String, Value)>> = vec![Vec::new()];
    for (key, values) in grid {
        rows = crossed(rows, key, values)?;
    }
    let cell = |(index, settings): (usize, Vec<(String, Value)>)| -> Result<Cell> {
        let config = base.with(&settings).map_err(|error| {
            let problem = match error {
                Error::Input { what, problem } => format!("{what} {problem}"),
                other => other.to_string(),
            };
            bad(&problem)
        })?;
        let name = format!("cell-{:03}", index + 1);
        Ok(Cell {
            name,
            settings,
            config,
        })
    };
    rows.into_iter().enumerate().map(cell).collect()
}

/// Each of `rows` with each of the values of `key`.
fn crossed(
    rows: Vec<Vec<(String, Value)>>,
    key: &str,
    values: &Value,
) -> Result<Vec<Vec<(String, Value)>>> {
    let shown: String = key.chars().take(60).collect();
    if OWN.contains(&key) {
        return Err(bad(&format!("cannot vary `{shown}`")));
    }
    let values = match values {
        Value::Array(values) if !values.is_empty() => values,
        _ => return Err(bad(&format!("has no list of values for `{shown}`"))),
    };
    if rows.len().saturating_mul(values.len()) > MOST_CELLS {
        return Err(bad(&format!("has more than {MOST_CELLS} combinations")));
    }
    let with = |row: &Vec<(String, Value)>, value: &Value| {
        let mut row = row.clone();
        row.push((key.to_owned(), value.clone()));
        row
    };
    let all = rows
        .iter()
        .flat_map(|row| values.iter().map(move |value| with(row, value)));
    Ok(all.collect())
}

fn bad(problem: &str) -> Error {
    Error::input("`sweep`", problem)
}

/// How one run of a sweep ended, from the `metrics.json` of its folder.
#[derive(Clone, Debug, PartialEq)]
pub struct CellResult {
    /// The cell's name.
    pub name: String,
    /// Its own settings.
    pub settings: Vec<(String, Value)>,
    /// Steps done.
    pub steps: Option<u64>,
    /// The loss of the last step.
    pub last_loss: Option<f64>,
    /// The held-out loss at the end.
    pub val: Option<f64>,
    /// The lowest held-out loss and its step.
    pub best_val: Option<(u64, f64)>,
    /// Why the run failed, if it did.
    pub failure: Option<String>,
}

impl CellResult {
    /// From what a finished run wrote.
    pub fn of(cell: &Cell, metrics: &Value) -> Self {
        let outcome = &metrics["outcome"];
        let best = &outcome["best_val"];
        Self {
            name: cell.name.clone(),
            settings: cell.settings.clone(),
            steps: outcome["steps"].as_u64(),
            last_loss: outcome["last_loss"].as_f64(),
            val: outcome["last_val"].as_f64(),
            best_val: best[0].as_u64().zip(best[1].as_f64()),
            failure: None,
        }
    }

    /// Of a run that could not go on.
    pub fn failed(cell: &Cell, failure: String) -> Self {
        Self {
            failure: Some(failure),
            ..Self::of(cell, &Value::Null)
        }
    }

    /// What runs are compared by: the lowest held-out loss, or without held-out rows the last loss.
    pub fn score(&self) -> Option<f64> {
        self.best_val.map(|(_, loss)| loss).or(self.last_loss)
    }

    /// As an entry of `sweep.json`.
    pub fn to_json(&self) -> Value {
        let settings: Map<String, Value> = self.settings.iter().cloned().collect();
        json!({
            "cell": self.name,
            "settings": settings,
            "steps": self.steps,
            "last_loss": self.last_loss,
            "val": self.val,
            "best_val": self.best_val,
            "failure": self.failure,
        })
    }
}

/// The index of the best run, the first of equal ones.
pub fn best(results: &[CellResult]) -> Option<usize> {
    let scores = results.iter().enumerate();
    let scores = scores.filter_map(|(index, result)| Some((index, result.score()?)));
    scores
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(sweep: &str) -> Result<TrainConfig> {
        let text = format!("model_name: m\nlr: 1e-4\nsweep: {sweep}\n");
        TrainConfig::parse("sweep.yaml".as_ref(), &text, &[])
    }

    #[test]
    fn a_grid_is_every_combination_in_order() {
        let config = parse("{lr: [1e-3, 3e-3], lora_r: [4, 16]}").unwrap();
        let cells = cells(&config).unwrap();
        let own = |cell: &Cell| (cell.config.lr, cell.config.lora_r);
        assert_eq!(
            cells.iter().map(own).collect::<Vec<_>>(),
            [(1e-3, 4), (1e-3, 16), (3e-3, 4), (3e-3, 16)]
        );
        assert_eq!(cells[3].name, "cell-004");
        assert!(cells.iter().all(|cell| cell.config.sweep.is_none()));
        let again = TrainConfig::parse("x".as_ref(), &config.to_yaml().unwrap(), &[]).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn a_grid_with_a_mistake_is_refused_with_its_line() {
        for (sweep, part) in [
            ("{learning_rate: [1]}", "unknown key `learning_rate`"),
            ("{lr: 1}", "no list of values for `lr`"),
            ("{lr: []}", "no list of values for `lr`"),
            ("{lr: [1e-3, fast]}", "`lr` is \"fast\""),
            ("{lr: [1e-3, -1]}", "`lr` is -1"),
            ("{output_dir: [a]}", "cannot vary `output_dir`"),
            ("{sweep: [{}]}", "cannot vary `sweep`"),
        ] {
            let error = parse(sweep).unwrap_err();
            let shown = error.to_string();
            assert!(shown.starts_with("sweep.yaml:3: `sweep` "), "{shown}");
            assert!(shown.contains(part), "{sweep}: {shown}");
        }
        let seeds: Vec<String> = (0..40).map(|seed| seed.to_string()).collect();
        let seeds = seeds.join(",");
        let error = parse(&format!("{{seed: [{seeds}], lora_r: [{seeds}]}}")).unwrap_err();
        assert!(error.to_string().contains("more than 1000"), "{error}");
    }

    #[test]
    fn the_best_run_has_the_lowest_held_out_loss() {
        let cell = Cell {
            name: "cell-001".into(),
            settings: vec![("lr".into(), json!(1e-3))],
            config: TrainConfig::default(),
        };
        let run = |best: f64| {
            let outcome = json!({"steps": 9, "last_loss": 0.1, "last_val": 2.0,
                "best_val": [6, best], "end": "completed", "seconds": 1.0});
            CellResult::of(&cell, &json!({ "outcome": outcome }))
        };
        let failed = CellResult::failed(&cell, "step 3: the loss is NaN".into());
        let results = [failed.clone(), run(1.5), run(1.25), run(1.25)];
        assert_eq!(best(&results), Some(2));
        assert_eq!(best(&[failed]), None);
        assert_eq!(results[2].to_json()["best_val"], json!([6, 1.25]));
    }
}
