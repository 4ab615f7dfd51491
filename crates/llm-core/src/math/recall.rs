//! A task that only attention can solve: look a name up.
//!
//! ```text
//! b = 0.42   d = -1.10   a = 0.77   c = 0.05   a?     →  0.77
//! ```
//!
//! Names come in any order with any numbers, so nothing can be learned by heart. What helps is one
//! rule, "read the pair whose name I am asked for", and one head of attention can hold it: its query
//! asks for a name, the keys say which name a pair has, the value is the number.
//!
//! A token has `2N + 1` channels for N names: which name it offers, which name it asks for, its number.
//!
//! ```
//! use llm_core::math::recall::{Training, channels, trained};
//! use llm_core::math::self_attention::SelfAttention;
//! use llm_core::rng::{Purpose, stream};
//! let head = SelfAttention::init(&mut stream(7, Purpose::Init), channels(2), 4);
//! let learned = trained(&head, 7, 2, &Training::default())?;
//! assert!(learned.loss < 0.1, "an untrained head is off by 1 or more");
//! # Ok::<(), llm_core::Error>(())
//! ```

use ndarray::{Array2, s};
use rand::Rng;
use rand::seq::SliceRandom;

use super::attention::Mask;
use super::self_attention::{Forward, SelfAttention};
use crate::rng::{ChaCha8Rng, Purpose, standard_normal, stream};
use crate::{Error, Result};

/// N pairs and a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// T = N + 1 tokens, the question last: `[T, 2N + 1]`
    pub x: Array2<f64>,
    /// The name of each pair, in the order of the text.
    pub names: Vec<usize>,
    /// The position of the pair that is asked for.
    pub asked: usize,
    /// Its number.
    pub answer: f64,
    /// Where the tokens stand, for [rope](super::rope); `None` where nobody tells: `[T]`
    pub places: Option<Vec<f64>>,
}

/// The channels of a token where there are `names` names.
pub fn channels(names: usize) -> usize {
    2 * names + 1
}

impl Text {
    /// Pairs in random order with N(0, 1) numbers, and a question for one of them.
    ///
    /// # Shapes
    /// N pairs → `x [N + 1, 2N + 1]`.
    pub fn draw(rng: &mut ChaCha8Rng, n: usize) -> Self {
        // Each name once, in an order of its own: a place in the text says nothing about a name.
        let mut names: Vec<usize> = (0..n).collect();
        names.shuffle(rng);
        let mut x = Array2::zeros((n + 1, channels(n)));
        for (position, name) in names.iter().enumerate() {
            x[[position, *name]] = 1.0;
            x[[position, 2 * n]] = standard_normal(rng);
        }
        let asked = rng.random_range(0..n.max(1));
        let text = Self {
            x,
            names,
            asked,
            answer: 0.0,
            places: None,
        };
        text.asking(asked)
    }

    /// The same pairs with a question for the pair at position `asked`.
    #[must_use]
    pub fn asking(mut self, asked: usize) -> Self {
        let n = self.names.len();
        // The question offers no name, or it would fit itself as well as the pair does.
        self.x.row_mut(n).fill(0.0);
        self.x[[n, n + self.names[asked]]] = 1.0;
        self.answer = self.x[[asked, 2 * n]];
        self.asked = asked;
        self
    }

    /// The same text with places: the pairs stand at 0, 1, …, and the question is the last token of
    /// a text of `length`, whatever stood between them. Places are then multiplied by `squeeze`.
    #[must_use]
    pub fn placed(mut self, length: usize, squeeze: f64) -> Self {
        let pairs = 0..self.names.len();
        let last = length.saturating_sub(1).max(self.names.len());
        let places = pairs.chain([last]).map(|place| squeeze * place as f64);
        self.places = Some(places.collect());
        self
    }

    /// What `module` makes of the text.
    pub fn forward(&self, module: &SelfAttention) -> Forward {
        match &self.places {
            Some(places) => module.forward_at(&self.x, places, Mask::Causal),
            None => module.forward(&self.x, Mask::Causal),
        }
    }

    /// How far the number in the question's row of the output is from the answer.
    fn error(&self, forward: &Forward) -> f64 {
        let (t, c) = forward.y.dim();
        forward.y[[t - 1, c - 1]] - self.answer
    }

    /// The tokens as people write them: `b=0.42`, and `?` for the question.
    pub fn labels(&self) -> Vec<String> {
        // The last channel holds the number.
        let n = self.names.len();
        let pair = |(position, name): (usize, &usize)| {
            format!("{}={:.2}", letter(*name), self.x[[position, 2 * n]])
        };
        let pairs = self.names.iter().enumerate().map(pair);
        pairs.chain(["?".to_owned()]).collect()
    }

    /// Every question that the text could end with, in the order of its pairs.
    pub fn questions(&self) -> Vec<String> {
        let ask = |name: &usize| format!("{}?", letter(*name));
        self.names.iter().map(ask).collect()
    }
}

/// `a`, `b`, …
fn letter(name: usize) -> char {
    char::from_u32(u32::from('a') + name as u32).unwrap_or('?')
}

/// One text, passed through a module and back.
#[derive(Clone, Debug)]
pub struct Graded {
    /// What the module made of it.
    pub forward: Forward,
    /// `(y − answer)²`, where y is the number in the question's row of the output.
    pub loss: f64,
    /// The gradient of the output: `[T, C]`
    pub d_y: Array2<f64>,
    /// The gradient of the module's matrices.
    pub gradient: SelfAttention,
}

