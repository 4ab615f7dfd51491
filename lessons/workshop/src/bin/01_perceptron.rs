//! What can one neuron learn, and what can it never learn?
//!
//! What you will see: a perceptron finding the line for AND and for OR, the picture of that line, and
//! XOR, which no line can cut: it stays at three of four however long it learns.
//!
//! Reads: crates/llm-core/src/math/perceptron.rs.
//! Try: `--gate xor`, `--epochs 1000`.

use clap::Args;
use llm_core::math::perceptron::{Perceptron, best_line};
use llm_show::{Lesson, Region, Table, number, sparkline};

/// A logic gate as four examples.
type Gate = [([f64; 2], bool); 4];
/// Directions and distances of the lines tried on XOR in step 4.
const LINES: (usize, usize) = (360, 401);

/// Own flags.
#[derive(Args)]
struct Own {
    /// The gate to learn
    #[arg(long, default_value = "all", value_parser = ["and", "or", "xor", "all"])]
    gate: String,
    /// The most passes over the four examples
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    epochs: u32,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    lesson.weather.fact("device", "cpu, plain loops in f64");
    let gates = [("and", gate(0b1000)), ("or", gate(0b1110)), ("xor", gate(0b0110))];
    for (name, examples) in gates {
        if own.gate == name || own.gate == "all" {
            learn(lesson, name, &examples, own.epochs);
        }
    }
    if matches!(own.gate.as_str(), "xor" | "all") {
        let (turns, shifts) = LINES;
        lesson.step("No line at all does better on XOR");
        let best = best_line(&gates[2].1, turns, shifts);
        let count = turns * shifts;
        lesson.say(&format!(
            "{turns} directions x {shifts} distances = {} lines tried",
            number::count(count as u64)
        ));
        lesson.check_equal("most examples right", &best, &3);
    }
    let learnable = (0..16).filter(|&bits| settles(&gate(bits)));
    lesson.solution(learnable.count() as f64, 0.0);
    Ok(())
}

/// The gate whose answer for inputs `a`, `b` is bit `2a + b`.
fn gate(bits: u32) -> Gate {
    [0, 1, 2, 3].map(|at| ([f64::from(at >> 1), f64::from(at & 1)], bits >> at & 1 == 1))
}

/// Whether the rule makes no more mistakes within the longest run that four points can need.
fn settles(examples: &Gate) -> bool {
    let mut neuron = Perceptron::default();
    (0..100).any(|_| neuron.epoch(examples) == 0)
}

/// One step: learns `examples` and shows the line.
fn learn(lesson: &mut Lesson, name: &str, examples: &Gate, epochs: u32) {
    let name = name.to_uppercase();
    lesson.step(&format!("{name}: learn from every mistake, at most {epochs} times over"));
    let mut neuron = Perceptron::default();
    let mut mistakes = Vec::new();
    let mut most = 0;
    for _ in 0..epochs {
        mistakes.push(neuron.epoch(examples) as f64);
        most = most.max(neuron.right(examples));
        if mistakes.last() == Some(&0.0) {
            break;
        }
    }
    let passes = mistakes.len();
    let look = lesson.look();
    lesson
        .exhibit_line(&format!("mistakes  {}  in {passes} passes", sparkline(&mistakes, 40, look)));
    let mut table = Table::new(&["a", "b", &name, "neuron", "w·x + b"]);
    for &(x, wanted) in examples {
        let sum = neuron.weights[0] * x[0] + neuron.weights[1] * x[1] + neuron.bias;
        let bit = |yes: bool| usize::from(yes).into();
        table.row([bit(x[0] > 0.5), bit(x[1] > 0.5), bit(wanted), bit(neuron.says(x)), sum.into()]);
    }
    lesson.show(&table);
    let points = examples.map(|([a, b], class)| (a, b, class));
    let class = |a: f64, b: f64| neuron.says([a, b]);
    lesson.show(&Region { range: (-0.5, 1.5), class: &class, points: &points });
    if name == "XOR" {
        lesson.check_that("never more than 3 of 4 right", "in every pass", most <= 3);
    } else if mistakes.last() == Some(&0.0) {
        lesson.check_equal("examples right", &neuron.right(examples), &4);
    } else {
        lesson.say("not settled yet: give it more passes with --epochs");
    }
}
