//! Choosing the next token from its scores.
//!
//! The order is that of the common implementations: penalties, temperature, top-k, top-p, min-p,
//! then one draw. Temperature 0 is greedy. Ties go to the smaller token id.

use rand::Rng;

use crate::rng::{ChaCha8Rng, Purpose, stream};
use crate::{Error, Result};

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerConfig {
    /// Divides the logits; 0 takes the best token.
    pub temperature: f64,
    /// Keep the k best tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of best tokens whose probability reaches this; 1 keeps all.
    pub top_p: f64,
    /// Keep tokens with at least this share of the best one's probability; 0 keeps all.
    pub min_p: f64,
    /// Divides positive and multiplies negative logits of tokens seen before (Keskar et al.
    /// 2019); 1 changes nothing.
    pub repetition_penalty: f64,
    /// The seed of the draws.
    pub seed: u64,
}

impl Default for SamplerConfig {
    /// Greedy.
    fn default() -> Self {
        let (temperature, top_k, top_p, min_p) = (0.0, 0, 1.0, 0.0);
        Self {
            temperature,
            top_k,
            top_p,
            min_p,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

impl SamplerConfig {
    /// Fails on settings out of range.
    ///
    /// # Errors
    /// The first setting that is out of range, with the range.
    pub fn validate(&self) -> Result<()> {
        let in_range = |what: &str, value: f64, low: f64, high: f64| {
            if value >= low && value <= high {
                return Ok(());
            }
            Err(Error::input(
                what,
                format!("is {value}, expected {low} to {high}"),
            ))
        };
        in_range("temperature", self.temperature, 0.0, 100.0)?;
        in_range("top_p", self.top_p, f64::MIN_POSITIVE, 1.0)?;
        in_range("min_p", self.min_p, 0.0, 1.0)?;
        in_range(
            "repetition_penalty",
            self.repetition_penalty,
            f64::MIN_POSITIVE,
            100.0,
        )
    }
}

/// A token with its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token id.
    pub token: u32,
    /// Its probability among the candidates.
    pub probability: f64,
}

/// Draws tokens with one seeded stream.
#[derive(Clone, Debug)]
pub struct Sampler {
    config: SamplerConfig,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A sampler at the start of its stream.
    ///
    /// # Errors
    /// Settings out of range.
    pub fn new(config: SamplerConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            config,
            rng: stream(config.seed, Purpose::Sample),
        })
    }

    /// The next token after `seen`.
    ///
    /// # Shapes
    /// `logits` of length V.
    ///
    /// # Errors
    /// NaN among the logits, or no token with a finite score.
    pub fn next(&mut self, logits: &[f32], seen: &[u32]) -> Result<u32> {
        let candidates = candidates(logits, seen, &self.config)?;
        let mut left: f64 = self.rng.random();
        for candidate in &candidates {
            left -= candidate.probability;
            if left < 0.0 {
                return Ok(candidate.token);
            }
        }
        // Rounding left a sliver above the last one.
        let last = candidates.last().map(|candidate| candidate.token);
        last.ok_or_else(|| Error::input("sampling", "no candidate is left"))
    }
}

/// The tokens that can come next, best first, with probabilities that sum to 1.
///
/// # Shapes
/// `logits` of length V.
///
/// # Errors
/// NaN among the logits, or no token with a finite score.
pub fn candidates(logits: &[f32], seen: &[u32], config: &SamplerConfig) -> Result<Vec<Candidate>> {
    if let Some(token) = logits
        .iter()
        .position(|x| x.is_nan() || *x == f32::INFINITY)
    {
        let detail = format!("token {token} scores {}", logits[token]);
        return Err(Error::NotFinite {
            what: "a logit".into(),
            detail,
        });
    }
    let mut scores: Vec<(u32, f64)> = (0u32..)
        .zip(logits)
        .map(|(token, &x)| (token, f64::from(x)))
        .collect();
    penalize(&mut scores, seen, config.repetition_penalty);
    let better = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let keep = match (config.temperature == 0.0, config.top_k) {
        (true, _) => 1,
        (false, 0) => scores.len(),
        (false, k) => k.min(scores.len()),
    };
    if keep < scores.len() {
        scores.select_nth_unstable_by(keep, better);
        scores.truncate(keep);
    }
    scores.sort_unstable_by(better);
    let Some(&(token, best)) = scores.first().filter(|(_, best)| best.is_finite()) else {
        return Err(Error::input("sampling", "no token has a finite score"));
    };
    if config.temperature == 0.0 {
        return Ok(vec![Candidate {
            token,
            probability: 1.0,
        }]);
    }
    let weight = |score: f64| ((score - best) / config.temperature).exp();
    let mut list: Vec<Candidate> = scores
        .iter()
        .map(|&(token, score)| Candidate {
            token,
            probability: weight(score),
        })
        .collect();
    normalize(&mut list);
    cut_top_p(&mut list, config.top_p);
    cut_min_p(&mut list, config.min_p);
    normalize(&mut list);
    Ok(list)
}

fn penalize(scores: &mut [(u32, f64)], seen: &[u32], penalty: f64) {
    if penalty == 1.0 {
        return;
    }
    let mut seen = seen.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for token in seen {
        if let Some((_, score)) = scores.get_mut(token as usize) {
            *score = if *score > 0.0 {
                *score / penalty
            } else {
                *score * penalty
            };
        }
    }
}

