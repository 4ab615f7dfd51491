//! A Rust file by lines: what is code, what is comment, where its inline tests start.

/// Programs beside the lessons that do a job: a thin `main` each, and not in the catalogue.
pub(crate) const TOOLS: [&str; 3] = ["finetune_table", "lora_finetune", "random_model"];

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Blank,
    /// A comment or documentation, and nothing else.
    Comment,
    /// Code.
    Code,
}

/// A Rust file, its inline tests set aside.
pub(crate) struct Source {
    /// Path from the root.
    pub(crate) file: String,
    /// All lines before the inline tests, with their kinds.
    pub(crate) lines: Vec<(Kind, String)>,
}

impl Source {
    /// Splits the text of `file`.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let mut lines = Vec::new();
        let mut in_comment = false;
        for line in own_part(text) {
            let trimmed = line.trim();
            let comment = in_comment || trimmed.starts_with("//") || trimmed.starts_with("/*");
            if trimmed.starts_with("/*") {
                in_comment = true;
            }
            if trimmed.ends_with("*/") {
                in_comment = false;
            }
            let kind = match (trimmed.is_empty(), comment) {
                (true, _) => Kind::Blank,
                (_, true) => Kind::Comment,
                _ => Kind::Code,
            };
            lines.push((kind, trimmed.to_string()));
        }
        Self {
            file: file.to_string(),
            lines,
        }
    }

    /// Whether this is a file of a crate itself and not of its tests.
    pub(crate) fn in_crate(&self) -> bool {
        let test = self.file.ends_with("/tests.rs") || self.file.contains("/tests/");
        self.file.starts_with("crates/") && self.file.contains("/src/") && !test
    }

    /// Whether this is a lesson: a program on a shelf that is not a tool.
    pub(crate) fn is_lesson(&self) -> bool {
        self.program()
            .is_some_and(|program| !TOOLS.contains(&program))
    }

    /// Whether this is the `main` of a tool.
    pub(crate) fn is_tool(&self) -> bool {
        let Some(program) = self.program() else {
            return false;
        };
        let mains = [
            format!("/bin/{program}.rs"),
            format!("/bin/{program}/main.rs"),
        ];
        TOOLS.contains(&program) && mains.iter().any(|end| self.file.ends_with(end))
    }

    /// The program on a shelf that this file belongs to: `src/bin/NAME.rs` or `src/bin/NAME/*.rs`.
    fn program(&self) -> Option<&str> {
        let path = self
            .file
            .strip_prefix("lessons/")?
            .split_once("/src/bin/")?
            .1;
        path.split(['/', '.']).next()
    }
}

/// The lines before `#[cfg(test)]` on a module with a body; such modules stand last.
fn own_part(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let is_tests = |pair: &[&str]| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    };
    let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
    lines[..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_and_inline_tests_left_out() {
        let text = "//! Page.\n\nfn a() {} // not a comment line\n/* long\ncomment */\n\n#[cfg(test)]\nmod tests {\n}\n";
        let source = Source::new("crates/x/src/a.rs", text);
        let kinds: Vec<Kind> = source.lines.iter().map(|line| line.0).collect();
        use Kind::{Blank, Code, Comment};
        assert_eq!(kinds, [Comment, Blank, Code, Comment, Comment, Blank]);
        assert!(source.in_crate() && !source.is_lesson());
    }
}
