//! `06_mha`: its promises, other numbers of heads, and what it says about heads that do not fit.

use llm_show::golden::{Output, Promises, Run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_06_mha");

fn run(args: &[&str]) -> Output {
    Run::new(PROGRAM).args(args.iter().copied()).output().unwrap()
}

#[test]
fn mha_keeps_its_promises() {
    let promises = Promises {
        program: PROGRAM,
        name: "06_mha",
        folder: crate::folder(),
        args: &[],
        tolerance: crate::PRINTED,
        answer: Some("4.375"),
    };
    promises.check().unwrap();
}

#[test]
fn heads_that_divide_pass_every_check() {
    for args in [
        &["--heads", "1"][..],
        &["--heads", "32"],
        &["--heads", "8", "--kv-heads", "2"],
        &["--heads", "16", "--kv-heads", "1", "--seed", "3"],
    ] {
        let output = run(args);
        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
    }
    let grouped = run(&["--heads", "8", "--kv-heads", "2"]).stdout;
    assert!(grouped.contains("[H=8, T=6, D=4]") && grouped.contains("[K=2, T=6, D=4]"));
    // Keys and values have 2 · 4 = 8 of 32 channels: 2 · 32 · 40 + 2 · 40.
    assert!(grouped.contains("= 2640"), "{grouped}");
}

#[test]
fn heads_that_do_not_divide_exit_with_2_and_the_numbers_that_do() {
    for (args, message) in [
        (&["--heads", "5"][..], "heads: 5 does not divide the 32 channels; 1, 2, 4, 8, 16, 32 do"),
        (&["--heads", "0"], "heads: 0 does not divide the 32 channels"),
        (
            &["--heads", "8", "--kv-heads", "3"],
            "key-value heads: 3 does not divide the 8 query heads; 1, 2, 4, 8 do",
        ),
        (&["--kv-heads", "0"], "key-value heads: 0 does not divide the 4 query heads"),
        (&["--kv-heads", "8"], "key-value heads: 8 does not divide the 4 query heads"),
    ] {
        let output = run(args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(message), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains("hint: --heads one of [1, 2, 4"), "{}", output.stderr);
    }
    assert_eq!(run(&["--heads", "-4"]).code, Some(2));
}

#[test]
fn the_picture_has_a_map_for_every_head() {
    let folder = std::env::temp_dir().join(format!("mha-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("heads.svg");
    let output = run(&["--svg", file.to_str().unwrap(), "--heads", "2"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let svg = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(svg.contains("<svg") && svg.contains(">mat<"), "{svg}");
}
