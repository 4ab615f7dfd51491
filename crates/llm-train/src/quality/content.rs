//! What a single text gives away: damage from wrong decoding, leftovers, answers that answer nothing.

use super::clean::{closes, fence};
use super::forms::{Kind, normal_form};
use super::report::Problem;

/// A prompt has to be this long, in characters, before its repetition in the answer is a finding:
/// many good answers hold a word that was asked about.
const REPEATED_CHARS: usize = 20;
/// Characters of the text that a finding quotes.
const QUOTED_CHARS: usize = 24;
/// A control token's name is at most so many bytes long.
const TOKEN_BYTES: usize = 48;

/// What Windows-1252 has from 0x80 to 0x9f; five places are empty and stay control characters.
const WINDOWS: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

/// Strings that are control tokens in one model family or another, beside `<|…|>`.
const CONTROL_TOKENS: [&str; 10] = [
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<eos>",
    "<bos>",
];

/// A problem and what shows it, in a few words.
pub type Suspicion = (Problem, String);

/// What is suspicious about one text. `special` are the control tokens of the model in use.
pub fn suspicions(text: &str, special: &[String]) -> Vec<Suspicion> {
    let mut found = Vec::new();
    let mut add = |problem, detail: Option<String>| {
        found.extend(detail.map(|detail| (problem, detail)));
    };
    let misread = mojibake(text);
    let is_misread = misread.is_some();
    add(Problem::Mojibake, misread);
    add(Problem::Control, control(text, is_misread));
    add(
        Problem::ByteOrderMark,
        text.find('\u{feff}').map(|at| around(text, at)),
    );
    add(
        Problem::Replacement,
        text.find('\u{fffd}').map(|at| around(text, at)),
    );
    add(Problem::OpenFence, open_fence(text));
    add(Problem::SpecialToken, special_token(text, special));
    found
}

/// Whether the answer is the question, or holds all of it.
pub fn repetition(question: &str, answer: &str) -> Option<Suspicion> {
    let form = |text: &str| normal_form(text, Kind::Nfkc);
    let (asked, answered) = (form(question), form(answer));
    if asked == answered {
        return Some((Problem::AnswerIsPrompt, quoted(question)));
    }
    let long = asked.chars().count() >= REPEATED_CHARS;
    (long && answered.contains(&asked)).then(|| (Problem::AnswerHoldsPrompt, quoted(question)))
}

/// The start of `text` in quotes.
pub(super) fn quoted(text: &str) -> String {
    let more = text.chars().nth(QUOTED_CHARS).map_or("", |_| "…");
    format!(
        "“{}{more}”",
        text.chars().take(QUOTED_CHARS).collect::<String>()
    )
}

/// What stands before and at the byte `at`.
fn around(text: &str, at: usize) -> String {
    let before = text[..at].char_indices().rev().take(QUOTED_CHARS / 2);
    let start = before.last().map_or(at, |(start, _)| start);
    quoted(&text[start..])
}

/// The first control character that is no tab and no line end. The second block of them stands
/// for half a character in misread text, which has its own finding.
fn control(text: &str, is_misread: bool) -> Option<String> {
    let stray = |c: &char| {
        c.is_control() && !matches!(c, '\t' | '\n' | '\r') && (!is_misread || c.is_ascii())
    };
    text.chars()
        .find(stray)
        .map(|c| format!("U+{:04X}", u32::from(c)))
}

/// A code block that is opened and not closed.
fn open_fence(text: &str) -> Option<String> {
    let mut opened: Option<((char, usize), &str)> = None;
    for line in text.lines() {
        match opened {
            Some((mark, _)) if closes(mark, line) => opened = None,
            Some(_) => {}
            None => opened = fence(line).map(|(mark, count, _)| ((mark, count), line)),
        }
    }
    opened.map(|(_, line)| quoted(line.trim()))
}

/// The first string that is a control token of this or another model.
fn special_token(text: &str, special: &[String]) -> Option<String> {
    let mut named = special.iter().map(String::as_str).chain(CONTROL_TOKENS);
    let named = named.find(|token| text.contains(token)).map(str::to_owned);
    named.or_else(|| bar_token(text))
}

