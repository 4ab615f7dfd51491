//! Numbers as people read them: four decimals, thousands separators, KiB, minutes.
//!
//! ```
//! use llm_show::number::{bytes, count, number};
//! assert_eq!(number(0.61312), "0.6131");
//! assert_eq!(number(2.5e-7), "2.500e-07");
//! assert_eq!(count(596_049_920), "596,049,920");
//! assert_eq!(bytes(114_688), "112.0 KiB");
//! ```

use std::time::Duration;

/// Below this an exhibit switches to the `e` form.
const SMALLEST_FIXED: f64 = 1e-3;
/// From this on an exhibit switches to the `e` form.
const LARGEST_FIXED: f64 = 1e4;

/// Four decimals, or the `e` form outside 1e-3..1e4.
pub fn number(x: f64) -> String {
    if x == 0.0 {
        return "0.0000".into(); // also −0.0, whose sign says nothing to a reader
    }
    let size = x.abs();
    if !size.is_finite() {
        return format!("{x}").to_lowercase();
    }
    // 0.99996e-3 would round up to 0.0010, 9999.99996 to 10000.0000: compare what is printed.
    if (SMALLEST_FIXED..LARGEST_FIXED - 0.5e-4).contains(&size) {
        return format!("{x:.4}");
    }
    scientific(x, 3)
}

/// `digits` decimals and a signed exponent of two digits: `3.0e-04`.
pub fn scientific(x: f64, digits: usize) -> String {
    let text = format!("{x:.digits$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, size) = match exponent.strip_prefix('-') {
        Some(size) => ('-', size),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{size:0>2}")
}

/// A tolerance as it is written in code: `1e-6`, `0.03`, `2.5e-5`.
pub fn tolerance(x: f64) -> String {
    if x == 0.0 || (SMALLEST_FIXED..LARGEST_FIXED).contains(&x.abs()) {
        return format!("{x}");
    }
    format!("{x:e}")
}

/// An integer with thousands separators.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in B, KiB, MiB, GiB or TiB.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut size = n as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 KiB would print as 1024.0 KiB.
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A rate in tokens each second: `18,240 tok/s`, one decimal below 100.
pub fn rate(tokens_per_second: f64) -> String {
    if tokens_per_second < 100.0 {
        return format!("{tokens_per_second:.1} tok/s");
    }
    format!("{} tok/s", count(tokens_per_second.round() as u64))
}

/// A share as a percentage: `0.54 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// A duration in its two largest units: `2m10s`, `1h05m`, `4.2s`, `180ms`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..=9 => format!("{:.1}s", time.as_secs_f64()),
        10..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_decimals_between_1e_minus_3_and_1e4() {
        let cases = [
            (0.0, "0.0000"),
            (-0.0, "0.0000"),
            (1.0, "1.0000"),
            (-0.5, "-0.5000"),
            (0.001, "0.0010"),
            (0.000_999, "9.990e-04"),
            (9_999.0, "9999.0000"),
            (9_999.999_99, "1.000e+04"),
            (12_345.6, "1.235e+04"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (x, expected) in cases {
            assert_eq!(number(x), expected);
        }
    }

    #[test]
    fn units_change_where_the_printed_number_would_overflow() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
        ];
        for (n, expected) in cases {
            assert_eq!(bytes(n), expected);
        }
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(2_453), "2,453");
        assert_eq!(tolerance(1e-6), "1e-6");
        assert_eq!(tolerance(0.03), "0.03");
        assert_eq!(tolerance(0.0), "0");
        assert_eq!(scientific(3e-4, 1), "3.0e-04");
        assert_eq!(rate(18_240.4), "18,240 tok/s");
        assert_eq!(rate(4.25), "4.2 tok/s");
        assert_eq!(percent(0.005_359), "0.54 %");
    }

    #[test]
    fn durations_show_two_units() {
        let cases = [
            (130.0, "2m10s"),
            (0.18, "180ms"),
            (4.2, "4.2s"),
            (59.9, "59s"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), expected);
        }
        assert_eq!(duration(Duration::from_secs(3_900)), "1h05m");
        assert_eq!(duration(Duration::from_secs(90_000)), "1d01h");
    }
}
