//! `deeper doctor` from outside.

use llm_show::golden::{Output, Run};

fn doctor(libraries: &str) -> Output {
    let run = Run::new(env!("CARGO_BIN_EXE_deeper")).env("LD_LIBRARY_PATH", libraries);
    run.args(["doctor", "--plain"]).output().unwrap()
}

/// The row of a table that begins with `name`.
fn row<'a>(output: &'a Output, name: &str) -> &'a str {
    let mut lines = output.stdout.lines().map(str::trim);
    lines.find(|line| line.starts_with(name)).unwrap()
}

#[cfg(not(any(feature = "cuda", feature = "metal")))]
#[test]
fn a_build_for_the_cpu_is_well_everywhere_and_names_what_a_gpu_would_need() {
    let output = doctor("");
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(row(&output, "backends").ends_with("cpu"), "{output:?}");
    for part in [
        "processor",
        "instructions",
        "threads",
        "libcuda.so",
        "libnvrtc.so",
    ] {
        row(&output, part);
    }
    assert!(output.stdout.contains("ok: "), "{output:?}");
    assert!(output.stdout.contains("hint: "), "{output:?}");
    assert_eq!(output.stderr, "");
}

#[cfg(target_os = "linux")]
#[test]
fn libraries_are_found_where_the_environment_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("libcurand.so.10"), "").unwrap();
    let output = doctor(folder.path().to_str().unwrap());
    let found = row(&output, "libcurand.so");
    assert!(found.contains("libcurand.so.10"), "{output:?}");
}
