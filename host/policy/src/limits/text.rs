//! Numbers and their units, as people write them.

use std::str::FromStr;
use std::time::Duration;

/// A number of seconds: `10`, `0.5`.
///
/// # Errors
/// What was expected, for people.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "a number of seconds, such as 10 or 0.5".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// A number of bytes: `1000`, `10k`, `2.5M`, `1G`, with units of 1024, as curl has them.
///
/// # Errors
/// What was expected, for people.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || "a number of bytes, such as 1000, 10k, 2.5M or 1G".to_owned();
    let number = text.strip_suffix(['b', 'B']).unwrap_or(text);
    let (number, unit) = match number.char_indices().next_back() {
        Some((end, letter)) if letter.is_ascii_alphabetic() => {
            let power = match letter.to_ascii_lowercase() {
                'k' => 1,
                'm' => 2,
                'g' => 3,
                't' => 4,
                'p' => 5,
                _ => return Err(wrong()),
            };
            (&number[..end], 1024_u64.pow(power))
        }
        _ => (number, 1),
    };
    if !number.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(wrong());
    }
    if number.contains('.') {
        let number: f64 = number.parse().map_err(|_| wrong())?;
        // What is past the largest number becomes it; nothing here is exact to the byte.
        return Ok((number * unit as f64) as u64);
    }
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

/// A number of bytes, in the largest unit that it is a multiple of.
pub(crate) fn of_size(bytes: u64) -> String {
    let mut number = bytes;
    let mut units = ["", "k", "M", "G", "T", "P"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while number > 0
        && number.is_multiple_of(1024)
        && let Some(larger) = units.next()
    {
        (number, unit) = (number / 1024, larger);
    }
    format!("{number}{unit}")
}

/// A number of things.
pub(crate) fn count<N: FromStr>(text: &str) -> Result<N, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| "a number, such as 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1000", Some(1000)),
            ("1b", Some(1)),
            ("10k", Some(10 << 10)),
            ("10K", Some(10 << 10)),
            ("10kB", Some(10 << 10)),
            ("2m", Some(2 << 20)),
            ("2.5M", Some(5 << 19)),
            ("1G", Some(1 << 30)),
            ("1t", Some(1 << 40)),
            ("1P", Some(1 << 50)),
            ("18446744073709551615", Some(u64::MAX)),
            ("99999999999999.5P", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999P", None),
            ("", None),
            ("k", None),
            ("B", None),
            (".5k", None),
            ("1.2.3", None),
            ("1.x", None),
            ("-1", None),
            ("+1", None),
            ("1 k", None),
            ("1q", None),
            ("1kk", None),
            ("1é", None),
            ("inf", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_written_as_they_are_read() {
        for (bytes, expected) in [
            (0, "0"),
            (1, "1"),
            (1023, "1023"),
            (1024, "1k"),
            (1536, "1536"),
            (256 << 20, "256M"),
            (1 << 60, "1024P"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(of_size(bytes), expected);
            assert_eq!(size(expected), Ok(bytes));
        }
    }

    #[test]
    fn times() {
        for (text, expected) in [
            ("0", Some(0)),
            ("10", Some(10_000)),
            ("0.5", Some(500)),
            ("1.0005", Some(1000)),
            ("", None),
            ("-1", None),
            ("x", None),
            ("nan", None),
            ("inf", None),
            ("1e300", None),
        ] {
            let found = seconds(text).ok().map(|time| time.as_millis());
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn counts() {
        for (text, expected) in [
            ("0", Some(0)),
            ("65535", Some(65_535)),
            ("65536", None),
            ("+1", None),
            ("-1", None),
            ("1.0", None),
            ("", None),
        ] {
            assert_eq!(count::<u16>(text).ok(), expected, "{text:?}");
        }
    }
}
