//! Which files a path and a pattern mean.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The files that `path` means, in name order: the file itself; the files of a folder that match
/// `pattern`; or, when the last part of `path` holds `*` or `?`, the files beside it that match.
///
/// # Errors
/// A path that does not exist or cannot be read, or no file that matches.
pub fn find_files(path: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let last = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let (folder, pattern) = if last.contains(['*', '?']) && !path.exists() {
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        (parent.unwrap_or(Path::new(".")), last)
    } else {
        (path, pattern)
    };
    if !folder.exists() {
        return Err(Error::file(
            folder,
            "does not exist, expected a data file or a folder of them",
        ));
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if path.is_file() && name.is_some_and(|name| matches(pattern, name)) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::file(
            folder,
            format!("has no file that matches `{pattern}`"),
        ));
    }
    Ok(files)
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
}
