//! The character GPT's folder and text: every reader here takes the folder, unknown characters are
//! named, and a text repeats from its seed.

use std::path::Path;

use llm_core::generate::{GenerateConfig, generate};
use llm_core::sample::SamplerConfig;
use llm_core::text::hf::HfTokenizer;
use llm_store::ModelFolder;
use llm_train::chars::floor::floor_by_position;
use llm_train::chars::recipe::Recipe;
use llm_train::chars::run::losses_by_position;
use llm_train::chars::windows::Windows;
use llm_train::chars::write::{Writer, next_scores, write, write_greedy};
use llm_train::chars::{PAGE, encode_prompt, first_words, folder, mean};
use sha2::{Digest, Sha256};

use crate::mini_gpt::{CLOSE, LINE, MEAN, SHORT, near, page, root, tiny};

#[test]
fn a_kept_model_is_a_folder_that_every_reader_here_takes() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("models/line.v1");
    let (chars, mut run) = tiny(
        Recipe {
            epochs: 10,
            ..SHORT
        },
        7,
    );
    run.train(Some(&out), |_| {}).unwrap();
    let unfinished = out.with_file_name("line.v1.unfinished");
    assert!(unfinished.is_dir(), "ten epochs are saved on the way");
    run.keep(&out, &chars).unwrap();
    run.keep(&out, &chars).unwrap(); // over itself
    assert!(!unfinished.exists());
    let mut names: Vec<_> = std::fs::read_dir(&out)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );

    let again = folder::open(&out).unwrap();
    assert_eq!(again.chars, chars);
    let prompt = chars.encode("the ").unwrap();
    let scores = next_scores(&run.model, &prompt).unwrap();
    assert_eq!(
        next_scores(&again.model, &prompt).unwrap(),
        scores,
        "bit for bit"
    );

    // The general programs: the tokenizers library, the decoder's cached generation.
    let tokenizer = HfTokenizer::from_file(out.join("tokenizer.json")).unwrap();
    assert_eq!(tokenizer.encode(LINE).unwrap(), chars.encode(LINE).unwrap());
    assert_eq!(
        tokenizer.decode(&chars.encode(LINE).unwrap()).unwrap(),
        LINE
    );
    assert!(
        tokenizer.encode("the dog").is_err(),
        "there is no token for the unknown"
    );
    assert!(ModelFolder::open(&out).is_ok());
    let settings = GenerateConfig {
        max_new_tokens: 4,
        ..GenerateConfig::default()
    };
    let cached: Vec<u32> = generate(&again.model, &prompt, &settings)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(cached, write_greedy(&run.model, &prompt, 4).unwrap());
}

