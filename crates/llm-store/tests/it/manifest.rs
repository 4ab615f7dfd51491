//! Checkpoint folders: the manifest is written last and every damage is found by name.

use std::fs;
use std::path::{Path, PathBuf};

use llm_store::atomic::FolderWriter;
use llm_store::manifest::verify;
use serde_json::{Map, json};

use crate::support::assert_error;

fn checkpoint(dir: &Path) -> PathBuf {
    let folder = dir.join("step-00000010");
    let writer = FolderWriter::create(&folder, true).unwrap();
    writer.write("model.safetensors", b"weights").unwrap();
    writer.write("optimizer/moments.bin", b"moments").unwrap();
    let extra = Map::from_iter([("step".to_string(), json!(10))]);
    writer.commit_with_manifest(extra).unwrap();
    folder
}

#[test]
fn an_untouched_checkpoint_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = verify(&checkpoint(dir.path())).unwrap();
    assert_eq!(manifest.extra["step"], 10);
    assert_eq!(
        manifest.files.keys().collect::<Vec<_>>(),
        ["model.safetensors", "optimizer/moments.bin"]
    );
    assert_eq!(manifest.files["model.safetensors"].size, 7);
}

#[test]
fn every_damage_names_its_file() {
    let dir = tempfile::tempdir().unwrap();
    type Damage = fn(&Path);
    let cases: [(Damage, &str, &str); 7] = [
        (
            |f| fs::write(f.join("model.safetensors"), "weighty").unwrap(),
            "model.safetensors",
            "damaged",
        ),
        (
            |f| fs::write(f.join("model.safetensors"), "weight").unwrap(),
            "model.safetensors",
            "has 6 bytes",
        ),
        (
            |f| fs::remove_file(f.join("optimizer/moments.bin")).unwrap(),
            "manifest.json",
            "optimizer/moments.bin",
        ),
        (
            |f| fs::write(f.join("extra"), "").unwrap(),
            "extra",
            "not in the checkpoint's manifest",
        ),
        (
            |f| fs::remove_file(f.join("manifest.json")).unwrap(),
            "manifest.json",
            "not found",
        ),
        (
            |f| fs::write(f.join("manifest.json"), "{").unwrap(),
            "manifest.json",
            "EOF",
        ),
        (
            |f| replace(f, r#""format_version": 1"#, r#""format_version": 2"#),
            "manifest.json",
            "format_version is 2",
        ),
    ];
    for (damage, file, part) in cases {
        let folder = checkpoint(dir.path());
        damage(&folder);
        assert_error(verify(&folder), file, part);
    }
}

/// Changes a manifest and leaves its own hash out, as someone would who means to deceive.
fn replace(folder: &Path, from: &str, to: &str) {
    let path = folder.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    let (before, _) = text.rsplit_once(",\n  \"digest\"").unwrap();
    fs::write(&path, format!("{}\n}}\n", before.replace(from, to))).unwrap();
}

#[test]
fn a_manifest_without_its_own_hash_is_one_of_before() {
    let dir = tempfile::tempdir().unwrap();
    let folder = checkpoint(dir.path());
    replace(&folder, "\"step\": 10", "\"step\": 11");
    assert_eq!(verify(&folder).unwrap().extra["step"], 11);
}

#[test]
fn a_flipped_bit_in_any_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let folder = checkpoint(dir.path());
    for name in [
        "manifest.json",
        "model.safetensors",
        "optimizer/moments.bin",
    ] {
        let path = folder.join(name);
        let good = fs::read(&path).unwrap();
        // Every seventh bit of the manifest: each bit of a byte, and most bytes
        let stride = if good.len() > 100 { 7 } else { 1 };
        for bit in (0..good.len() * 8).step_by(stride) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bad).unwrap();
            assert!(verify(&folder).is_err(), "bit {bit} of {name}");
        }
        fs::write(&path, good).unwrap();
    }
    verify(&folder).unwrap();
}

#[test]
fn a_manifest_cannot_point_outside_or_repeat_a_key() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "weights").unwrap();
    for name in ["../secret", "/etc/passwd", "./model.safetensors"] {
        let folder = checkpoint(dir.path());
        replace(&folder, "\"model.safetensors\"", &format!("\"{name}\""));
        assert_error(verify(&folder), "", "manifest");
    }
    let folder = checkpoint(dir.path());
    replace(
        &folder,
        "\"optimizer/moments.bin\"",
        "\"model.safetensors\"",
    );
    assert_error(verify(&folder), "manifest.json", "stands twice");
}
