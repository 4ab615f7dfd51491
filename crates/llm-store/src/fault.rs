//! Planted disk faults, to test what survives them.
//!
//! A build with debug assertions (what `cargo build` and `cargo test` make) looks at the variable
//! `DEEPER_FAULT` before each operation of an atomic write: creating, flushing, renaming. They
//! are counted from 1 in each process. `fail:7` makes the seventh fail as on a broken disk; `abort:7`
//! ends the process in front of it, with nothing cleaned up, as a kill would. A release build has
//! none of this.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// What happens at which operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Fail(u64),
    Abort(u64),
}

/// Called in front of an operation on `path`.
///
/// # Errors
/// The planted one.
pub(crate) fn point(path: &Path, action: &'static str) -> Result<()> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    static DONE: AtomicU64 = AtomicU64::new(0);
    let Some(fault) = planted() else {
        return Ok(());
    };
    let number = DONE.fetch_add(1, Ordering::Relaxed) + 1;
    match fault {
        Fault::Abort(at) if at == number => std::process::abort(),
        Fault::Fail(at) if at == number => {
            Err(Error::io(path, action)(std::io::Error::other("planted")))
        }
        _ => Ok(()),
    }
}

fn planted() -> Option<Fault> {
    static PLANTED: OnceLock<Option<Fault>> = OnceLock::new();
    *PLANTED.get_or_init(|| parse(&std::env::var("DEEPER_FAULT").ok()?))
}

fn parse(text: &str) -> Option<Fault> {
    let (kind, number) = text.split_once(':')?;
    let number = number.parse().ok()?;
    match kind {
        "fail" => Some(Fault::Fail(number)),
        "abort" => Some(Fault::Abort(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_a_kind_and_a_number() {
        assert_eq!(parse("fail:7"), Some(Fault::Fail(7)));
        assert_eq!(parse("abort:1"), Some(Fault::Abort(1)));
        for text in ["", "fail", "fail:", "fail:x", "other:1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
