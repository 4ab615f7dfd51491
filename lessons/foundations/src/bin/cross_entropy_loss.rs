//! How wrong is a prediction, as one number?
//!
//! What you will see: the loss by hand and its slope, what its value means in tokens and bits, logits
//! that break a trick of many tutorials, and how tokens are left out of a mean.
//!
//! Reads: crates/llm-core/src/math/{loss,softmax}.rs.
//! Try: `--target 4`, `--logits "0,0,0,0"`, `--logits "0,10000" --target 0`.

use clap::Args;
use llm_core::device::Machine;
use llm_core::math::gradient::{compare, numeric};
use llm_core::math::{loss, softmax::softmax};
use llm_core::ops::IGNORE_INDEX;
use llm_show::{Cell, Complaint, Curve, Lesson, Table, read, svg};
use ndarray::{Array2, array};

/// The reference example: its token 2 costs 0.38764.
const LOGITS: &str = "2,0.5,3.1,0.1,-1";
/// f32 keeps six digits of a loss, and a slope measured with h = 1e-5 as many.
const CLOSE: f64 = 1e-6;

/// Own flags.
#[derive(Args)]
struct Own {
    /// Scores of the possible next tokens, 2 to 20 finite numbers
    #[arg(long, default_value = LOGITS, value_name = "LIST", allow_hyphen_values = true)]
    logits: String,
    /// Which of them came, counted from 0
    #[arg(long, default_value_t = 2, value_name = "N")]
    target: usize,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let (logits, target) = (read::numbers("--logits", &own.logits, 2..=20, LOGITS)?, own.target);
    let last = logits.len() - 1;
    if target > last {
        let problem = format!("--target is {target}, expected 0 to {last}: one of the logits");
        return Err(Complaint::new(problem).hint(format!("--target {last}")).into());
    }
    let (device, dtype) = (lesson.args.device.as_str(), lesson.args.dtype.as_str_or("f64"));
    let machine = Machine::start(device, dtype, lesson.args.threads)?;
    lesson.weather.settings(&machine.describe());

    lesson.step("The loss is -ln p of what came; its slope is p, less 1 for what came");
    let (cost, slope) = (loss::surprise(&logits, target), loss::surprise_backward(&logits, target));
    let mut table = Table::new(&["token", "logit", "p", "-ln p", "slope"]);
    for (token, (&logit, &p)) in logits.iter().zip(&softmax(&logits)).enumerate() {
        let name = if token == target { format!("{token} came") } else { token.to_string() };
        let minus_ln_p = loss::surprise(&logits, token);
        table.row([name.into(), logit.into(), p.into(), minus_ln_p.into(), slope[token].into()]);
    }
    lesson.show(&table);
    let row = Array2::from_shape_vec((1, logits.len()), logits.clone())?;
    let (fast, recorded) = loss::cross_entropy_with_ops(
        &row,
        &[target as i64],
        1.0,
        (machine.dtype, &machine.device),
    )?;
    lesson.check("loss: math == ops (Candle)", (cost - fast) / cost.max(1.0), CLOSE);
    if own.logits == LOGITS && target == 2 {
        lesson.check("loss == 0.38764", cost - 0.387_64, 0.5e-5);
    }
    let measured = numeric(&logits, 1e-5, |x| loss::surprise(x, target));
    // A slope is a difference of losses: large losses have fewer digits left for it.
    let limit = CLOSE.max(1e-10 * logits.iter().fold(1.0, |most: f64, x| most.max(x.abs())));
    lesson.check("slope == measured slope", compare(&slope, &measured).largest, limit);
    lesson.check("slope == autograd (Candle)", compare(&slope, &recorded).largest, CLOSE);
    lesson.check("slopes sum to 0", slope.iter().sum(), CLOSE);

