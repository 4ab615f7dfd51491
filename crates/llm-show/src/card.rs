//! What is fixed about a lesson.

use crate::cards::CARDS;

/// The facts of a lesson. They stand in `lessons/catalog.toml`, from which `cargo xtask readme`
/// writes [`CARDS`].
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// The feature's number in the plan of the course.
    pub id: &'static str,
    /// The program: `cargo run --bin BINARY`.
    pub binary: &'static str,
    /// A few words.
    pub title: &'static str,
    /// The question that the lesson answers.
    pub question: &'static str,
    /// The shelf, a folder below `lessons/`.
    pub shelf: &'static str,
    /// About how long a run takes on two cores.
    pub seconds: u32,
    /// What it needs beyond this repository.
    pub needs: &'static [&'static str],
    /// The files that it walks through, most important first.
    pub reads: &'static [&'static str],
    /// The id of the lesson after this one; empty at the end of the path.
    pub next: &'static str,
    /// What a run shows, in one line.
    pub sees: &'static str,
    /// The answer in one line.
    pub takeaway: &'static str,
    /// Flags worth trying, each with its value.
    pub tries: &'static [&'static str],
    /// A task whose answer `--check ANSWER` compares; empty where there is none.
    pub exercise: &'static str,
    /// Ids of its exercise files below `lessons/exercises/`.
    pub exercises: &'static [&'static str],
}

impl Card {
    /// The card of a program.
    pub fn of(binary: &str) -> Option<&'static Self> {
        CARDS.iter().find(|card| card.binary == binary)
    }

    /// The card with an id.
    pub fn with_id(id: &str) -> Option<&'static Self> {
        CARDS.iter().find(|card| card.id == id)
    }

    /// The number of a numbered lesson, else empty.
    pub fn number(&self) -> &'static str {
        let number = self.binary.split('_').next().unwrap_or_default();
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        if digits { number } else { "" }
    }

    /// The program of the lesson after this one.
    pub fn next_binary(&self) -> Option<&'static str> {
        Self::with_id(self.next).map(|card| card.binary)
    }

    /// The end of the lesson's `--help`: what you will see, what it reads, examples.
    pub fn after_help(&self) -> String {
        let reads = self.reads.join("\n  ");
        let mut text = format!(
            "What you will see:\n  {}\n\nReads:\n  {reads}\n\nExamples:",
            self.sees
        );
        text += &format!("\n  cargo run -q --bin {}", self.binary);
        for flags in self.tries {
            text += &format!("\n  cargo run -q --bin {} -- {flags}", self.binary);
        }
        text + "\n\nExit codes: 0 ok, 1 a check failed, 2 bad input, 3 input or output failed"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_next_lesson_exists_and_the_path_visits_each_lesson_once() {
        let first = CARDS.iter().filter(|card| {
            let reached = CARDS.iter().any(|other| other.next == card.id);
            !reached
        });
        let first: Vec<&Card> = first.collect();
        assert_eq!(first.len(), 1, "one lesson begins the path: {first:?}");
        let after = |card: &&'static Card| Card::with_id(card.next);
        let path = std::iter::successors(Card::of(first[0].binary), after);
        assert_eq!(path.take(CARDS.len() + 1).count(), CARDS.len());
    }

    #[test]
    fn numbers_come_from_the_name() {
        let number = |binary| Card::of(binary).map(Card::number);
        assert_eq!(number("03_attention_math"), Some("03"));
        assert_eq!(number("softmax"), Some(""));
        assert_eq!(number("no_such_lesson"), None);
    }
}
