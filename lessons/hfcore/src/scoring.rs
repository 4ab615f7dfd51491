//! Measures of an answer on one example each, and three models on the same questions.

use std::path::Path;

use anyhow::{Context, Result};
use llm_show::svg::{Picture, bars as bars_of};
use llm_show::{Cell, Table, ToolArgs, Weather};
use llm_train::data::Row;
use llm_train::eval::judge::{Match, Ruling, judge};
use llm_train::eval::{Compared, EvalConfig, Evaluation, Finished, Metric, compare};
use llm_train::metrics::likelihood::{bits_per_byte, perplexity};
use llm_train::metrics::{bleu::sentence_bleu, overlap, rouge::rouge, row};

use crate::asked::{Candidate, Said, as_text, ask};
use crate::endpoint::Endpoint;
use crate::tuning::MAX_NEW_TOKENS;

/// Tokens that a judge may write.
const JUDGED_TOKENS: usize = 256;

/// The measures of words, in the order of [`scores`].
const MEASURES: [&str; 7] =
    ["exact match", "F1", "Jaccard", "ROUGE-1", "ROUGE-2", "ROUGE-L", "BLEU / 100"];

/// What every measure of words says of one answer; BLEU as a share, like all others.
pub fn scores(said: &str, reference: &str) -> [f64; 7] {
    let scores = row(said, reference);
    [
        scores.exact_match,
        scores.f1,
        scores.jaccard,
        scores.rouge1,
        scores.rouge2,
        scores.rouge_l,
        sentence_bleu(said, reference) / 100.0,
    ]
}

/// The [`scores`] of five answers as a table, a row for each measure.
pub fn measures(said: [&str; 5], reference: &str) -> Table {
    let mut table = Table::new(&["measure", "1", "2", "3", "4", "5"]);
    let all = said.map(|said| scores(said, reference));
    for (index, name) in MEASURES.into_iter().enumerate() {
        let [a, b, c, d, e] = all.map(|scores| Cell::from(scores[index]));
        table.row([name.into(), a, b, c, d, e]);
    }
    table
}

/// ROUGE-1, F1 of SQuAD and Jaccard of two texts from counts of words that lower case, spaces and
/// points alone cut, as a person would count them. For texts without articles.
pub fn by_hand(said: &str, reference: &str) -> [f64; 3] {
    let words = |text: &str| -> Vec<String> {
        text.to_lowercase().split_whitespace().map(|w| w.trim_matches('.').to_owned()).collect()
    };
    // ANCHOR: by_hand
    let (mut left, said) = (words(reference), words(said));
    let (all, of) = (said.len() as f64, left.len() as f64);
    let mut common = 0.0;
    for word in &said {
        // A word of the reference can be met once only.
        if let Some(place) = left.iter().position(|other| other == word) {
            left.swap_remove(place);
            common += 1.0;
        }
    }
    let (precision, recall) = (common / all, common / of);
    let f1 = 2.0 * precision * recall / (precision + recall);
    // ANCHOR_END: by_hand
    let set = |words: &[String]| words.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    let (a, b) = (set(&said), set(&words(reference)));
    let jaccard = a.intersection(&b).count() as f64 / a.union(&b).count() as f64;
    [f1, f1, jaccard]
}

/// The library's ROUGE-1, F1 and Jaccard of the same.
pub fn by_library(said: &str, reference: &str) -> [f64; 3] {
    let jaccard = overlap::jaccard(said, reference);
    [rouge(said, reference).rouge1.f1, overlap::f1(said, reference), jaccard]
}

/// What one text costs under two tokenizers of one source: letters, and pairs of letters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likelihood {
    /// Tokens of the text.
    pub tokens: usize,
    /// e to the nats a token.
    pub perplexity: f64,
    /// Bits for each byte of the text.
    pub bits_per_byte: f64,
}

