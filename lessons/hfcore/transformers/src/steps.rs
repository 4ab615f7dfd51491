//! The parts of the lesson that are tables and loops.

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{Device, IndexOp, Tensor};
use llm_core::config::ModelConfig;
use llm_core::generate::{GenerateConfig, generate};
use llm_core::math::softmax::softmax;
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::text::hf::HfTokenizer;
use llm_show::{Complaint, Table};
use llm_store::ModelFolder;
use llm_store::safetensors::SafetensorsFile;
use serde_json::Value;

use crate::files::{Entry, Front, Merges, merges};

/// The keys of `config.json` that say how large the model is.
pub fn shape_table(config: &ModelConfig) -> Table {
    let mut table = Table::new(&["config.json", "letter", "value"]);
    for (key, letter, value) in [
        ("vocab_size", "V", config.vocab_size),
        ("hidden_size", "C", config.hidden_size),
        ("intermediate_size", "F", config.intermediate_size),
        ("num_hidden_layers", "L", config.num_hidden_layers),
        ("num_attention_heads", "H", config.num_attention_heads),
        ("num_key_value_heads", "K", config.num_key_value_heads),
        ("head_dim", "D", config.head_dim),
        ("max_position_embeddings", "T", config.max_position_embeddings),
    ] {
        table.row([key.into(), letter.into(), value.into()]);
    }
    table
}

/// The first tensors of a header.
pub fn front_table(front: &Front) -> Table {
    let mut table = Table::new(&["tensor", "type", "shape", "first byte"]).limit(5);
    for Entry { name, dtype, shape, bytes } in &front.entries {
        let first = usize::try_from(bytes[0]).unwrap_or(usize::MAX);
        let shape = format!("{shape:?}");
        table.row([name.as_str().into(), dtype.as_str().into(), shape.into(), first.into()]);
    }
    table
}

/// Whether the library reads the same names, types and shapes from the file.
///
/// # Errors
/// A file that the library refuses.
pub fn read_alike(front: &Front, path: &Path) -> Result<bool> {
    let file = SafetensorsFile::open(path)?;
    let theirs = &file.header().tensors;
    let alike = |one: &Entry| {
        theirs.get(&one.name).is_some_and(|info| {
            let shape = info.shape.iter().map(|&n| n as u64);
            info.dtype.name() == one.dtype && shape.eq(one.shape.iter().copied())
        })
    };
    Ok(theirs.len() == front.entries.len() && front.entries.iter().all(alike))
}

/// The scalars of everything that the model takes from the folder: a tied head that a file repeats
/// is not among them.
pub fn parameters(open: &ModelFolder) -> u64 {
    open.infos().map(|(_, info)| info.shape.iter().map(|&n| n as u64).product::<u64>()).sum()
}

/// `tokenizer.json` by hand, where it is byte-level BPE.
///
/// # Errors
/// A file that cannot be read.
pub fn read_merges(path: &Path) -> Result<Option<Merges>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let json: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(merges(&json))
}

/// The longest word of letters alone, with the space before it as a tokenizer sees it.
pub fn longest_word(text: &str) -> Option<String> {
    let words = text.split_whitespace().skip(1);
    let plain = words.filter(|word| word.chars().all(|letter| letter.is_ascii_alphabetic()));
    Some(format!(" {}", plain.max_by_key(|word| word.len())?))
}

/// The ids of a text to go on with: BOS, if the model has one, and the text.
///
/// # Errors
/// Text that the tokenizer refuses, or of no tokens, or of as many as `context` or more.
pub fn ids_of(tokenizer: &HfTokenizer, text: &str, context: usize) -> Result<Vec<u32>> {
    let mut ids: Vec<u32> = tokenizer.bos_id().into_iter().collect();
    ids.extend(tokenizer.encode(text)?);
    if (1..context).contains(&ids.len()) {
        return Ok(ids);
    }
    let have = ids.len();
    let problem = format!("--prompt has {have} tokens, expected 1 or more, fewer than {context}");
    Err(Complaint::new(problem).hint("--prompt \"Once upon a time\"").into())
}

