//! Quayline, a small query language for the stores of a harbour that does not exist.
//!
//! It was made up for this project, so no model has met it before: what a fine-tuned model can
//! say in it, it has learned from the rows of `data/dsl`. A query takes goods, at a place or
//! anywhere, through steps to what is asked of them:
//!
//! ```text
//! query = "stow" goods [ "@" place ] { "->" step } "->" end
//! step  = "keep" field ( "over" | "under" ) number
//!       | "rank" field ( "up" | "down" ) "->" "top" number
//! end   = "names" | "tally" | "sum" field
//! ```
//!
//! Words stand between white space; numbers are 1 to 999 without leading zeros.
//!
//! ```
//! use llm_train::dsl::Query;
//! let query = Query::parse("stow rope @ mill -> keep weight over 5 -> tally")?;
//! assert_eq!(query.to_string(), "stow rope @ mill -> keep weight over 5 -> tally");
//! assert_eq!(query.combination(), "stow rope @ mill -> keep weight over # -> tally");
//! let error = Query::parse("stow rope @ mill -> keep weight above 5 -> tally").unwrap_err();
//! assert_eq!(error, "word 8: `above`, expected over or under");
//! # Ok::<(), String>(())
//! ```

mod generate;

use std::fmt;

pub use generate::{Pair, Split, generate, to_lines};

/// Goods, as queries name them; questions have them in the plural with an s.
pub const GOODS: [&str; 16] = [
    "rope", "net", "lamp", "drum", "chain", "sail", "barrel", "crate", "hook", "oar", "pump",
    "plank", "anchor", "wheel", "bell", "ladder",
];
/// Places of the harbour.
pub const PLACES: [&str; 12] = [
    "mill", "yard", "pier", "loft", "cellar", "dock", "barn", "tower", "gate", "vault", "shed",
    "camp",
];
/// What is known of each piece.
pub const FIELDS: [&str; 4] = ["weight", "age", "price", "length"];

/// A step between the goods and the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Only pieces whose field is over (or under) a number.
    Keep {
        /// The field.
        field: &'static str,
        /// Whether over.
        over: bool,
        /// The number.
        number: u16,
    },
    /// In the order of a field, the first few.
    Rank {
        /// The field.
        field: &'static str,
        /// Whether the smallest come first.
        up: bool,
        /// How many stay.
        top: u16,
    },
}

/// What is asked of the pieces that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Their names.
    Names,
    /// Their number.
    Tally,
    /// The sum of a field.
    Sum(&'static str),
}

/// A sentence of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The goods.
    pub goods: &'static str,
    /// The place; anywhere without one.
    pub place: Option<&'static str>,
    /// The steps in order.
    pub steps: Vec<Step>,
    /// The end.
    pub end: End,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// The first word that cannot stand where it stands, counted from 1, and what could.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = Words {
            left: text.split_whitespace(),
            read: 0,
        };
        words.choice(&["stow"])?;
        let goods = words.choice(&GOODS)?;
        let mut place = None;
        if words.choice(&["@", "->"])? == "@" {
            place = Some(words.choice(&PLACES)?);
            words.choice(&["->"])?;
        }
        let mut steps = Vec::new();
        loop {
            let end = match words.choice(&["keep", "rank", "names", "tally", "sum"])? {
                "keep" => {
                    let (field, over) = (words.choice(&FIELDS)?, words.choice(&["over", "under"])?);
                    let (over, number) = (over == "over", words.number()?);
                    steps.push(Step::Keep {
                        field,
                        over,
                        number,
                    });
                    None
                }
                "rank" => {
                    let (field, up) = (
                        words.choice(&FIELDS)?,
                        words.choice(&["up", "down"])? == "up",
                    );
                    words.choice(&["->"])?;
                    words.choice(&["top"])?;
                    steps.push(Step::Rank {
                        field,
                        up,
                        top: words.number()?,
                    });
                    None
                }
                "names" => Some(End::Names),
                "tally" => Some(End::Tally),
                _ => Some(End::Sum(words.choice(&FIELDS)?)),
            };
            match end {
                Some(end) => {
                    words.end()?;
                    return Ok(Self {
                        goods,
                        place,
                        steps,
                        end,
                    });
                }
                None => words.choice(&["->"])?,
            };
        }
    }

    /// The query with `#` for its numbers: rows that share it ask the same of the same. A
    /// 1 stays, since what is `top 1` is asked for in other words than the top five.
    pub fn combination(&self) -> String {
        self.with_numbers(|number| match number {
            1 => "1".to_owned(),
            _ => "#".to_owned(),
        })
    }

    fn with_numbers(&self, number: impl Fn(u16) -> String) -> String {
        let mut text = format!("stow {}", self.goods);
        if let Some(place) = self.place {
            text.push_str(&format!(" @ {place}"));
        }
        for step in &self.steps {
            text.push_str(&match *step {
                Step::Keep {
                    field,
                    over,
                    number: n,
                } => {
                    let side = if over { "over" } else { "under" };
                    format!(" -> keep {field} {side} {}", number(n))
                }
                Step::Rank { field, up, top } => {
                    let way = if up { "up" } else { "down" };
                    format!(" -> rank {field} {way} -> top {}", number(top))
                }
            });
        }
        text.push_str(&match self.end {
            End::Names => " -> names".to_owned(),
            End::Tally => " -> tally".to_owned(),
            End::Sum(field) => format!(" -> sum {field}"),
        });
        text
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_numbers(|number| number.to_string()))
    }
}

