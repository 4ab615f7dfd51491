//! What a model's probabilities say about a text: perplexity and bits per byte.
//!
//! Both come from one number, the nats `−Σ ln p` that the text cost. Perplexity divides it by
//! *tokens*, so it depends on how the tokenizer cuts: a model that knows nothing has perplexity V,
//! and a larger vocabulary looks worse although it spells the same text in fewer tokens. Bits per
//! byte divides by the bytes of the text, which are the same for every tokenizer: only it compares
//! models with different vocabularies.

use std::f64::consts::LN_2;

/// `e^(nats / tokens)`: among how many equally likely tokens the model chose, on average. NaN
/// without tokens.
///
/// `nats` is the summed loss over the `tokens` that were predicted; the first token of a text has
/// nothing before it and is not among them.
pub fn perplexity(nats: f64, tokens: usize) -> f64 {
    (nats / tokens as f64).exp()
}

/// `nats / ln 2 / bytes`: how many bits the model needs for a byte of the text. NaN without bytes.
///
/// `bytes` is the length in UTF-8 of the text that the predicted tokens spell.
pub fn bits_per_byte(nats: f64, bytes: usize) -> f64 {
    nats / LN_2 / bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Roundings of a logarithm, a sum and an exponential, relative.
    const ROUNDING: f64 = 1e-12;

    fn near(found: f64, expected: f64) {
        let gap = (found / expected - 1.0).abs();
        assert!(gap <= ROUNDING, "{found} and {expected}: {gap:e}");
    }

    #[test]
    fn knowing_nothing_costs_the_vocabulary() {
        for v in [2_usize, 256, 50_257, 151_936] {
            let tokens = 37;
            near(perplexity((v as f64).ln() * tokens as f64, tokens), v as f64);
        }
    }

    #[test]
    fn two_tokenizers_agree_in_bits_per_byte_and_not_in_perplexity() {
        // One source of independent letters, cut into letters and into pairs of letters: the same
        // probabilities, so the same nats; half as many tokens, so another perplexity.
        let text = "abacabadabacabaa";
        let probability = |letter| match letter {
            'a' => 0.5,
            'b' => 0.25,
            _ => 0.125,
        };
        let nats = |piece: &str| piece.chars().map(|l| -f64::ln(probability(l))).sum::<f64>();
        let letters: Vec<f64> = text.split("").map(nats).filter(|&cost| cost > 0.0).collect();
        let pairs: Vec<f64> = (0..text.len()).step_by(2).map(|i| nats(&text[i..i + 2])).collect();
        assert_eq!((letters.len(), pairs.len()), (16, 8));
        let bits = |costs: &[f64]| bits_per_byte(costs.iter().sum(), text.len());
        let perplexity = |costs: &[f64]| perplexity(costs.iter().sum(), costs.len());
        near(bits(&letters), bits(&pairs));
        near(bits(&letters), 26.0 / 16.0); // 9 a of one bit, 4 b of two, 2 c and 1 d of three
        near(perplexity(&pairs), perplexity(&letters).powi(2));
    }
}
