//! From a chain of errors to an exit code and a hint, for every program on this crate.

use std::error::Error as StdError;

/// The exit code and the hint of the first of our errors in `chain`, outermost first; `None` when
/// none of them is ours.
///
/// Codes: 1 a check failed, 2 bad input, 3 files, 4 numbers.
pub fn explain<'a>(
    mut chain: impl Iterator<Item = &'a (dyn StdError + 'static)>,
) -> Option<(u8, Option<String>)> {
    chain.find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<crate::Error>() {
            Some((error.exit_code(), error.hint()))
        } else if let Some(error) = cause.downcast_ref::<llm_store::Error>() {
            Some((error.exit_code(), error.hint()))
        } else {
            let error = cause.downcast_ref::<llm_core::Error>();
            error.map(|error| (error.exit_code(), error.hint()))
        }
    })
}