#[test]
fn characters_come_back_and_unknown_ones_are_named() {
    let (chars, ids) = page();
    assert_eq!(chars.decode(&ids).unwrap(), PAGE);
    let path = Path::new("tokenizer.json");
    let json = folder::tokenizer_json(&chars);
    assert_eq!(folder::read_tokenizer(path, &json).unwrap(), chars);
    let library = HfTokenizer::from_json("tokenizer.json", &json).unwrap();
    assert_eq!(library.encode(PAGE).unwrap(), ids);
    assert_eq!(library.decode(&ids).unwrap(), PAGE);

    assert_eq!(encode_prompt(&chars, &first_words(PAGE)).unwrap().len(), 10);
    let [problem, hint] = encode_prompt(&chars, "The Zoo").unwrap_err();
    assert!(problem.contains("'Z' (U+005A) at place 4"), "{problem}");
    assert_eq!(
        hint,
        "the model knows newline space ',.:?ABEGINOPTWabcdefghijklmnopqrstuvwxyz"
    );
    let [problem, _] = encode_prompt(&chars, "").unwrap_err();
    assert_eq!(
        problem,
        "the prompt is empty, expected at least one character"
    );

    let damaged = [
        ("{", "is not JSON"),
        ("{}", "single characters"),
        (&json.replace("WordLevel", "BPE"), "single characters"),
        (&json.replace("\"a\"", "\"aa\""), "other tokens"),
        (&json.replace("\"b\": 18", "\"b\": 99"), "other tokens"),
    ];
    for (text, expected) in damaged {
        let error = folder::read_tokenizer(path, text).unwrap_err().to_string();
        assert!(
            error.starts_with("tokenizer.json") && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn the_bundled_model_knows_the_page_by_heart() {
    let small = folder::small().unwrap();
    let (chars, ids) = page();
    assert_eq!(small.chars, chars);
    // One window in eight, which have a floor of their own: enough, and quick without optimisation.
    let windows = Windows::new(ids.clone(), 64, 8).unwrap();
    let floors = floor_by_position(&windows);
    let losses = losses_by_position(&small.model, &windows).unwrap();
    assert!(
        losses
            .iter()
            .zip(&floors)
            .all(|(loss, floor)| *loss >= floor - MEAN)
    );
    let (loss, lowest) = (mean(&losses), mean(&floors));
    assert!(loss <= 0.10, "{loss} against a floor of {lowest}");
    let bundled = folder::open(&root().join("data/mini_gpt/small")).unwrap();
    assert_eq!(
        next_scores(&bundled.model, &ids).unwrap(),
        next_scores(&small.model, &ids).unwrap()
    );

    let readme = std::fs::read_to_string(root().join("data/README.md")).unwrap();
    for file in ["mini_gpt/page.txt", "mini_gpt/small/model.safetensors"] {
        let digest = Sha256::digest(std::fs::read(root().join("data").join(file)).unwrap());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{file}`")))
            .unwrap();
        assert!(row.contains(&digest), "{file} is {digest}");
    }
}

#[test]
fn text_follows_from_the_seed_and_slides_past_the_context() {
    let small = folder::small().unwrap();
    let model = &small.model;
    // After "it " the page goes on in several ways.
    let prompt = small.chars.encode("it ").unwrap();
    let warm = SamplerConfig {
        temperature: 2.0,
        top_k: 20,
        seed: 7,
        ..SamplerConfig::default()
    };
    let text = write(model, &prompt, 150, warm).unwrap();
    assert_eq!(text.len(), 150, "beyond the context of 64");
    assert_eq!(text, write(model, &prompt, 150, warm).unwrap());
    assert_ne!(
        text,
        write(model, &prompt, 150, SamplerConfig { seed: 8, ..warm }).unwrap()
    );
    let cold = SamplerConfig {
        temperature: 0.0,
        ..warm
    };
    let greedy = write_greedy(model, &prompt, 150).unwrap();
    assert_eq!(write(model, &prompt, 150, cold).unwrap(), greedy);
    assert_eq!(
        write(model, &prompt, 150, SamplerConfig { top_k: 1, ..warm }).unwrap(),
        greedy
    );
    // What left the window cannot matter.
    let whole = [&prompt[..], &greedy].concat();
    let seen = &whole[whole.len() - 64..];
    assert_eq!(
        next_scores(model, &whole).unwrap(),
        next_scores(model, seen).unwrap()
    );

    let mut writer = Writer::new(model, &prompt, warm).unwrap();
    for &id in &text[..20] {
        let pick = writer.pick().unwrap();
        assert_eq!(pick.id, id);
        let shares: Vec<f64> = pick.candidates.iter().map(|one| one.probability).collect();
        near("sum", &[shares.iter().sum()], &[1.0], CLOSE);
        assert!(shares.is_sorted_by(|a, b| a >= b) && shares.len() == 20);
        assert!(pick.candidates.iter().any(|one| one.token == id));
    }
    assert!(Writer::new(model, &[], warm).is_err());
    assert!(
        Writer::new(
            model,
            &prompt,
            SamplerConfig {
                temperature: -1.0,
                ..warm
            }
        )
        .is_err()
    );
    assert!(next_scores(model, &[43]).is_err());
    assert!(next_scores(model, &[]).is_err());
}
