//! Which files a path and a pattern mean.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// What makes a part of a path a pattern.
const WILD: [char; 2] = ['*', '?'];

/// The files that `path` means, in name order: the file itself; the files of a folder that match
/// `pattern`; or, when `path` does not exist and holds `*` or `?`, the files that match it.
///
/// In a pattern `*` is any run of characters within one name, `?` any one character, and a part
/// `**` any folders, none included: `data/**/train-*.jsonl`. Names that begin with a dot match only
/// a part that does; `**` does not follow links to folders, so that it ends.
///
/// # Errors
/// A path that does not exist or cannot be read, or no file that matches.
pub fn find_files(path: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let shown = path.to_string_lossy();
    let (folder, pattern) = if shown.contains(WILD) && !path.exists() {
        parts_of(path)
    } else {
        (
            path.to_path_buf(),
            pattern.split('/').map(str::to_owned).collect(),
        )
    };
    if !folder.exists() {
        return Err(Error::file(
            folder,
            "does not exist, expected a data file or a folder of them",
        ));
    }
    let mut files = Vec::new();
    walk(&folder, &pattern, &mut files)?;
    files.sort();
    files.dedup(); // `**` may lead to a file in two ways
    if files.is_empty() {
        let pattern = pattern.join("/");
        return Err(Error::file(
            folder,
            format!("has no file that matches `{pattern}`"),
        ));
    }
    Ok(files)
}

/// The folder before the first part with a wildcard, and the parts from there on.
fn parts_of(path: &Path) -> (PathBuf, Vec<String>) {
    let mut folder = PathBuf::new();
    let mut pattern = Vec::new();
    for part in path.components() {
        let name = part.as_os_str().to_string_lossy();
        if pattern.is_empty() && !name.contains(WILD) {
            folder.push(part);
        } else {
            pattern.push(name.into_owned());
        }
    }
    if folder.as_os_str().is_empty() {
        folder.push(".");
    }
    (folder, pattern)
}

/// Collects the files below `folder` that match the parts of a pattern.
fn walk(folder: &Path, pattern: &[String], files: &mut Vec<PathBuf>) -> Result<()> {
    let Some((first, rest)) = pattern.split_first() else {
        return Ok(());
    };
    let any_folders = first == "**";
    if any_folders {
        walk(folder, rest, files)?;
    }
    let last = rest.is_empty();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if any_folders {
            // Of the entry itself, not of what a link leads to.
            let kind = entry.file_type().map_err(Error::io(&path))?;
            if kind.is_dir() && !name.starts_with('.') {
                walk(&path, pattern, files)?;
            } else if last && path.is_file() && !name.starts_with('.') {
                files.push(path);
            }
        } else if matches(first, name) && (first.starts_with('.') || !name.starts_with('.')) {
            match (last, path.is_dir()) {
                (true, false) if path.is_file() => files.push(path),
                (false, true) => walk(&path, rest, files)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether `name` matches a pattern in which `*` is any run of characters and `?` any one.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    // Greedy with one point to go back to: linear in the name for each star.
    let (mut p, mut n, mut back) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, want) in [
            ("*.jsonl", "a.jsonl", true),
            ("*.jsonl", "a.json", false),
            ("*", "", true),
            ("a?c*", "abcd", true),
            ("a?c*", "acd", false),
            ("*a*b", "xaxbxab", true),
            ("*a*b", "xaxbxa", false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn a_file_a_folder_and_a_glob_find_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.jsonl", "a.jsonl", "c.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let two = vec![folder.path().join("a.jsonl"), folder.path().join("b.jsonl")];
        assert_eq!(find_files(folder.path(), "*.jsonl").unwrap(), two);
        assert_eq!(find_files(&folder.path().join("*.jsonl"), "").unwrap(), two);
        assert_eq!(find_files(&two[0], "*").unwrap(), two[..1]);
        let none = find_files(folder.path(), "*.csv").unwrap_err().to_string();
        assert!(none.contains("`*.csv`"), "{none}");
        let missing = find_files(&folder.path().join("no"), "*").unwrap_err();
        assert_eq!(missing.exit_code(), 2);
    }

    #[test]
    fn wildcards_may_stand_in_any_part_of_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in [
            "a/train-1.jsonl",
            "a/b/c/train-2.jsonl",
            "a/b/held.jsonl",
            "train-0.jsonl",
        ] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::fs::create_dir(root.join(".git")).unwrap();
        std::fs::write(root.join(".git/train-3.jsonl"), "").unwrap();
        std::fs::write(root.join(".train-4.jsonl"), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root, root.join("a/loop")).unwrap();
        let found = |path: &str| -> Vec<String> {
            let files = find_files(&root.join(path), "").unwrap();
            let name = |path: PathBuf| path.strip_prefix(root).unwrap().display().to_string();
            files.into_iter().map(name).collect()
        };
        assert_eq!(
            found("**/train-*.jsonl"),
            ["a/b/c/train-2.jsonl", "a/train-1.jsonl", "train-0.jsonl"]
        );
        assert_eq!(
            found("a/*/*.jsonl")
                .iter()
                .filter(|name| name.contains("/b/"))
                .count(),
            1
        );
        assert_eq!(
            found("?/b/**/*.jsonl"),
            ["a/b/c/train-2.jsonl", "a/b/held.jsonl"]
        );
        let inside = find_files(root, "**/held.jsonl").unwrap();
        assert_eq!(inside, [root.join("a/b/held.jsonl")]);
        assert!(find_files(&root.join("x/**/*.jsonl"), "").is_err());
        assert!(find_files(&root.join("a/**/x*"), "").is_err());
    }
}
