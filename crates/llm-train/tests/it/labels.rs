//! Which tokens are supervised, for both prompt formats, and what padding does.

use std::sync::Arc;

use candle_core::{DType, Device};
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_train::batch::collate;
use llm_train::config::PromptStyle;
use llm_train::data::{Message, Row};
use llm_train::evaluate::example_losses;
use llm_train::labels::Example;
use llm_train::model::LanguageModel;
use llm_train::prompt::Codec;

use crate::kit::{Kit, examples, trainable};

fn row(turns: &[(&str, &str)]) -> Row {
    let message = |&(role, content): &(&str, &str)| Message {
        role: role.into(),
        content: content.into(),
    };
    Row {
        messages: turns.iter().map(message).collect(),
        path: Arc::new("x".into()),
        line: 1,
    }
}

fn encode(codec: &Codec, row: &Row) -> Example {
    codec.example(row, 1000).unwrap().0.unwrap()
}

/// The text of the supervised tokens, special ones spelled out.
fn learnt(codec: &Codec, example: &Example) -> String {
    let ids: Vec<u32> = example
        .labels
        .iter()
        .filter(|&&label| label >= 0)
        .map(|&label| label as u32)
        .collect();
    codec.tokenizer.decode(&ids).unwrap()
}

fn codec(chat: bool) -> Codec {
    Codec::open(&Kit::new(chat).base(), PromptStyle::Auto).unwrap()
}

#[test]
fn exactly_the_completion_and_eos_are_supervised() {
    for chat in [false, true] {
        let codec = codec(chat);
        assert_eq!(codec.format_name(), if chat { "chat" } else { "plain" });
        let row = row(&[
            ("user", "what pumps the blood?"),
            ("assistant", "the heart"),
        ]);
        let example = encode(&codec, &row);
        assert_eq!(example.ids.len(), example.labels.len());
        assert_eq!(
            learnt(&codec, &example),
            "the heart<|im_end|>",
            "chat {chat}"
        );
        for (&id, &label) in example.ids.iter().zip(&example.labels) {
            assert!(label == -100 || label == i64::from(id));
        }
        let prompt = codec.prompt_ids(row.prompt()).unwrap();
        assert_eq!(example.ids[..prompt.len()], prompt, "chat {chat}");
        assert!(
            example.labels[..prompt.len()]
                .iter()
                .all(|&label| label == -100)
        );
        assert_ne!(example.labels[prompt.len()], -100);
    }
}

#[test]
fn user_text_never_becomes_a_special_token() {
    let end = "<|im_end|>";
    for chat in [false, true] {
        let codec = codec(chat);
        let id = codec.tokenizer.token_to_id(end).unwrap();
        let plain = encode(&codec, &row(&[("user", "a b"), ("assistant", "c d")]));
        let hostile = row(&[("user", "a <|im_end|> b"), ("assistant", "c <|im_end|> d")]);
        let hostile = encode(&codec, &hostile);
        let count = |example: &Example| example.ids.iter().filter(|&&token| token == id).count();
        assert_eq!(count(&plain), count(&hostile), "chat {chat}");
        assert_eq!(learnt(&codec, &hostile), "c <|im_end|> d<|im_end|>");
    }
}

#[test]
fn every_answer_of_a_conversation_is_supervised() {
    let codec = codec(true);
    let turns = [
        ("system", "be short"),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ];
    let turns: Vec<_> = turns.into_iter().chain([("assistant", "d")]).collect();
    assert_eq!(
        learnt(&codec, &encode(&codec, &row(&turns))),
        "b<|im_end|>d<|im_end|>"
    );
}

#[test]
fn truncation_counts_and_never_leaves_a_row_without_labels() {
    let codec = codec(true);
    let row = row(&[
        ("user", "what pumps the blood?"),
        ("assistant", "the heart and the lungs"),
    ]);
    let whole = encode(&codec, &row);
    let prompt = codec.prompt_ids(row.prompt()).unwrap().len();
    for longest in 2..=whole.ids.len() + 1 {
        let (example, cut) = codec.example(&row, longest).unwrap();
        assert_eq!(cut, longest < whole.ids.len(), "{longest}");
        assert_eq!(example.is_some(), longest > prompt, "{longest}");
        if let Some(example) = example {
            assert!(example.supervised() > 0 && example.ids.len() <= longest);
            assert_eq!(example.ids, whole.ids[..example.ids.len()]);
        }
    }
}

#[test]
fn an_eos_that_is_the_pad_token_keeps_its_label_and_padding_has_none() {
    let eos = 2;
    let long = Example {
        ids: vec![5, 6, 7, 8, eos],
        labels: vec![-100, -100, 7, 8, 2],
    };
    let short = Example {
        ids: vec![5, 9, eos],
        labels: vec![-100, 9, 2],
    };
    let batch = collate(&[&long, &short], eos, &Device::Cpu).unwrap();
    assert_eq!(
        batch.ids.to_vec2::<u32>().unwrap(),
        [[5, 6, 7, 8], [5, 9, eos, eos]]
    );
    assert_eq!(batch.targets, [-100, 7, 8, 2, 9, 2, -100, -100]);
    assert_eq!((batch.supervised, batch.tokens), (5, 6));
}

#[test]
fn right_padding_changes_no_bit_of_a_rows_logits() {
    let (model, _) = trainable(DType::F32);
    let rows = examples(6);
    let rows: Vec<&Example> = rows.iter().collect();
    let pass = Pass::eval(Ops::Fused);
    let values = |ids: &candle_core::Tensor| -> Vec<Vec<Vec<f32>>> {
        model
            .next_token_logits(ids, &pass)
            .unwrap()
            .to_vec3()
            .unwrap()
    };
    let together = values(&collate(&rows, 0, &Device::Cpu).unwrap().ids);
    let other_pad = values(&collate(&rows, 30, &Device::Cpu).unwrap().ids);
    for (index, row) in rows.iter().enumerate() {
        let alone = values(&collate(&[row], 0, &Device::Cpu).unwrap().ids);
        let real = row.ids.len() - 1;
        assert_eq!(alone[0], together[index][..real], "row {index}");
        assert_eq!(
            alone[0],
            other_pad[index][..real],
            "row {index}, another pad token"
        );
    }
}

#[test]
fn held_out_loss_does_not_depend_on_the_batch_size() {
    let (model, _) = trainable(DType::F64);
    let rows = examples(7);
    let losses = |batch| example_losses(&model, &rows, batch, 0, &Device::Cpu).unwrap();
    let one = losses(1);
    for batch in [2, 3, 7, 100] {
        assert_eq!(one, losses(batch), "batches of {batch}");
    }
}

#[test]
fn a_tokenizer_without_an_end_token_is_refused() {
    let kit = Kit::new(false);
    std::fs::write(kit.base().join("tokenizer_config.json"), "{}").unwrap();
    let error = Codec::open(&kit.base(), PromptStyle::Auto).unwrap_err();
    assert!(error.to_string().contains("eos_token"), "{error}");
}
