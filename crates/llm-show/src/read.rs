//! Numbers that a learner types: lists like `2,0.5,-1`, values with a range.
//!
//! ```
//! use llm_show::read::numbers;
//! assert_eq!(numbers("--scores", "2, 0.5,-1", 1..=20, "2,1").unwrap(), [2.0, 0.5, -1.0]);
//! let complaint = numbers("--scores", "2,x", 1..=20, "2,1").unwrap_err();
//! let wanted = "--scores is `2,x`, expected 1 to 20 finite numbers from -1e6 to 1e6";
//! assert_eq!(complaint.to_string(), wanted);
//! ```

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::lesson::Complaint;

/// The largest number that [`numbers`] takes: beyond it f64 keeps too few decimals for the checks.
const MOST: f64 = 1e6;

/// Numbers of at most a million, separated by commas; `example` is a list that would do.
///
/// # Errors
/// Too few or too many, or something that is no such number.
pub fn numbers(
    flag: &str,
    text: &str,
    how_many: RangeInclusive<usize>,
    example: &str,
) -> Result<Vec<f64>, Complaint> {
    let good = |x: &f64| x.abs() <= MOST;
    let what = "finite numbers from -1e6 to 1e6";
    list(flag, text, how_many, (what, good), example)
}

/// Whole numbers above zero separated by commas; `example` is a list that would do.
///
/// # Errors
/// Too few or too many, or something that is not such a number.
pub fn counts(
    flag: &str,
    text: &str,
    how_many: RangeInclusive<usize>,
    example: &str,
) -> Result<Vec<usize>, Complaint> {
    let good = |&n: &usize| n > 0;
    let what = "whole numbers above 0";
    list(flag, text, how_many, (what, good), example)
}

/// The `N` axes of a shape, each from 1 to `most`, separated by commas; `example` is one that would
/// do.
///
/// # Errors
/// Too few or too many of them, or something that is not such a number.
pub fn shape<const N: usize>(
    flag: &str,
    text: &str,
    most: usize,
    example: &str,
) -> Result<[usize; N], Complaint> {
    let good = |n: &usize| (1..=most).contains(n);
    let what = format!("whole numbers from 1 to {most}");
    let axes = list(flag, text, N..=N, (&what, good), example)?;
    let mut shape = [0; N];
    shape.copy_from_slice(&axes);
    Ok(shape)
}

/// A number that has to lie in `range`; `hint` says what would do.
///
/// # Errors
/// One outside, or NaN.
pub fn within(
    flag: &str,
    value: f64,
    range: RangeInclusive<f64>,
    hint: &str,
) -> Result<f64, Complaint> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = range.into_inner();
    let problem = format!("{flag} is {value}, expected {low} to {high}");
    Err(Complaint::new(problem).hint(hint))
}

fn list<T: FromStr>(
    flag: &str,
    text: &str,
    how_many: RangeInclusive<usize>,
    (what, good): (&str, impl Fn(&T) -> bool),
    example: &str,
) -> Result<Vec<T>, Complaint> {
    let items = text
        .split(',')
        .map(|item| item.trim().parse().ok().filter(&good));
    let items: Option<Vec<T>> = items.collect();
    let items = items.filter(|items| how_many.contains(&items.len()));
    items.ok_or_else(|| {
        let (least, most) = how_many.into_inner();
        let wanted = if least == most {
            least.to_string()
        } else {
            format!("{least} to {most}")
        };
        Complaint::new(format!("{flag} is `{text}`, expected {wanted} {what}"))
            .hint(format!("{flag} \"{example}\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_and_nan_are_refused() {
        assert_eq!(within("--t", 0.5, 0.1..=2.0, "--t 1").unwrap(), 0.5);
        for bad in [0.0, -1.0, 2.5, f64::NAN, f64::INFINITY] {
            let complaint = within("--t", bad, 0.1..=2.0, "--t 1").unwrap_err();
            assert_eq!(
                complaint.to_string(),
                format!("--t is {bad}, expected 0.1 to 2")
            );
        }
    }

    #[test]
    fn lists_are_read_whole_or_not_at_all() {
        for bad in ["", "1,", "nan", "1e400", "-2e6", "1,2,3,4"] {
            assert!(numbers("--x", bad, 1..=3, "1").is_err(), "{bad}");
        }
        assert_eq!(
            shape::<3>("--shape", "1, 4,6", 9, "1,4,6").unwrap(),
            [1, 4, 6]
        );
        assert_eq!(counts("--n", "7,20", 1..=2, "1").unwrap(), [7, 20]);
        assert!(counts("--n", "7,0", 1..=2, "1").is_err());
        for bad in ["1,4", "1,4,0", "1,4,-6", "1,4,6.5", "1,4,10"] {
            let complaint = shape::<3>("--shape", bad, 9, "1,4,6").unwrap_err();
            let message = format!("--shape is `{bad}`, expected 3 whole numbers from 1 to 9");
            assert_eq!(complaint.to_string(), message);
        }
    }
}