    lesson.step("Certainty costs 0; the less the right token had been given, the more it costs");
    let costs: Vec<f64> = (1..=100).map(|percent| -(f64::from(percent) / 100.0).ln()).collect();
    lesson.show(&Curve::new(&costs, "% given"));
    lesson.say("A guess that gives V tokens the same costs ln V, and e^loss tells V:");
    let mut table = Table::new(&["V", "loss", "in bits", "e^loss = perplexity"]);
    for v in [2_usize, 5, 256, 50_257] {
        let cost = loss::surprise(&vec![0.0; v], 0);
        let back = Cell::number(format!("{:.1}", loss::perplexity(cost)));
        table.row([v.into(), cost.into(), loss::bits(cost).into(), back]);
    }
    lesson.show(&table);
    let v = loss::perplexity(loss::surprise(&[0.0; 256], 0));
    lesson.check("perplexity of an equal guess over 256", v - 256.0, CLOSE);

    the_trick(lesson);
    ignored(lesson)?;
    lesson.solution(8.0, 1e-6);
    Ok(())
}

/// Step 3: the right token far behind another one, by the loss and by the trick.
fn the_trick(lesson: &mut Lesson) {
    lesson.step("-ln(p + 1e-10), seen in many tutorials, keeps ln 0 away and goes flat instead");
    let right = |gap: f64| loss::surprise(&[0.0, gap], 0);
    let trick = |gap: f64| loss::with_epsilon(&[0.0, gap], 0, 1e-10);
    let slope = |gap: f64| loss::surprise_backward(&[0.0, gap], 0)[0];
    let flat = |gap: f64| numeric(&[0.0, gap], 1e-5, |x| loss::with_epsilon(x, 0, 1e-10))[0];
    let mut table = Table::new(&["behind by", "-ln p", "slope", "-ln(p + 1e-10)", "slope"]);
    for gap in [1.0, 20.0, 30.0, 100.0, 1e4] {
        table.row([gap, right(gap), slope(gap), trick(gap), flat(gap)].map(Cell::from));
    }
    lesson.show(&table);
    lesson.check("the loss of a logit 1e4 behind is 1e4", right(1e4) - 1e4, CLOSE);
    lesson.check("and it still pulls: slope == -1", slope(1e4) + 1.0, CLOSE);
    lesson.check("the trick pulls no more: slope == 0", flat(1e4), 0.0);
    lesson.picture(|| {
        let gaps = || (0..=40).map(f64::from);
        let points = |f: &dyn Fn(f64) -> f64| gaps().map(|gap| (gap, f(gap))).collect();
        let lines = [("-ln p", points(&right)), ("-ln(p + 1e-10)", points(&trick))]
            .map(|(name, points)| svg::Line { name: name.into(), points });
        svg::lines("A loss and a trick", ["the right logit is behind by", "loss"], &lines)
    });
}

/// Step 4: the mean over tokens of which some do not count.
fn ignored(lesson: &mut Lesson) -> anyhow::Result<()> {
    lesson.step("Prompt and padding get the target -100: no loss, no slope, not in the mean");
    let logits = array![[1.0, 0.0, 2.0], [0.0, 3.0, 1.0], [2.0, 2.0, 0.0], [1.0, 1.0, 1.0]];
    let targets = [2, IGNORE_INDEX, 0, IGNORE_INDEX];
    let scale = 1.0 / loss::counted(&targets) as f64;
    let mean = loss::cross_entropy(&logits, &targets, scale);
    let slopes = loss::cross_entropy_backward(&logits, &targets, scale);
    let mut table = Table::new(&["logits", "target", "slopes of the mean"]);
    for (n, target) in targets.iter().enumerate() {
        let (row, slope) = (logits.row(n).to_string(), format!("{:.4}", slopes.row(n)));
        table.row([row, target.to_string(), slope].map(Cell::from));
    }
    lesson.show(&table);
    let two = loss::surprise(&[1.0, 0.0, 2.0], 2) + loss::surprise(&[2.0, 2.0, 0.0], 0);
    lesson.say(&format!("the mean over the two tokens that count is {mean:.4}"));
    lesson.check("mean == half the sum of those two", mean - two / 2.0, CLOSE);
    Ok(())
}
