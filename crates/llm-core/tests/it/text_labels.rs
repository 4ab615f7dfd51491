//! Labels of conversations: exactly the assistant's part is learnt, or it is an error.

use llm_core::text::chat::{
    ChatTemplate, Encoded, Message, RenderOptions, encode, encode_messages,
};
use serde_json::Value;

use crate::text_chat::{conversation, prompt, template, tokenizer};

#[test]
fn masks_are_those_of_transformers() {
    let rows: Vec<Value> =
        serde_json::from_str(include_str!("../fixtures/text/masked.json")).unwrap();
    let (tokenizer, template) = (tokenizer(), template("chatml_generation"));
    assert!(template.has_generation_blocks());
    for row in &rows {
        let messages = conversation(row["conversation"].as_str().unwrap());
        let encoded =
            encode_messages(&tokenizer, &template, &messages, &RenderOptions::default()).unwrap();
        let expected = Encoded {
            ids: serde_json::from_value(row["ids"].clone()).unwrap(),
            supervised: serde_json::from_value(row["mask"].clone()).unwrap(),
        };
        assert_eq!(encoded, expected, "{}", row["conversation"]);
    }
    assert_eq!(rows.len(), 5);
}

/// The text of the supervised tokens.
fn learnt(name: &str, messages: &[Message]) -> llm_core::Result<String> {
    let (tokenizer, template) = (tokenizer(), template(name));
    let options = RenderOptions::default();
    let encoded = encode_messages(&tokenizer, &template, messages, &options)?;
    let first = encoded
        .supervised
        .iter()
        .position(|&learnt| learnt)
        .unwrap_or(0);
    // The prompt's ids are those that generation sees.
    let turn = messages
        .iter()
        .position(|message| message.role() == "assistant")
        .unwrap();
    let seen = encode(&tokenizer, &template, &messages[..turn], &prompt())?;
    assert_eq!(encoded.ids[..first], seen, "{name}");
    assert_eq!(encoded.ids.len(), encoded.supervised.len());
    let whole = tokenizer.decode(&encoded.ids)?;
    assert_eq!(whole, template.render(messages, &options)?, "{name}");
    let ids = encoded.ids.iter().zip(encoded.supervised);
    let ids: Vec<u32> = ids
        .filter(|(_, learnt)| *learnt)
        .map(|(&id, _)| id)
        .collect();
    tokenizer.decode(&ids)
}

#[test]
fn exactly_the_answers_and_their_ends_are_learnt() {
    let turns = &conversation("turns")[..4];
    let chatml = "Hello, what can I do?<|im_end|>La la.\n\n<|im_end|>";
    assert_eq!(learnt("chatml", turns).unwrap(), chatml);
    assert_eq!(learnt("chatml_generation", turns).unwrap(), chatml);
    assert_eq!(
        learnt("headers", turns).unwrap(),
        "Hello, what can I do?<|eot_id|>La la.<|eot_id|>"
    );
    assert_eq!(
        learnt("inst", turns).unwrap(),
        " Hello, what can I do?</s> La la.</s>"
    );
    // This template's end of turn is no token of the tokenizer, so all it adds is learnt.
    let added = "Hello, what can I do?<end_of_turn>\nLa la.<end_of_turn>\n";
    assert_eq!(learnt("turns", turns).unwrap(), added);
    let answered = conversation("answered");
    let thought = "<think>\n\n</think>\n\n4<|im_end|>";
    assert_eq!(learnt("thinking", &answered).unwrap(), thought);
    let attack = [
        Message::new("user", "q"),
        Message::new("assistant", "a<|im_end|>\n"),
    ];
    for name in ["chatml", "chatml_generation"] {
        assert_eq!(learnt(name, &attack).unwrap(), "a<|im_end|>\n<|im_end|>");
    }
    let empty = [Message::new("user", "q"), Message::new("assistant", "")];
    assert_eq!(learnt("chatml", &empty).unwrap(), "<|im_end|>");
}

#[test]
fn labels_that_cannot_be_told_are_errors() {
    let turns = &conversation("turns")[..4];
    let error = learnt("thinking", turns).unwrap_err().to_string();
    assert!(
        error.starts_with("thinking: message 1: ") && !error.contains('\n'),
        "{error}"
    );
    let ignores = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
        {% endfor %}";
    let ignores = ChatTemplate::from_source("ignores", ignores).unwrap();
    let options = RenderOptions::default();
    let error = encode_messages(&tokenizer(), &ignores, turns, &options)
        .unwrap_err()
        .to_string();
    assert!(error.contains("ignores add_generation_prompt"), "{error}");
    let silent = "{% for m in messages %}{{ m.content }}{% endfor %}{% if false %}\
        {% generation %}{% endgeneration %}{% endif %}";
    let silent = ChatTemplate::from_source("silent", silent).unwrap();
    assert!(encode_messages(&tokenizer(), &silent, turns, &options).is_err());
    let none = encode_messages(&tokenizer(), &silent, &turns[..1], &options).unwrap();
    assert!(!none.supervised.contains(&true));
}

#[test]
fn a_generation_block_may_close_before_the_end_of_the_turn() {
    let text = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}\
        {% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}\
        <|im_end|>\n{% endfor %}";
    let template = ChatTemplate::from_source("early", text).unwrap();
    let (tokenizer, options) = (tokenizer(), RenderOptions::default());
    let messages = &conversation("answered");
    let plain = template.render(messages, &options).unwrap();
    assert!(
        plain.ends_with("<|im_start|>assistant\n4<|im_end|>\n"),
        "{plain}"
    );
    let encoded = encode_messages(&tokenizer, &template, messages, &options).unwrap();
    let ids = encoded.ids.iter().zip(encoded.supervised);
    let ids: Vec<u32> = ids
        .filter(|(_, learnt)| *learnt)
        .map(|(&id, _)| id)
        .collect();
    assert_eq!(tokenizer.decode(&ids).unwrap(), "4<|im_end|>");
}

#[test]
fn a_token_across_the_prompt_s_end_is_cut() {
    // Nothing between the prompt's space and the answer: ` fox` is one token of the vocabulary.
    let text = "{% for m in messages %}{{ m.role[:1] }}: {{ m.content }}{% endfor %}\
        {% if add_generation_prompt %}a: {% endif %}";
    let template = ChatTemplate::from_source("space", text).unwrap();
    let (tokenizer, options) = (tokenizer(), RenderOptions::default());
    let messages = [
        Message::new("user", "who?"),
        Message::new("assistant", "the fox"),
    ];
    let encoded = encode_messages(&tokenizer, &template, &messages, &options).unwrap();
    let seen = encode(&tokenizer, &template, &messages[..1], &prompt()).unwrap();
    let first = encoded
        .supervised
        .iter()
        .position(|&learnt| learnt)
        .unwrap();
    assert_eq!(encoded.ids[..first], seen);
    assert_ne!(encoded.ids, tokenizer.encode("u: who?a: the fox").unwrap());
    assert_eq!(tokenizer.decode(&encoded.ids[first..]).unwrap(), "the fox");
}
