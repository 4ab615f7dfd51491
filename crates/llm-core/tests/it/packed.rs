//! Packed rows: a document computes as if it were alone, and no other document leaks into it.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use llm_core::config::ModelConfig;
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::{IGNORE_INDEX, Ops, Segments, record};
use llm_core::params::{Mode, Parameters};

/// GPT-2 with learned positions and packed qkv; Qwen3 with rope, grouped heads and head norms;
/// Mistral with a window shorter than its documents.
const MODELS: [&str; 3] = [
    r#"{"model_type": "gpt2", "vocab_size": 17, "n_embd": 12, "n_layer": 2, "n_head": 3,
        "n_positions": 40, "initializer_range": 0.3}"#,
    r#"{"model_type": "qwen3", "vocab_size": 17, "hidden_size": 10, "intermediate_size": 14,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6,
        "max_position_embeddings": 40, "tie_word_embeddings": true, "initializer_range": 0.3}"#,
    r#"{"model_type": "mistral", "vocab_size": 17, "hidden_size": 12, "intermediate_size": 14,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "max_position_embeddings": 40, "sliding_window": 3, "initializer_range": 0.3}"#,
];

fn bits(x: &Tensor) -> Vec<u64> {
    let wide = x.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    let values = wide.to_vec1::<f64>().unwrap();
    values.into_iter().map(f64::to_bits).collect()
}

/// Documents of two packed rows of twelve places; the second row has four places of padding.
const LENGTHS: [&[usize]; 2] = [&[5, 6, 1], &[7, 1]];
const T: usize = 12;

fn model(json: &str, dtype: DType) -> (Decoder, Parameters) {
    let config = ModelConfig::from_json(json).unwrap();
    Decoder::init(&config, 5, Mode::Trainable, dtype).unwrap()
}

fn segments() -> Arc<Segments> {
    let lengths: Vec<Vec<usize>> = LENGTHS.iter().map(|row| row.to_vec()).collect();
    Arc::new(Segments::new(T, &lengths).unwrap())
}

fn ids() -> Vec<u32> {
    (0..2 * T as u32).map(|i| (i * i * 3 + i) % 17).collect()
}

fn tensor(ids: &[u32], rows: usize) -> Tensor {
    Tensor::from_slice(ids, (rows, ids.len() / rows), &Device::Cpu).unwrap()
}

/// First place and length of every document.
fn documents() -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    for (row, lengths) in LENGTHS.iter().enumerate() {
        let mut start = row * T;
        for &length in *lengths {
            all.push((start, length));
            start += length;
        }
    }
    all
}

#[test]
fn a_document_has_the_logits_that_it_has_alone_bit_for_bit() {
    for json in MODELS {
        let (model, _) = model(json, DType::F32);
        let pass = Pass::eval(Ops::Fused).packed(Some(segments()));
        let packed = model.forward(&tensor(&ids(), 2), &pass).unwrap();
        let packed = packed.reshape((2 * T, 17)).unwrap();
        for (start, length) in documents() {
            let alone = tensor(&ids()[start..start + length], 1);
            let alone = model.forward(&alone, &Pass::eval(Ops::Fused)).unwrap();
            let inside = packed.narrow(0, start, length).unwrap();
            assert_eq!(bits(&inside), bits(&alone), "document at {start} in {json}");
        }
    }
}

/// The logits, and the gradients of the loss of the document at `start` alone.
fn of_document(
    (model, parameters): &(Decoder, Parameters),
    ids: &[u32],
    (start, length): (usize, usize),
) -> (Vec<u64>, Vec<Vec<u64>>) {
    let pass = Pass::train(Ops::Fused, 3).packed(Some(segments()));
    let ids = tensor(ids, 2);
    let mut targets = vec![IGNORE_INDEX; 2 * T];
    targets[start..start + length].fill(4);
    let logits = model.forward(&ids, &pass).unwrap();
    let logits = logits.reshape((2 * T, 17)).unwrap();
    let logits = bits(&logits.narrow(0, start, length).unwrap());
    let (loss, tape) = record(|| model.next_token_loss(&ids, &targets, 0.3, &pass));
    let loss = loss.unwrap();
    assert!(tape.is_complete(&loss));
    let store = tape.backward(&loss).unwrap();
    let gradients = parameters.iter().map(|(name, var)| {
        let gradient = store.get(var).unwrap_or_else(|| panic!("{name}"));
        // Zeros of either sign are one number.
        bits(&(gradient + 0.0).unwrap())
    });
    (logits, gradients.collect())
}

