//! Facts of the world, each asked and stated in many forms.
//!
//! A combination is a fact in a form. All questions of a relation have one answer, a sentence; this
//! sentence is trained on for every fact, and what is held out is another wording of it.

mod forms;
pub(super) mod tables;

use std::sync::OnceLock;

use super::words::{capital, fill, with_article};
use super::{Choices, Content, Exchange, Shape, Split};

/// What is said of one subject.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) subject: String,
    pub(super) answer: String,
    /// The parts of a measure; else empty.
    pub(super) unit: String,
}

/// Facts of one kind with their words.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) name: &'static str,
    answer: &'static str,
    statements: &'static [&'static str],
    questions: &'static [&'static str],
    follow: &'static str,
    pub(super) facts: Vec<Fact>,
}

/// Which forms to draw from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// A question.
    Question,
    /// A question that may follow another of the relation.
    Following,
    /// A statement.
    Statement,
}

/// A fact in a form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) relation: &'static Relation,
    pub(super) fact: &'static Fact,
    form: &'static str,
}

impl Told {
    /// The question or statement.
    pub(super) fn text(&self) -> String {
        self.fact.write(self.form)
    }

    /// The sentence that answers.
    pub(super) fn answer(&self) -> String {
        self.fact.write(self.relation.answer)
    }
}

impl Fact {
    fn write(&self, form: &str) -> String {
        let with_article = with_article(&self.subject);
        let capital_article = capital(&with_article);
        let text = fill(
            form,
            &[
                ("s", &self.subject),
                ("x", &with_article),
                ("X", &capital_article),
                ("a", &self.answer),
                ("u", &self.unit),
            ],
        );
        capital(&text)
    }
}

impl Relation {
    /// The forms with their names in combinations.
    pub(super) fn forms(&self, want: Want) -> Vec<(String, &'static str)> {
        let numbered = |letter: char, forms: &'static [&'static str]| {
            let named = move |(at, form): (usize, &&'static str)| (format!("{letter}{at}"), *form);
            forms.iter().enumerate().map(named)
        };
        match want {
            Want::Statement => numbered('s', self.statements).collect(),
            Want::Question => numbered('q', self.questions).collect(),
            Want::Following => {
                let follow = std::iter::once(("follow".to_owned(), self.follow));
                numbered('q', self.questions).chain(follow).collect()
            }
        }
    }

    /// The name of a combination.
    pub(super) fn combination(&self, form: &str, fact: &Fact) -> String {
        format!("facts/{}/{form}/{}", self.name, fact.subject)
    }
}

/// Every relation.
pub(super) fn relations() -> &'static [Relation] {
    static RELATIONS: OnceLock<Vec<Relation>> = OnceLock::new();
    RELATIONS.get_or_init(forms::relations)
}

/// A relation, as likely as it has facts.
fn any_relation(choices: &mut Choices) -> &'static Relation {
    let sizes: Vec<u32> = relations().iter().map(|r| r.facts.len() as u32).collect();
    &relations()[choices.weighted(&sizes)]
}

/// One of all facts, each equally likely, in one of its forms; of `relation` if given.
pub(super) fn tell(choices: &mut Choices, want: Want, relation: Option<&'static Relation>) -> Told {
    choices.combination(|choices| {
        let relation = relation.unwrap_or_else(|| any_relation(choices));
        let fact = choices.pick(&relation.facts);
        let forms = relation.forms(want);
        let &(ref name, form) = choices.pick(&forms);
        let told = Told {
            relation,
            fact,
            form,
        };
        (told, relation.combination(name, fact))
    })
}

/// A question and its answer.
pub(super) fn exchange(choices: &mut Choices) -> Exchange {
    let told = tell(choices, Want::Question, None);
    Exchange::exact(told.relation.name, told.text(), told.answer())
}

/// Statements, questions with answers on a page, or a conversation of up to three questions.
pub(super) fn content(choices: &mut Choices, shape: Shape) -> Content {
    let kind = match shape {
        Shape::Chat => 2,
        Shape::Mixed => choices.weighted(&[30, 15, 55]),
    };
    match kind {
        0 => {
            let count = choices.number(2, 5);
            Content::Text(statements(choices, count))
        }
        1 => {
            let count = choices.number(2, 3);
            let lines: Vec<String> = (0..count)
                .map(|_| tell(choices, Want::Question, None))
                .map(|told| format!("Question: {}\nAnswer: {}", told.text(), told.answer()))
                .collect();
            Content::Text(lines.join("\n"))
        }
        _ => conversation(choices),
    }
}

