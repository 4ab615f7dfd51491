//! Conversations to token ids, and which of them the assistant has to learn.
//!
//! The rendered text is tokenized with special tokens only where the template wrote them (see
//! the `marks` module for how that is known). For training, the prompt's ids must be the ids that generation
//! will see, so a text is cut at the start of each answer unless the tokenizer cuts there anyway.

use std::ops::Range;

use super::marks::Rendered;
use super::{ChatTemplate, Message, RenderOptions};
use crate::text::hf::HfTokenizer;
use crate::{Error, Result};

/// The ids of a conversation with a mark for each that is learnt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The tokens.
    pub ids: Vec<u32>,
    /// Whether a token is the assistant's: its contents and the token that ends its turn.
    pub supervised: Vec<bool>,
}

/// The ids of a conversation as a prompt. Strings of special tokens in messages, tools, documents
/// and variables stay text.
///
/// # Errors
/// What the template raises; a template that reads special tokens in the text of messages.
pub fn encode(
    tokenizer: &HfTokenizer,
    template: &ChatTemplate,
    messages: &[Message],
    options: &RenderOptions,
) -> Result<Vec<u32>> {
    let encoder = Encoder {
        tokenizer,
        template,
    };
    let rendered = encoder.render(messages, options)?;
    encoder.ids(&rendered, 0..rendered.text.len())
}

/// The ids of a conversation as a training example. Exactly what the assistant says and the token
/// that ends its turn are supervised.
///
/// `{% generation %}` blocks say what that is. Without them it is what a message of the assistant
/// adds to the prompt before it; then each prompt must be the start of the whole text.
/// `options.add_generation_prompt` has no meaning here and is not looked at.
///
/// # Errors
/// As [`encode`]; a template without generation blocks that writes earlier turns differently once
/// later ones follow, or that opens no turn for the assistant; no assistant part at all in a
/// conversation with an assistant.
pub fn encode_messages(
    tokenizer: &HfTokenizer,
    template: &ChatTemplate,
    messages: &[Message],
    options: &RenderOptions,
) -> Result<Encoded> {
    let encoder = Encoder {
        tokenizer,
        template,
    };
    let options = RenderOptions {
        add_generation_prompt: false,
        ..options.clone()
    };
    let rendered = encoder.render(messages, &options)?;
    let spans = if template.has_generation_blocks() {
        rendered.generation.clone()
    } else {
        encoder.added_by_answers(messages, &options, &rendered.text)?
    };
    let has_assistant = messages.iter().any(|message| message.role() == "assistant");
    if has_assistant && spans.is_empty() {
        let problem = "marks no part of the assistant although the conversation has one";
        return Err(Error::text(template.name(), problem));
    }
    let special = encoder.special(&rendered);
    let spans: Vec<Range<usize>> = spans
        .into_iter()
        .map(|span| to_end_of_turn(&rendered.text, &special, span))
        .collect();
    encoder.labelled(&rendered, &spans)
}

/// `span` up to and with the token that ends the turn, without the whitespace behind it.
fn to_end_of_turn(text: &str, special: &[Range<usize>], span: Range<usize>) -> Range<usize> {
    let inside = special
        .iter()
        .rfind(|token| span.start <= token.start && token.end <= span.end);
    if let Some(token) = inside.filter(|token| text[token.end..span.end].trim().is_empty()) {
        return span.start..token.end;
    }
    // A generation block may close before the token.
    let behind = special.iter().find(|token| token.start == span.end);
    span.start..behind.map_or(span.end, |token| token.end)
}

struct Encoder<'a> {
    tokenizer: &'a HfTokenizer,
    template: &'a ChatTemplate,
}

