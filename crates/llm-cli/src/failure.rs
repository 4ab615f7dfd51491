//! Errors as people see them: one line, a hint, an exit code.

use llm_show::{Complaint, LookArgs};

/// Writes the error to stderr and returns the exit code.
pub(crate) fn report(error: &anyhow::Error, look: &LookArgs) -> u8 {
    let mut weather = llm_show::stderr_weather(look);
    let hub = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<llm_hub::Error>());
    let known = match hub {
        Some(hub) => Some((hub.exit_code(), hub.hint())),
        None => llm_train::failure::explain(error.chain()),
    };
    let Some((code, hint)) = known else {
        return llm_show::report(error.as_ref(), &mut weather);
    };
    let complaint = Complaint::new(one_line(error)).code(code);
    let complaint = match hint {
        Some(hint) => complaint.hint(hint),
        None => complaint,
    };
    llm_show::report(&complaint, &mut weather)
}

/// The error and its causes in one line, without causes that a message already repeats.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for part in error.chain().map(|cause| cause.to_string()) {
        if line.contains(&part) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&part);
    }
    line.replace('\n', " ")
}
