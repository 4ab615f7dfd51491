//! Errors with the hints and exit codes of our crates.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use llm_show::{Complaint, Lesson};

/// As [`llm_show::teach`], with [`explained`] errors, and freed memory kept from step to step.
pub fn teach<F: Args>(binary: &str, body: impl FnOnce(&mut Lesson, &F) -> Result<()>) -> ExitCode {
    llm_alloc::keep_memory();
    llm_show::teach(binary, |lesson: &mut Lesson, own: &F| body(lesson, own).map_err(explained))
}

/// `error` as a [`Complaint`] with hint and exit code, where it comes from one of our crates.
pub fn explained(error: anyhow::Error) -> anyhow::Error {
    if error.chain().any(|cause| cause.is::<Complaint>()) {
        return error;
    }
    let hub = error.chain().find_map(|cause| cause.downcast_ref::<llm_hub::Error>());
    let known = hub
        .map(|hub| (hub.exit_code(), hub.hint()))
        .or_else(|| llm_train::failure::explain(error.chain()));
    let Some((code, hint)) = known else {
        return error;
    };
    let complaint = Complaint::new(format!("{error:#}").replace('\n', " ")).code(code);
    anyhow::Error::from(match hint {
        Some(hint) => complaint.hint(hint),
        None => complaint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_ours_brings_its_hint() {
        let error = llm_hub::resolve("no such model").unwrap_err();
        let hint = error.hint().unwrap();
        let found = explained(anyhow::Error::from(error).context("--model"));
        let mut written = Vec::new();
        let clock = Box::new(|| std::time::Duration::ZERO);
        let mut weather =
            llm_show::Weather::new(&mut written, Default::default(), false, false, clock);
        assert_eq!(llm_show::report(found.as_ref(), &mut weather), 2);
        drop(weather);
        let text = String::from_utf8(written).unwrap();
        assert!(text.starts_with("error: --model") && text.contains(&hint), "{text}");
        let foreign = explained(anyhow::anyhow!("something else"));
        assert!(foreign.downcast_ref::<Complaint>().is_none());
    }
}
