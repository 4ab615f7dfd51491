//! The first step of attention's way back. Lesson: 04_attention_impl.
//!
//! ```text
//! output[t] = Σₛ weight[t][s] · value[s]
//! ```
//!
//! A value went into the output of every token that read it. Given what each output should do
//! (`d_output`), say what each value and each weight should do.

/// Rows of numbers.
pub type Rows = Vec<Vec<f64>>;

/// The gradient of the values `[S][D]`, from the weights `[T][S]` and `d_output [T][D]`.
pub fn d_values(weights: &Rows, d_output: &Rows) -> Rows {
    let number = |s: usize, d: usize| -> f64 {
        weights.iter().zip(d_output).map(|(w, d_out)| w[s] * d_out[d]).sum()
    };
    let row = |s: usize| (0..d_output[0].len()).map(|d| number(s, d)).collect();
    (0..weights[0].len()).map(row).collect()
}

/// The gradient of the weights `[T][S]`, from the values `[S][D]` and `d_output [T][D]`.
pub fn d_weights(values: &Rows, d_output: &Rows) -> Rows {
    let weight = |t: usize, s: usize| -> f64 {
        d_output[t].iter().zip(&values[s]).map(|(d_out, value)| d_out * value).sum()
    };
    let row = |t: usize| (0..values.len()).map(|s| weight(t, s)).collect();
    (0..d_output.len()).map(row).collect()
}
