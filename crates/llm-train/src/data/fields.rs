//! The values of one row, whatever file it comes from.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The keys that rows are made of. Others are left alone.
pub(crate) const KEYS: [&str; 11] = [
    "prompt",
    "completion",
    "messages",
    "instruction",
    "input",
    "output",
    "text",
    "chosen",
    "rejected",
    "check",
    "reference",
];
/// Other keys that are remembered, for a message that says what was found.
const MOST_OTHERS: usize = 8;

/// The values of [`KEYS`], each at most once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields {
    values: [Option<Value>; KEYS.len()],
    others: Vec<String>,
}

impl Fields {
    /// Reads one JSON object. Only strings of the known keys are copied.
    ///
    /// # Errors
    /// Why `text` is no row: not JSON, another value, or a key that stands twice.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(_)) => reason(&error),
            Ok(other) => format!("is {}, expected an object", kind(&other)),
            Err(error) => format!("is not JSON ({}), expected one object", reason(&error)),
        })
    }

    /// A row of a table.
    ///
    /// # Errors
    /// A known key that stands twice.
    pub(crate) fn of<'a>(
        values: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Result<Self, String> {
        let mut fields = Self::default();
        for (key, value) in values {
            match index_of(key) {
                Some(index) => fields.set(index, value)?,
                None => fields.other(key),
            }
        }
        Ok(fields)
    }

    /// Whether the row has `key`, be it null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The value of a known key.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(index_of(key)?)?.as_ref()
    }

    /// Takes the value of a known key.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.values.get_mut(index_of(key)?)?.take()
    }

    /// The keys of the row, shortened, for a message.
    pub(crate) fn keys(&self) -> String {
        let known = KEYS.into_iter().filter(|key| self.has(key));
        let others = self.others.iter().map(String::as_str);
        let all: Vec<&str> = known.chain(others).take(MOST_OTHERS).collect();
        if all.is_empty() {
            "none".into()
        } else {
            all.join(", ")
        }
    }

    fn set(&mut self, index: usize, value: Value) -> Result<(), String> {
        let Some(place) = self.values.get_mut(index) else {
            return Ok(());
        };
        if place.replace(value).is_some() {
            return Err(twice(KEYS.get(index).copied().unwrap_or_default()));
        }
        Ok(())
    }

    fn other(&mut self, key: &str) {
        if self.others.len() < MOST_OTHERS {
            self.others.push(key.chars().take(40).collect());
        }
    }
}

fn index_of(key: &str) -> Option<usize> {
    KEYS.iter().position(|known| *known == key)
}

fn twice(key: &str) -> String {
    let key: String = key.chars().take(40).collect();
    format!("has the key `{key}` twice")
}

/// serde_json's message without the position that we give ourselves.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    text.to_owned()
}

/// What a value is, with its article.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A key that is known by its place in [`KEYS`], or another one.
enum Key {
    Known(usize),
    Other(String),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(index_of(key).map_or_else(|| Key::Other(key.to_owned()), Key::Known))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key()? {
                    match key {
                        Key::Known(index) => {
                            let Unique(value) = map.next_value()?;
                            fields.set(index, value).map_err(serde::de::Error::custom)?;
                        }
                        Key::Other(key) => {
                            map.next_value::<IgnoredAny>()?;
                            fields.other(&key);
                        }
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A JSON value in which no object has a key twice: readers disagree on which of the two counts.
pub(crate) struct Unique(pub(crate) Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let Unique(value) = map.next_value()?;
            if object.contains_key(&key) {
                return Err(serde::de::Error::custom(twice(&key)));
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_keys_are_kept_and_others_named() {
        let mut fields = Fields::parse(r#"{"id": {"a": 1, "a": 2}, "text": "x", "n": null}"#);
        let fields = fields.as_mut().unwrap();
        assert_eq!(fields.keys(), "text, id, n");
        assert_eq!(fields.take("text"), Some(json!("x")));
        assert_eq!(fields.take("text"), None);
        assert!(!fields.has("prompt") && !fields.has("id"));
    }

    #[test]
    fn values_are_those_of_the_json_reader() {
        let text = r#"{"messages": [{"a": [1, -2, 2.5, true, null, "x\n"], "b": {}}]}"#;
        let whole: Value = serde_json::from_str(text).unwrap();
        let fields = Fields::parse(text).unwrap();
        assert_eq!(fields.get("messages"), whole.get("messages"));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_at_every_depth() {
        for (text, part) in [
            (r#"{"text": "a", "text": "a"}"#, "has the key `text` twice"),
            (
                r#"{"messages": [{"role": 1, "role": 1}]}"#,
                "has the key `role` twice",
            ),
            ("[1]", "is an array, expected an object"),
            ("{\"text\": ", "is not JSON (EOF"),
        ] {
            let problem = Fields::parse(text).unwrap_err();
            assert!(problem.starts_with(part), "{text}: {problem}");
        }
        assert!(Fields::of([("text", json!(1)), ("text", json!(1))]).is_err());
    }
}