#[test]
fn changing_a_document_changes_no_bit_of_another_and_of_its_gradients() {
    for json in MODELS {
        let model = model(json, DType::F32);
        let documents = documents();
        for (index, &watched) in documents.iter().enumerate() {
            let before = of_document(&model, &ids(), watched);
            for (other, &(start, length)) in documents.iter().enumerate() {
                let mut changed = ids();
                for id in &mut changed[start..start + length] {
                    *id = (*id + 5) % 17;
                }
                let after = of_document(&model, &changed, watched);
                assert_eq!(
                    before == after,
                    other != index,
                    "document {index} after a change of {other} in {json}"
                );
            }
        }
    }
}

/// Sums of the same terms in another order, in f64.
const ORDER: f64 = 1e-12;

#[test]
fn loss_and_gradients_are_those_of_the_documents_in_rows_of_their_own() {
    for json in MODELS {
        let (model, parameters) = model(json, DType::F64);
        let target = |place: usize| (place % 17) as i64;
        let run = |ops: Ops, packed: bool| {
            let store = if packed {
                let pass = Pass::eval(ops).packed(Some(segments()));
                let mut targets = vec![IGNORE_INDEX; 2 * T];
                for (start, length) in documents() {
                    (start..start + length).for_each(|place| targets[place] = target(place));
                }
                let ids = tensor(&ids(), 2);
                model.next_token_loss(&ids, &targets, 0.1, &pass)
            } else {
                let mut sum: Option<Tensor> = None;
                for (start, length) in documents() {
                    let ids = tensor(&ids()[start..start + length], 1);
                    let targets: Vec<i64> = (start..start + length).map(target).collect();
                    let pass = Pass::eval(ops);
                    let loss = model.next_token_loss(&ids, &targets, 0.1, &pass).unwrap();
                    sum = Some(match sum {
                        Some(sum) => (sum + loss).unwrap(),
                        None => loss,
                    });
                }
                Ok(sum.unwrap())
            };
            let loss = store.unwrap();
            let value = loss.to_scalar::<f64>().unwrap();
            let store = loss.backward().unwrap();
            let all = parameters.iter().flat_map(|(_, var)| {
                let gradient = store.get(var).unwrap().flatten_all().unwrap();
                gradient.to_vec1::<f64>().unwrap()
            });
            std::iter::once(value).chain(all).collect::<Vec<f64>>()
        };
        let alone = run(Ops::Fused, false);
        for ops in [Ops::Fused, Ops::Composed] {
            let packed = run(ops, true);
            let apart = alone.iter().zip(&packed).map(|(a, b)| (a - b).abs());
            let apart = apart.fold(0.0, f64::max);
            assert!(
                apart <= ORDER,
                "{ops:?}: |Δ| = {apart:e} (tolerance {ORDER:e}) in {json}"
            );
            assert_eq!(alone.len(), packed.len());
        }
    }
}

#[test]
fn packed_rows_can_be_recomputed_and_wrong_segments_are_refused() {
    let (model, parameters) = model(MODELS[1], DType::F32);
    let targets: Vec<i64> = (0..2 * T as i64).map(|i| i % 17).collect();
    let gradients = |again: bool| -> Vec<Vec<u64>> {
        let pass = Pass::train(Ops::Fused, 3).recomputing(again);
        let pass = pass.packed(Some(segments()));
        let ids = tensor(&ids(), 2);
        let (loss, tape) = record(|| model.next_token_loss(&ids, &targets, 0.3, &pass));
        let store = tape.backward(&loss.unwrap()).unwrap();
        let all = parameters.iter();
        all.map(|(_, var)| bits(store.get(var).unwrap())).collect()
    };
    assert_eq!(gradients(false), gradients(true));
    let pass = Pass::eval(Ops::Fused).packed(Some(segments()));
    let error = model.forward(&tensor(&ids(), 3), &pass).unwrap_err();
    assert!(error.to_string().contains("segments"), "{error}");
    assert!(Segments::new(4, &[vec![3, 2]]).is_err());
    assert!(Segments::new(4, &[vec![0]]).is_err());
    assert!(Segments::new(4, &[vec![usize::MAX]]).is_err());
}
