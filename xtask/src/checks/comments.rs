//! How much of the code is explanation, by area.

use anyhow::Result;

use super::verdict;
use crate::source::{Kind, Source};
use crate::workspace::Workspace;

/// The least share of comment and documentation lines where a reader learns the mathematics.
const TAUGHT_PERCENT: usize = 25;

/// A part of the tree.
struct Area {
    name: &'static str,
    holds: fn(&Source) -> bool,
    /// Whether [`TAUGHT_PERCENT`] is a demand here; other areas are reported.
    demanded: bool,
}

const AREAS: [Area; 4] = [
    Area {
        name: "math",
        holds: |source| source.file.starts_with("crates/llm-core/src/math/"),
        demanded: true,
    },
    Area {
        name: "lessons",
        holds: Source::is_lesson,
        demanded: true,
    },
    Area {
        name: "crates",
        holds: Source::in_crate,
        demanded: false,
    },
    Area {
        name: "xtask",
        holds: |source| source.file.starts_with("xtask/"),
        demanded: false,
    },
];

/// `math/` and the lessons are explained; other areas are reported.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let sources = workspace.sources()?;
    let mut problems = Vec::new();
    let mut shares = Vec::new();
    for Area {
        name,
        holds,
        demanded,
    } in AREAS
    {
        let files: Vec<&Source> = sources.iter().filter(|source| holds(source)).collect();
        let count = |kind| files.iter().map(|source| source.count(kind)).sum::<usize>();
        let (comments, code) = (count(Kind::Comment), count(Kind::Code));
        let percent = 100 * comments / (comments + code).max(1);
        shares.push(format!("{name} {percent} %"));
        if demanded && !files.is_empty() && percent < TAUGHT_PERCENT {
            problems.push(format!(
                "{name}: {percent} % comment lines, at least {TAUGHT_PERCENT} %"
            ));
        }
    }
    verdict(problems, format!("comment lines: {}", shares.join(", ")))
}
