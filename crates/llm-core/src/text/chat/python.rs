//! The corners of Python that chat templates rely on: `json.dumps`, `strftime`, float text.

use std::fmt::Write;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// Deeper nesting is refused: templates can build it in a loop, and writing it is recursive.
const MAX_DEPTH: usize = 100;

/// Wider indents are refused: a template could ask for gigabytes of spaces.
const MAX_INDENT: usize = 64;

/// A JSON value as templates see it; objects keep their order.
pub(super) fn from_json(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(list) => Value::from(list.iter().map(from_json).collect::<Vec<_>>()),
        Json::Object(map) => Value::from_pairs(
            map.iter()
                .map(|(key, value)| (key.as_str(), from_json(value))),
        ),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(signed), ..) => Value::from(signed),
            (_, Some(unsigned), _) => Value::from(unsigned),
            (_, _, float) => Value::from(float.unwrap_or(f64::NAN)),
        },
    }
}

/// The `tojson` of Hugging Face templates: `json.dumps(x, ensure_ascii=False, …)`, no HTML escapes.
pub(super) fn tojson(
    value: &Value,
    ensure_ascii: Option<Value>,
    indent: Option<Value>,
    options: Kwargs,
) -> Result<String, Error> {
    let named = |name: &str, positional: Option<Value>| -> Result<Option<Value>, Error> {
        let named = options.get::<Option<Value>>(name)?;
        Ok(named
            .or(positional)
            .filter(|value| !value.is_none() && !value.is_undefined()))
    };
    let ascii = named("ensure_ascii", ensure_ascii)?.is_some_and(|value| value.is_true());
    let sort_keys = named("sort_keys", None)?.is_some_and(|value| value.is_true());
    let indent = named("indent", indent)?
        .map(|value| indent_text(&value))
        .transpose()?;
    let comma = if indent.is_some() { "," } else { ", " };
    let mut separators = [comma.to_owned(), ": ".to_owned()];
    if let Some(pair) = named("separators", None)? {
        let pair: Vec<Value> = pair.try_iter()?.take(3).collect();
        let [Some(comma), Some(colon)] = [pair.first(), pair.get(1)].map(|v| v?.as_str()) else {
            return Err(invalid("tojson: expected `separators` to be two strings"));
        };
        separators = [comma.to_owned(), colon.to_owned()];
    }
    options.assert_all_used()?;
    let mut writer = Writer {
        out: String::new(),
        ascii,
        sort_keys,
        indent,
        separators,
    };
    writer.value(value, 0)?;
    Ok(writer.out)
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.into())
}

fn indent_text(value: &Value) -> Result<String, Error> {
    let text = match (value.as_str(), value.as_i64()) {
        (Some(text), _) => text.to_owned(),
        (_, Some(width)) => " ".repeat(usize::try_from(width).unwrap_or(0).min(MAX_INDENT + 1)),
        _ => {
            return Err(invalid(
                "tojson: expected `indent` to be a number or a string",
            ));
        }
    };
    if text.len() > MAX_INDENT {
        return Err(invalid(format!(
            "tojson: `indent` is wider than {MAX_INDENT}"
        )));
    }
    Ok(text)
}

struct Writer {
    out: String,
    ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    separators: [String; 2],
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(invalid(format!("tojson: nested deeper than {MAX_DEPTH}")));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self
                .out
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => {
                self.out.push_str(&value.to_string());
            }
            ValueKind::Number => {
                let number = f64::try_from(value.clone())?;
                self.out.push_str(&float(number));
            }
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.map(|item| (None, item)).collect();
                self.items(['[', ']'], items, depth)?;
            }
            ValueKind::Map => {
                let mut items = Vec::new();
                for key in value.try_iter()? {
                    let item = value.get_item(&key)?;
                    items.push((Some(key_text(&key)?), item));
                }
                if self.sort_keys {
                    items.sort_by(|(left, _), (right, _)| left.cmp(right));
                }
                self.items(['{', '}'], items, depth)?;
            }
            other => return Err(invalid(format!("tojson: {other} is not JSON"))),
        }
        Ok(())
    }

    fn items(
        &mut self,
        brackets: [char; 2],
        items: Vec<(Option<String>, Value)>,
        depth: usize,
    ) -> Result<(), Error> {
        self.out.push(brackets[0]);
        let count = items.len();
        for (place, (key, item)) in items.into_iter().enumerate() {
            if place > 0 {
                self.out.push_str(&self.separators[0]);
            }
            self.line(depth + 1);
            if let Some(key) = key {
                self.string(&key);
                self.out.push_str(&self.separators[1]);
            }
            self.value(&item, depth + 1)?;
        }
        if count > 0 {
            self.line(depth);
        }
        self.out.push(brackets[1]);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            (0..depth).for_each(|_| self.out.push_str(indent));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ascii && !(' '..='~').contains(&c)) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a String cannot fail.
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// What `json.dumps` makes of a dictionary key.
fn key_text(key: &Value) -> Result<String, Error> {
    Ok(match key.kind() {
        ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => key.is_true().to_string(),
        ValueKind::Number if key.is_integer() => key.to_string(),
        ValueKind::Number => float(f64::try_from(key.clone())?),
        other => return Err(invalid(format!("tojson: {other} cannot be a key"))),
    })
}

/// A float as Python writes it: shortest digits, exponents outside 1e-4..1e16.
fn float(number: f64) -> String {
    if !number.is_finite() {
        let infinite = if number < 0.0 {
            "-Infinity"
        } else {
            "Infinity"
        };
        return if number.is_nan() { "NaN" } else { infinite }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let power: i32 = exponent.parse().unwrap_or(0);
    if number == 0.0 || (-4..16).contains(&power) {
        let plain = number.to_string();
        return if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        };
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_those_of_python() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e100, "1.25e+100"),
            (123456.789, "123456.789"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, text) in cases {
            assert_eq!(float(number), text);
        }
    }
}
