//! A closed world in simple English: the texts that the embedded model learns from.
//!
//! A document is a pure function of seed, domain, part and index. What a document is *about* is a
//! combination with a name, such as `facts/capital/q2/France`: this fact in this form. A rule on the
//! name ([`split_of`]) says whether the combination is trained on or held out, so every fact and
//! every form is trained on, and held-out documents hold only pairs that were never seen.
//!
//! # The floor
//!
//! [`Document::nats`] is -ln of the probability of the choices that made the document, given its
//! domain and part. Its mean is the entropy of the choices. Where two ways of choosing give one
//! text, the text is more probable than either, so the mean is an upper bound on the entropy of the
//! texts; the two are equal where no text can be made twice. Bits of a model above it are
//! `mean loss of a document / ln 2 - mean nats / ln 2`. Worked steps, answers and results follow
//! from what stands before them and add nothing.
//!
//! ```
//! use llm_train::synth::{Domain, Shape, Split, document};
//! let first = document(7, Domain::Facts, Split::Train, Shape::Mixed, 0);
//! assert_eq!(first.text(), document(7, Domain::Facts, Split::Train, Shape::Mixed, 0).text());
//! assert!(first.nats > 0.0 && !first.combinations.is_empty());
//! ```

mod arithmetic;
mod chat;
mod choices;
mod code;
mod content;
mod facts;
pub mod floor;
mod grade;
mod instructions;
mod stories;
mod tasks;
mod tools;
mod words;
mod write;

use serde::{Deserialize, Serialize};

pub use choices::{Choices, HELD_OUT_ONE_IN, split_of};
pub use content::{Content, Document, SYSTEM, render};
pub use grade::{Check, grade};
pub use tasks::{Preference, Task, comparisons, preferences, tasks};
pub use tools::{schemas as tool_schemas, system_message as tool_system_message};
pub use write::{DomainReport, Part, Plan, Report, write};

use crate::data::Message;

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u64)]
pub enum Domain {
    /// Tales in which one thing leads to the next.
    Stories = 0,
    /// Capitals, animals, elements, the calendar, measures.
    Facts = 1,
    /// Sums, differences, small products and comparisons, digit by digit.
    Arithmetic = 2,
    /// Sorting, counting, rewriting, and JSON from text.
    Instructions = 3,
    /// Calls of four small tools, and what came back.
    Tools = 4,
    /// Talk over several turns.
    Chat = 5,
    /// Short Python and Rust.
    Code = 6,
}

impl Domain {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Stories,
        Self::Facts,
        Self::Arithmetic,
        Self::Instructions,
        Self::Tools,
        Self::Chat,
        Self::Code,
    ];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stories => "stories",
            Self::Facts => "facts",
            Self::Arithmetic => "arithmetic",
            Self::Instructions => "instructions",
            Self::Tools => "tools",
            Self::Chat => "chat",
            Self::Code => "code",
        }
    }

    /// The domain with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|domain| domain.name() == name)
    }

    /// How many of a hundred documents are of this domain. What takes steps or looks up takes more
    /// practice than what is said in one way.
    pub fn weight(self) -> u32 {
        match self {
            Self::Stories => 14,
            Self::Facts => 24,
            Self::Arithmetic => 30,
            Self::Instructions => 16,
            Self::Tools => 7,
            Self::Chat => 5,
            Self::Code => 4,
        }
    }
}

/// Which combinations a document is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// To train on.
    Train,
    /// Never trained on.
    HeldOut,
}

/// Which forms a document may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Plain text and conversations, for pretraining.
    Mixed,
    /// Conversations only, for fine-tuning.
    Chat,
}

/// One exchange: what was said before, the assistant's answer, and how to tell a right one.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// What is asked for, to count right answers by.
    pub(crate) kind: &'static str,
    /// The turns before the answer; the last is the user's.
    pub(crate) prompt: Vec<Message>,
    /// The right answer, thoughts included.
    pub(crate) answer: String,
    /// What an answer must fulfil.
    pub(crate) check: Check,
    /// What follows the answer: a tool's result and the last word.
    pub(crate) rest: Vec<Message>,
}

impl Exchange {
    /// A question and its answer, which must come word for word.
    pub(crate) fn exact(kind: &'static str, question: String, answer: String) -> Self {
        Self {
            kind,
            prompt: vec![say("user", question)],
            check: Check::exact(&answer),
            answer,
            rest: Vec::new(),
        }
    }

    /// All turns.
    pub(crate) fn messages(self) -> Vec<Message> {
        let mut messages = self.prompt;
        messages.push(say("assistant", self.answer));
        messages.extend(self.rest);
        messages
    }
}

/// A message.
pub(crate) fn say(role: &str, content: impl Into<String>) -> Message {
    Message {
        role: role.into(),
        content: content.into(),
    }
}

/// The document of a domain with this index. For each index there is one of each part and shape.
pub fn document(seed: u64, domain: Domain, split: Split, shape: Shape, index: u64) -> Document {
    // Conversations for fine-tuning are others than those of pretraining.
    let place = index << 1 | u64::from(shape == Shape::Chat);
    let mut choices = Choices::new(seed, domain, split, place);
    let content = match domain {
        Domain::Stories => stories::content(&mut choices, shape),
        Domain::Facts => facts::content(&mut choices, shape),
        Domain::Arithmetic => arithmetic::content(&mut choices),
        Domain::Instructions => instructions::content(&mut choices),
        Domain::Tools => tools::content(&mut choices),
        Domain::Chat => chat::content(&mut choices),
        Domain::Code => code::content(&mut choices, shape),
    };
    Document {
        domain,
        content: content.with_system(&mut choices),
        nats: choices.nats(),
        combinations: choices.combinations().to_vec(),
    }
}
