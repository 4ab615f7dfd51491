//! What a check file calls: each method runs one closure of the learner's code and reports how it
//! went, without stopping at a failure.
//!
//! Reports go to stdout between control characters, so that whatever the learner prints stays
//! apart; `deeper exercises check` reads them. The file needs nothing but std.

use std::fmt::Debug;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Mutex;

/// Around a report and between its fields; nobody prints these by accident.
const BEGIN: char = '\u{1e}';
const FIELD: char = '\u{1f}';
const END: char = '\u{1d}';
/// Numbers of a long list that are shown.
const SHOWN: usize = 8;

/// The last panic: its message and where it happened.
static PANIC: Mutex<(String, String)> = Mutex::new((String::new(), String::new()));

/// What counts as a list of numbers: `f64`, arrays, slices, vectors, rows of them.
pub trait Numbers {
    /// All numbers in reading order.
    fn numbers(&self) -> Vec<f64>;
}

impl Numbers for f64 {
    fn numbers(&self) -> Vec<f64> {
        vec![*self]
    }
}

impl Numbers for f32 {
    fn numbers(&self) -> Vec<f64> {
        vec![f64::from(*self)]
    }
}

impl<T: Numbers> Numbers for [T] {
    fn numbers(&self) -> Vec<f64> {
        self.iter().flat_map(Numbers::numbers).collect()
    }
}

impl<T: Numbers, const N: usize> Numbers for [T; N] {
    fn numbers(&self) -> Vec<f64> {
        self.as_slice().numbers()
    }
}

impl<T: Numbers> Numbers for Vec<T> {
    fn numbers(&self) -> Vec<f64> {
        self.as_slice().numbers()
    }
}

impl<T: Numbers + ?Sized> Numbers for &T {
    fn numbers(&self) -> Vec<f64> {
        (**self).numbers()
    }
}

impl<A: Numbers, B: Numbers> Numbers for (A, B) {
    fn numbers(&self) -> Vec<f64> {
        [self.0.numbers(), self.1.numbers()].concat()
    }
}

/// The checks of one exercise.
pub struct Checks {
    last_failed: bool,
}

impl Checks {
    /// Takes over the messages of panics, which are results here.
    pub fn start() -> Self {
        set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let payload = panic.payload();
            let owned = payload.downcast_ref::<String>().map(String::as_str);
            let text = payload.downcast_ref::<&str>().copied().or(owned);
            if let Ok(mut last) = PANIC.lock() {
                *last = (text.unwrap_or("a panic without a message").to_owned(), place);
            }
        }));
        Self { last_failed: false }
    }

    /// The numbers that `value` returns are those of `expected`, each within `tolerance`.
    pub fn close<T: Numbers>(
        &mut self,
        name: &str,
        value: impl FnOnce() -> T,
        expected: &[f64],
        tolerance: f64,
    ) -> &mut Self {
        self.run(name, || {
            let got = value().numbers();
            let problem = difference(&got, expected, tolerance)?;
            Some([listed(expected), listed(&got), problem])
        })
    }

    /// `value` returns exactly `expected`.
    pub fn equal<T: PartialEq<U> + Debug, U: Debug>(
        &mut self,
        name: &str,
        value: impl FnOnce() -> T,
        expected: U,
    ) -> &mut Self {
        self.run(name, || {
            let got = value();
            (got != expected).then(|| [format!("{expected:?}"), format!("{got:?}"), String::new()])
        })
    }

    /// `holds` returns true.
    pub fn that(&mut self, name: &str, holds: impl FnOnce() -> bool) -> &mut Self {
        self.run(name, || {
            let problem = String::new();
            (!holds()).then(|| ["true".to_owned(), "false".to_owned(), problem])
        })
    }

    /// Says `text` if the check before it failed: what the usual mistake is.
    pub fn teach(&mut self, text: &str) -> &mut Self {
        if self.last_failed {
            report(&["teach", text]);
        }
        self
    }

    /// Runs one check; `wrong` returns what was expected, what came and a remark, or nothing.
    fn run(&mut self, name: &str, wrong: impl FnOnce() -> Option<[String; 3]>) -> &mut Self {
        // Said first, so that a check which never ends has a name.
        report(&["start", name]);
        self.last_failed = false;
        match catch_unwind(AssertUnwindSafe(wrong)) {
            Ok(None) => report(&["ok"]),
            Ok(Some([expected, got, remark])) => {
                self.last_failed = true;
                report(&["fail", &expected, &got, &remark]);
            }
            Err(_) => {
                let (text, place) = PANIC.lock().map(|last| last.clone()).unwrap_or_default();
                match text.strip_prefix("not yet implemented") {
                    // A hole that is left is no mistake: its own text says what to do.
                    Some(hole) => report(&["todo", hole.trim_start_matches(": "), &place]),
                    None => {
                        self.last_failed = true;
                        report(&["panic", &text, &place]);
                    }
                }
            }
        }
        self
    }
}

/// Writes one report at once: the program may not live to see its end.
fn report(fields: &[&str]) {
    let mut out = std::io::stdout();
    let text = fields.join(&FIELD.to_string());
    let _ = write!(out, "{BEGIN}{text}{END}").and_then(|()| out.flush());
}

/// What is wrong with `got`, if anything is.
fn difference(got: &[f64], expected: &[f64], tolerance: f64) -> Option<String> {
    if got.len() != expected.len() {
        return Some(format!("{} numbers, expected {}", got.len(), expected.len()));
    }
    let apart = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { (a - b).abs() };
    let mut worst = (0, 0.0_f64);
    for (index, apart) in got.iter().zip(expected).map(apart).enumerate() {
        if apart.is_nan() {
            return Some(format!("number {} is {}", index + 1, got[index]));
        }
        if apart > worst.1 {
            worst = (index, apart);
        }
    }
    let (index, apart) = worst;
    (apart > tolerance).then(|| {
        let place = match expected.len() {
            1 => "apart by".to_owned(),
            _ => format!("number {} is apart by", index + 1),
        };
        format!("{place} {}, at most {tolerance:e} is right", short(apart))
    })
}

/// A list of numbers as a person reads it.
fn listed(numbers: &[f64]) -> String {
    let shown: Vec<String> = numbers.iter().take(SHOWN).map(|&x| short(x)).collect();
    let more = match numbers.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(", … {more} more"),
    };
    match numbers {
        [one] => short(*one),
        _ => format!("[{}{more}]", shown.join(", ")),
    }
}

/// Six significant digits or so, without a tail of zeros.
fn short(x: f64) -> String {
    let size = x.abs();
    if x.fract() == 0.0 && size < 1e15 {
        return format!("{x}");
    }
    if !(1e-4..1e7).contains(&size) {
        return format!("{x:.4e}");
    }
    let text = format!("{x:.6}");
    text.trim_end_matches('0').to_owned()
}