/// The words of a text, counted.
struct Words<'a> {
    left: std::str::SplitWhitespace<'a>,
    read: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        self.read += 1;
        self.left.next().unwrap_or_default()
    }

    fn wrong<T>(&self, word: &str, expected: &str) -> Result<T, String> {
        let shown: String = word.chars().take(20).collect();
        let found = match shown.as_str() {
            "" => "the end".to_owned(),
            shown => format!("`{shown}`"),
        };
        Err(format!("word {}: {found}, expected {expected}", self.read))
    }

    /// One of these words.
    fn choice(&mut self, known: &[&'static str]) -> Result<&'static str, String> {
        let word = self.next();
        match known.iter().find(|&&known| known == word) {
            Some(&known) => Ok(known),
            None => self.wrong(word, &known.join(" or ")),
        }
    }

    fn number(&mut self) -> Result<u16, String> {
        let word = self.next();
        let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && !word.starts_with('0');
        match word.parse::<u16>() {
            Ok(number) if plain && (1..=999).contains(&number) => Ok(number),
            _ => self.wrong(word, "a number from 1 to 999"),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        match self.next() {
            "" => Ok(()),
            word => self.wrong(word, "the end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_read_back_as_they_were() {
        for text in [
            "stow rope -> tally",
            "stow net @ pier -> names",
            "stow lamp @ loft -> keep age under 12 -> sum price",
            "stow oar -> keep age over 1 -> rank length up -> top 999 -> names",
        ] {
            assert_eq!(Query::parse(text).unwrap().to_string(), text);
            let spread = text.replace(' ', " \n\t");
            assert_eq!(Query::parse(&spread).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_sentence_is_named_by_its_word() {
        for (text, want) in [
            ("", "word 1: the end, expected stow"),
            ("stow boat -> names", "word 2: `boat`"),
            ("stow rope", "word 3: the end, expected @ or ->"),
            ("stow rope @ moon -> names", "word 4: `moon`"),
            (
                "stow rope -> keep weight over 05 -> names",
                "word 7: `05`, expected a number",
            ),
            (
                "stow rope -> keep weight over 1000 -> names",
                "word 7: `1000`",
            ),
            ("stow rope -> keep weight over +5 -> names", "word 7: `+5`"),
            (
                "stow rope -> rank age down -> names",
                "word 8: `names`, expected top",
            ),
            (
                "stow rope -> keep age over 3",
                "word 8: the end, expected ->",
            ),
            (
                "stow rope -> tally -> names",
                "word 5: `->`, expected the end",
            ),
            ("STOW rope -> tally", "word 1: `STOW`"),
        ] {
            let error = Query::parse(text).unwrap_err();
            assert!(error.starts_with(want), "{text:?}: {error}");
        }
    }
}
