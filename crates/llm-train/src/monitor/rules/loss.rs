//! Rules on losses and gradients.

use std::collections::VecDeque;

use super::{Rule, median};

/// What the rules take as usual: the last so many losses.
const RECENT: usize = 30;
/// Fewer losses say nothing about what is usual.
const FEWEST: usize = 10;
/// Losses whose mean is where the run began.
const BEGIN: usize = 5;
/// The weight of a new loss in the smoothed one.
const SMOOTHING: f64 = 0.1;
/// A smoothed loss above the first ones by this factor diverges.
const DIVERGED: f64 = 1.25;
/// From the median to a spike: standard deviations, estimated by the median deviation …
const SPIKE_DEVIATIONS: f64 = 8.0;
/// … and at least this share of the median.
const SPIKE_SHARE: f64 = 0.5;
/// Differences of loss below this are not worth a warning.
const SMALL: f64 = 0.1;
/// From a median absolute deviation to a standard deviation, for normal noise.
const MAD_TO_SIGMA: f64 = 1.4826;
/// A loss that fell by less than this share is flat.
const FLAT: f64 = 0.01;
/// `flat` looks at so many losses: a run that has learned much and learns no more is done, not flat.
const FLAT_UNTIL: usize = 1000;
/// A held-out loss above the best by this share rises.
const RISEN: f64 = 0.02;
/// One evaluation so far above the best is enough.
const RISEN_AT_ONCE: f64 = 0.2;

/// What the rules on losses remember.
#[derive(Clone, Debug)]
pub(super) struct Losses {
    /// Losses before `flat` speaks.
    flat_after: usize,
    /// All losses since the learning rate stopped rising, for `flat`.
    since_warmup: Vec<f64>,
    recent: VecDeque<f64>,
    grads: VecDeque<f64>,
    begin: Vec<f64>,
    smoothed: Option<f64>,
    last_lr: f64,
    since_spike: usize,
    best: Option<Best>,
    rises: usize,
}

/// The lowest held-out loss with its step, and the training loss beside it.
#[derive(Clone, Copy, Debug)]
struct Best {
    step: u64,
    val: f64,
    train: f64,
}

impl Losses {
    /// For losses of single steps.
    pub(super) fn of_steps() -> Self {
        Self::new(60)
    }

    /// For rows of a log, which are means over steps.
    pub(super) fn of_rows() -> Self {
        Self::new(12)
    }

    fn new(flat_after: usize) -> Self {
        Self {
            flat_after,
            since_warmup: Vec::new(),
            recent: VecDeque::new(),
            grads: VecDeque::new(),
            begin: Vec::new(),
            smoothed: None,
            last_lr: 0.0,
            since_spike: usize::MAX,
            best: None,
            rises: 0,
        }
    }

    /// What a new loss says.
    pub(super) fn observe(&mut self, loss: f64, grad: f64, lr: f64) -> Vec<(Rule, Option<String>)> {
        let spike = self.spike(loss, grad);
        if self.begin.len() < BEGIN {
            self.begin.push(loss);
        }
        let smoothed = self.smoothed.unwrap_or(loss);
        self.smoothed = Some(smoothed + SMOOTHING * (loss - smoothed));
        if lr > self.last_lr {
            self.since_warmup.clear();
        }
        self.last_lr = lr;
        if self.since_warmup.len() < FLAT_UNTIL {
            self.since_warmup.push(loss);
        }
        for (values, value) in [(&mut self.recent, loss), (&mut self.grads, grad)] {
            values.push_back(value);
            if values.len() > RECENT {
                values.pop_front();
            }
        }
        vec![
            (Rule::Spike, spike),
            (Rule::Diverging, self.diverging()),
            (Rule::Flat, self.flat(lr)),
        ]
    }

    /// A loss far above its neighbours. The episode lasts until the spike has left the neighbours'
    /// closest ones, so that the steps after it, which are high too, give no new warning.
    fn spike(&mut self, loss: f64, grad: f64) -> Option<String> {
        let usual = median(self.recent.iter().copied());
        let deviation = median(self.recent.iter().map(|value| (value - usual).abs()));
        let room = (SPIKE_DEVIATIONS * MAD_TO_SIGMA * deviation)
            .max(SPIKE_SHARE * usual.abs())
            .max(SMALL);
        let spikes = self.recent.len() >= FEWEST && loss > usual + room;
        self.since_spike = if spikes {
            0
        } else {
            self.since_spike.saturating_add(1)
        };
        (self.since_spike < FEWEST).then(|| {
            let grads = median(self.grads.iter().copied());
            format!(
                "the loss jumps to {loss:.4}, usually {usual:.4}; the gradient norm to {grad:.4}, \
                 usually {grads:.4}"
            )
        })
    }

    fn diverging(&self) -> Option<String> {
        let (begin, now) = (mean(&self.begin), self.smoothed?);
        let diverges = self.recent.len() >= FEWEST && now > DIVERGED * begin + SMALL;
        diverges.then(|| {
            format!("the loss has risen from {begin:.4} to {now:.4} (smoothed) since the start")
        })
    }

    /// The last third of the losses is no lower than the first third.
    fn flat(&self, lr: f64) -> Option<String> {
        let losses = &self.since_warmup;
        let third = losses.len() / 3;
        if losses.len() < self.flat_after || losses.len() >= FLAT_UNTIL {
            return None;
        }
        let first = mean(losses.get(..third)?);
        let last = mean(losses.get(losses.len() - third..)?);
        let flat = first > SMALL && (first - last) < FLAT * first && last <= DIVERGED * first;
        flat.then(|| format!("the loss went from {first:.4} to {last:.4} with lr {lr:.1e}"))
    }

    /// What a held-out loss says.
    pub(super) fn evaluated(&mut self, step: u64, train: f64, val: f64) -> (Rule, Option<String>) {
        let Some(best) = self.best.filter(|best| val >= best.val) else {
            self.best = Some(Best { step, val, train });
            self.rises = 0;
            return (Rule::Overfit, None);
        };
        let above = |share: f64| val > best.val * (1.0 + share) + SMALL * share;
        if above(RISEN) && train < best.train {
            self.rises += 1;
        }
        let overfit = self.rises >= 2 || (self.rises == 1 && above(RISEN_AT_ONCE));
        let message = overfit.then(|| {
            format!(
                "the held-out loss rose from {:.4} at step {} to {val:.4}, while the training loss \
                 fell from {:.4} to {train:.4}",
                best.val, best.step, best.train
            )
        });
        (Rule::Overfit, message)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
