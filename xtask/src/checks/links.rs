//! Links between the project's own files.

use anyhow::Result;

use super::verdict;
use crate::workspace::Workspace;

/// Every relative link in a Markdown file leads to a file or folder that exists.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let mut problems = Vec::new();
    let (mut files, mut links) = (0, 0);
    for file in workspace.files.iter().filter(|file| file.ends_with(".md")) {
        files += 1;
        let folder = workspace.root.join(file);
        let folder = folder.parent().unwrap_or(&workspace.root);
        for (number, target) in targets(&workspace.read(file)?) {
            links += 1;
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !folder.join(path).exists() {
                problems.push(format!("{file}:{number}: `{target}` leads nowhere"));
            }
        }
    }
    verdict(problems, format!("{links} links in {files} files"))
}

/// The relative targets of a text's links with their line numbers; code blocks are left out.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !elsewhere {
                found.push((index + 1, target.to_string()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_links_outside_code_are_followed() {
        let text = "[a](b.md) and [c](https://d.e)\n```\n[f](g)\n```\n[h](i.md#j \"k\") [l](#m)";
        let found: Vec<String> = targets(text)
            .into_iter()
            .map(|(_, target)| target)
            .collect();
        assert_eq!(found, ["b.md", "i.md#j", "#m"]);
    }
}