/// `<|name|>`.
fn bar_token(text: &str) -> Option<String> {
    text.match_indices("<|").find_map(|(at, _)| {
        let name = text.get(at + 2..)?;
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"_-.:".contains(b);
        let length = name.bytes().take(TOKEN_BYTES).take_while(is_name).count();
        let whole = length > 0 && name.get(length..)?.starts_with("|>");
        whole.then(|| format!("<|{}|>", &name[..length]))
    })
}

/// UTF-8 that was read as Latin-1 or Windows-1252 and written again: `Ã©` for é, `â€™` for ’.
///
/// A run of characters whose old bytes are one UTF-8 character is only believed where ordinary
/// text does not have it: `É »` and `é…` are French.
fn mojibake(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let mut doubtful: Option<String> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let Some((length, belief, meant)) = misread(rest) else {
            rest = &rest[c.len_utf8()..];
            continue;
        };
        let seen: String = rest.chars().take(length).collect();
        let shown = format!("“{seen}” may be “{meant}”");
        match (belief, &doubtful) {
            (Belief::None, _) => {}
            (Belief::Sure, _) => return Some(shown),
            // Two in one text are no chance
            (Belief::Half, Some(first)) => return Some(first.clone()),
            (Belief::Half, None) => doubtful = Some(shown),
        }
        rest = &rest[seen.len()..];
    }
    None
}

/// How much a run of characters looks like a misread one.
enum Belief {
    None,
    Half,
    Sure,
}

/// The number of characters at the start of `text` that were one UTF-8 character, and which.
fn misread(text: &str) -> Option<(usize, Belief, char)> {
    let mut bytes = [0; 4];
    let first = text.chars().next()?;
    let lead = u8::try_from(u32::from(first)).ok()?;
    let length = match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let tail: Vec<char> = text.chars().skip(1).take(length - 1).collect();
    let all = std::iter::once(first).chain(tail.iter().copied());
    for (byte, c) in bytes.iter_mut().zip(all) {
        *byte = old_byte(c)?;
    }
    let meant = std::str::from_utf8(bytes.get(..length)?).ok()?;
    let meant = meant.chars().next().filter(|c| !c.is_control())?;
    let odd = tail.iter().any(|c| !follows_letters(*c));
    let belief = match (lead, tail.as_slice()) {
        (0xc2, ['»' | '«']) => Belief::None,
        (0xc2 | 0xc3, _) | (0xe2, ['€', _]) => Belief::Sure,
        (0xef, ['»', '¿']) => Belief::Sure, // a byte order mark
        (0xc4..=0xdf, _) if odd => Belief::Half,
        (0xe0.., _) if odd => Belief::Sure,
        _ => Belief::None,
    };
    Some((length, belief, meant))
}

/// Characters above ASCII that ordinary text has behind a letter.
fn follows_letters(c: char) -> bool {
    "\u{a0}«»‹›‘’‚“”„…–—•·°´®™©ºª¹²³½¼¾¿¡§‰€£".contains(c)
}

