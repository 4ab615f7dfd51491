//! Written arithmetic, one column a line, from the units on.
//!
//! ```text
//! 347+085
//! units: 7+5+0=12, carry 1: 2
//! tens: 4+8+1=13, carry 1: 32
//! hundreds: 3+0+1=4, carry 0: 432
//! ```
//!
//! Both numbers are written with the same number of digits, so that a column stands at a fixed
//! distance; every line adds what the line before carried, 0 included, and ends with the digits so
//! far, so that the answer is a copy of the last ones.

/// Names of the columns; numbers have at most three digits.
const COLUMNS: [&str; 3] = ["units", "tens", "hundreds"];

/// Steps and what came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::synth) struct Worked {
    /// The lines.
    pub(in crate::synth) steps: Vec<String>,
    /// The result.
    pub(in crate::synth) result: u32,
}

impl Worked {
    /// Thoughts and result as an answer.
    pub(in crate::synth) fn answer(&self) -> String {
        let steps = self.steps.join("\n");
        format!("<think>\n{steps}\n</think>\n\n{}", self.result)
    }
}

/// The number of digits of the longer number.
fn width(a: u32, b: u32) -> usize {
    a.max(b).to_string().len()
}

/// Column names with the digits of `a` and `b`, units first.
fn columns(a: u32, b: u32) -> impl Iterator<Item = (&'static str, u32, u32)> {
    let digit = |number: u32, place: usize| number / 10u32.pow(place as u32) % 10;
    let names = COLUMNS.into_iter().enumerate().take(width(a, b));
    names.map(move |(place, name)| (name, digit(a, place), digit(b, place)))
}

/// Takes zeros off the front where there are some, as a step of its own.
fn finish(mut steps: Vec<String>, digits: &str) -> Worked {
    let result: u32 = digits.parse().unwrap_or_default();
    if digits.len() > result.to_string().len() {
        steps.push(format!("{digits} is {result}"));
    }
    Worked { steps, result }
}

/// a + b.
pub(in crate::synth) fn add(a: u32, b: u32) -> Worked {
    let width = width(a, b);
    let mut steps = vec![format!("{a:0width$}+{b:0width$}")];
    let (mut carry, mut digits) = (0, String::new());
    for (name, x, y) in columns(a, b) {
        let sum = x + y + carry;
        digits = format!("{}{digits}", sum % 10);
        steps.push(format!(
            "{name}: {x}+{y}+{carry}={sum}, carry {}: {digits}",
            sum / 10
        ));
        carry = sum / 10;
    }
    carried(steps, carry, digits)
}

/// a · b for a `b` of one digit.
pub(in crate::synth) fn multiply(a: u32, b: u32) -> Worked {
    let mut steps = vec![format!("{a}*{b}")];
    let (mut carry, mut digits) = (0, String::new());
    for (name, x, _) in columns(a, 0) {
        let product = x * b + carry;
        digits = format!("{}{digits}", product % 10);
        steps.push(format!(
            "{name}: {x}*{b}+{carry}={product}, carry {}: {digits}",
            product / 10
        ));
        carry = product / 10;
    }
    carried(steps, carry, digits)
}

/// Puts the last carry in front.
fn carried(mut steps: Vec<String>, carry: u32, mut digits: String) -> Worked {
    if carry > 0 {
        digits = format!("{carry}{digits}");
        steps.push(format!("carry {carry}: {digits}"));
    }
    finish(steps, &digits)
}

/// a - b for a ≥ b.
pub(in crate::synth) fn subtract(a: u32, b: u32) -> Worked {
    let width = width(a, b);
    let mut steps = vec![format!("{a:0width$}-{b:0width$}")];
    let (mut borrow, mut digits) = (0, String::new());
    for (name, x, y) in columns(a, b) {
        let line = if x >= y + borrow {
            let left = x - y - borrow;
            digits = format!("{left}{digits}");
            let line = format!("{name}: {x}-{y}-{borrow}={left}, borrow 0: {digits}");
            borrow = 0;
            line
        } else {
            let more = x + 10;
            let left = more - y - borrow;
            digits = format!("{left}{digits}");
            let low = format!("{name}: {x}-{y}-{borrow} is too low");
            let line = format!("{low}, {more}-{y}-{borrow}={left}, borrow 1: {digits}");
            borrow = 1;
            line
        };
        steps.push(line);
    }
    finish(steps, &digits)
}

