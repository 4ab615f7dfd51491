//! GPT-2's printable names for the 256 bytes.
//!
//! Vocabulary files hold text, and a token may be half of a character. So every byte has a
//! character of its own: printable Latin-1 stands for itself, and the 68 others (control codes,
//! space, delete, no-break space, soft hyphen) take U+0100 onwards in order. A space is `Ġ`.

/// Whether `byte` is its own name.
const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The bytes that are not printable, in order: byte `HIDDEN[n]` has the name U+0100 + n.
const HIDDEN: [u8; 68] = {
    let mut table = [0; 68];
    let (mut byte, mut count) = (0, 0);
    while byte < 256 {
        if !is_printable(byte as u8) {
            table[count] = byte as u8;
            count += 1;
        }
        byte += 1;
    }
    table
};

/// The character that names `byte`.
pub(super) fn char_of(byte: u8) -> char {
    if is_printable(byte) {
        return char::from(byte);
    }
    let place = HIDDEN
        .iter()
        .zip(0x100u32..)
        .find(|&(&hidden, _)| hidden == byte);
    place
        .and_then(|(_, code)| char::from_u32(code))
        .unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that `c` names, if it names one.
pub(super) fn byte_of(c: char) -> Option<u8> {
    match u8::try_from(u32::from(c)) {
        Ok(byte) => is_printable(byte).then_some(byte),
        Err(_) => HIDDEN.get((u32::from(c) - 0x100) as usize).copied(),
    }
}

/// The printable name of a token.
pub(super) fn name_of(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char_of(byte)).collect()
}

/// The bytes that a printable name stands for; `None` if a character names no byte.
pub(in crate::text) fn bytes_of(name: &str) -> Option<Vec<u8>> {
    name.chars().map(byte_of).collect()
}

/// All bytes in the order of their names, which is the order of GPT-2's first 256 ids.
pub(super) fn alphabet() -> impl Iterator<Item = u8> {
    (0..=255).filter(|&byte| is_printable(byte)).chain(HIDDEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_invert() {
        let names: std::collections::BTreeSet<char> = (0..=255).map(char_of).collect();
        assert_eq!(names.len(), 256);
        assert!((0..=255).all(|byte| byte_of(char_of(byte)) == Some(byte)));
        assert_eq!(
            (char_of(b' '), char_of(b'\n'), char_of(0xAD)),
            ('Ġ', 'Ċ', 'Ń')
        );
        assert_eq!(
            (byte_of('\u{144}'), byte_of(' '), byte_of('語')),
            (None, None, None)
        );
        let in_order: Vec<char> = alphabet().map(char_of).collect();
        assert!(in_order.is_sorted() && in_order.len() == 256);
    }
}
