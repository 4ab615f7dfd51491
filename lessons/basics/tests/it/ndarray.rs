//! `01_ndarray`: its promises, its shapes, and what it says when shapes do not fit.

use llm_show::golden::{Output, Promises, Run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_01_ndarray");

fn run(args: &[&str]) -> Output {
    Run::new(PROGRAM).args(args.iter().copied()).output().unwrap()
}

#[test]
fn ndarray_keeps_its_promises() {
    let promises = Promises {
        program: PROGRAM,
        name: "01_ndarray",
        folder: crate::folder(),
        args: &[],
        tolerance: crate::PRINTED,
        answer: Some("60"),
    };
    promises.check().unwrap();
}

#[test]
fn the_shapes_of_the_course_are_on_the_screen() {
    let output = run(&[]).stdout;
    for part in [
        "[2, 3] + [3] = [2, 3]",
        "11.0000  22.0000  33.0000",
        "14.0000  25.0000  36.0000",
        "y = x @ w   [B=32, T=10, D=8]",
        "cannot multiply [2, 3] by [2, 3]",
        "shapes [2, 3] and [2] do not broadcast",
    ] {
        assert!(output.contains(part), "no `{part}` in\n{output}");
    }
}

#[test]
fn own_shapes_are_added_and_multiplied() {
    let add = ["4,1", "6", "[4, 1] + [6] = [4, 6]"];
    let product = ["5,2,3", "3,2", "[5, 2, 3] @ [3, 2] = [5, 2, 2]"];
    let vectors = ["3", "3", "[3] @ [3] = []"];
    let batch = ["2,4,3", "3", "[2, 4, 3] @ [3] = [2, 4]"];
    for (operation, [left, right, expected]) in
        [("add", add), ("matmul", product), ("matmul", vectors), ("matmul", batch)]
    {
        let output = run(&["--left", left, "--right", right, "--operation", operation]);
        assert_eq!(output.code, Some(0), "{left} {operation} {right}: {}", output.stderr);
        assert!(output.stdout.contains(expected), "{}", output.stdout);
    }
}

#[test]
fn shapes_that_do_not_fit_exit_with_2_and_name_both() {
    let sum = run(&["--left", "2,3", "--right", "2"]);
    assert_eq!(sum.code, Some(2), "{}", sum.stderr);
    let message = "error: shapes [2, 3] and [2] do not broadcast: axis -1 has 3 and 2, expected \
                   equal sizes or a 1";
    assert!(sum.stderr.contains(message), "{}", sum.stderr);
    assert!(sum.stderr.contains("hint: --left 3,3 --right 3"), "{}", sum.stderr);
    let product = run(&["--left", "2,3", "--right", "2,3", "--operation", "matmul"]);
    assert_eq!(product.code, Some(2), "{}", product.stderr);
    assert!(product.stderr.contains("cannot multiply [2, 3] by [2, 3]"), "{}", product.stderr);
    for operation in ["add", "matmul"] {
        let hinted = run(&["--left", "3,3", "--right", "3", "--operation", operation]);
        assert_eq!(hinted.code, Some(0), "the hint helps {operation}: {}", hinted.stderr);
    }
}

#[test]
fn what_is_no_shape_exits_with_2() {
    for shape in ["", "0", "2,x", "-1", "1,2,3,4,5", "3000", "99999999999,99999999999"] {
        let output = run(&["--left", shape]);
        assert_eq!(output.code, Some(2), "{shape}: {}", output.stderr);
        assert!(output.stderr.contains("expected"), "{shape}: {}", output.stderr);
    }
    assert_eq!(run(&["--operation", "divide"]).code, Some(2));
}
