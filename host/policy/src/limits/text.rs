//! Numbers and their units, as people write them.

pub use sockbox_grammar::values::{seconds, size};
use std::str::FromStr;

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
