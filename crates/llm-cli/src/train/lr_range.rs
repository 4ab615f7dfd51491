//! `deeper train --lr-range LOW..HIGH`: which learning rate?

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use llm_show::number::{count, scientific};
use llm_show::svg::{Line, lines};
use llm_show::{Screen, Table, Weather};
use llm_train::range_test::{Range, RangeTest};
use llm_train::runs::stamp;
use llm_train::session::Session;

/// Reads `LOW..HIGH`.
pub(super) fn parse(text: &str) -> Result<(f64, f64), String> {
    let expected = || format!("{text:?} is no range, expected LOW..HIGH as in 1e-6..1");
    let (low, high) = text.split_once("..").ok_or_else(expected)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| expected());
    Ok((number(low)?, number(high)?))
}

/// Runs the test and writes `lr_range.json` and `lr_range.svg` into a folder of its own.
pub(super) fn run(
    session: &Session,
    range: Range,
    weather: &mut Weather,
    screen: &mut Screen,
) -> Result<()> {
    range.validate()?; // before the audit computes anything
    session.audit()?;
    let mut step = 0;
    let test = session.range_test(range, |_| {
        step += 1;
        weather.progress("rates", step, range.steps);
    })?;
    weather.clear();
    if test.points.is_empty() {
        let (step, what, value) = (1, "the loss".to_owned(), f64::NAN.to_string());
        return Err(llm_train::Error::NotFinite { step, what, value }.into());
    }
    let folder = folder(&session.config.output_dir, &session.config.run_name)?;
    let json = serde_json::to_string_pretty(&test)?;
    llm_store::atomic::write_file(&folder.join("lr_range.json"), json.as_bytes())?;
    let svg = picture(&test);
    llm_store::atomic::write_file(&folder.join("lr_range.svg"), svg.as_bytes())?;
    weather.fact("written", &folder.display().to_string());
    show(screen, &test, range);
    Ok(())
}

fn folder(output_dir: &Path, name: &str) -> Result<PathBuf> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let folder = output_dir.join(format!("{}-{name}-lr-range", stamp(now.as_secs())));
    std::fs::create_dir_all(&folder).map_err(|source| llm_train::Error::Io {
        path: folder.clone(),
        source,
    })?;
    Ok(folder)
}

/// Loss over the logarithm of the rate.
fn picture(test: &RangeTest) -> String {
    let line = |name: &str, y: fn(&llm_train::range_test::Point) -> f64| Line {
        name: name.to_owned(),
        points: test
            .points
            .iter()
            .map(|point| (point.lr.log10(), y(point)))
            .collect(),
    };
    let all = [
        line("smoothed", |point| point.smooth),
        line("each step", |point| point.loss),
    ];
    let names = ["learning rate, power of ten", "loss"];
    lines("Learning rate range test", names, &all)
        .svg()
        .to_owned()
}

fn show(screen: &mut Screen, test: &RangeTest, range: Range) {
    let mut table = Table::new(&["learning rate", "loss", "smoothed"]);
    // One row for each half of a power of ten: enough to see the valley.
    let mut next = f64::NEG_INFINITY;
    for point in &test.points {
        if point.lr.log10() >= next {
            next = point.lr.log10().max(next) + 0.5;
            let rate = llm_show::Cell::number(scientific(point.lr, 1));
            table.row([rate, point.loss.into(), point.smooth.into()]);
        }
    }
    screen.show(&table);
    let rate = |rate: Option<f64>| rate.map_or("not seen".to_owned(), |lr| scientific(lr, 1));
    let done = count(test.points.len() as u64);
    screen.line(&format!("steps         {done} of {}", count(range.steps)));
    screen.line(&format!("falls fastest {}", rate(test.fastest)));
    screen.line(&format!("lowest        {}", rate(test.lowest)));
    screen.line(&format!("diverges      {}", rate(test.diverged)));
    match test.suggested {
        Some(lr) => screen.line(&format!("suggestion    lr={}", scientific(lr, 1))),
        None => screen.line("suggestion    none: the loss does not fall; try a wider range"),
    }
}

/// The two ends as the flag has them, with how many steps.
pub(super) fn range(ends: (f64, f64), steps: u64) -> Range {
    let (low, high) = ends;
    Range { low, high, steps }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_ends() {
        assert_eq!(parse("1e-6..1"), Ok((1e-6, 1.0)));
        assert_eq!(parse(" 0.1 .. 10 "), Ok((0.1, 10.0)));
        for text in ["", "1", "..", "1..", "a..b", "1e-6-1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
