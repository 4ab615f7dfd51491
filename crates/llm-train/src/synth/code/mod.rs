//! Short Python and Rust with a line of explanation.

mod functions;

use super::words::fill;
use super::{Choices, Content, Exchange, Shape};
use functions::{FUNCTIONS, PARAMETERS};

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Python,
    Rust,
}

impl Language {
    fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Rust => "Rust",
        }
    }

    /// Code between fences.
    fn fenced(self, code: &str) -> String {
        let name = self.name().to_lowercase();
        format!("```{name}\n{code}\n```")
    }

    fn comment(self) -> &'static str {
        match self {
            Self::Python => "#",
            Self::Rust => "//",
        }
    }
}

/// A function with all its names chosen.
struct Written {
    language: Language,
    name: &'static str,
    /// What it does, behind "it".
    what: String,
    code: String,
}

/// A function; language, function, names and number are a combination.
fn written(choices: &mut Choices) -> Written {
    choices.combination(|choices| {
        let language = *choices.pick(&[Language::Python, Language::Rust]);
        let at = choices.below(FUNCTIONS.len());
        let function = &FUNCTIONS[at];
        let name = *choices.pick(&function.names);
        let (a, b) = *choices.pick(&PARAMETERS);
        let number = match function.what.contains("{n}") {
            true => choices.number(2, 20),
            false => 0,
        };
        let digits = number.to_string();
        let with = |form: &str| {
            let values = [("f", name), ("a", a), ("b", b), ("n", digits.as_str())];
            fill(form, &values)
        };
        let code = match language {
            Language::Python => with(function.python),
            Language::Rust => with(function.rust),
        };
        let combination = format!("code/{}/{at}/{name}/{a}/{number}", language.name());
        let what = with(function.what);
        let written = Written {
            language,
            name,
            what,
            code,
        };
        (written, combination)
    })
}

fn write(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 4] = [
        "Write a {l} function {f} that {w}.",
        "Show me {f} in {l}: it {w}.",
        "I need a {l} function called {f}. It {w}.",
        "Please write {f} in {l}. The function {w}.",
    ];
    let written = written(choices);
    let values = [
        ("l", written.language.name()),
        ("f", written.name),
        ("w", &*written.what),
    ];
    let form = *choices.pick(&FORMS);
    let question = fill(form, &values);
    let code = written.language.fenced(&written.code);
    Exchange::exact("write", question, format!("{code}\nIt {}.", written.what))
}

fn explain(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 4] = [
        "What does this code do?",
        "Explain this function.",
        "Tell me in one line what this does.",
        "Can you explain the code?",
    ];
    let written = written(choices);
    let form = choices.pick(&FORMS);
    let question = format!("{form}\n{}", written.language.fenced(&written.code));
    Exchange::exact("explain", question, format!("It {}.", written.what))
}

/// An expression in both languages and what it prints.
struct Printed {
    python: String,
    rust: String,
    result: String,
}

/// An expression with a list of digits.
fn of_list(choices: &mut Choices) -> Printed {
    let count = choices.number(2, 5);
    let list: Vec<u32> = (0..count).map(|_| choices.number(0, 9)).collect();
    let digits: Vec<String> = list.iter().map(u32::to_string).collect();
    let shown = digits.join(", ");
    let (python, rust, result) = match choices.below(3) {
        0 => (format!("len([{shown}])"), format!("[{shown}].len()"), count),
        1 => {
            let first = list.first().copied().unwrap_or_default();
            (format!("[{shown}][0]"), format!("[{shown}][0]"), first)
        }
        _ => {
            let largest = list.iter().max().copied().unwrap_or_default();
            let rust = format!("[{shown}].into_iter().fold(0, i32::max)");
            (format!("max([{shown}])"), rust, largest)
        }
    };
    Printed {
        python,
        rust,
        result: result.to_string(),
    }
}

/// An expression with a word.
fn of_word(choices: &mut Choices) -> Printed {
    const WORDS: [&str; 10] = [
        "tree", "moon", "fish", "star", "bird", "ship", "road", "cup", "door", "hat",
    ];
    let word = *choices.pick(&WORDS);
    if choices.chance(50) {
        return Printed {
            python: format!("\"{word}\".upper()"),
            rust: format!("\"{word}\".to_uppercase()"),
            result: word.to_uppercase(),
        };
    }
    let count = choices.number(2, 4);
    Printed {
        python: format!("\"{word}\" * {count}"),
        rust: format!("\"{word}\".repeat({count})"),
        result: word.repeat(count as usize),
    }
}

/// What a line prints.
fn print(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 3] = [
        "What does this print?",
        "What is the output of this code?",
        "Which line does this code write?",
    ];
    let (language, code, result) = choices.combination(|choices| {
        let language = *choices.pick(&[Language::Python, Language::Rust]);
        let printed = match choices.chance(70) {
            true => of_list(choices),
            false => of_word(choices),
        };
        let code = match language {
            Language::Python => format!("print({})", printed.python),
            Language::Rust => format!("println!(\"{{}}\", {});", printed.rust),
        };
        let name = format!("code/print/{code}");
        ((language, code, printed.result), name)
    });
    let question = format!("{}\n{}", choices.pick(&FORMS), language.fenced(&code));
    Exchange::exact("print", question, result)
}

/// A question about code.
pub(super) fn exchange(choices: &mut Choices) -> Exchange {
    match choices.weighted(&[50, 25, 25]) {
        0 => write(choices),
        1 => explain(choices),
        _ => print(choices),
    }
}

/// A question about code, or a file of functions under their comments.
pub(super) fn content(choices: &mut Choices, shape: Shape) -> Content {
    if shape == Shape::Chat || choices.chance(75) {
        return Content::Chat(exchange(choices).messages());
    }
    let count = choices.number(1, 3);
    let functions = (0..count).map(|_| written(choices));
    let parts: Vec<String> = functions
        .map(|one| format!("{} {}\n{}", one.language.comment(), one.what, one.code))
        .collect();
    Content::Text(parts.join("\n\n"))
}
