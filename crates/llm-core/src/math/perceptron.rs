//! The perceptron (Rosenblatt 1958): one neuron and the first learning rule.
//!
//! ```text
//! says 1 if w·x + b > 0, else 0         after a mistake: w += (wanted − said) x, b += (wanted − said)
//! ```
//!
//! If any straight line separates the two classes, the rule finds one after finitely many mistakes
//! (Novikoff 1962). If none does, it never settles.
//!
//! ```
//! use llm_core::math::perceptron::Perceptron;
//! let and = [([0.0, 0.0], false), ([0.0, 1.0], false), ([1.0, 0.0], false), ([1.0, 1.0], true)];
//! let mut neuron = Perceptron::default();
//! while neuron.epoch(&and) > 0 {}
//! assert!(neuron.says([1.0, 1.0]) && !neuron.says([0.0, 1.0]));
//! ```

/// A neuron with two inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Perceptron {
    /// One weight an input.
    pub weights: [f64; 2],
    /// Moves the line away from the origin.
    pub bias: f64,
}

impl Perceptron {
    /// Which side of its line a point lies on.
    pub fn says(&self, [x, y]: [f64; 2]) -> bool {
        self.weights[0] * x + self.weights[1] * y + self.bias > 0.0
    }

    /// Looks at each example once and learns from its mistakes; returns how many there were.
    pub fn epoch(&mut self, examples: &[([f64; 2], bool)]) -> usize {
        let mut mistakes = 0;
        for &(x, wanted) in examples {
            // −1, 0 or 1: nothing is learned from a right answer.
            let error = f64::from(i8::from(wanted) - i8::from(self.says(x)));
            self.weights[0] += error * x[0];
            self.weights[1] += error * x[1];
            self.bias += error;
            mistakes += usize::from(error != 0.0);
        }
        mistakes
    }

    /// How many examples it gets right.
    pub fn right(&self, examples: &[([f64; 2], bool)]) -> usize {
        examples
            .iter()
            .filter(|&&(x, wanted)| self.says(x) == wanted)
            .count()
    }
}

/// The most examples that any line of a fine grid gets right: `turns` directions, and for each
/// `shifts` distances from −2 to 2.
pub fn best_line(examples: &[([f64; 2], bool)], turns: usize, shifts: usize) -> usize {
    let mut best = 0;
    for turn in 0..turns {
        let angle = std::f64::consts::TAU * turn as f64 / turns as f64;
        for shift in 0..shifts {
            let bias = 4.0 * shift as f64 / (shifts.max(2) - 1) as f64 - 2.0;
            let line = Perceptron {
                weights: [angle.cos(), angle.sin()],
                bias,
            };
            best = best.max(line.right(examples));
        }
    }
    best
}