impl Encoder<'_> {
    fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<Rendered> {
        let special = self.tokenizer.special_tokens();
        let special: Vec<&str> = special
            .iter()
            .map(|(content, _)| content.as_str())
            .collect();
        self.template.render_marked(messages, options, &special)
    }

    /// What each message of the assistant adds to the prompt before it.
    fn added_by_answers(
        &self,
        messages: &[Message],
        options: &RenderOptions,
        whole: &str,
    ) -> Result<Vec<Range<usize>>> {
        let with_prompt = RenderOptions {
            add_generation_prompt: true,
            ..options.clone()
        };
        let mut spans: Vec<Range<usize>> = Vec::new();
        for (turn, message) in messages.iter().enumerate() {
            if message.role() != "assistant" {
                continue;
            }
            let fault = |problem: &str| {
                let problem = format!("message {turn}: {problem}");
                Error::text(self.template.name(), problem)
            };
            let prompt = self.template.render(&messages[..turn], &with_prompt)?;
            let answered = self.template.render(&messages[..=turn], options)?;
            if !answered.starts_with(&prompt) {
                return Err(fault(
                    "the answer does not continue the prompt that generation sees",
                ));
            }
            if !whole.starts_with(&answered) {
                return Err(fault(
                    "later turns change this one, so make one example of each answer or mark \
                     the answers with {% generation %}",
                ));
            }
            // A template without an opening for the assistant would put its header in the span.
            let unopened = self.template.render(&messages[..turn], options)? == prompt;
            let added = &answered[prompt.len()..];
            let has_text = message.content().is_some_and(|text| !text.is_empty());
            let special = self.tokenizer.special_tokens();
            let headed = special
                .iter()
                .any(|(token, _)| added.starts_with(token.as_str()));
            if unopened && has_text && headed {
                return Err(fault("the template ignores add_generation_prompt"));
            }
            spans.push(prompt.len()..answered.len());
        }
        Ok(spans)
    }

    /// Every place where a special token's string stands, the user's and overlapping ones too.
    fn all_special<'r>(
        &'r self,
        rendered: &'r Rendered,
        range: Range<usize>,
    ) -> impl Iterator<Item = (Range<usize>, u32)> + 'r {
        let text = &rendered.text[range.clone()];
        let tokens = self.tokenizer.special_tokens();
        let mut firsts: Vec<u8> = tokens
            .iter()
            .filter_map(|(token, _)| token.bytes().next())
            .collect();
        firsts.sort_unstable();
        let starts = text
            .bytes()
            .enumerate()
            .filter(move |(_, byte)| firsts.binary_search(byte).is_ok());
        starts.flat_map(move |(at, _)| {
            let here = &text.as_bytes()[at..];
            let found = tokens
                .iter()
                .filter(|(token, _)| here.starts_with(token.as_bytes()));
            let start = range.start + at;
            found.map(move |(token, id)| (start..start + token.len(), *id))
        })
    }

    /// The template's own special tokens: leftmost, then longest, without overlap.
    fn own_special(&self, rendered: &Rendered, range: Range<usize>) -> Vec<(Range<usize>, u32)> {
        let mut own: Vec<(Range<usize>, u32)> = Vec::new();
        for (place, id) in self.all_special(rendered, range) {
            if rendered.is_users(&place) {
                continue;
            }
            match own.last_mut() {
                Some((last, _)) if place.start < last.end => {
                    if place.start == last.start && place.end > last.end {
                        own.pop();
                        own.push((place, id));
                    }
                }
                _ => own.push((place, id)),
            }
        }
        own
    }

    fn special(&self, rendered: &Rendered) -> Vec<Range<usize>> {
        let own = self.own_special(rendered, 0..rendered.text.len());
        own.into_iter().map(|(place, _)| place).collect()
    }

    /// The ids of a stretch of the rendered text.
    ///
    /// Nearly always no user typed a special token and the tokenizer takes the text in one go.
    /// Otherwise what lies between the template's special tokens is tokenized as user text; a
    /// tokenizer that puts a space before the first word then puts one after each of them.
    fn ids(&self, rendered: &Rendered, range: Range<usize>) -> Result<Vec<u32>> {
        let attacked = self
            .all_special(rendered, range.clone())
            .any(|(place, _)| rendered.is_users(&place));
        if !attacked {
            return self.tokenizer.encode_with_special(&rendered.text[range]);
        }
        let (mut ids, mut done) = (Vec::new(), range.start);
        for (place, id) in self.own_special(rendered, range.clone()) {
            ids.extend(self.tokenizer.encode(&rendered.text[done..place.start])?);
            ids.push(id);
            done = place.end;
        }
        ids.extend(self.tokenizer.encode(&rendered.text[done..range.end])?);
        Ok(ids)
    }

    /// The ids with those inside of `spans` supervised.
    fn labelled(&self, rendered: &Rendered, spans: &[Range<usize>]) -> Result<Encoded> {
        let ids = self.ids(rendered, 0..rendered.text.len())?;
        // If the ids up to a cut are the first ids of all, no token lies across the cut.
        let place = |cut: usize| -> Result<Option<usize>> {
            let before = self.ids(rendered, 0..cut)?;
            Ok(ids.starts_with(&before).then_some(before.len()))
        };
        let mut supervised = vec![false; ids.len()];
        for span in spans {
            let (Some(start), Some(end)) = (place(span.start)?, place(span.end)?) else {
                return self.labelled_in_parts(rendered, spans);
            };
            supervised[start..end].fill(true);
        }
        Ok(Encoded { ids, supervised })
    }

    /// The same where a token would lie across a cut: every part is tokenized by itself, as the
    /// prompt is when an answer is generated.
    fn labelled_in_parts(&self, rendered: &Rendered, spans: &[Range<usize>]) -> Result<Encoded> {
        let mut encoded = Encoded::default();
        let mut add = |range: Range<usize>, learnt: bool| -> Result<()> {
            encoded.ids.extend(self.ids(rendered, range)?);
            encoded.supervised.resize(encoded.ids.len(), learnt);
            Ok(())
        };
        let mut done = 0;
        for span in spans {
            add(done..span.start, false)?;
            add(span.clone(), true)?;
            done = span.end;
        }
        add(done..rendered.text.len(), false)?;
        Ok(encoded)
    }
}
