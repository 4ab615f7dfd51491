//! Which mathematics does a language model need?
//!
//! What you will see: two vectors, their product, lengths and angle; scores that become shares; a
//! slope as a tangent; every gradient by hand against a measured one; the chain rule in two steps.
//!
//! Reads: crates/llm-core/src/math/{vectors,softmax,gradient}.rs.
//! Try: `--vector "1,0" --other "0,1"`, `--vector "3,4" --other "-3,-4"`, `--at -2`.

use clap::Args;
use llm_core::math::gradient::{compare, numeric};
use llm_core::math::softmax::softmax;
use llm_core::math::vectors::{self, Slopes, chain, cosine, dot, norm, softplus, tangent};
use llm_show::number::number;
use llm_show::{Bars, Complaint, Lesson, Table, read, svg};
use ndarray::array;

/// The shares of 2, 1, 0.5, −1, 3 as printed in the reference table, which has four decimals.
const REFERENCE: [f64; 5] = [0.2294, 0.0844, 0.0512, 0.0114, 0.6236];
const PRINTED: f64 = 1e-4;
/// A few f64 added in another order.
const CLOSE: f64 = 1e-12;
/// How far a slope may be from the one measured with h = 1e-5, as a share of the largest.
const SLOPE: f64 = 1e-7;

/// Own flags.
#[derive(Args)]
struct Own {
    /// A vector: 1 to 5 numbers separated by commas
    #[arg(long, default_value = "1,2,3", value_name = "LIST", allow_hyphen_values = true)]
    vector: String,
    /// A second vector, as long as the first
    #[arg(long, default_value = "4,5,6", value_name = "LIST", allow_hyphen_values = true)]
    other: String,
    /// Where the tangent touches the curve
    #[arg(long, default_value_t = 2.0, value_name = "X", allow_hyphen_values = true)]
    at: f64,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let a = read::numbers("--vector", &own.vector, 1..=5, "1,2,3")?;
    let b = read::numbers("--other", &own.other, 1..=5, "4,5,6")?;
    let (n, m) = (a.len(), b.len());
    let lengths = [norm(&a), norm(&b)].iter().all(|length| (0.1..=1000.0).contains(length));
    let problem = match (n == m, lengths, (-20.0..=20.0).contains(&own.at)) {
        (false, ..) => format!("--vector has {n} numbers, --other {m}, expected as many"),
        (_, false, _) => "--vector and --other: expected lengths of 0.1 to 1000".into(),
        (.., false) => format!("--at is {}, expected -20 to 20", own.at),
        _ => String::new(),
    };
    if !problem.is_empty() {
        return Err(Complaint::new(problem).hint("--vector 1,2,3 --other 4,5,6 --at 2").into());
    }

    lesson.step("A dot product multiplies and adds; it is large where two vectors point alike");
    let shadow = vectors::projection(&a, &b);
    let rest: Vec<f64> = a.iter().zip(&shadow).map(|(a, p)| a - p).collect();
    let mut table = Table::new(&["a · b", "|a|", "|b|", "cos(a, b)", "|a along b|"]);
    table.row([dot(&a, &b), norm(&a), norm(&b), cosine(&a, &b), norm(&shadow)].map(Into::into));
    lesson.show(&table);
    let apart = norm(&shadow).hypot(norm(&rest)) - norm(&a);
    lesson.check("|along b|² + |rest|² == |a|²", apart, CLOSE);
    lesson.check("the rest of a is at right angles to b", dot(&rest, &b) / norm(&b), CLOSE);

    lesson.step("Softmax turns scores into shares of 1, however large the scores are");
    let shares = softmax(&[2.0, 1.0, 0.5, -1.0, 3.0]);
    let labels = ["2", "1", "0.5", "-1", "3"].map(str::to_owned);
    lesson.show(&Bars::new(labels.into_iter().zip(shares.iter().copied())).full(1.0));
    lesson.check("reference shares", compare(&shares, &REFERENCE).largest, PRINTED);
    let large = softmax(&[1000.0, 1001.0]);
    let finite = large.iter().all(|share| share.is_finite());
    lesson.check_that("softmax(1000, 1001)", "has no NaN", finite);

    tangents(lesson, own.at);

    lesson.step("A gradient is a slope for each number; each by hand against the measured one");
    let mut table = Table::new(&["function", "gradient with respect to a, by hand"]);
    let slopes = vectors::slopes(&a, &b);
    for Slopes { name, by_hand, .. } in &slopes {
        let numbers = by_hand.iter().map(|slope| format!(" {:>9}", number(*slope)));
        table.row([(*name).into(), numbers.collect::<String>().into()]);
    }
    lesson.show(&table);
    for slope in &slopes {
        lesson.check(&format!("gradient of {}", slope.name), slope.apart(), SLOPE);
    }

    lesson.step("Chain rule: y = W x, then loss = |y - goal|² / 2; slopes are handed backwards");
    let (w, x, goal) = (array![[1.0, -2.0], [0.5, 1.0]], [3.0, 1.0], [0.0, 2.0]);
    let two = chain(&w, &x, &goal);
    lesson.say(&format!("y = {:?}, loss = {}", two.y, two.loss));
    lesson.say(&format!("step 2: d loss / d y = y - goal = {:?}", two.d_y));
    lesson.say(&format!("step 1: d loss / d x = Wᵀ (d loss / d y) = {:?}", two.d_x));
    let measured = numeric(&x, 1e-5, |x| chain(&w, x, &goal).loss);
    lesson.check("through both steps == measured", compare(&two.d_x, &measured).relative(), SLOPE);
    lesson.solution(two.d_matrix[[0, 0]], 1e-9);
    Ok(())
}

/// Step 3: the slope of a curve is that of the line that touches it.
fn tangents(lesson: &mut Lesson, at: f64) {
    lesson.step("A slope: how much f grows for a small step; the tangent has the same slope");
    lesson.say("f(x) = ln(1 + exp(x)); by hand f'(x) = the share of x in softmax(x, 0)");
    let mut table = Table::new(&["x", "f(x)", "slope by hand", "slope measured"]);
    let mut lines = vec![svg::Line { name: "f(x) = ln(1 + exp(x))".into(), points: vec![] }];
    lines[0].points = (-40..=40).map(|n| f64::from(n) / 8.0).map(|x| (x, softplus(x).0)).collect();
    let mut apart: f64 = 0.0;
    for x in [-2.0, 0.0, at] {
        let (height, slope) = softplus(x);
        let measured = numeric(&[x], 1e-5, |x| softplus(x[0]).0)[0];
        apart = apart.max((slope - measured).abs());
        table.row([x, height, slope, measured].map(Into::into));
        let line = tangent(x, (height, slope));
        let points = [x - 2.0, x + 2.0].map(|x| (x, line(x))).to_vec();
        lines.push(svg::Line { name: format!("tangent at {x}, slope {slope:.2}"), points });
    }
    lesson.show(&table);
    lesson.check("by hand == measured", apart, SLOPE);
    lesson.picture(|| svg::lines("A curve and its tangents", ["x", "f(x)"], &lines));
}
