//! Large amounts as people type and read them: `7B`, `1.4T`, `4.70 GB`.

use llm_show::Complaint;
use llm_show::number::scientific;

/// Letters behind a number and what they multiply by.
const LETTERS: [(char, f64); 4] = [('k', 1e3), ('m', 1e6), ('b', 1e9), ('t', 1e12)];
/// Units of bytes as makers of memory sell them.
const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];

/// Reads `7e9`, `7B`, `7_000_000_000` or `7,000,000,000` for the flag `name`.
pub(crate) fn positive(name: &str, text: &str) -> Result<f64, Complaint> {
    let bare = text.trim().replace(['_', ','], "");
    let last = bare.chars().last().map(|last| last.to_ascii_lowercase());
    let letter = LETTERS
        .into_iter()
        .find(|(letter, _)| last == Some(*letter));
    let (digits, times) = match letter {
        Some((_, times)) => (&bare[..bare.len() - 1], times),
        None => (bare.as_str(), 1.0),
    };
    let number = digits.parse::<f64>().ok().map(|number| number * times);
    number
        .filter(|number| number.is_finite() && *number > 0.0)
        .ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Complaint::new(format!("--{name} is `{shown}`, expected a number above 0")).hint(
                format!("--{name} 7e9 or --{name} 7B; k, M, B and T are thousands to trillions"),
            )
        })
}

/// Bytes in units of a thousand: `4.70 GB`.
pub(crate) fn bytes(n: u128) -> String {
    if n < 1000 {
        return format!("{n} B");
    }
    let (mut size, mut unit) = (n as f64 / 1e3, 0);
    while size >= 999.995 && unit + 1 < UNITS.len() {
        size /= 1e3;
        unit += 1;
    }
    format!("{size:.2} {}", UNITS[unit])
}

/// Bytes as a number of GB with two decimals, without the unit.
pub(crate) fn gigabytes(n: u128) -> String {
    format!("{:.2}", n as f64 / 1e9)
}

/// An amount with its letter where that is exact to three digits, else in the `e` form.
pub(crate) fn short(x: f64) -> String {
    let fits = LETTERS
        .iter()
        .rev()
        .find(|(_, times)| x >= *times && x < 1e3 * times);
    match fits {
        Some((letter, times)) => {
            let text = format!("{:.2}", x / times);
            let text = text.trim_end_matches('0').trim_end_matches('.');
            format!(
                "{text}{}",
                if *letter == 'k' {
                    'k'
                } else {
                    letter.to_ascii_uppercase()
                }
            )
        }
        None if x < 1e3 => format!("{x}"),
        None => scientific(x, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_several_forms() {
        for text in [
            "7e9",
            "7B",
            "7b",
            " 7000M ",
            "7_000_000_000",
            "7,000,000,000",
            "0.007T",
        ] {
            assert!(
                (positive("params", text).unwrap() - 7e9).abs() < 1e-3,
                "{text}"
            );
        }
        for text in ["", "0", "-7B", "nan", "inf", "1e400", "7X", "B", "７B"] {
            let error = positive("params", text).unwrap_err().to_string();
            assert!(
                error.contains("--params") && error.contains("above 0"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn bytes_are_counted_in_thousands() {
        let cases = [
            (999, "999 B"),
            (114_688, "114.69 kB"),
            (4_697_620_480, "4.70 GB"),
        ];
        for (n, expected) in cases {
            assert_eq!(bytes(n), expected);
        }
        assert_eq!(bytes(112_000_000_000), "112.00 GB");
        assert_eq!(bytes(999_999_999), "1.00 GB");
        assert_eq!(gigabytes(3_611_085_000), "3.61");
        assert_eq!(short(1.4e12), "1.4T");
        assert_eq!(short(7e9), "7B");
        assert_eq!(short(3.15e23), "3.15e+23");
    }
}