/// The larger or smaller of two numbers that differ, from the front.
pub(in crate::synth) fn compare(a: u32, b: u32, larger: bool) -> Worked {
    let width = width(a, b);
    let mut steps = vec![format!("{a:0width$} and {b:0width$}")];
    let all: Vec<_> = columns(a, b).collect();
    for (name, x, y) in all.into_iter().rev() {
        let sign = match x.cmp(&y) {
            std::cmp::Ordering::Less => '<',
            std::cmp::Ordering::Equal => '=',
            std::cmp::Ordering::Greater => '>',
        };
        steps.push(format!("{name}: {x}{sign}{y}"));
        if x != y {
            break;
        }
    }
    let sign = if a < b { '<' } else { '>' };
    steps.push(format!("{a}{sign}{b}"));
    Worked {
        steps,
        result: if larger { a.max(b) } else { a.min(b) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_as_on_paper() {
        let sum = add(347, 85);
        let want = [
            "347+085",
            "units: 7+5+0=12, carry 1: 2",
            "tens: 4+8+1=13, carry 1: 32",
            "hundreds: 3+0+1=4, carry 0: 432",
        ];
        assert_eq!(
            (sum.steps.as_slice(), sum.result),
            (&want.map(String::from)[..], 432)
        );
        let difference = subtract(402, 395);
        let want = [
            "402-395",
            "units: 2-5-0 is too low, 12-5-0=7, borrow 1: 7",
            "tens: 0-9-1 is too low, 10-9-1=0, borrow 1: 07",
            "hundreds: 4-3-1=0, borrow 0: 007",
            "007 is 7",
        ];
        assert_eq!(difference.steps, want);
        let product = multiply(47, 6);
        let want = [
            "47*6",
            "units: 7*6+0=42, carry 4: 2",
            "tens: 4*6+4=28, carry 2: 82",
            "carry 2: 282",
        ];
        assert_eq!(product.steps, want);
        let larger = compare(47, 352, true);
        assert_eq!(larger.steps, ["047 and 352", "hundreds: 0<3", "47<352"]);
        assert_eq!((larger.result, compare(352, 357, false).result), (352, 352));
    }

    /// Every equation in the lines holds, and the last digits are the result.
    fn check(worked: &Worked, want: u32, what: &str) {
        assert_eq!(worked.result, want, "{what}");
        for line in &worked.steps {
            let Some((left, right)) = line.split_once('=') else {
                continue;
            };
            let left = left.rsplit([' ', ':']).next().unwrap();
            let right: i64 = right.split(',').next().unwrap().parse().unwrap();
            assert_eq!(value(left), right, "{what}: {line}");
        }
        let last = worked.steps.last().unwrap();
        let digits = last.rsplit([' ']).next().unwrap();
        assert_eq!(digits.parse::<u32>().unwrap(), want, "{what}: {last}");
    }

    /// The value of `7+5+0`, `12-5-1` or `4*6+4`.
    fn value(text: &str) -> i64 {
        if let Some((product, sum)) = text.split_once('*') {
            let (factor, carry) = sum.split_once('+').unwrap();
            let number = |text: &str| text.parse::<i64>().unwrap();
            return number(product) * number(factor) + number(carry);
        }
        let signed = text.replace('-', "+-");
        signed
            .split('+')
            .map(|part| part.parse::<i64>().unwrap())
            .sum()
    }

    #[test]
    fn steps_are_right_over_the_whole_range() {
        for a in 0..1000u32 {
            // A grid that meets every last digit with every other.
            for b in (a % 7..1000).step_by(13).chain([0, 9, 10, 99, 100, 999, a]) {
                check(&add(a, b), a + b, &format!("{a}+{b}"));
                let (high, low) = (a.max(b), a.min(b));
                check(&subtract(high, low), high - low, &format!("{high}-{low}"));
                if a != b {
                    assert_eq!(compare(a, b, true).result, high);
                    assert_eq!(compare(a, b, false).result, low);
                }
            }
            for b in 0..10 {
                check(&multiply(a, b), a * b, &format!("{a}*{b}"));
            }
        }
    }
}
