//! Names and words that several domains share, and small helpers for sentences.

/// A person and whether one says "she" of them.
pub(super) const PEOPLE: [(&str, bool); 36] = [
    ("Mia", true),
    ("Tom", false),
    ("Lena", true),
    ("Ben", false),
    ("Nora", true),
    ("Max", false),
    ("Ida", true),
    ("Leo", false),
    ("Ella", true),
    ("Paul", false),
    ("Anna", true),
    ("Jonas", false),
    ("Lily", true),
    ("Oscar", false),
    ("Ruth", true),
    ("Emil", false),
    ("Clara", true),
    ("Hugo", false),
    ("Rosa", true),
    ("Finn", false),
    ("Greta", true),
    ("Karl", false),
    ("Marta", true),
    ("Noah", false),
    ("Olga", true),
    ("Peter", false),
    ("Sara", true),
    ("Simon", false),
    ("Tilda", true),
    ("Viktor", false),
    ("Wanda", true),
    ("Adam", false),
    ("Britta", true),
    ("David", false),
    ("Edith", true),
    ("Felix", false),
];

/// Things that can be counted.
pub(super) const THINGS: [&str; 24] = [
    "apples", "pears", "nuts", "stones", "books", "eggs", "buttons", "cards", "shells", "stamps",
    "marbles", "coins", "flowers", "candles", "cups", "plates", "pencils", "ribbons", "keys",
    "leaves", "plums", "beads", "bricks", "letters",
];

/// Colours.
pub(super) const COLOURS: [&str; 12] = [
    "red", "blue", "green", "yellow", "white", "black", "brown", "grey", "orange", "purple",
    "pink", "silver",
];

/// `text` with a capital first letter.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// `word` with its article: `a dog`, `an owl`, `an hour`.
pub(super) fn with_article(word: &str) -> String {
    let vowel = word.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) || word == "hour";
    format!("{} {word}", if vowel { "an" } else { "a" })
}

/// `pattern` with each `{key}` replaced by its value; unknown keys stay.
pub(super) fn fill(pattern: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(pattern.len() + 32);
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let found = after.split_once('}').and_then(|(key, behind)| {
            let value = values.iter().find(|(name, _)| *name == key)?.1;
            Some((value, behind))
        });
        match found {
            Some((value, behind)) => {
                text.push_str(value);
                rest = behind;
            }
            None => {
                text.push('{');
                rest = after;
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_filled_and_braces_of_code_stay() {
        let text = fill("fn {f}() { {n} }{", &[("f", "add"), ("n", "5")]);
        assert_eq!(text, "fn add() { 5 }{");
        assert_eq!(fill("{x}", &[("y", "1")]), "{x}");
        assert_eq!(fill("{a}{a}", &[("a", "{b}"), ("b", "1")]), "{b}{b}");
    }

    #[test]
    fn articles_and_capitals() {
        let words = ["dog", "owl", "hour", "hen"].map(with_article);
        assert_eq!(words, ["a dog", "an owl", "an hour", "a hen"]);
        assert_eq!(
            (capital("the owl"), capital("")),
            ("The owl".into(), String::new())
        );
    }
}
