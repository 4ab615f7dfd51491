//! `deeper metrics`: predictions beside references, as numbers.

mod pairs;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use llm_bertscore::{BertScore, Options, Score};
use llm_show::{Complaint, ToolArgs};
use llm_train::metrics::bleu::sentence_bleu;
use llm_train::metrics::{Pair, RowScores, rows_and_corpus};
use serde::Serialize;
use serde_json::{Map, Value};

/// Compare predictions with references: exact match, F1, Jaccard, ROUGE, BLEU, BERTScore
///
/// Prints one JSON object. ROUGE is that of rouge-score without stemmer (F-measures), BLEU that of
/// sacrebleu's corpus_bleu, F1 that of SQuAD; all are means over rows between 0 and 1, but BLEU,
/// which is of the whole set and between 0 and 100. The prediction must not hold its prompt.
#[derive(Args, Debug)]
#[command(
    after_help = "Files written: with --per-row, one JSON object a row with both texts, its scores \
and its sentence BLEU.\n\nExamples:\n  deeper metrics --pairs predictions.jsonl\n  \
deeper metrics --pairs - --per-row scores.jsonl < predictions.jsonl\n  \
deeper metrics --pairs predictions.jsonl --bertscore path/to/roberta-large"
)]
pub(crate) struct MetricsArgs {
    #[command(flatten)]
    pub tool: ToolArgs,
    /// Rows of {"prediction": "…", "reference": "…"}, one JSON object a line; - reads stdin
    #[arg(long, value_name = "F.jsonl")]
    pairs: String,
    /// Write the scores of every row to this file
    #[arg(long, value_name = "FILE")]
    per_row: Option<PathBuf>,
    /// Also BERTScore, with a BERT or RoBERTa encoder in this folder (or a hub id)
    #[arg(long, value_name = "ENCODER")]
    bertscore: Option<String>,
    /// Layers of the encoder, 0 to all [default: bert-score's choice for a known model, else all]
    #[arg(long, value_name = "N", requires = "bertscore")]
    bertscore_layers: Option<usize>,
    /// Weigh tokens by how few references have them
    #[arg(long, requires = "bertscore")]
    bertscore_idf: bool,
    /// Put a blank before each text, as bert-score did for RoBERTa before version 5 of transformers
    #[arg(long, requires = "bertscore")]
    bertscore_prefix_space: bool,
}

/// One line of `--per-row`.
#[derive(Serialize)]
struct Row<'a> {
    row: usize,
    #[serde(flatten)]
    pair: &'a Pair,
    #[serde(flatten)]
    scores: &'a RowScores,
    sentence_bleu: f64,
    #[serde(flatten)]
    bertscore: Option<Map<String, Value>>,
}

pub(crate) fn run(args: &MetricsArgs) -> Result<()> {
    crate::model::threads(&args.tool)?;
    if let Some(path) = &args.per_row {
        refuse_overwriting(&args.pairs, path)?;
    }
    let pairs = pairs::read(&args.pairs)?;
    let (rows, corpus) = rows_and_corpus(&pairs);
    let similarity = match &args.bertscore {
        Some(encoder) => Some(bertscore(args, encoder, &pairs)?),
        None => None,
    };
    if let Some(path) = &args.per_row {
        write_rows(path, &pairs, &rows, similarity.as_deref())?;
    }
    let mut summary = serde_json::to_value(corpus)?;
    if let (Some(object), Some(scores)) = (summary.as_object_mut(), &similarity) {
        object.extend(named(&mean(scores)));
    }
    let mut screen = llm_show::stdout_screen(&args.tool.look);
    screen.line(&serde_json::to_string(&summary)?);
    Ok(screen.finish()?)
}

/// The scores of every pair by the encoder that `name` means.
fn bertscore(args: &MetricsArgs, name: &str, pairs: &[Pair]) -> Result<Vec<Score>> {
    let chosen = llm_core::device::choose(args.tool.device.as_str())?;
    let options = Options {
        layers: args.bertscore_layers,
        idf: args.bertscore_idf,
        prefix_space: args.bertscore_prefix_space,
        device: chosen.device,
        dtype: llm_core::device::dtype(args.tool.dtype.as_str())?,
    };
    let scorer = BertScore::open(&llm_hub::resolve(name)?, &options)?;
    let mut weather = llm_show::stderr_weather(&args.tool.look);
    weather.fact("bertscore", &format!("{} layers of {name}", scorer.layers()));
    let texts: Vec<(&str, &str)> = pairs
        .iter()
        .map(|pair| (pair.prediction.as_str(), pair.reference.as_str()))
        .collect();
    let total = texts.len() as u64;
    Ok(scorer.score(&texts, |done| weather.progress("bertscore", done as u64, total))?)
}

/// The mean of each of the three numbers.
fn mean(scores: &[Score]) -> Score {
    let mean = |value: fn(&Score) -> f64| {
        scores.iter().map(value).sum::<f64>() / scores.len().max(1) as f64
    };
    Score {
        precision: mean(|score| score.precision),
        recall: mean(|score| score.recall),
        f1: mean(|score| score.f1),
    }
}

fn named(score: &Score) -> Map<String, Value> {
    let numbers = [
        ("bertscore_precision", score.precision),
        ("bertscore_recall", score.recall),
        ("bertscore_f1", score.f1),
    ];
    let entry = |(name, value): (&str, f64)| (name.to_owned(), Value::from(value));
    numbers.into_iter().map(entry).collect()
}

/// Writes one line a row; the file is whole or not there.
fn write_rows(
    path: &Path,
    pairs: &[Pair],
    rows: &[RowScores],
    similarity: Option<&[Score]>,
) -> Result<()> {
    let mut lines = String::new();
    for (index, (pair, scores)) in pairs.iter().zip(rows).enumerate() {
        let row = Row {
            row: index + 1,
            pair,
            scores,
            sentence_bleu: sentence_bleu(&pair.prediction, &pair.reference),
            bertscore: similarity.and_then(|all| all.get(index)).map(named),
        };
        lines.push_str(&serde_json::to_string(&row)?);
        lines.push('\n');
    }
    Ok(llm_store::atomic::write_file(path, lines.as_bytes())?)
}

/// The scores must not take the place of the texts that they are about.
fn refuse_overwriting(source: &str, target: &Path) -> Result<()> {
    let place = |path: &Path| path.canonicalize().ok();
    let same = place(target).is_some_and(|target| place(Path::new(source)) == Some(target));
    if same {
        let problem = format!("--per-row {} is the file of --pairs", target.display());
        return Err(Complaint::new(problem).hint("name another file").into());
    }
    Ok(())
}
