//! What does attention learn, and does every parameter get its gradient?
//!
//! What you will see: one head as a module of four matrices, its gradients by hand and by autograd;
//! the head learning to look names up, where it looks before and after; and each matrix cut off from
//! its gradient in turn: what the loss says, and what the audit says.
//!
//! Reads: crates/llm-core/src/math/{self_attention,attention,audit,recall}.rs.
//! Try: `--pairs 8`, `--width 1`, `--rate 5`.

use clap::Args;
use llm_core::device::Machine;
use llm_core::math::attention::word_vectors;
use llm_core::math::audit::{Cut, autograd, cut_each, slope_error};
use llm_core::math::recall::{Text, grade, reads};
use llm_core::math::self_attention::SelfAttention;
use llm_core::rng::{Purpose, stream};
use llm_show::{Complaint, Curve, Grid, GridStyle, Lesson, Shape, Table, svg};

/// Own flags.
#[derive(Args)]
struct Own {
    /// N, pairs of a name and a number in a text, 1 to 8; T = N + 1
    #[arg(long, default_value_t = 4, value_name = "N")]
    pairs: usize,
    /// D, numbers in a query, a key and a value, 1 to 12
    #[arg(long, default_value_t = 6, value_name = "D")]
    width: usize,
    /// Learning rate, above 0
    #[arg(long, default_value_t = 0.2, value_name = "LR", allow_negative_numbers = true)]
    rate: f64,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let (device, dtype) = (lesson.args.device.as_str(), lesson.args.dtype.as_str_or("f64"));
    let machine = Machine::start(device, dtype, lesson.args.threads)?;
    lesson.weather.settings(&machine.describe());
    for (flag, size, most) in [("--pairs", own.pairs, 8), ("--width", own.width, 12)] {
        if !(1..=most).contains(&size) {
            let why = "a question needs a pair to find and a query a number to ask with";
            let problem = format!("{flag} is {size}, expected 1 to {most}: {why}");
            return Err(Complaint::new(problem).hint(format!("{flag} 4")).into());
        }
    }

    lesson.step("A task: pairs of a name and a number, then a name; what is its number?");
    let (seed, n) = (lesson.args.seed, own.pairs);
    let text = Text::draw(&mut stream(seed, Purpose::Demo), n);
    let (t, c) = text.x.dim();
    let (pairs, ask) = (text.labels()[..n].join("  "), &text.questions()[text.asked]);
    lesson.exhibit_line(&format!("{pairs}  {ask}  ->  {:.2}", text.answer));
    lesson.shape("x: name, name asked for, number", &[('T', t), ('C', c)], "f64");

    lesson.step("A module: four matrices on the way there, four gradients on the way back");
    let module = SelfAttention::init(&mut stream(seed, Purpose::Init), c, own.width);
    let by_hand = grade(&module, &text);
    let mut table = Table::new(&["matrix", "shape", "numbers", "length of its gradient"]);
    for ((name, matrix), norm) in module.parameters().into_iter().zip(by_hand.gradient.norms()) {
        let shape = format!("{:?}", matrix.dim());
        table.row([name.into(), shape.into(), matrix.len().into(), norm.into()]);
    }
    lesson.show(&table);
    let place = (machine.dtype, &machine.device);
    let ops = autograd(&module, (&text.x, &by_hand.d_y), None, place)?;
    let apart = ops.difference(&by_hand.forward, &by_hand.gradient);
    let close = if dtype == "f64" { 1e-12 } else { 1e-5 };
    lesson.check("y, gradients: by hand == autograd (Candle)", apart, close);
    let slopes = slope_error(&module, &by_hand.gradient, |module| grade(module, &text).loss);
    lesson.check("gradients by hand == measured slopes", slopes, 1e-8);
    let complete = ops.without_gradient().is_empty();
    lesson.check_that("parameters without gradient", "none", complete);

    let cuts = cut_each(&module, &text, (seed, own.rate), place)
        .map_err(|error| Complaint::new(error.to_string()).hint("--rate 0.1"))?;
    show_learning(lesson, &module, &text, &cuts[0]);
    show_cuts(lesson, &cuts, (n, own.width, own.rate) == (4, 6, 0.2));
    // A token alone reads itself, whatever the score.
    let alone = word_vectors(&["alone".to_owned()], c, &mut stream(seed, Purpose::Demo));
    let still = autograd(&module, (&alone, &alone), None, place)?.without_gradient();
    lesson.solution(still.len() as f64, 0.0);
    Ok(())
}

/// Step 3: gradient descent, and who is read before and after it.
fn show_learning(lesson: &mut Lesson, module: &SelfAttention, text: &Text, whole: &Cut) {
    lesson.step("Learn: 400 steps downhill, each on 4 fresh texts. Who is read?");
    lesson.show(&Curve::new(&whole.trained.losses, "step").log());
    let (rows, columns, low, high) = (text.questions(), text.labels(), 0.0, 1.0);
    for (when, module) in [("before", module), ("after", &whole.trained.module)] {
        let weights = reads(module, text);
        let title = Shape::new(when, &[('B', rows.len()), ('S', columns.len())], "f64");
        let grid = Grid::new(&rows, &columns, &weights, GridStyle::Heatmap { low, high });
        lesson.show(&grid.title(title));
    }
    let weights = reads(&whole.trained.module, text);
    let title = "what each question reads after training";
    lesson.picture(|| svg::heatmap(title, &rows, &columns, &weights, svg::Scale { low, high }));
}

/// Step 4: one lost gradient at a time.
fn show_cuts(lesson: &mut Lesson, cuts: &[Cut], usual: bool) {
    lesson.step("The classic mistake: a matrix cut off from its gradient. Nothing fails");
    let mut table = Table::new(&["cut off", "audit names", "loss", "share of the right pair"]);
    for Cut { matrix, audited, trained, .. } in cuts {
        let (loss, share) = (trained.loss.into(), trained.share.into());
        table.row([(*matrix).into(), audited.as_str().into(), loss, share]);
    }
    lesson.show(&table);
    let silent = cuts.iter().all(|cut| cut.same_output);
    lesson.check_that("the output does not show it", "same bits", silent);
    let found = cuts.iter().all(|cut| cut.audited == cut.matrix);
    lesson.check_that("the audit does", "names what is cut", found);
    if usual {
        let [whole, query, key] = [0, 1, 2].map(|cut| cuts[cut].trained.loss);
        lesson.check_between("loss with all gradients", whole, (0.0, 0.1));
        lesson.check_that(
            "query or key cut off",
            "over 5 x the loss",
            query.min(key) > 5.0 * whole,
        );
    }
}
