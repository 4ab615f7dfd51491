//! Gradient descent on functions of a few numbers: plain, with momentum, and Adam.
//!
//! ```text
//! plain      w ← w − lr · g
//! momentum   v ← β v + g                     w ← w − lr · v
//! Adam       m ← β₁ m + (1 − β₁) g           w ← w − lr · m̂ / (√ŝ + ε)
//!            s ← β₂ s + (1 − β₂) g²          m̂ = m / (1 − β₁ᵗ), ŝ = s / (1 − β₂ᵗ)
//! ```
//!
//! A slope says which way is down, not how far. On a bowl whose steepest direction has curvature L
//! (the slope grows by L for each unit of distance) one plain step multiplies the distance to the
//! bottom by `1 − lr · L`: below `lr = 2/L` that shrinks, at 2/L it only changes sign, above it grows.
//!
//! Momentum: Polyak 1964. Adam: Kingma and Ba 2014. Models train with `llm_train::optimizer`.
//!
//! ```
//! use llm_core::math::descent::{Descent, Rule};
//! let mut w = [0.5, -0.3];
//! Descent::new(Rule::Plain, 0.01)?.step(&mut w, &[1.0, -1.0]);
//! assert_eq!(w, [0.49, -0.29]);
//! # Ok::<(), llm_core::Error>(())
//! ```

use candle_core::Tensor;

use crate::{Error, Result};

/// How a slope becomes a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Straight downhill.
    Plain,
    /// A heavy ball: slopes that agree add up, slopes that alternate cancel.
    Momentum {
        /// How much of its speed the ball keeps, 0 to 1.
        beta: f64,
    },
    /// A step size for each number of its own, from the size that its slopes have had.
    Adam {
        /// How slowly the mean of the slopes forgets, 0 to 1.
        beta1: f64,
        /// How slowly the mean of their squares forgets, 0 to 1.
        beta2: f64,
        /// Keeps the divisor above zero.
        epsilon: f64,
    },
}

impl Rule {
    /// Momentum as it is commonly used.
    pub const MOMENTUM: Self = Self::Momentum { beta: 0.9 };
    /// Adam with the paper's settings.
    pub const ADAM: Self = Self::Adam {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
    };
}

/// A rule, its learning rate, and what it remembers of earlier slopes.
#[derive(Clone, Debug)]
pub struct Descent {
    rule: Rule,
    lr: f64,
    /// v of momentum, m of Adam `[N]`
    speed: Vec<f64>,
    /// s of Adam, the mean of squared slopes `[N]`
    square: Vec<f64>,
    /// Steps taken.
    steps: i32,
}

impl Descent {
    /// Nothing remembered yet.
    ///
    /// # Errors
    /// A learning rate that is not a finite number above zero: 0 stays where it is, below 0 climbs.
    pub fn new(rule: Rule, lr: f64) -> Result<Self> {
        if !(lr > 0.0 && lr.is_finite()) {
            let problem = format!("{lr}, expected a finite number above 0");
            return Err(Error::input("learning rate", problem));
        }
        Ok(Self {
            rule,
            lr,
            speed: Vec::new(),
            square: Vec::new(),
            steps: 0,
        })
    }

    // ANCHOR: step
    /// Moves `w` one step against its `slope`.
    ///
    /// # Shapes
    /// `w [N]`, `slope [N]`.
    pub fn step(&mut self, w: &mut [f64], slope: &[f64]) {
        self.speed.resize(w.len(), 0.0);
        self.square.resize(w.len(), 0.0);
        self.steps += 1;
        for (i, (w, &g)) in w.iter_mut().zip(slope).enumerate() {
            let (speed, square) = (&mut self.speed[i], &mut self.square[i]);
            let direction = match self.rule {
                Rule::Plain => g,
                Rule::Momentum { beta } => {
                    *speed = beta * *speed + g;
                    *speed
                }
                Rule::Adam {
                    beta1,
                    beta2,
                    epsilon,
                } => {
                    *speed = beta1 * *speed + (1.0 - beta1) * g;
                    *square = beta2 * *square + (1.0 - beta2) * g * g;
                    // Both means started at 0 and are too small at first, by known factors.
                    let mean = *speed / (1.0 - beta1.powi(self.steps));
                    let size = (*square / (1.0 - beta2.powi(self.steps))).sqrt();
                    // A slope over its own usual size: its scale cancels.
                    mean / (size + epsilon)
                }
            };
            *w -= self.lr * direction;
        }
    }
    // ANCHOR_END: step
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The loss fell to the goal.
    Arrived,
    /// The steps were used up on the way.
    Walking,
    /// The loss left every bound, or is not a number any more.
    Diverged,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Arrived => "arrives",
            Self::Walking => "does not arrive",
            Self::Diverged => "runs away",
        })
    }
}

