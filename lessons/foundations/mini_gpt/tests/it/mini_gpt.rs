//! `mini_gpt_train` and `mini_gpt_generate`: one writes the folder that the other reads.

use std::path::Path;

use llm_show::golden::{Output, Promises, Run};

/// Four printed decimals, of which rounding may change the last; a few steps of Adam add to it.
const TRAINED: f64 = 1e-3;
/// Four printed decimals of probabilities computed in f32.
const PRINTED: f64 = 2e-4;

const TRAIN: &str = env!("CARGO_BIN_EXE_mini_gpt_train");
const GENERATE: &str = env!("CARGO_BIN_EXE_mini_gpt_generate");

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

/// A run in a folder of its own, where no trained model lies about.
fn run_in(folder: &Path, program: &str, args: &[&str]) -> Output {
    Run::new(program).args(args.iter().copied()).folder(folder).output().unwrap()
}

fn generate(args: &[&str]) -> Output {
    run_in(tempfile::tempdir().unwrap().path(), GENERATE, args)
}

/// The lines of the step that begins with `title`, without its checks.
fn step(output: &Output, title: &str) -> Vec<String> {
    let after = output.stdout.lines().skip_while(|line| !line.contains(title)).skip(1);
    let lines = after.take_while(|line| line.starts_with("   ") && !line.starts_with("   check"));
    lines.map(str::to_owned).collect()
}

#[test]
fn training_keeps_its_promises() {
    let promises = Promises {
        program: TRAIN,
        name: "mini_gpt_train",
        folder: folder(),
        args: &["--quick"],
        tolerance: TRAINED,
        answer: Some("128"),
    };
    promises.check().unwrap();
}

#[test]
fn generation_keeps_its_promises() {
    let promises = Promises {
        program: GENERATE,
        name: "mini_gpt_generate",
        folder: folder(),
        args: &["it ", "60"],
        tolerance: PRINTED,
        answer: Some("136"),
    };
    promises.check().unwrap();
}

#[test]
fn a_trained_folder_is_what_generation_writes_with() {
    let folder = tempfile::tempdir().unwrap();
    let none = run_in(folder.path(), TRAIN, &["--quick"]);
    assert_eq!(none.code, Some(0), "{}", none.stderr);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "--quick keeps nothing");

    let kept = run_in(folder.path(), TRAIN, &["--quick", "--out", "output_models/mini_gpt"]);
    assert_eq!(kept.code, Some(0), "{}", kept.stderr);
    assert!(kept.stdout.contains("read again, it writes"), "{}", kept.stdout);
    assert!(folder.path().join("output_models/mini_gpt/tokenizer.json").is_file());
    let found = run_in(folder.path(), GENERATE, &["The ", "30"]);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    assert!(found.stdout.contains("The model: output_models/mini_gpt\n"), "{}", found.stdout);
    assert!(found.stdout.contains("807,040 parameters"), "{}", found.stdout);
    let named =
        run_in(folder.path(), GENERATE, &["The ", "30", "--model", "output_models/mini_gpt"]);
    assert_eq!(named.stdout, found.stdout);
}

#[test]
fn a_text_of_ones_own_is_learned_and_a_bad_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ".repeat(8);
    std::fs::write(folder.path().join("own.txt"), &text).unwrap();
    std::fs::write(folder.path().join("short.txt"), &text[..60]).unwrap();
    std::fs::write(folder.path().join("book.txt"), text.repeat(100)).unwrap();
    let own = run_in(folder.path(), TRAIN, &["--quick", "--text", "own.txt"]);
    assert_eq!(own.code, Some(0), "{}", own.stderr);
    assert!(own.stdout.contains("Zwölf Boxkämpfer jagen"), "{}", own.stdout);
    for (file, code, message) in [
        ("short.txt", 2, "expected more than the context of 64"),
        ("book.txt", 2, "expected a page of up to 20000"),
        ("none.txt", 3, "none.txt"),
    ] {
        let output = run_in(folder.path(), TRAIN, &["--quick", "--text", file]);
        assert_eq!(output.code, Some(code), "{}", output.stderr);
        assert!(output.stderr.contains(message), "{}", output.stderr);
    }
}

#[test]
fn an_unknown_character_is_named_and_the_known_ones_listed() {
    let empty = tempfile::tempdir().unwrap();
    let train = |prompt| run_in(empty.path(), TRAIN, &["--quick", "--prompt", prompt]);
    for output in [train("2 cats"), generate(&["2 cats"])] {
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        assert!(output.stderr.contains("'2' (U+0032) at place 0"), "{}", output.stderr);
        assert!(
            output.stderr.contains("hint: the model knows newline space '"),
            "{}",
            output.stderr
        );
    }
    for output in [train(""), generate(&[""])] {
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        assert!(output.stderr.contains("the prompt is empty"), "{}", output.stderr);
    }
}

#[test]
fn the_three_calls_write_as_asked() {
    let text = |args: &[&str]| step(&generate(args), "The text:").join("\n");
    let length = |text: &str| text.lines().map(|line| line.chars().count() - 3).sum::<usize>();
    let default = generate(&[]);
    assert!(default.stdout.contains("The text: 100 characters at T = 0.8, top-k 20"));
    assert!(text(&[]).starts_with("   it "));
    assert!(text(&["Python is"]).starts_with("   Python is"));
    let long = text(&["The transformer", "200"]);
    // A line end is a character too; spaces at the end of a line are not shown.
    let shown = length(&long) + long.lines().count() - 1;
    assert!((205..=215).contains(&shown), "{shown} characters of 15 + 200: {long}");
    let short = text(&["The transformer"]);
    assert!(long.replace('\n', "").starts_with(&short.replace('\n', "")), "one seed, one text");
}

#[test]
fn temperature_and_seed_do_what_they_say() {
    let text = |args: &[&str]| step(&generate(args), "The text:");
    let hot = ["--temperature", "2", "--top-k", "0"];
    let with = |args: &[&'static str]| text(&[&hot[..], args].concat());
    assert_eq!(with(&["--seed", "8"]), with(&["--seed", "8"]));
    assert_ne!(with(&["--seed", "8"]), with(&["--seed", "9"]));
    let cold = |seed| text(&["--temperature", "0", "--seed", seed]);
    assert_eq!(cold("8"), cold("9"), "the best character needs no luck");
    assert_eq!(cold("8"), text(&["--top-k", "1"]));
    for args in [
        ["--temperature", "-1"],
        ["--temperature", "nan"],
        ["--top-k", "-2"],
        ["--model", "no/such/folder"],
        ["The ", "0"],
        ["The ", "2001"],
    ] {
        let output = generate(&args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
    }
    let missing = generate(&["--model", "no/such/folder"]).stderr;
    assert!(
        missing.contains("hint: cargo run --release --bin mini_gpt_train -- --fast"),
        "{missing}"
    );
}