/// The byte that Windows-1252 (above Latin-1's gap) or Latin-1 has for `c`, from 0x80 on.
fn old_byte(c: char) -> Option<u8> {
    if ('\u{80}'..='\u{ff}').contains(&c) {
        return u8::try_from(u32::from(c)).ok();
    }
    let place = WINDOWS.chars().position(|other| other == c)?;
    u8::try_from(0x80 + place).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<Problem> {
        suspicions(text, &[])
            .into_iter()
            .map(|(problem, _)| problem)
            .collect()
    }

    /// As a program that takes UTF-8 for Windows-1252 writes it.
    fn misread_again(text: &str) -> String {
        let old = |b: u8| match b {
            0x80..=0x9f => WINDOWS.chars().nth(usize::from(b) - 0x80).unwrap(),
            b => char::from(b),
        };
        text.bytes().map(old).collect()
    }

    const SOUND: [&str; 16] = [
        "Plain ASCII, with “quotes” – and dashes… ",
        "«\u{a0}Un café\u{a0}» coûte 3\u{a0}€\u{a0}; l’ÉTÉ\u{a0}! Déjà… « À CÔTÉ »",
        "Größe, Maß, „Ärger“, ÜBER, Straße „Ä“ und „Ö“.",
        "São Paulo, ÂNGELA, IRMÃOS, ação, útil, «não».",
        "Fjällräven, Ærø, København, Ål",
        "Zażółć gęślą jaźń. Příliš žluťoučký kůň.",
        "Привет, как дела? Їжак.",
        "Γειά σου, κόσμε! Ωμέγα",
        "שלום עולם",
        "مرحبا بالعالم، می\u{200c}خواهم",
        "नमस्ते दुनिया",
        "你好，世界。こんにちは。안녕하세요",
        "x² + y³ ≤ ½·π, 25 °C, 3×4 = 12, ±1 µm",
        "👩\u{200d}🚀 😀 ❤\u{fe0f}",
        "Tiếng Việt, Đà Nẵng, Ðại",
        "ÀÉÎÕÜ àéîõü ñ ß Þ ð",
    ];

    #[test]
    fn sound_text_of_many_languages_has_no_finding() {
        for text in SOUND {
            assert_eq!(problems(text), [], "{text}");
        }
    }

    #[test]
    fn the_same_text_misread_is_found() {
        let misreadable = SOUND.iter().filter(|text| !text.is_ascii());
        for text in misreadable {
            let broken = misread_again(text);
            assert!(problems(&broken).contains(&Problem::Mojibake), "{broken}");
        }
        let latin: String = "für".bytes().map(char::from).collect();
        assert_eq!(problems(&latin), [Problem::Mojibake]);
        assert_eq!(mojibake("donâ€™t").as_deref(), Some("“â€™” may be “’”"));
    }

    #[test]
    fn characters_that_should_not_be_there_are_found() {
        assert_eq!(problems("a\u{0}b"), [Problem::Control]);
        assert_eq!(problems("a\u{1b}[31m"), [Problem::Control]);
        assert_eq!(problems("a\u{9d}b"), [Problem::Control]);
        assert_eq!(problems("a\tb\r\n"), []);
        assert_eq!(problems("a\u{feff}b"), [Problem::ByteOrderMark]);
        assert_eq!(problems("caf\u{fffd}"), [Problem::Replacement]);
    }

    #[test]
    fn blocks_of_code_have_to_close() {
        assert_eq!(problems("```rust\nfn f() {}\n```\ndone"), []);
        assert_eq!(problems("~~~\n```\n~~~"), []);
        assert_eq!(problems("use ```x``` here"), []);
        assert_eq!(problems("```\na\n``"), [Problem::OpenFence]);
        assert_eq!(problems("````\na\n```"), [Problem::OpenFence]);
        assert_eq!(problems("a\n```\nb\n```\n```sh"), [Problem::OpenFence]);
    }

    #[test]
    fn control_tokens_are_found_and_operators_are_not() {
        for text in ["hi<|im_end|>", "</s>", "[INST] x [/INST]"] {
            assert_eq!(problems(text), [Problem::SpecialToken], "{text}");
        }
        for text in ["f <| x |> g", "<||>", "a < b | c > d", "<|", "<|x"] {
            assert_eq!(problems(text), [], "{text}");
        }
        let own = ["<｜end▁of▁text｜>".to_string()];
        let found = suspicions("x<｜end▁of▁text｜>", &own);
        assert_eq!(found, [(Problem::SpecialToken, own[0].clone())]);
    }

    #[test]
    fn an_answer_should_not_be_its_question() {
        let kind = |question, answer| repetition(question, answer).map(|(problem, _)| problem);
        let question = "What is the capital of France?";
        assert_eq!(
            kind(question, "what is the capital  of France?"),
            Some(Problem::AnswerIsPrompt)
        );
        assert_eq!(
            kind(question, "You asked: What is the capital of France? Paris."),
            Some(Problem::AnswerHoldsPrompt)
        );
        assert_eq!(kind(question, "The capital of France is Paris."), None);
        assert_eq!(kind("Paris", "Paris is a city."), None);
    }
}
