//! The time that a template may ask for. The library has no clock: the caller passes one.

use std::fmt::Write;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const SECONDS_A_DAY: i64 = 86_400;

/// A date and time of day for `strftime_now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Seconds since 1970-01-01 00:00:00 in the time zone that is meant.
    seconds: i64,
}

/// A date of the Gregorian calendar.
struct Date {
    year: i64,
    month: usize,
    day: i64,
    day_of_year: i64,
    weekday: usize,
}

impl LocalTime {
    /// The time `seconds` after 1970-01-01 00:00:00, in the time zone that is meant (for UTC the
    /// Unix time). Limited to the years 0 to 9999, which is what four digits hold.
    pub fn from_seconds(seconds: i64) -> Self {
        const FIRST: i64 = -719_528 * SECONDS_A_DAY;
        const LAST: i64 = 2_932_897 * SECONDS_A_DAY - 1;
        Self {
            seconds: seconds.clamp(FIRST, LAST),
        }
    }

    fn date(self) -> Date {
        let days = self.seconds.div_euclid(SECONDS_A_DAY);
        // Years begin in March here, so that the leap day is the last of its year, and are counted
        // in eras of 400 years, which all have the same length.
        let from_march = days + 719_468;
        let era = from_march.div_euclid(146_097);
        let of_era = from_march.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 2
        } else {
            march_month - 10
        };
        let year = year_of_era + era * 400 + i64::from(month < 2);
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let before_march = 59 + i64::from(leap);
        let day_of_year = if month < 2 {
            of_year - 306
        } else {
            of_year + before_march
        } + 1;
        let weekday = (days + 4).rem_euclid(7);
        Date {
            year,
            month: month as usize,
            day,
            day_of_year,
            weekday: weekday as usize,
        }
    }

    /// The time in the form that `format` asks for, with the C locale's names.
    ///
    /// # Errors
    /// The directive that is not known.
    pub(super) fn format(self, format: &str) -> Result<String, String> {
        let date = self.date();
        let of_day = self.seconds.rem_euclid(SECONDS_A_DAY);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let hour12 = (hour + 11) % 12 + 1;
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut directive = chars.next();
            let short = directive == Some('-');
            if short {
                directive = chars.next();
            }
            let month_name = MONTHS[date.month % 12];
            let day_name = DAYS[date.weekday % 7];
            let (width, number) = match directive {
                Some('Y') => (4, date.year),
                Some('y') => (2, date.year % 100),
                Some('m') => (2, date.month as i64 + 1),
                Some('d') => (2, date.day),
                Some('j') => (3, date.day_of_year),
                Some('H') => (2, hour),
                Some('I') => (2, hour12),
                Some('M') => (2, minute),
                Some('S') => (2, second),
                Some('w') => (1, date.weekday as i64),
                Some(other) => {
                    match other {
                        'B' => out.push_str(month_name),
                        'b' | 'h' => out.push_str(&month_name[..3]),
                        'A' => out.push_str(day_name),
                        'a' => out.push_str(&day_name[..3]),
                        'p' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
                        'e' => out.push_str(&format!("{:2}", date.day)),
                        'F' => out.push_str(&self.format("%Y-%m-%d")?),
                        'T' => out.push_str(&self.format("%H:%M:%S")?),
                        '%' => out.push('%'),
                        _ => return Err(format!("strftime_now: `%{other}` is not known")),
                    }
                    continue;
                }
                None => return Err("strftime_now: the format ends with `%`".to_owned()),
            };
            let width = if short { 1 } else { width };
            // Writing to a String cannot fail.
            let _ = write!(out, "{number:0width$}");
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_days() {
        let all = "%Y-%m-%d %H:%M:%S %a %A %b %B %j %p %I %-d %-m %y %e %w %%";
        let cases = [
            (
                0,
                "1970-01-01 00:00:00 Thu Thursday Jan January 001 AM 12 1 1 70  1 4 %",
            ),
            (
                951_868_799,
                "2000-02-29 23:59:59 Tue Tuesday Feb February 060 PM 11 29 2 00 29 2 %",
            ),
            (
                1_735_689_599,
                "2024-12-31 23:59:59 Tue Tuesday Dec December 366 PM 11 31 12 24 31 2 %",
            ),
            (
                -1,
                "1969-12-31 23:59:59 Wed Wednesday Dec December 365 PM 11 31 12 69 31 3 %",
            ),
        ];
        for (seconds, text) in cases {
            assert_eq!(LocalTime::from_seconds(seconds).format(all).unwrap(), text);
        }
        assert_eq!(
            LocalTime::from_seconds(i64::MAX).format("%F %T").unwrap(),
            "9999-12-31 23:59:59"
        );
        assert_eq!(
            LocalTime::from_seconds(i64::MIN).format("%F %T").unwrap(),
            "0000-01-01 00:00:00"
        );
        assert!(LocalTime::from_seconds(0).format("%Q").is_err());
        assert!(LocalTime::from_seconds(0).format("%").is_err());
    }
}