/// Letters are drawn one by one: a with 1/2, b with 1/4, c and d with 1/8 each. A model that knows
/// this pays as much for a text cut into letters as for one cut into pairs.
///
/// `cut` letters are one token.
pub fn letters(text: &str, cut: usize) -> Likelihood {
    let nats = |letter: char| -> f64 {
        let share: f64 = match letter {
            'a' => 0.5,
            'b' => 0.25,
            _ => 0.125,
        };
        -share.ln()
    };
    let sum: f64 = text.chars().map(nats).sum();
    let tokens = text.len().div_ceil(cut.max(1));
    Likelihood {
        tokens,
        perplexity: perplexity(sum, tokens),
        bits_per_byte: bits_per_byte(sum, text.len()),
    }
}

/// One text cut into letters, pairs and fours, as a table.
pub fn cuts(text: &str) -> (Table, [Likelihood; 3]) {
    let mut table = Table::new(&["one text, cut into", "tokens", "perplexity", "bits per byte"]);
    let found = [("letters", 1), ("pairs", 2), ("fours", 4)].map(|(name, cut)| {
        let one = letters(text, cut);
        table.row([
            name.into(),
            one.tokens.into(),
            one.perplexity.into(),
            one.bits_per_byte.into(),
        ]);
        one
    });
    (table, found)
}

/// What three models make of the first `limit` rows of `data`: each number with its interval.
///
/// # Errors
/// As [`Evaluation::open`] and [`Evaluation::run`].
pub fn evaluate(
    all: &[Candidate],
    (data, train): (&Path, Option<&Path>),
    limit: usize,
    tool: &ToolArgs,
    weather: &mut Weather,
) -> Result<Vec<Compared>> {
    let mut finished = Vec::new();
    for one in all {
        let tuned = one.adapter.as_deref().unwrap_or(&one.model);
        let config = EvalConfig {
            model_path: Some(tuned.display().to_string()),
            base_model: one.adapter.as_ref().map(|_| one.model.display().to_string()),
            dataset_path: data.to_path_buf(),
            limit: Some(limit),
            max_new_tokens: MAX_NEW_TOKENS,
            train_path: train.map(Path::to_path_buf),
            max_leakage: train.map(|_| 0),
            device: tool.device.as_str().to_owned(),
            dtype: tool.dtype.as_str().to_owned(),
            seed: tool.seed,
            run_name: Some(format!("lesson-{}", one.name)),
            ..EvalConfig::default()
        };
        let evaluation = Evaluation::open(config, one.model.clone(), one.adapter.clone())?;
        evaluation.gate()?;
        evaluation
            .run(None, |done, total| weather.progress(one.name, done as u64, total as u64))?;
        finished.push(Finished::read(&evaluation.folder.path)?);
    }
    Ok(compare(&finished, tool.seed)?)
}

/// The numbers of all models as a table: the first one's values, and of the others value and interval
/// of the difference.
pub fn table(compared: &[Compared], all: &[Candidate]) -> Table {
    let mut table = Table::new(&["number", "model", "value", "to the base", "95 % interval"]);
    for one in compared {
        let name = all.get(one.evaluation).map_or("", |candidate| candidate.name);
        let metric = if one.evaluation == 0 { one.metric.key() } else { "" };
        let (difference, interval) = match one.difference {
            None => (Cell::from(""), Cell::from("")),
            Some(found) => (
                Cell::number(format!("{:+.4}", found.value)),
                Cell::number(format!("{:+.4} to {:+.4}", found.low, found.high)),
            ),
        };
        table.row([metric.into(), name.into(), one.own.value.into(), difference, interval]);
    }
    table
}

/// The value of `metric` for the model at `place`, and whether its difference to the first one is
/// surely of the sign of `sign`.
///
/// # Errors
/// A number that is not in the table.
pub fn surely(compared: &[Compared], metric: Metric, place: usize, sign: f64) -> Result<bool> {
    let mut rows = compared.iter();
    let found = rows.find(|row| row.metric == metric && row.evaluation == place);
    let row = found.with_context(|| format!("{} was measured", metric.key()))?;
    let difference = row.difference.context("another model than the first")?;
    Ok(sign * difference.low > 0.0 && sign * difference.high > 0.0)
}