/// The logits of every position of a text.
///
/// # Shapes
/// T ids → `[T, V]`.
///
/// # Errors
/// What the model reports.
pub fn logits(model: &Decoder, ids: &[u32]) -> Result<Tensor> {
    let row = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu)?;
    Ok(model.forward(&row, &Pass::eval(Ops::Fused))?.i(0)?)
}

/// `ids` with the model's greedy continuation behind them, `length` tokens or as many as fit.
///
/// # Errors
/// What the model reports.
pub fn continued(model: &Decoder, ids: &[u32], length: usize) -> Result<Vec<u32>> {
    let max_new_tokens = length.saturating_sub(ids.len());
    let config = GenerateConfig { max_new_tokens, ..GenerateConfig::default() };
    let mut all = ids.to_vec();
    for id in generate(model, ids, &config)? {
        all.push(id?);
    }
    Ok(all)
}

/// The largest difference of two sets of logits, and at how many positions the second one's likeliest
/// token is not the first one's (a token within the difference of the likeliest counts as it).
///
/// # Shapes
/// `ours [T, V]`, `theirs [T, V]`.
///
/// # Errors
/// Tensors of other shapes.
pub fn apart(ours: &Tensor, theirs: &Tensor) -> Result<(f64, usize)> {
    let (ours, theirs) = (ours.to_vec2::<f32>()?, theirs.to_vec2::<f32>()?);
    let mut gap = 0.0_f64;
    for (a, b) in ours.iter().zip(&theirs) {
        let row = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs()));
        gap = row.fold(gap, |gap, one| if one > gap || one.is_nan() { one } else { gap });
    }
    let other = |(a, b): &(&Vec<f32>, &Vec<f32>)| {
        let largest = a.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let named = b.iter().enumerate().max_by(|x, y| x.1.total_cmp(y.1)).map_or(0, |best| best.0);
        f64::from(largest - a[named]) > 2.0 * gap
    };
    Ok((gap, ours.iter().zip(&theirs).filter(other).count()))
}

/// The likeliest tokens after a row of logits, best first, and the sum of all probabilities.
///
/// # Shapes
/// `logits [V]`.
///
/// # Errors
/// A tensor error.
pub fn likeliest(logits: &Tensor, count: usize) -> Result<(Vec<(u32, f64)>, f64)> {
    let scores: Vec<f64> = logits.to_vec1::<f32>()?.into_iter().map(f64::from).collect();
    let shares = softmax(&scores);
    let sum = shares.iter().sum();
    let mut ranked: Vec<(u32, f64)> = (0..).zip(shares).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.truncate(count);
    Ok((ranked, sum))
}

/// Generation without a cache: the whole text is read again for each new token, and the likeliest one
/// is put behind it.
///
/// # Errors
/// What the model reports.
pub fn without_cache(model: &Decoder, ids: &[u32], count: usize) -> Result<Vec<u32>> {
    let mut all = ids.to_vec();
    for _ in 0..count.min(model.config().max_position_embeddings.saturating_sub(ids.len())) {
        let last = logits(model, &all)?.i(all.len() - 1)?;
        let (best, _) = likeliest(&last, 1)?;
        all.extend(best.first().map(|(id, _)| *id));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_letters_are_found() {
        assert_eq!(longest_word("The capital of France is").as_deref(), Some(" capital"));
        assert_eq!(longest_word("one 2 3!"), None);
    }

    #[test]
    fn differences_and_near_ties_are_told_apart() {
        let tensor = |rows: &[[f32; 3]; 2]| Tensor::new(rows, &Device::Cpu).unwrap();
        let ours = tensor(&[[1.0, 2.0, 0.0], [0.0, 3.0, 3.0]]);
        let near = tensor(&[[1.0, 2.001, 0.0], [0.0, 3.0, 3.0]]);
        let (gap, others) = apart(&ours, &near).unwrap();
        assert!((gap - 0.001).abs() < 1e-6 && others == 0, "{gap} {others}");
        let far = tensor(&[[2.0, 1.0, 0.0], [0.0, 3.0, 3.0]]);
        assert_eq!(apart(&ours, &far).unwrap().0, 1.0);
        let (best, sum) = likeliest(&ours.i(1).unwrap(), 2).unwrap();
        assert_eq!((best[0].0, best[1].0), (1, 2));
        assert!((sum - 1.0).abs() < 1e-12);
    }
}
