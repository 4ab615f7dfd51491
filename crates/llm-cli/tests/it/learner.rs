//! `deeper lessons`, `run`, `next` and the progress that they keep.

use llm_show::cards::CARDS;

use crate::checkout::{Checkout, fails, looks_right};

#[test]
fn every_lesson_is_listed_with_its_question() {
    let checkout = Checkout::new();
    let output = checkout.deeper(["lessons"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    for card in CARDS {
        assert!(
            output.stdout.contains(card.binary),
            "{} is not listed",
            card.binary
        );
        assert!(
            output.stdout.contains(card.question),
            "{} has no question",
            card.binary
        );
    }
    looks_right(&checkout, &["lessons"]);
    let basics = checkout.deeper(["lessons", "--shelf", "basics"]).stdout;
    assert!(
        basics.contains("03_attention_math") && !basics.contains("softmax"),
        "{basics}"
    );
    let wrong = checkout.deeper(["lessons", "--shelf", "basic"]);
    fails(&wrong, 2, &["did you mean `basics`?", "workshop"]);
}

/// A stand-in for cargo that says how it was called and ends as the test wants.
#[cfg(unix)]
fn cargo(checkout: &Checkout, end: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let script =
        format!("#!/bin/sh\necho \"in $(pwd -P)\"\nfor word; do echo \"<$word>\"; done\n{end}\n");
    checkout.write("cargo.sh", &script);
    let path = checkout.path("cargo.sh");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[cfg(unix)]
#[test]
fn run_calls_cargo_in_the_root_and_notes_a_success() {
    let checkout = Checkout::new();
    let cargo = cargo(&checkout, "exit 0");
    std::fs::create_dir_all(checkout.path("deep/inside")).unwrap();
    let args = ["run", "basics/3", "--plain", "--", "--tokens", "a b"];
    let run = checkout
        .run(args)
        .env("CARGO", &cargo)
        .folder(checkout.path("deep/inside"));
    let output = run.output().unwrap();
    assert_eq!(output.code, Some(0), "{output:?}");
    let root = checkout.path("").canonicalize().unwrap();
    let said: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(said[0], format!("in {}", root.display()));
    let words = [
        "<run>",
        "<-q>",
        "<--bin>",
        "<03_attention_math>",
        "<-->",
        "<--plain>",
        "<--tokens>",
        "<a b>",
    ];
    assert_eq!(said[1..], words);
    assert!(
        checkout
            .read("data/progress.json")
            .contains("\"03_attention_math\": \"20")
    );
    let list = checkout.deeper(["lessons"]).stdout;
    assert!(list.contains("ran  03_attention_math"), "{list}");
    let told = format!("1 of {} lessons have run", CARDS.len());
    assert!(list.contains(&told), "{list}");
}

#[cfg(unix)]
#[test]
fn run_passes_on_how_a_lesson_failed_and_notes_nothing() {
    let checkout = Checkout::new();
    for (end, code) in [("exit 1", 1), ("exit 2", 2), ("kill -TERM $$", 143)] {
        let cargo = cargo(&checkout, end);
        let output = checkout
            .run(["run", "softmax"])
            .env("CARGO", &cargo)
            .output()
            .unwrap();
        assert_eq!(output.code, Some(code), "{output:?}");
    }
    assert!(!checkout.path("data/progress.json").exists());
    let none = checkout
        .run(["run", "softmax"])
        .env("CARGO", "/no/such/cargo")
        .output()
        .unwrap();
    fails(&none, 2, &["cargo does not start", "hint: "]);
    fails(
        &checkout.deeper(["run", "00"]),
        2,
        &["00_polars (basics)", "hint: ", "run 00_polars"],
    );
    fails(
        &checkout.deeper(["run", "sofmax"]),
        2,
        &["did you mean `softmax`?"],
    );
}

#[cfg(unix)]
#[test]
fn next_goes_through_the_lessons_in_order() {
    let checkout = Checkout::new();
    let cargo = cargo(&checkout, "exit 0");
    looks_right(&checkout, &["next"]);
    for card in CARDS {
        let told = checkout.deeper(["next"]).stdout;
        let command = told.lines().next().unwrap();
        assert!(
            command.ends_with(&format!(" {}", card.binary)),
            "{command}, not {}",
            card.binary
        );
        assert!(
            told.contains(card.question.split(' ').next().unwrap()),
            "{told}"
        );
        let ran = checkout
            .run(["next", "--run"])
            .env("CARGO", &cargo)
            .output()
            .unwrap();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(
            ran.stdout.contains(&format!("<{}>", card.binary)),
            "{ran:?}"
        );
    }
    let done = checkout.deeper(["next"]).stdout;
    assert!(done.contains("every lesson has run"), "{done}");
    assert!(
        checkout
            .deeper(["lessons"])
            .stdout
            .contains("every lesson here has run")
    );
}

#[test]
fn damaged_progress_is_kept_beside_and_begun_anew() {
    let checkout = Checkout::new();
    for (round, text) in [
        "{\"version\": 1, \"lessons\"",
        "[]",
        "{\"version\": 1, \"lessons\": 3}",
    ]
    .into_iter()
    .enumerate()
    {
        checkout.write("data/progress.json", text);
        let output = checkout.deeper(["lessons"]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.stderr.contains("is damaged"), "{}", output.stderr);
        let copy = format!("data/progress.damaged-{}.json", round + 1);
        assert!(output.stderr.contains("damaged-"), "{}", output.stderr);
        assert_eq!(checkout.read(&copy), text);
        assert!(
            checkout.deeper(["lessons"]).stderr.is_empty(),
            "the second time is quiet"
        );
    }
}

#[cfg(unix)]
#[test]
fn the_progress_of_a_newer_program_is_left_alone() {
    let checkout = Checkout::new();
    let cargo = cargo(&checkout, "exit 0");
    let newer = "{\"version\": 2, \"done\": [\"everything\"]}";
    checkout.write("data/progress.json", newer);
    let output = checkout
        .run(["run", "softmax"])
        .env("CARGO", &cargo)
        .output()
        .unwrap();
    assert_eq!(
        output.code,
        Some(0),
        "a lesson runs whatever its progress: {output:?}"
    );
    assert!(output.stderr.contains("newer deeper"), "{}", output.stderr);
    assert_eq!(checkout.read("data/progress.json"), newer);
    // A file where the folder should be.
    checkout.write("data2", "");
    let run = checkout.run(["run", "softmax"]).env("CARGO", &cargo);
    let output = run
        .env("DEEPER_DATA", checkout.path("data2").to_str().unwrap())
        .output()
        .unwrap();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("not kept"), "{}", output.stderr);
}