/// Sentences: half of them in the wording of the answers, for which every fact is trained on.
fn statements(choices: &mut Choices, count: u32) -> String {
    let sentences: Vec<String> = (0..count)
        .map(|_| {
            if choices.split() == Split::Train && choices.chance(50) {
                let relation = any_relation(choices);
                return choices.pick(&relation.facts).write(relation.answer);
            }
            tell(choices, Want::Statement, None).text()
        })
        .collect();
    sentences.join(" ")
}

fn conversation(choices: &mut Choices) -> Content {
    let turns = 1 + choices.weighted(&[60, 25, 15]);
    let mut messages = Vec::new();
    let mut last = None;
    for _ in 0..turns {
        let same = last.filter(|_| choices.chance(50));
        let want = match same {
            Some(_) => Want::Following,
            None => Want::Question,
        };
        let told = tell(choices, want, same);
        last = Some(told.relation);
        let exchange = Exchange::exact(told.relation.name, told.text(), told.answer());
        messages.extend(exchange.messages());
    }
    Content::Chat(messages)
}

#[cfg(test)]
mod tests {
    use super::super::split_of;
    use super::*;

    /// Every fact and every form is trained on, and no relation is without a held-out pair.
    #[test]
    fn what_is_held_out_is_a_pair_of_trained_things() {
        let (mut pairs, mut held) = (0, 0);
        for relation in relations() {
            for want in [Want::Question, Want::Following, Want::Statement] {
                let forms = relation.forms(want);
                let split = |form: &str, fact| split_of(&relation.combination(form, fact));
                let trained = |form: &str, fact| split(form, fact) == Split::Train;
                for fact in &relation.facts {
                    let seen = forms.iter().filter(|(form, _)| trained(form, fact)).count();
                    let enough = if want == Want::Statement { 0 } else { 2 };
                    assert!(seen >= enough, "{} {fact:?}", relation.name);
                }
                let mut of_relation = 0;
                for (form, text) in &forms {
                    let seen = relation.facts.iter().filter(|fact| trained(form, fact));
                    assert!(2 * seen.count() > relation.facts.len(), "{text}");
                    let out = relation.facts.iter().filter(|fact| !trained(form, fact));
                    of_relation += out.count();
                }
                assert!(
                    of_relation > 0 || want == Want::Statement,
                    "{}",
                    relation.name
                );
                if want == Want::Question {
                    pairs += forms.len() * relation.facts.len();
                    held += of_relation;
                }
            }
        }
        assert!(
            pairs > 3000 && (pairs / 15..pairs / 7).contains(&held),
            "{held} of {pairs}"
        );
    }

    #[test]
    fn facts_read_well() {
        let told = |name: &str, subject: &str| {
            let relation = relations()
                .iter()
                .find(|relation| relation.name == name)
                .unwrap();
            let fact = relation
                .facts
                .iter()
                .find(|fact| fact.subject == subject)
                .unwrap();
            (
                fact.write(relation.questions[0]),
                fact.write(relation.answer),
            )
        };
        for (name, subject, question, answer) in [
            (
                "capital",
                "France",
                "What is the capital of France?",
                "The capital of France is Paris.",
            ),
            (
                "young",
                "owl",
                "What is a young owl called?",
                "A young owl is called an owlet.",
            ),
            (
                "legs",
                "ant",
                "How many legs does an ant have?",
                "An ant has six legs.",
            ),
            (
                "number",
                "gold",
                "What is the atomic number of gold?",
                "Gold has the atomic number 79.",
            ),
            (
                "day_before",
                "Monday",
                "Which day comes before Monday?",
                "The day before Monday is Sunday.",
            ),
            (
                "measure",
                "hour",
                "How many minutes does an hour have?",
                "An hour has 60 minutes.",
            ),
        ] {
            assert_eq!(
                told(name, subject),
                (question.to_owned(), answer.to_owned())
            );
        }
    }
}
