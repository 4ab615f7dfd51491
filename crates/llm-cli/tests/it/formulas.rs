//! `deeper inspect params | vram | flops | kv` and `deeper cost`: what they print, as text and JSON.

use std::path::Path;

use llm_show::golden::Golden;
use serde_json::Value;

use crate::checkout::{Checkout, fails, looks_right};

/// Printed numbers have at most four decimals.
const PRINTED: f64 = 1e-4;

fn json(args: &[&str]) -> Value {
    let output = Checkout::new().deeper(args.iter().copied().chain(["--json"]));
    assert_eq!(output.code, Some(0), "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

fn golden(name: &str, text: &str) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    let golden = Golden {
        path: folder.join(format!("{name}.txt")),
        tolerance: PRINTED,
    };
    golden.compare(text).unwrap();
}

/// The name of a golden file and the words of the command that writes it.
const PAGES: [(&str, &str); 8] = [
    ("params.gpt2", "inspect params --config gpt2"),
    ("params.qwen3", "inspect params --config Qwen/Qwen3-0.6B"),
    (
        "vram.llama",
        "inspect vram --config llama-3.1-8b --r 64 --targets all",
    ),
    ("vram.7B", "inspect vram --params 7B"),
    ("flops.llama", "inspect flops --config llama-2-7b"),
    ("kv.qwen3", "inspect kv --config qwen3-0.6b"),
    (
        "cost.h100",
        "cost --params 7e9 --tokens 1.4e12 --gpu h100 --gpus 64 --price-per-hour 2.5",
    ),
    ("cost.published", "cost --published"),
];

/// Commands whose figures are large or many.
const WIDE: [&str; 2] = [
    "cost --params 7B --tokens 2T --price-per-hour 2",
    "inspect kv --config mistral-7b-v0.1 --batch 100000",
];

fn words(command: &str) -> Vec<&str> {
    command.split_whitespace().collect()
}

#[test]
fn pages_are_the_golden_ones() {
    let checkout = Checkout::new();
    for (name, command) in PAGES {
        let output = checkout.deeper(words(command));
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(output.stderr, "");
        golden(name, &output.stdout);
        looks_right(&checkout, &words(command));
    }
    for command in WIDE {
        looks_right(&checkout, &words(command));
    }
}

#[test]
fn help_is_the_golden_one() {
    let verbs = [
        "lessons",
        "run",
        "next",
        "exercises",
        "exercises check",
        "exercises hint",
        "exercises watch",
        "inspect",
        "inspect params",
        "inspect vram",
        "inspect flops",
        "inspect kv",
        "cost",
        "metrics",
    ];
    for verb in verbs {
        let output = Checkout::new().deeper(verb.split_whitespace().chain(["--help"]));
        assert_eq!(output.code, Some(0), "{output:?}");
        golden(&format!("{}.help", verb.replace(' ', ".")), &output.stdout);
    }
    let output = Checkout::new().deeper(["--help"]);
    golden("deeper.help", &output.stdout);
}

#[test]
fn counts_are_exact() {
    for (config, expected) in [
        ("gpt2", 124_439_808_u64),
        ("qwen3-0.6b", 596_049_920),
        ("llama-3.1-8b", 8_030_261_248),
        ("tinyllama-1.1b", 1_100_048_384),
        ("qwen2.5-0.5b", 494_032_768),
    ] {
        let value = json(&["inspect", "params", "--config", config]);
        assert_eq!(value["parameters"], expected);
        let parts = value["parts"].as_array().unwrap();
        let sum: u64 = parts
            .iter()
            .map(|part| part["parameters"].as_u64().unwrap())
            .sum();
        assert_eq!(sum, expected, "{value}");
    }
    assert_eq!(
        json(&["inspect", "params", "--config", "gpt2"])["rule"],
        162_129_408
    );
}

#[test]
fn bytes_are_exact() {
    let kv = json(&["inspect", "kv", "--config", "qwen3-0.6b"]);
    assert_eq!(
        (&kv["bytes_per_token"], &kv["bytes"]),
        (&114_688.into(), &4_697_620_480_u64.into())
    );
    let kv = json(&["inspect", "kv", "--config", "llama-3.1-8b", "--tokens", "1"]);
    assert_eq!(kv["bytes"], 131_072);
    let rule = json(&["inspect", "vram", "--params", "7e9"]);
    assert_eq!(rule["training"][0]["bytes"], 112_000_000_000_u64);
    assert_eq!(rule["training"][0]["moment_bytes"], 56_000_000_000_u64);
    assert_eq!(rule["weights"][1]["bytes"], 14_000_000_000_u64);
    let vram = json(&[
        "inspect",
        "vram",
        "--config",
        "qwen3-0.6b",
        "--targets",
        "q_proj,k_proj,v_proj",
    ]);
    let [full, lora, qlora] = [0, 1, 2].map(|row| &vram["training"][row]);
    assert_eq!(full["trained"], 596_049_920);
    assert_eq!(
        (&lora["trained"], &qlora["trained"]),
        (&3_211_264.into(), &3_211_264.into())
    );
    assert_eq!(lora["frozen_bytes"], 2 * 596_049_920);
    let bytes = |row: &Value| row["bytes"].as_u64().unwrap();
    assert!(bytes(full) > bytes(lora) && bytes(lora) > bytes(qlora));
}

#[test]
fn operations_are_exact() {
    let flops = json(&[
        "inspect",
        "flops",
        "--config",
        "llama-2-7b",
        "--tokens",
        "2048",
    ]);
    assert_eq!(flops["plain_blocks"]["matrices"], 12_884_901_888_u64);
    assert_eq!(flops["plain_blocks"]["attention"], 1_073_741_824);
    // Heads as wide as the model, so attention is the plain block's; the layers are not.
    assert_eq!(flops["token"]["attention"], 1_073_741_824);
    assert_eq!(
        flops["token"]["blocks"],
        2 * (6_738_415_616_u64 - 2 * 32_000 * 4096 - 65 * 4096)
    );
    let step = flops["training_step"].as_f64().unwrap();
    assert_eq!(step, 3.0 * flops["text"]["total"].as_f64().unwrap());
}

#[test]
fn a_config_may_be_a_file_a_folder_or_a_name() {
    let checkout = Checkout::new();
    let tiny = r#"{"model_type": "gpt2", "vocab_size": 5, "n_positions": 4, "n_embd": 16,
        "n_layer": 1, "n_head": 2}"#;
    checkout.write("tiny/config.json", tiny);
    for named in ["tiny", "tiny/config.json", "./tiny"] {
        let output = checkout.deeper(["inspect", "params", "--config", named, "--json"]);
        assert!(output.stdout.contains("\"parameters\":3456"), "{output:?}");
    }
    let params = |named: &str| checkout.deeper(["inspect", "params", "--config", named]);
    fails(
        &params("gpt3"),
        2,
        &["did you mean `gpt2`?", "hint: ", "llama-3.1-8b"],
    );
    fails(&params("lessons"), 2, &["holds no config.json"]);
    fails(&params("no/such.json"), 2, &["no/such.json: no such file"]);
    checkout.write("bad.json", &tiny.replace("\"n_head\": 2", "\"n_head\": 3"));
    fails(&params("bad.json"), 2, &["bad.json", "n_head", "divisor"]);
    let targets = ["inspect", "vram", "--config", "gpt2", "--targets", "q_proj"];
    fails(&checkout.deeper(targets), 2, &["q_proj", "c_attn"]);
    fails(
        &checkout.deeper(["inspect", "vram", "--params", "-1"]),
        2,
        &["--params"],
    );
    assert_eq!(
        checkout
            .deeper(["inspect", "kv", "--config", "gpt2", "--batch", "0"])
            .code,
        Some(2)
    );
    assert_eq!(
        checkout.deeper(["inspect"]).code,
        Some(2),
        "something has to be named"
    );
}

