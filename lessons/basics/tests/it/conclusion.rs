//! `07_conclusion`: its promises, the three styles, and what it says about heads that do not fit.

use llm_show::golden::{Output, Promises, Run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_07_conclusion");

fn run(args: &[&str]) -> Output {
    Run::new(PROGRAM).args(args.iter().copied()).output().unwrap()
}

#[test]
fn conclusion_keeps_its_promises() {
    let promises = Promises {
        program: PROGRAM,
        name: "07_conclusion",
        folder: crate::folder(),
        args: &[],
        tolerance: crate::PRINTED,
        answer: Some("7,087,872"),
    };
    promises.check().unwrap();
}

#[test]
fn every_style_passes_every_check() {
    for style in ["original", "gpt2", "llama"] {
        for seed in ["7", "3", "11"] {
            let output = run(&["--style", style, "--seed", seed]);
            assert_eq!(output.code, Some(0), "{style} {seed}: {}", output.stderr);
        }
    }
    let llama = run(&["--style", "llama"]).stdout;
    assert!(llama.contains("mlp.gate.weight") && !llama.contains(".bias"), "{llama}");
    assert!(llama.contains("Tensors without a gradient: none"), "{llama}");
    let original = run(&["--style", "original"]).stdout;
    assert!(original.contains("without a gradient: attention.k.bias"), "{original}");
    assert!(original.contains("= 3280"), "{original}");
}

#[test]
fn a_style_that_nobody_built_exits_with_2_and_the_list() {
    let output = run(&["--style", "bert"]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("original, gpt2, llama"), "{}", output.stderr);
}

#[test]
fn the_picture_has_a_line_for_each_order() {
    let folder = std::env::temp_dir().join(format!("conclusion-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("flow.svg");
    let output = run(&["--svg", file.to_str().unwrap()]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let svg = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(svg.contains(">pre-norm<") && svg.contains(">post-norm<"), "{svg}");
}
