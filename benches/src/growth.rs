//! How a training step grows: models of about 1, 4, 16 and 64 million parameters on texts of 64 to
//! 2,048 tokens.

use crate::shape::GptShape;

/// Tokens of a step, whatever the length of a text.
pub const TOKENS_PER_STEP: usize = 2048;

/// The lengths of a text.
pub const LENGTHS: [usize; 4] = [64, 256, 1024, 2048];

/// Millions of parameters, and L, H, C that give about as many.
pub const MODELS: [(usize, [usize; 3]); 4] = [
    (1, [5, 2, 128]),
    (4, [5, 4, 256]),
    (16, [5, 8, 512]),
    (64, [9, 12, 768]),
];

/// The shape of a model on texts of `tokens` tokens.
pub fn shape([layers, heads, channels]: [usize; 3], tokens: usize) -> GptShape {
    let batch = (TOKENS_PER_STEP / tokens).max(1);
    GptShape::new([layers, heads, channels, tokens, batch])
}

/// One measured step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Millions of parameters, rounded: which model.
    pub model: usize,
    /// Scalars, counted.
    pub parameters: u64,
    /// T
    pub tokens: usize,
    /// The median step.
    pub ms: f64,
    /// Tokens a second at the median.
    pub tokens_per_second: f64,
    /// GFLOP/s at the median.
    pub gflops: f64,
    /// GFLOP/s over the measured peak.
    pub share: f64,
}

/// A Markdown table of the points.
pub fn table(points: &[Point]) -> String {
    let mut text = String::from(
        "| parameters | T | B | step, ms | tokens/s | GFLOP/s | of the peak |\n\
         |---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for point in points {
        text += &format!(
            "| {} | {} | {} | {:.1} | {:.0} | {:.0} | {:.0} % |\n",
            llm_show::number::count(point.parameters),
            llm_show::number::count(point.tokens as u64),
            TOKENS_PER_STEP / point.tokens,
            point.ms,
            point.tokens_per_second,
            point.gflops,
            100.0 * point.share
        );
    }
    text
}

/// Tokens a second over T, one line a model, both axes logarithmic.
pub fn plot(points: &[Point]) -> String {
    let lines = MODELS.iter().map(|&(model, _)| llm_show::svg::Line {
        name: format!("{model} M"),
        points: points
            .iter()
            .filter(|point| point.model == model)
            .map(|point| (point.tokens as f64, point.tokens_per_second))
            .collect(),
    });
    let picture = llm_show::svg::log_log(
        "Training, tokens a second by length of text",
        ["T, tokens", "tokens/s"],
        &lines.collect::<Vec<_>>(),
    );
    picture.svg().to_owned()
}

/// The page of the book: what was measured on `machine`, the table and the plot.
pub fn page(machine: &str, peak_gflops: f64, points: &[Point]) -> String {
    format!(
        "# How a training step grows\n\n\
         <!-- written by `cargo run --release -p llm-benches --bin bench_growth` -->\n\n\
         A step is forward, cross-entropy, backward, clipping and AdamW in f32 on {TOKENS_PER_STEP} \
         tokens, cut into texts of T. Arithmetic is that of the matrix products and of attention; \
         attention alone grows with T. Medians on {machine}; the peak is fused multiply-adds on \
         registers, measured in the same run: {peak_gflops:.0} GFLOP/s.\n\n\
         ![tokens a second by length of text](growth.svg)\n\n{}",
        table(points)
    )
}
