//! Writes are whole or absent.

use std::fs;
use std::io::Write;

use llm_store::Error;
use llm_store::atomic::{FolderWriter, remove_folder, remove_leftovers, write_file, write_with};
use llm_store::hash::{folder_digest, sha256_bytes, sha256_file};

use crate::support::assert_error;

#[test]
fn a_file_is_replaced_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    write_file(&path, b"one").unwrap();
    write_file(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    let failed = write_with(&path, |file| {
        file.write_all(b"half").unwrap();
        Err(Error::Exists {
            path: "elsewhere".into(),
        })
    });
    assert_error(failed, "elsewhere", "exists");
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "a temporary file was left"
    );
}

#[test]
fn unwritable_places_are_named_by_their_final_path() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("file");
    fs::write(&blocked, "").unwrap();
    let error = assert_error(
        write_file(&blocked.join("a.txt"), b""),
        "file/a.txt",
        "creating failed",
    );
    assert_eq!(error.exit_code(), 3);
    let error = assert_error(
        FolderWriter::create(&blocked.join("new"), false),
        "file",
        "failed",
    );
    assert_eq!(error.exit_code(), 3);
    assert_error(
        write_file(&dir.path().join("none/a.txt"), b""),
        "none/a.txt",
        "creating failed",
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_behind() {
    // /dev/full accepts an open and refuses every write, as a full disk does
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    let full = write_with(&path, |_| {
        let mut device = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let failed = device.write_all(b"x").unwrap_err();
        Err(Error::Io {
            path: path.clone(),
            action: "writing",
            source: failed,
        })
    });
    let error = assert_error(full, "a.txt", "No space left");
    assert_eq!(error.exit_code(), 3);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_appears_at_its_commit_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("deep/out");
    let writer = FolderWriter::create(&out, false).unwrap();
    writer.write("a.txt", b"a").unwrap();
    writer.write("sub/b.txt", b"b").unwrap();
    assert!(!out.exists());
    assert_error(
        writer.write("a.txt", b"again"),
        "out/a.txt",
        "creating failed",
    );
    for name in ["../x", "/x", "", "a\\b", "."] {
        assert_error(writer.write(name, b""), "out", "plain relative name");
    }
    writer.commit().unwrap();
    assert_eq!(fs::read(out.join("sub/b.txt")).unwrap(), b"b");
    assert_error(FolderWriter::create(&out, false), "out", "exists already");

    let dropped = FolderWriter::create(&out, true).unwrap();
    dropped.write("c.txt", b"c").unwrap();
    drop(dropped);
    assert!(!out.join("c.txt").exists() && out.join("a.txt").exists());
    let replaced = FolderWriter::create(&out, true).unwrap();
    replaced.write("c.txt", b"c").unwrap();
    replaced.commit().unwrap();
    assert!(out.join("c.txt").exists() && !out.join("a.txt").exists());
    assert_eq!(fs::read_dir(dir.path().join("deep")).unwrap().count(), 1);
}

#[test]
fn a_race_for_one_name_has_one_winner() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let first = FolderWriter::create(&out, false).unwrap();
    let second = FolderWriter::create(&out, false).unwrap();
    first.write("who", b"first").unwrap();
    second.write("who", b"second").unwrap();
    first.commit().unwrap();
    assert_error(second.commit(), "out", "exists already");
    assert_eq!(fs::read(out.join("who")).unwrap(), b"first");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn hashes_are_sha256_and_see_names_and_contents() {
    // From FIPS 180-2, appendix B.1
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(sha256_bytes(b"abc"), ABC);
    let dir = tempfile::tempdir().unwrap();
    let digest = |files: &[(&str, &str)]| {
        let folder = dir.path().join("hashed");
        let _ = fs::remove_dir_all(&folder);
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder_digest(&folder).unwrap()
    };
    let base = digest(&[("a", "abc"), ("sub/b", "x")]);
    assert_eq!(sha256_file(&dir.path().join("hashed/a")).unwrap(), ABC);
    assert_eq!(base, digest(&[("sub/b", "x"), ("a", "abc")]));
    assert_eq!(
        base,
        digest(&[("a", "abc"), ("sub/b", "x"), ("manifest.json", "any")])
    );
    assert_ne!(base, digest(&[("a", "abd"), ("sub/b", "x")]));
    assert_ne!(base, digest(&[("c", "abc"), ("sub/b", "x")]));
    assert_ne!(base, digest(&[("a", "abc")]));
    assert_ne!(
        base,
        digest(&[("a", "abc"), ("sub/b", "x"), ("sub/manifest.json", "any")])
    );
    assert_error(folder_digest(&dir.path().join("none")), "none", "a folder");
}

#[test]
fn what_killed_processes_left_goes_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("step-00000010");
    let writer = FolderWriter::create(&out, false).unwrap();
    writer.write("a", b"a").unwrap();
    std::mem::forget(writer); // as if the process had been killed here
    fs::write(dir.path().join(".latest.12-3.tmp"), "").unwrap();
    let kept = [".hidden", ".a.tmp", ".a.x-1.tmp", "a.12-3.tmp", "plain"];
    for name in kept {
        fs::write(dir.path().join(name), "").unwrap();
    }
    assert_eq!(remove_leftovers(dir.path()).unwrap(), 2);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), kept.len());
    assert_error(remove_leftovers(&dir.path().join("none")), "none", "failed");

    let gone = dir.path().join("gone");
    fs::create_dir_all(gone.join("deep")).unwrap();
    remove_folder(&gone).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), kept.len());
    assert_error(remove_folder(&gone), "gone", "removing failed");
}
