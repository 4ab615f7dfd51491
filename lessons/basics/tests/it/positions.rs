//! 05_attention_positional_encoding: order, and how attention learns of it.

use llm_show::golden::{Output, Promises, Run};

use crate::{PRINTED, folder};

const PROGRAM: &str = env!("CARGO_BIN_EXE_05_attention_positional_encoding");

#[test]
fn it_keeps_its_promises() {
    let promises = Promises {
        program: PROGRAM,
        name: "05_attention_positional_encoding",
        folder: folder(),
        args: &[],
        tolerance: PRINTED,
        answer: Some("16"),
    };
    promises.check().unwrap();
}

fn run(args: &[&str]) -> Output {
    Run::new(PROGRAM).args(args.iter().copied()).output().unwrap()
}

#[test]
fn every_seed_size_and_sentence_keeps_its_checks() {
    for args in [
        &["--seed", "8"][..],
        &["--seed", "9"],
        &["--channels", "2"],
        &["--channels", "64"],
        &["--tokens", "dog bites man"],
        &["--tokens", "a b c d e f g h i j k l"],
    ] {
        let output = run(args);
        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn channels_that_do_not_pair_are_refused_with_the_reason() {
    for channels in ["0", "1", "5", "66"] {
        let output = run(&["--channels", channels]);
        assert_eq!(output.code, Some(2), "{channels}: {}", output.stderr);
        let problem = format!("--channels is {channels}, expected an even number from 2 to 64");
        assert!(output.stderr.contains(&problem), "{}", output.stderr);
        assert!(output.stderr.contains("a sine and a cosine"), "{}", output.stderr);
        assert!(output.stderr.contains("hint: --channels 16"), "{}", output.stderr);
    }
    for tokens in ["", "dog bites", "a b a b", "a b c d e f g h i j k l m"] {
        let output = run(&["--tokens", tokens]);
        assert_eq!(output.code, Some(2), "{tokens}: {}", output.stderr);
        assert!(output.stderr.contains("hint: --tokens"), "{}", output.stderr);
    }
}
