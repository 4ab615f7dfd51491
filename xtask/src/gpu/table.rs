//! The rows of `cargo xtask gpu`, and their markdown.

use serde_json::Value;

/// One figure, beside a peer's where there is one, and the aim.
#[derive(Debug)]
pub(super) struct Row {
    work: String,
    ours: Option<f64>,
    theirs: Option<f64>,
    ratio: Option<f64>,
    aim: Option<Aim>,
}

/// Which side of a number is good.
#[derive(Clone, Copy, Debug)]
enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

/// Bytes of a GiB.
const GIB: f64 = (1u64 << 30) as f64;

impl Row {
    fn alone(work: &str, ours: Option<f64>) -> Self {
        Self {
            work: work.to_owned(),
            ours,
            theirs: None,
            ratio: None,
            aim: None,
        }
    }

    /// A share of what the device can do, from `deeper bench --json`.
    pub(super) fn share(work: &str, bench: &Value, key: &str, aim: f64) -> Self {
        let share = bench["rows"][0][key].as_f64();
        Self {
            ratio: share,
            aim: Some(Aim::AtLeast(aim)),
            ..Self::alone(work, share)
        }
    }

    /// Tokens a second.
    pub(super) fn rate(work: &str, bench: &Value) -> Self {
        Self::alone(work, bench["rows"][0]["tokens_per_second"].as_f64())
    }

    /// The most memory on the GPU.
    pub(super) fn memory(work: &str, bench: &Value) -> Self {
        let bytes = bench["rows"][0]["device_memory"].as_f64();
        Self::alone(work, bytes.map(|bytes| bytes / GIB))
    }

    /// A figure of both sides from a script's record; more is better.
    pub(super) fn beside(work: &str, record: &Value, key: &str, aim: (&str, f64)) -> Self {
        let figure = |who: &str| record[format!("{who}_{key}")].as_f64();
        Self {
            theirs: figure("theirs"),
            ratio: record[aim.0].as_f64(),
            aim: Some(Aim::AtLeast(aim.1)),
            ..Self::alone(work, figure("ours"))
        }
    }

    /// As [`Row::beside`] where less is better.
    pub(super) fn smaller(work: &str, record: &Value, key: &str, aim: (&str, f64)) -> Self {
        Self {
            aim: Some(Aim::AtMost(aim.1)),
            ..Self::beside(work, record, key, aim)
        }
    }

    /// The aim, and whether it was met.
    fn verdict(&self) -> (String, &'static str) {
        let Some(aim) = self.aim else {
            return ("–".into(), "–");
        };
        let (text, met) = match aim {
            Aim::AtLeast(aim) => (format!("≥ {aim}"), self.ratio.map(|ratio| ratio >= aim)),
            Aim::AtMost(aim) => (format!("≤ {aim}"), self.ratio.map(|ratio| ratio <= aim)),
        };
        let met = match met {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not measured",
        };
        (text, met)
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(value) if value.abs() >= 1000.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.3}"),
    }
}

/// The table with where it was measured.
pub(super) fn markdown(machine: &str, commit: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "Measured on {machine}, commit {commit}, bf16, medians, by `cargo xtask gpu`.\n\n\
         | work | ours | theirs | ratio or share | aim | met |\n|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let (ours, theirs, ratio) = (number(row.ours), number(row.theirs), number(row.ratio));
        let (aim, met) = row.verdict();
        text.push_str(&format!(
            "| {} | {ours} | {theirs} | {ratio} | {aim} | {met} |\n",
            row.work
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn aims_are_judged_and_gaps_are_said() {
        let record = json!({
            "ours_bytes": 3.0, "theirs_bytes": 4.0, "memory_ratio": 0.75,
            "ours_tokens_per_second": 1100, "theirs_tokens_per_second": 1000, "ratio_median": 1.1,
        });
        let bench = json!({"rows": [{"tokens_per_second": 12.5, "share_of_bandwidth": null}]});
        let rows = [
            Row::smaller("memory", &record, "bytes", ("memory_ratio", 0.8)),
            Row::beside("speed", &record, "tokens_per_second", ("ratio_median", 1.2)),
            Row::share("share", &bench, "share_of_bandwidth", 0.6),
            Row::rate("rate", &bench),
        ];
        let text = markdown("a GPU", "abc", &rows);
        let lines: Vec<&str> = text.lines().skip(4).collect();
        assert_eq!(
            lines,
            [
                "| memory | 3.000 | 4.000 | 0.750 | ≤ 0.8 | yes |",
                "| speed | 1100 | 1000 | 1.100 | ≥ 1.2 | no |",
                "| share | – | – | – | ≥ 0.6 | not measured |",
                "| rate | 12.500 | – | – | – | – |",
            ]
        );
    }
}
