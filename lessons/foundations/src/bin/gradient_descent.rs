//! How does a model get better by walking downhill?
//!
//! What you will see: one step by hand and by autograd, a walk to the bottom of a bowl, the learning
//! rate at which walking down becomes climbing, and what momentum and Adam make of the same slopes.
//!
//! Reads: crates/llm-core/src/math/{descent,gradient}.rs.
//! Try: `--lr 0.031`, `--lr 0.032`, `--steep 256`.

use clap::Args;
use llm_core::math::descent::{Bowl, Descent, Rule, walk};
use llm_core::math::gradient::{autograd, compare, numeric};
use llm_show::{Cell, Complaint, Curve, Lesson, Table, number::number, read, svg};

/// Where every walk begins; it has arrived at this loss and takes at most so many steps.
const START: [f64; 2] = [4.0, 0.5];
const GOAL: (f64, usize) = (1e-6, 50_000);
/// f64 loses a few last digits, a slope measured with h = 1e-5 some more.
const CLOSE: f64 = 1e-6;

/// Own flags.
#[derive(Args)]
struct Own {
    /// Learning rate, above 0 [default: 0.64 of the limit, 2 / steep]
    #[arg(long, value_name = "LR", allow_hyphen_values = true)]
    lr: Option<f64>,
    /// L, how many times steeper the bowl is across than along, 1 to 1000
    #[arg(long, default_value_t = 64.0, value_name = "L", allow_hyphen_values = true)]
    steep: f64,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    lesson.weather.fact("device", "cpu, plain loops in f64");
    let steep = read::within("--steep", own.steep, 1.0..=1e3, "--steep 64")?;
    let bowl = Bowl { curvatures: vec![1.0, steep] };
    let go = |rule, lr| walk(|w| bowl.look(w), &START, (rule, lr), GOAL);
    let (limit, usual) = (bowl.limit(), 0.64 * bowl.limit());
    let lr = own.lr.unwrap_or(usual);
    // The core knows which rates cannot work; here is the place to say which do.
    let walked = go(Rule::Plain, lr).map_err(|error| {
        let why = format!("0 stands still, below 0 climbs, from 2/L = {limit} on it runs away");
        Complaint::new(error.to_string()).hint(format!("--lr {usual}: {why}"))
    })?;

    lesson.step("One step: against the slope, as far as the learning rate says");
    let (before, slope) = ([0.5, -0.3], [1.0, -1.0]);
    let mut after = before;
    Descent::new(Rule::Plain, 0.01)?.step(&mut after, &slope);
    let mut table = Table::new(&["w", "slope of w0 - w1", "0.01 x slope", "w after"]);
    for i in 0..2 {
        table.row([before[i], slope[i], 0.01 * slope[i], after[i]].map(Into::into));
    }
    lesson.show(&table);
    lesson.check("w after == [0.49, -0.29]", compare(&after, &[0.49, -0.29]).largest, CLOSE);
    let recorded = autograd(&before, |w| Ok((w.get(0)? - w.get(1)?)?))?;
    lesson.check("slopes == autograd (Candle)", compare(&slope, &recorded).largest, CLOSE);

    lesson.step(&format!("Many steps: down the bowl (x² + {steep} y²) / 2, learning rate {lr}"));
    lesson.show(&Curve::new(&walked.losses, "step").log());
    let (steps, end) = (walked.steps(), number(walked.loss()));
    lesson.say(&format!("loss {} at the start, {end} after {steps} steps", walked.losses[0]));
    let (hand, measured) = (bowl.look(&START).1, numeric(&START, 1e-5, |w| bowl.look(w).0));
    lesson.check("slopes == measured", compare(&hand, &measured).relative(), CLOSE);
    let recorded = autograd(&START, |w| bowl.recorded(w))?;
    lesson.check("slopes == autograd (Candle)", compare(&hand, &recorded).largest, CLOSE);

    lesson.step("How large may a step be? Each multiplies the distance across by 1 - lr L");
    let mut table = Table::new(&["lr", "1 - lr L", "last loss", "steps", "it"]);
    let mut foretold = true;
    for lr in [0.1, 0.5, 0.95, 0.99, 1.0, 1.01, 1.5].map(|share| share * limit) {
        let (walk, factor) = (go(Rule::Plain, lr)?, 1.0 - lr * steep);
        foretold &= walk.end == bowl.foretell(lr);
        let (lr, it) = (Cell::number(format!("{lr:.5}")), walk.end.to_string().into());
        table.row([lr, factor.into(), walk.loss().into(), walk.steps().into(), it]);
    }
    lesson.show(&table);
    lesson.check_that("arrives below 2/L, runs away above", "in every row", foretold);

    rules(lesson, &bowl, usual)?;
    lesson.solution(2.0 / 256.0, 1e-6);
    Ok(())
}

/// Step 4: the same slopes, used in three ways.
fn rules(lesson: &mut Lesson, bowl: &Bowl, lr: f64) -> anyhow::Result<()> {
    lesson.step("Momentum adds up slopes that agree; Adam divides each by its own usual size");
    let mut table = Table::new(&["rule", "lr", "steps", "first step: x", "y"]);
    let mut paths = Vec::new();
    let rules = [("plain", Rule::Plain, lr), ("momentum 0.9", Rule::MOMENTUM, lr)];
    for (name, rule, lr) in rules.into_iter().chain([("adam", Rule::ADAM, 0.1)]) {
        let walk = walk(|w| bowl.look(w), &START, (rule, lr), GOAL)?;
        let [x, y] = [0, 1].map(|i| (walk.path[1][i] - START[i]).into());
        table.row([name.into(), lr.into(), walk.steps().into(), x, y]);
        paths.push(svg::Line { name: name.into(), points: walk.points() });
    }
    lesson.show(&table);
    let (x, y) = paths[2].points[1];
    let apart = compare(&[x, y], &START.map(|from| from - 0.1)).largest;
    lesson.check("adam's first step is lr each way", apart, CLOSE);
    // A ball that keeps nine tenths of its speed pays in a narrow valley.
    let fewer = paths[1].points.len() < paths[0].points.len() || bowl.steepest() < 64.0;
    lesson.check_that("momentum takes fewer steps", "than plain, L >= 64", fewer);
    let area = svg::Area { x: (-4.5, 4.5), y: (-0.8, 0.8) };
    let height = |x, y| bowl.look(&[x, y]).0;
    lesson.picture(|| svg::landscape("Three ways down", ["x", "y"], area, height, &paths));
    Ok(())
}