// ANCHOR: grade
/// Passes `text` through `module` and the loss back through it.
///
/// # Shapes
/// `x [T, C]` of the text; the module takes C channels.
pub fn grade(module: &SelfAttention, text: &Text) -> Graded {
    let forward = text.forward(module);
    let (t, c) = text.x.dim();
    let error = text.error(&forward);
    // Of the whole output one number counts; the others may be what they like.
    let mut d_y = Array2::zeros((t, c));
    d_y[[t - 1, c - 1]] = 2.0 * error;
    let backward = match &text.places {
        Some(places) => module.backward_at(&text.x, places, &forward, &d_y),
        None => module.backward(&text.x, &forward, &d_y),
    };
    Graded {
        forward,
        loss: error * error,
        d_y,
        gradient: backward.parameters,
    }
}
// ANCHOR_END: grade

/// How the head is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training<'a> {
    /// Steps downhill.
    pub steps: usize,
    /// Fresh texts for each step.
    pub texts: usize,
    /// The learning rate.
    pub rate: f64,
    /// A matrix that never moves, as if its gradient had been lost.
    pub forgotten: Option<&'a str>,
    /// With places: questions stand at most so far into a text that its length is this.
    pub longest: Option<usize>,
}

impl Default for Training<'_> {
    fn default() -> Self {
        Self {
            steps: 400,
            texts: 4,
            rate: 0.3,
            forgotten: None,
            longest: None,
        }
    }
}

// ANCHOR: train
/// Plain gradient descent on fresh texts with N names: what `module` became, and the mean loss of
/// each step before it moved.
///
/// # Errors
/// A learning rate that is not above 0, or one so large that the loss leaves the numbers.
pub fn train(
    module: &SelfAttention,
    rng: &mut ChaCha8Rng,
    n: usize,
    training: &Training,
) -> Result<(SelfAttention, Vec<f64>)> {
    // Below 0 each step would climb, at 0 none would move.
    let rate = training.rate;
    if !(rate > 0.0 && rate.is_finite()) {
        let problem =
            format!("{rate}, expected a number above 0: a step goes against the gradient");
        return Err(Error::input("learning rate", problem));
    }
    let (mut module, mut losses) = (module.clone(), Vec::with_capacity(training.steps));
    for step in 1..=training.steps {
        // Every text of a step is graded by the module as it was before the step.
        let (mut loss, before) = (0.0, module.clone());
        for _ in 0..training.texts {
            let mut text = Text::draw(rng, n);
            if let Some(longest) = training.longest {
                text = text.placed(rng.random_range(n + 1..=longest.max(n + 1)), 1.0);
            }
            let graded = grade(&before, &text);
            // The mean over the texts, one text at a time.
            let share = 1.0 / training.texts as f64;
            loss += share * graded.loss;
            module.add_scaled(-rate * share, &graded.gradient, training.forgotten);
        }
        // Steps that are too long jump over the valley, each farther than the last.
        if !loss.is_finite() {
            let problem = format!("{rate} overshoots: the loss is {loss} at step {step}");
            return Err(Error::input("learning rate", problem));
        }
        losses.push(loss);
    }
    Ok((module, losses))
}
// ANCHOR_END: train

/// What came of a training.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The module at its end.
    pub module: SelfAttention,
    /// The mean loss of each step before it moved.
    pub losses: Vec<f64>,
    /// The mean loss of 200 texts that it never saw.
    pub loss: f64,
    /// The mean share of attention that the right pair gets there.
    pub share: f64,
}

/// [`train`] on texts of `seed`, then the score on fresh ones.
///
/// # Errors
/// As [`train`].
pub fn trained(
    module: &SelfAttention,
    seed: u64,
    n: usize,
    training: &Training,
) -> Result<Trained> {
    let (module, losses) = train(module, &mut stream(seed, Purpose::Data), n, training)?;
    let [loss, share] = score(&module, &fresh(seed, n));
    Ok(Trained {
        module,
        losses,
        loss,
        share,
    })
}

/// 200 texts of `seed` that no training sees.
fn fresh(seed: u64, n: usize) -> Vec<Text> {
    let rng = &mut stream(seed, Purpose::Split);
    (0..200).map(|_| Text::draw(rng, n)).collect()
}

/// The mean loss of `texts`, and the mean share of attention that the right pair gets.
fn score(module: &SelfAttention, texts: &[Text]) -> [f64; 2] {
    let mut means = [0.0; 2];
    for text in texts {
        let forward = text.forward(module);
        let share = forward.trace.weights[[text.names.len(), text.asked]];
        means[0] += text.error(&forward).powi(2) / texts.len() as f64;
        means[1] += share / texts.len() as f64;
    }
    means
}

/// The mean loss of fresh texts of `seed` where the question is the last of `length` tokens: with the
/// places as they are, and with places squeezed so that it stands where the last of `trained` tokens
/// stood (position interpolation, Chen et al. 2023).
pub fn loss_at(
    module: &SelfAttention,
    (seed, n): (u64, usize),
    length: usize,
    trained: usize,
) -> [f64; 2] {
    let fit = trained.saturating_sub(1) as f64 / length.saturating_sub(1).max(1) as f64;
    let texts = fresh(seed, n);
    // The same texts twice, so that only the places differ.
    [1.0, fit].map(|squeeze| {
        let place = |text: &Text| text.clone().placed(length, squeeze);
        let placed: Vec<Text> = texts.iter().map(place).collect();
        score(module, &placed)[0]
    })
}

/// Which tokens each of the text's [questions](Text::questions) reads.
///
/// # Shapes
/// → `[N, T]`, row-major.
pub fn reads(module: &SelfAttention, text: &Text) -> Vec<f64> {
    let n = text.names.len();
    let mut rows = Vec::new();
    // One text, asked for each of its pairs: only the question's row of weights is of interest.
    for asked in 0..n {
        let text = text.clone().asking(asked);
        let weights = text.forward(module).trace.weights;
        rows.extend(weights.slice(s![n, ..]).iter().copied());
    }
    rows
}