/// Every place of a descent, with its loss.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The start and the place after each step; `[steps + 1]` places of N numbers
    pub path: Vec<Vec<f64>>,
    /// The loss at each place `[steps + 1]`
    pub losses: Vec<f64>,
    /// How it ended.
    pub end: End,
}

impl Walk {
    /// The steps taken.
    pub fn steps(&self) -> usize {
        self.losses.len() - 1
    }

    /// The loss at the end.
    pub fn loss(&self) -> f64 {
        self.losses.last().copied().unwrap_or(f64::NAN)
    }

    /// The path in two dimensions, for pictures; other places are left out.
    pub fn points(&self) -> Vec<(f64, f64)> {
        let point = |w: &Vec<f64>| match w[..] {
            [x, y] => Some((x, y)),
            _ => None,
        };
        self.path.iter().filter_map(point).collect()
    }
}

/// A walk is lost when its loss is so many times that of the start.
const LOST: f64 = 1e6;

/// Walks down from `start` until the loss is at most `goal`, for `most` steps at most. `f` gives the
/// loss and the slope at a place.
///
/// # Shapes
/// `start [N]`, the slope of `f` `[N]`.
///
/// # Errors
/// As [`Descent::new`].
pub fn walk(
    f: impl Fn(&[f64]) -> (f64, Vec<f64>),
    start: &[f64],
    (rule, lr): (Rule, f64),
    (goal, most): (f64, usize),
) -> Result<Walk> {
    let mut descent = Descent::new(rule, lr)?;
    let mut w = start.to_vec();
    let (mut loss, mut slope) = f(&w);
    let lost = LOST * loss.abs().max(f64::MIN_POSITIVE);
    let mut walk = Walk {
        path: vec![w.clone()],
        losses: vec![loss],
        end: End::Walking,
    };
    while walk.steps() < most && loss > goal {
        descent.step(&mut w, &slope);
        (loss, slope) = f(&w);
        walk.path.push(w.clone());
        walk.losses.push(loss);
        // A NaN compares with nothing, so it has to be asked for.
        if loss.is_nan() || loss.abs() > lost {
            walk.end = End::Diverged;
            return Ok(walk);
        }
    }
    if loss <= goal {
        walk.end = End::Arrived;
    }
    Ok(walk)
}

/// The bowl `f(w) = ½ Σ λᵢ wᵢ²` with its bottom at 0: the simplest surface that has steep and flat
/// directions, and what every smooth surface looks like close to a minimum.
#[derive(Clone, Debug, PartialEq)]
pub struct Bowl {
    /// λ, the curvature in each direction `[N]`
    pub curvatures: Vec<f64>,
}

impl Bowl {
    /// L, the largest curvature.
    pub fn steepest(&self) -> f64 {
        self.curvatures.iter().copied().fold(0.0, f64::max)
    }

    /// 2/L: from this learning rate on a plain walk does not arrive.
    pub fn limit(&self) -> f64 {
        2.0 / self.steepest()
    }

    /// What becomes of a plain walk with learning rate `lr`, however long it goes on, if it starts
    /// away from the bottom in the steepest direction.
    pub fn foretell(&self, lr: f64) -> End {
        // A step multiplies the distance in that direction by 1 − lr L, and in others by less. The
        // last bits of a limit that is computed are rounding.
        let beyond = lr / self.limit() - 1.0;
        if beyond.abs() < 1e-12 {
            End::Walking
        } else if beyond < 0.0 {
            End::Arrived
        } else {
            End::Diverged
        }
    }

    /// The loss and the slope `λᵢ wᵢ`.
    ///
    /// # Shapes
    /// `w [N]` → a number and `[N]`.
    pub fn look(&self, w: &[f64]) -> (f64, Vec<f64>) {
        let mut loss = 0.0;
        let mut slope = Vec::with_capacity(w.len());
        for (w, curvature) in w.iter().zip(&self.curvatures) {
            loss += 0.5 * curvature * w * w;
            slope.push(curvature * w);
        }
        (loss, slope)
    }

    /// The same loss in tensor operations, which record what they did: no slope is written here, the
    /// tensor library derives it.
    ///
    /// # Shapes
    /// `w [N]` → a scalar.
    ///
    /// # Errors
    /// What the tensor library reports.
    pub fn recorded(&self, w: &Tensor) -> Result<Tensor> {
        let curvatures = Tensor::new(&self.curvatures[..], w.device())?.to_dtype(w.dtype())?;
        Ok(((w.sqr()? * curvatures)?.sum_all()? * 0.5)?)
    }
}
