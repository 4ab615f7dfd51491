//! Parts that share no question and do not move, and the first of each row.

use std::collections::{BTreeMap, BTreeSet};

use llm_train::quality::dedup::{self, Reason, Same};
use llm_train::quality::split::{Plan, Shares, plan};
use llm_train::quality::{Entries, Input, Kind, Part, normal_form};
use proptest::prelude::*;
use serde_json::json;

fn input(folder: &tempfile::TempDir, lines: &[String]) -> Vec<Input> {
    let path = folder.path().join("rows.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    Input::all(Part::Train, vec![path])
}

fn divided(lines: &[String], by: Option<&str>, seed: u64) -> llm_train::Result<Plan> {
    let folder = tempfile::tempdir().unwrap();
    let shares = Shares::new(&[0.5, 0.3, 0.2]).unwrap();
    plan(&input(&folder, lines), by, &shares, seed, &mut |_, _, _| {})
}

fn line(prompt: &str, who: &str) -> String {
    json!({"prompt": prompt, "completion": "x", "who": who}).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_question_is_in_two_parts_and_added_rows_move_none(
        prompts in prop::collection::vec("[abAB ]{0,2}[cC][ \u{a0}]?", 1..20),
        added in prop::collection::vec("[abAB ]{0,2}[cC]", 0..10),
        seed in 0_u64..4,
    ) {
        let lines: Vec<String> = prompts.iter().map(|prompt| line(prompt, "")).collect();
        let first = divided(&lines, None, seed).unwrap();
        let mut parts: BTreeMap<String, BTreeSet<u8>> = BTreeMap::new();
        for (prompt, part) in prompts.iter().zip(&first.parts) {
            parts.entry(normal_form(prompt, Kind::Nfkc)).or_default().insert(*part);
        }
        prop_assert!(parts.values().all(|parts| parts.len() == 1));
        prop_assert_eq!(first.groups.iter().sum::<usize>(), parts.len());
        prop_assert_eq!(first.rows.iter().sum::<usize>(), prompts.len());
        // Before the others, so that every row has another number
        let mut more: Vec<String> = added.iter().map(|prompt| line(prompt, "")).collect();
        more.extend(lines);
        let second = divided(&more, None, seed).unwrap();
        prop_assert_eq!(&second.parts[added.len()..], &first.parts[..]);
    }
}

#[test]
fn a_key_keeps_its_rows_together_and_may_not_tear_a_question_apart() {
    let people: Vec<String> = (0..40).map(|n| format!("person {}", n % 8)).collect();
    let lines: Vec<String> = people
        .iter()
        .enumerate()
        .map(|(n, who)| line(&format!("question {n}"), who))
        .collect();
    let plan = divided(&lines, Some("who"), 7).unwrap();
    let mut parts: BTreeMap<&String, BTreeSet<u8>> = BTreeMap::new();
    for (who, part) in people.iter().zip(&plan.parts) {
        parts.entry(who).or_default().insert(*part);
    }
    assert!(parts.values().all(|parts| parts.len() == 1), "{parts:?}");
    assert_eq!(plan.groups.iter().sum::<usize>(), 8);

    let torn: Vec<String> = people.iter().map(|who| line("One question", who)).collect();
    let error = divided(&torn, Some("who"), 7).unwrap_err().to_string();
    for part in ["by `who`", "rows.jsonl:1 and ", "more"] {
        assert!(error.contains(part), "{error}");
    }
    let missing = [
        line("a", "b"),
        json!({"prompt": "c", "completion": "d"}).to_string(),
    ];
    let error = divided(&missing, Some("who"), 7).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:2: has no `who`"), "{error}");
}

#[test]
fn a_division_refuses_what_training_refuses() {
    let bad = [line("a", ""), "{".into()];
    let error = divided(&bad, None, 7).unwrap_err();
    assert!(
        error.to_string().contains("rows.jsonl:2: is not JSON"),
        "{error}"
    );
    assert_eq!(divided(&[], None, 7).unwrap_err().exit_code(), 2);
}

fn reduced(lines: &[String], same: Same) -> Vec<(u32, usize, Reason)> {
    let folder = tempfile::tempdir().unwrap();
    let plan = dedup::plan(&input(&folder, lines), same, &mut |_, _, _| {}).unwrap();
    assert_eq!(plan.rows, lines.len());
    let brief = |dropped: &dedup::Dropped| (dropped.row, dropped.of.line, dropped.reason);
    plan.dropped.iter().map(brief).collect()
}

#[test]
fn the_first_of_each_row_stays() {
    let lines = ["A cat", "a cat", "A  cat", "A cat", "Ａ cat", "A dog"].map(|text| line(text, ""));
    let dropped = |kind| reduced(&lines, Same { kind, near: None });
    let equal = |row, kind| (row, 1, Reason::Equal(kind));
    assert_eq!(dropped(Kind::Exact), [equal(3, Kind::Exact)]);
    assert_eq!(
        dropped(Kind::Case),
        [equal(1, Kind::Case), equal(3, Kind::Exact)]
    );
    assert_eq!(
        dropped(Kind::Nfkc),
        [
            equal(1, Kind::Case),
            equal(2, Kind::Whitespace),
            equal(3, Kind::Exact),
            equal(4, Kind::Nfkc),
        ]
    );
}

#[test]
fn a_near_row_goes_for_a_row_that_stays() {
    let text = |changed: &[usize]| {
        let word = |n| match changed.contains(&n) {
            true => format!("new{n}"),
            false => format!("word{n}"),
        };
        let words: Vec<String> = (0..60).map(word).collect();
        line(&words.join(" "), "")
    };
    // The third is near the second only, which goes: so it stays. The fourth equals the second.
    let second = [0, 59];
    let lines = [
        text(&[]),
        text(&second),
        text(&[0, 59, 1]),
        text(&second).to_uppercase(),
    ];
    let lines: Vec<String> = lines
        .iter()
        .map(|line| {
            line.replace("PROMPT", "prompt")
                .replace("COMPLETION", "completion")
        })
        .collect();
    let same = Same {
        kind: Kind::Nfkc,
        near: Some(0.88),
    };
    let dropped = reduced(&lines, same);
    let rows: Vec<(u32, usize)> = dropped.iter().map(|(row, of, _)| (*row, *of)).collect();
    assert_eq!(rows, [(1, 1), (3, 1)], "{dropped:?}");
    for (.., reason) in dropped {
        assert!(matches!(reason, Reason::Near(jaccard) if (0.88..1.0).contains(&jaccard)));
    }
}

#[test]
fn lines_come_as_they_are_and_long_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let good = json!({"prompt": "a", "completion": "b"}).to_string();
    let long = json!({"prompt": "x".repeat(1000), "completion": "b"}).to_string();
    let limit = good.len() + 1;
    std::fs::write(&path, format!("{good}\r\n{good}\n{long}\n{good}")).unwrap();
    let inputs = Input::all(Part::Held, vec![path]);
    let entries: Vec<_> = Entries::with_limit(&inputs, limit)
        .map(|entry| entry.unwrap())
        .collect();
    let raw: Vec<&[u8]> = entries.iter().map(|entry| entry.raw.as_slice()).collect();
    assert_eq!(raw[0], format!("{good}\r").as_bytes());
    assert_eq!((raw[1], raw[3]), (good.as_bytes(), good.as_bytes()));
    let lines: Vec<usize> = entries.iter().map(|entry| entry.at.line).collect();
    assert_eq!(lines, [1, 2, 3, 4]);
    let usable: Vec<bool> = entries.iter().map(|entry| entry.usable().is_ok()).collect();
    assert_eq!(usable, [true, true, false, true]);
    let error = entries[2].usable().unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:3: is longer than"), "{error}");
    let missing = Input::all(Part::Train, vec![folder.path().join("no.jsonl")]);
    let mut entries = Entries::new(&missing);
    assert_eq!(entries.next().unwrap().unwrap_err().exit_code(), 3);
    assert!(entries.next().is_none());
}
