//! How do arrays of different shapes work together?
//!
//! What you will see: where a number of an array stands in memory; two shapes laid over each other
//! and what is repeated; a batch of matrix products; axes with names; errors worth reading.
//!
//! Reads: crates/llm-core/src/math/arrays.rs, every loop of it; ndarray computes the same beside it.
//! Try: `--left 4,1 --right 6`, `--left 2,3 --right 2`, `--operation matmul --left 2,3 --right 2,3`.

use clap::Args;
use llm_core::math::arrays::{self, broadcast_shape, counting, distance, matmul};
use llm_show::{Complaint, Grid, GridStyle, Lesson, Shape, read, svg};
use ndarray::{ArrayD, Axis, Ix2, IxDyn};

/// Sums of a few products in another order.
const CLOSE: f64 = 1e-12;
/// Arrays here are small enough to look at.
const MOST: usize = 2048;

/// Own flags.
#[derive(Args)]
struct Own {
    /// Shape of the left array: 1 to 4 sizes separated by commas
    #[arg(long, default_value = "2,3", value_name = "SHAPE")]
    left: String,
    /// Shape of the right array
    #[arg(long, default_value = "3", value_name = "SHAPE")]
    right: String,
    /// What becomes of the two in step 2
    #[arg(long, default_value = "add", value_parser = ["add", "matmul"])]
    operation: String,
}

type Pair<'a> = (&'a ArrayD<f64>, &'a ArrayD<f64>);

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let left = fits(counting(&read::counts("--left", &own.left, 1..=4, "2,3")?, 1.0, MOST))?;
    let right = fits(counting(&read::counts("--right", &own.right, 1..=4, "3")?, 10.0, MOST))?;

    lesson.step("Memory is one row of numbers; a stride is how far one step on an axis jumps");
    let strides = arrays::strides(left.shape());
    lesson.say(&format!("left has shape {:?} and strides {strides:?}", left.shape()));
    let last: Vec<usize> = left.shape().iter().map(|size| size - 1).collect();
    let place = arrays::place(&last, &strides);
    lesson.say(&format!("left{last:?} stands at place {place} and is {}", left[IxDyn(&last)]));
    lesson.check_equal("the last index is the last place", &place, &(left.len() - 1));
    let theirs = format!("{:?}", left.strides());
    lesson.check_equal("strides by hand == ndarray", &format!("{strides:?}"), &theirs);

    together(lesson, (&left, &right), own.operation == "add")?;
    batches(lesson)?;

    lesson.step("What does not fit is refused, and the message has both shapes");
    let (product, sum) = (arrays::product_shape(&[2, 3], &[2, 3]), broadcast_shape(&[2, 3], &[2]));
    for (sign, result) in [("@", product), ("+", sum)] {
        let message = result.err().map(|error| error.to_string()).unwrap_or_default();
        lesson.say(&message);
        let named = message.contains("[2, 3]") && message.matches("[2").count() == 2;
        lesson.check_that(&format!("{sign} names both shapes"), "in the message", named);
    }
    let shape = broadcast_shape(&[5, 1, 3], &[4, 1])?;
    lesson.solution(shape.iter().product::<usize>() as f64, 0.0);
    Ok(())
}

/// Step 2: the shapes that the learner chose.
fn together(lesson: &mut Lesson, (left, right): Pair, add: bool) -> anyhow::Result<()> {
    lesson.step(match add {
        true => "Broadcasting: lay the shapes over each other at the right, repeat axes of 1",
        false => "A matrix product: each row of the left meets each column of the right",
    });
    let sign = if add { "+" } else { "@" };
    let result = fits(if add { arrays::add(left, right) } else { matmul(left, right) })?;
    let label = format!("{:?} {sign} {:?} = {:?}", left.shape(), right.shape(), result.shape());
    lesson.say(&label);
    let values: Vec<f64> = result.iter().copied().collect();
    let across = result.shape().last().copied().unwrap_or(1);
    let names = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let (rows, columns) = (names(values.len() / across), names(across));
    lesson.show(&Grid::new(&rows, &columns, &values, GridStyle::Numbers));
    let other = if add { left + right } else { arrays::turned_product(left, right)? };
    let name = if add { "by hand == ndarray" } else { "left @ right == (rightᵀ @ leftᵀ)ᵀ" };
    lesson.check(name, distance(&result, &other), CLOSE);
    let scale = svg::Scale { low: 0.0, high: values.iter().copied().fold(0.0, f64::max) };
    lesson.picture(|| svg::heatmap(&label, &rows, &columns, &values, scale));
    Ok(())
}

/// Steps 3 and 4: one product for each text, and a sum over an axis that has a name.
fn batches(lesson: &mut Lesson) -> anyhow::Result<()> {
    lesson.step("A batch: one product for each of 32 texts, the matrix on the right serves all");
    let (b, t, c, d) = (32, 10, 4, 8); // texts, tokens, numbers of a token before and after
    let (x, w) = (counting(&[b, t, c], 0.01, MOST)?, counting(&[c, d], 0.1, MOST)?);
    let y = matmul(&x, &w)?;
    lesson.shapes(vec![
        Shape::new("x", &[('B', b), ('T', t), ('C', c)], "f64"),
        Shape::new("w", &[('C', c), ('D', d)], "f64"),
        Shape::new("y = x @ w", &[('B', b), ('T', t), ('D', d)], "f64").note("C is gone"),
    ]);
    // ndarray multiplies two matrices: all texts below each other are one tall matrix.
    let tall = x.to_shape((b * t, c))?.dot(&w.into_dimensionality::<Ix2>()?);
    let theirs = tall.into_shape_with_order(IxDyn(&[b, t, d]))?;
    lesson.check("by hand == ndarray", distance(&y, &theirs), CLOSE);

    lesson.step("A sum over an axis: call the axis by its name, T, and not by its number");
    let tokens = Axis(1);
    let sums = x.sum_axis(tokens);
    lesson.shape("x summed over T", &[('B', b), ('C', c)], "f64");
    let by_hand = arrays::sum_to(&x, &[b, 1, c])?.index_axis_move(tokens, 0);
    lesson.check("by hand == ndarray", distance(&by_hand, &sums), CLOSE);
    Ok(())
}

/// A result, or its message with shapes that would do for both operations.
fn fits<T>(result: Result<T, arrays::ShapeError>) -> Result<T, Complaint> {
    result.map_err(|error| Complaint::new(error.to_string()).hint("--left 3,3 --right 3"))
}
