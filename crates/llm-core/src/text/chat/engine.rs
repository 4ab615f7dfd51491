//! The Jinja engine, set up as transformers sets up its own.

use std::sync::LazyLock;

use fancy_regex::Regex;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value};

use super::clock::LocalTime;
use super::marks::Marks;
use super::python;
use crate::text::hf::one_line;

/// Budget of one rendering, in the engine's unit of one instruction or 64 bytes: some seconds and
/// some hundred megabytes at worst. A conversation of 100,000 words takes less than a tenth.
const FUEL: u64 = 5_000_000;

/// Nested calls of one rendering; templates in use need fewer than ten.
const RECURSION: usize = 100;

/// The filter that `{% generation %}` blocks become.
const FILTER: &str = "generation_block";

/// The variable with the two characters that enclose such a block. Templates cannot spell it.
const MARKS: &str = " generation marks";

/// `{% generation %}` and `{% endgeneration %}` with their whitespace control.
static TAGS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").ok());

/// An environment without templates.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    // Only delimiters can be refused, and they are the usual ones.
    if let Ok(syntax) = syntax {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.add_filter("tojson", python::tojson);
    environment.add_filter(FILTER, generation_block);
    environment.add_function("raise_exception", raise_exception);
    environment
}

/// `source` with its generation tags rewritten as a filter block, and whether it had any.
pub(super) fn without_generation_tags(source: &str) -> (String, bool) {
    let Some(tags) = TAGS.as_ref() else {
        return (source.to_owned(), false);
    };
    let rewritten = tags.replace_all(source, |tag: &fancy_regex::Captures<'_>| {
        let part = |index| tag.get(index).map_or("", |part| part.as_str());
        let name = if part(2).is_empty() {
            format!("filter {FILTER}")
        } else {
            "endfilter".into()
        };
        format!("{{%{} {name} {}%}}", part(1), part(3))
    });
    let found = rewritten != source;
    (rewritten.into_owned(), found)
}

/// The body of a generation block, enclosed in marks if there are some.
fn generation_block(state: &State, body: String) -> String {
    let marks = state.lookup(MARKS);
    match marks.as_ref().and_then(Value::as_str).map(str::chars) {
        Some(mut marks) => {
            let (open, close) = (marks.next(), marks.next());
            open.into_iter().chain(body.chars()).chain(close).collect()
        }
        None => body,
    }
}

/// The variable that tells [`generation_block`] its marks.
pub(super) fn marks_variable(marks: Marks) -> (String, Value) {
    (
        MARKS.to_owned(),
        String::from_iter([marks.open, marks.close]).into(),
    )
}

/// The function that tells the time `now`.
pub(super) fn strftime_now(now: LocalTime) -> (String, Value) {
    let format = move |format: String| {
        now.format(&format)
            .map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))
    };
    ("strftime_now".to_owned(), Value::from_function(format))
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// One line: what went wrong and on which line of the template.
pub(super) fn message(error: &Error) -> String {
    let line = error
        .line()
        .map_or(String::new(), |line| format!("line {line}: "));
    let detail = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    format!("{line}{}", one_line(&detail))
}