fn normalize(list: &mut [Candidate]) {
    let total: f64 = list.iter().map(|candidate| candidate.probability).sum();
    for candidate in list {
        candidate.probability /= total;
    }
}

/// Keeps the shortest prefix that reaches `top_p`.
fn cut_top_p(list: &mut Vec<Candidate>, top_p: f64) {
    if top_p >= 1.0 {
        return;
    }
    let mut mass = 0.0;
    let reached = list.iter().position(|candidate| {
        mass += candidate.probability;
        mass >= top_p
    });
    list.truncate(reached.map_or(list.len(), |i| i + 1));
}

/// Keeps what has at least `min_p` of the best candidate's probability.
fn cut_min_p(list: &mut Vec<Candidate>, min_p: f64) {
    let floor = list.first().map_or(0.0, |best| best.probability * min_p);
    list.retain(|candidate| candidate.probability >= floor);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [2.0, 1.0, 0.5, -1.0, 3.0];

    fn sampling(temperature: f64) -> SamplerConfig {
        SamplerConfig {
            temperature,
            ..SamplerConfig::default()
        }
    }

    fn tokens(config: &SamplerConfig) -> Vec<u32> {
        candidates(&LOGITS, &[], config)
            .unwrap()
            .iter()
            .map(|c| c.token)
            .collect()
    }

    #[test]
    fn probabilities_are_the_softmax_best_first() {
        let list = candidates(&LOGITS, &[], &sampling(1.0)).unwrap();
        let expected = [
            (4, 0.6236),
            (0, 0.2294),
            (1, 0.0844),
            (2, 0.0512),
            (3, 0.0114),
        ];
        for (candidate, (token, probability)) in list.iter().zip(expected) {
            assert_eq!(candidate.token, token);
            // The reference values have four decimals.
            assert!(
                (candidate.probability - probability).abs() <= 5.1e-5,
                "{candidate:?}"
            );
        }
    }

    #[test]
    fn each_filter_keeps_what_it_should() {
        assert_eq!(tokens(&sampling(0.0)), [4]);
        assert_eq!(
            tokens(&SamplerConfig {
                top_k: 2,
                ..sampling(1.0)
            }),
            [4, 0]
        );
        assert_eq!(
            tokens(&SamplerConfig {
                top_p: 0.62,
                ..sampling(1.0)
            }),
            [4]
        );
        assert_eq!(
            tokens(&SamplerConfig {
                top_p: 0.63,
                ..sampling(1.0)
            }),
            [4, 0]
        );
        // 0.2294 / 0.6236 = 0.368
        assert_eq!(
            tokens(&SamplerConfig {
                min_p: 0.36,
                ..sampling(1.0)
            }),
            [4, 0]
        );
        assert_eq!(
            tokens(&SamplerConfig {
                min_p: 0.37,
                ..sampling(1.0)
            }),
            [4]
        );
    }

    #[test]
    fn ties_go_to_the_smaller_id() {
        let list = candidates(&[1.0, 1.0, 1.0], &[], &sampling(0.0)).unwrap();
        assert_eq!(list[0].token, 0);
    }

    #[test]
    fn seen_tokens_are_penalized_once() {
        let config = SamplerConfig {
            repetition_penalty: 2.0,
            ..sampling(0.0)
        };
        assert_eq!(
            candidates(&LOGITS, &[4, 4, 4], &config).unwrap()[0].token,
            0
        );
        let config = SamplerConfig {
            repetition_penalty: 2.0,
            ..sampling(1.0)
        };
        let list = candidates(&[1.0, -1.0], &[1, 1], &config).unwrap();
        let expected = 1.0 / (1.0 + (-3.0f64).exp());
        assert!((list[0].probability - expected).abs() < 1e-12);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        const DRAWS: u32 = 100_000;
        // The 99 % point of chi-square with 4 degrees of freedom.
        const CHI_SQUARE_99: f64 = 13.28;
        let config = SamplerConfig {
            seed: 7,
            ..sampling(1.0)
        };
        let expected = candidates(&LOGITS, &[], &config).unwrap();
        let mut sampler = Sampler::new(config).unwrap();
        let mut counts = [0u32; 5];
        for _ in 0..DRAWS {
            counts[sampler.next(&LOGITS, &[]).unwrap() as usize] += 1;
        }
        let chi_square: f64 = expected
            .iter()
            .map(|c| {
                let mean = c.probability * f64::from(DRAWS);
                (f64::from(counts[c.token as usize]) - mean).powi(2) / mean
            })
            .sum();
        assert!(chi_square < CHI_SQUARE_99, "chi-square {chi_square}");
    }

    #[test]
    fn bad_scores_and_settings_are_errors() {
        assert!(candidates(&[f32::NAN, 1.0], &[], &sampling(1.0)).is_err());
        assert!(candidates(&[f32::NEG_INFINITY; 3], &[], &sampling(1.0)).is_err());
        assert!(candidates(&[], &[], &sampling(0.0)).is_err());
        assert!(Sampler::new(sampling(-1.0)).is_err());
        assert!(Sampler::new(sampling(f64::NAN)).is_err());
        assert!(
            Sampler::new(SamplerConfig {
                top_p: 0.0,
                ..sampling(1.0)
            })
            .is_err()
        );
    }
}
