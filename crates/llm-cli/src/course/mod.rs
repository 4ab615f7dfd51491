//! What the verbs of a learner share: the checkout, a lesson by its name, how to call `deeper`.

pub(crate) mod check;
pub(crate) mod exercise;
pub(crate) mod progress;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use llm_show::cards::CARDS;
use llm_show::{Card, Complaint};

/// The file that marks the root of a checkout.
const CATALOGUE: &str = "lessons/catalog.toml";
/// Names less alike than this are not what was meant.
const ALIKE: f64 = 0.5;

/// The root of the checkout that the current folder lies in.
pub(crate) fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("the current folder")?;
    let is_root =
        |folder: &&Path| folder.join(CATALOGUE).is_file() && folder.join("Cargo.toml").is_file();
    match here.ancestors().find(is_root) {
        Some(root) => Ok(root.to_path_buf()),
        None => {
            let problem = format!("no checkout of the course at or above {}", here.display());
            let hint = format!("cd into the folder that holds {CATALOGUE}");
            Err(Complaint::new(problem).hint(hint).into())
        }
    }
}

/// The one of `names` that `typed` was probably meant to be.
pub(crate) fn meant<'n>(typed: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let typed = typed.to_lowercase();
    let mut best = None;
    for name in names {
        let low = name.to_lowercase();
        let mut alike = strsim::normalized_damerau_levenshtein(&typed, &low);
        // Half a name is often what a person types.
        if typed.len() >= 3 && low.contains(&typed) {
            alike = alike.max(0.9);
        }
        if alike >= ALIKE && best.is_none_or(|(_, other)| alike > other) {
            best = Some((name, alike));
        }
    }
    best.map(|(name, _)| name)
}

/// `unknown WHAT `typed`` with what may have been meant, or else with what there is.
pub(crate) fn unknown<'n>(
    what: &str,
    typed: &str,
    names: impl IntoIterator<Item = &'n str> + Clone,
    list: &str,
) -> Complaint {
    let shown: String = typed.chars().take(60).collect();
    match meant(typed, names) {
        Some(name) => {
            Complaint::new(format!("unknown {what} `{shown}`, did you mean `{name}`?")).hint(list)
        }
        None => Complaint::new(format!("unknown {what} `{shown}`")).hint(list),
    }
}

/// The lesson that `typed` names: its program, `shelf/program`, its number, or its id in the
/// catalogue.
pub(crate) fn lesson(typed: &str) -> Result<&'static Card> {
    let (shelf, name) = typed.rsplit_once('/').unwrap_or(("", typed));
    let on_shelf = || {
        CARDS
            .iter()
            .filter(move |card| shelf.is_empty() || card.shelf == shelf)
    };
    let named = |card: &&&Card| {
        card.binary.eq_ignore_ascii_case(name) || card.id.eq_ignore_ascii_case(name)
    };
    if let Some(card) = on_shelf().find(|card| named(&card)) {
        return Ok(card);
    }
    let number = name.parse::<u32>().ok();
    let numbered = |card: &&Card| number.is_some() && card.number().parse().ok() == number;
    let found: Vec<&Card> = on_shelf().filter(numbered).collect();
    match found.as_slice() {
        [card] => Ok(*card),
        [] => {
            let list = command("lessons");
            Err(unknown("lesson", typed, CARDS.iter().map(|card| card.binary), &list).into())
        }
        [first, ..] => {
            let names = found
                .iter()
                .map(|card| format!("{} ({})", card.binary, card.shelf));
            let names = names.collect::<Vec<_>>().join(", ");
            let problem = format!("{} lessons have the number {name}: {names}", found.len());
            let hint = command(&format!("run {}", first.binary));
            Err(Complaint::new(problem).hint(hint).into())
        }
    }
}

/// `deeper WORDS` as the person at this terminal has to type it: a `deeper` that cargo built in its
/// target folder is seldom on the path.
pub(crate) fn command(words: &str) -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let profile = program.parent().and_then(Path::file_name);
    let built_here = program
        .parent()
        .is_some_and(|folder| folder.join(".fingerprint").is_dir());
    match (built_here, profile.and_then(|name| name.to_str())) {
        (true, Some("release")) => format!("cargo run -q --release --bin deeper -- {words}"),
        (true, _) => format!("cargo deeper {words}"),
        _ => format!("deeper {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lesson_has_several_names() {
        for name in [
            "03_attention_math",
            "B03",
            "b03",
            "basics/3",
            "basics/03",
            "basics/03_attention_math",
        ] {
            assert_eq!(lesson(name).unwrap().binary, "03_attention_math", "{name}");
        }
        assert_eq!(lesson("hfcore/0").unwrap().binary, "00_tinygpt");
        assert_eq!(lesson("hfcore/2").unwrap().binary, "02_peft_lora");
    }

    #[test]
    fn an_ambiguous_number_lists_the_candidates() {
        let error = lesson("00").unwrap_err().to_string();
        for name in [
            "00_polars (basics)",
            "00_tinygpt (hfcore)",
            "00_base (inferencing)",
        ] {
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_mistyped_name_is_guessed() {
        let guess = |typed| lesson(typed).unwrap_err().to_string();
        assert!(
            guess("softmx").contains("did you mean `softmax`?"),
            "{}",
            guess("softmx")
        );
        assert!(
            guess("perceptron").contains("`01_perceptron`?"),
            "{}",
            guess("perceptron")
        );
        assert!(
            !guess("zzzzzzzzzz").contains("did you mean"),
            "{}",
            guess("zzzzzzzzzz")
        );
        assert_eq!(meant("", ["a"]), None);
    }
}
