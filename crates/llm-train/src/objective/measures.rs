//! Means of what is measured beside the loss.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Sums by name, each with the weight that it is divided by: they add up over micro-batches and
/// steps, and survive a checkpoint.
///
/// ```
/// use llm_train::objective::Measures;
/// let mut all = Measures::default();
/// all.add("reward", 3.0, 4.0);
/// let mut more = Measures::default();
/// more.add("reward", 1.0, 4.0);
/// all.merge(&more);
/// assert_eq!(all.means()["reward"], 0.5);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Measures {
    sums: BTreeMap<String, (f64, f64)>,
}

impl Measures {
    /// Adds a sum and its weight.
    pub fn add(&mut self, name: &str, sum: f64, weight: f64) {
        let (total, weights) = self.sums.entry(name.to_owned()).or_default();
        *total += sum;
        *weights += weight;
    }

    /// Adds all sums of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (name, &(sum, weight)) in &other.sums {
            self.add(name, sum, weight);
        }
    }

    /// The means by name; what has no weight is left out.
    pub fn means(&self) -> BTreeMap<String, f64> {
        let means = self.sums.iter().filter(|(_, (_, weight))| *weight > 0.0);
        means
            .map(|(name, (sum, weight))| (name.clone(), sum / weight))
            .collect()
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }
}