#[test]
fn cost_is_six_n_d_over_what_the_gpus_do() {
    let run = [
        "cost", "--params", "7B", "--tokens", "1.4T", "--gpu", "A100", "--gpus", "64",
    ];
    let value = json(&run);
    let number = |key: &str| value[key].as_f64().unwrap();
    assert_eq!(number("flops"), 6.0 * 7e9 * 1.4e12);
    let hours = 6.0 * 7e9 * 1.4e12 / (312e12 * 0.4) / 3600.0;
    assert!((number("gpu_hours") - hours).abs() < 1e-6 * hours);
    assert!((number("days") - hours / 64.0 / 24.0).abs() < 1e-6 * hours);
    assert!(value["money"].is_null());
    let priced = json(&[&run[..], &["--price-per-hour", "2", "--mfu", "0.5"]].concat());
    assert!((priced["money"].as_f64().unwrap() - 2.0 * hours * 0.8).abs() < 1e-6 * hours);
    let every = json(&["cost", "--params", "7B", "--tokens", "1.4T"]);
    assert!(every.as_array().unwrap().len() >= 10);
}

#[test]
fn impossible_costs_are_explained() {
    let checkout = Checkout::new();
    let cost = |flag: &str, value: &str| {
        let mut args = vec!["cost"];
        for (name, usual) in [
            ("--params", "7B"),
            ("--tokens", "1T"),
            ("--gpu", "h100"),
            ("--mfu", "0.4"),
            ("--gpus", "8"),
        ] {
            args.extend([name, if name == flag { value } else { usual }]);
        }
        checkout.deeper(args)
    };
    assert_eq!(cost("", "").code, Some(0));
    for (flag, value) in [
        ("--params", "0"),
        ("--params", "-7e9"),
        ("--params", "nan"),
        ("--params", "many"),
        ("--tokens", "0"),
        ("--tokens", "inf"),
        ("--mfu", "0"),
        ("--mfu", "-0.4"),
        ("--gpus", "0"),
    ] {
        fails(&cost(flag, value), 2, &[flag, value, "expected", "hint: "]);
    }
    fails(
        &cost("--mfu", "40"),
        2,
        &["above 0 to 1", "hint: ", "0.4 is 40 %"],
    );
    fails(&cost("--gpus", "1.5"), 2, &["whole number"]);
    fails(
        &cost("--gpu", "h10"),
        2,
        &[
            "unknown GPU `h10`",
            "did you mean `h100`?",
            "hint: --gpu v100",
        ],
    );
    fails(&cost("--gpu", ""), 2, &["unknown GPU"]);
    assert_eq!(checkout.deeper(["cost", "--params", "7B"]).code, Some(2));
}