/// The share of questions that each model answered exactly.
pub fn picture(compared: &[Compared], all: &[Candidate]) -> Picture {
    let hits = compared.iter().filter(|one| one.metric == Metric::ExactMatch);
    let name = |one: &Compared| all.get(one.evaluation).map_or("", |candidate| candidate.name);
    let bars: Vec<_> = hits.map(|one| (name(one).to_owned(), one.own.value)).collect();
    bars_of("Answered exactly, of the held-out questions", "share", &bars)
}

/// What a judge thought of two models.
#[derive(Clone, Debug)]
pub struct Opinion {
    /// How pairs were judged.
    pub table: Table,
    /// The share of wins, and whose opinion that is.
    pub share: String,
    /// Pairs that were to be judged, and rulings.
    pub counts: [usize; 2],
}

/// Lets the model behind `endpoint` judge the adapter's answers (the third of `all`) against the
/// base's (the first) on `rows`.
///
/// # Errors
/// What a model or the server reports.
pub fn opinion(
    endpoint: &Endpoint,
    all: &[Candidate; 3],
    rows: &[Row],
    tool: &ToolArgs,
    weather: &mut Weather,
) -> Result<Opinion> {
    let [base, _, adapter] = all;
    let answers = |one: &Candidate| -> Result<Vec<Said>> {
        let subject = one.open(tool)?;
        rows.iter().map(|row| ask(&subject, row.prompt(), MAX_NEW_TOKENS)).collect()
    };
    let (ours, theirs) = (answers(adapter)?, answers(base)?);
    let pairs = rows.iter().zip(ours.into_iter().zip(theirs));
    let matches: Vec<Match> = pairs
        .map(|(row, (ours, theirs))| Match {
            question: as_text(row.prompt()),
            reference: row.completion().to_owned(),
            ours: ours.text,
            theirs: theirs.text,
        })
        .collect();
    let (mut asked, most) = (0_u64, 2 * matches.len() as u64);
    let judged = judge::<anyhow::Error>(&matches, tool.seed, |instructions, prompt| {
        asked += 1;
        weather.progress("judge", asked.min(most), most);
        let turns = [("system", instructions), ("user", prompt)];
        Ok(endpoint.chat(&turns, JUDGED_TOKENS)?)
    })?;
    let mut table = Table::new(&["ruling", "pairs"]);
    for ruling in [Ruling::Win, Ruling::Loss, Ruling::Tie, Ruling::Changed, Ruling::Unread] {
        table.row([format!("{ruling:?}").to_lowercase().into(), judged.count(ruling).into()]);
    }
    let share = match judged.share {
        Some(share) => format!("{:.4}, {:.4} to {:.4}", share.value, share.low, share.high),
        None => "no verdict was read".to_owned(),
    };
    let share = format!("share of wins by {}: {share}", endpoint.name());
    Ok(Opinion { table, share, counts: [matches.len(), judged.rulings.len()] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_words_gives_the_librarys_numbers() {
        for (said, reference) in [
            ("to carry blood", "to carry blood away"),
            ("blood blood blood", "carry blood"),
            ("to sense light", "to sense light"),
        ] {
            let pairs = by_hand(said, reference).into_iter().zip(by_library(said, reference));
            for (place, (hand, library)) in pairs.enumerate() {
                assert!((hand - library).abs() < 1e-12, "{said}: {place}: {hand} {library}");
            }
        }
    }

    #[test]
    fn two_cuts_cost_the_same_bits_and_not_the_same_perplexity() {
        let text = "abacabadabacabaa";
        let (letters, pairs) = (super::letters(text, 1), super::letters(text, 2));
        assert_eq!((letters.tokens, pairs.tokens), (16, 8));
        assert!((letters.bits_per_byte - pairs.bits_per_byte).abs() < 1e-12);
        assert!((pairs.perplexity - letters.perplexity.powi(2)).abs() < 1e-9);
    }
}
