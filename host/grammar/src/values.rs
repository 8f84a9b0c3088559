//! The values of options.
//!
//! The error of each function says what is expected instead, and reads well behind the word "expected".

use std::time::Duration;

/// Reads a number of seconds, which may have a fraction: `10`, `0.5`.
///
/// # Errors
/// It is none, it is negative, or it is larger than a [`Duration`] can be.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let expected = || "a number of seconds, such as 10 or 0.5".to_owned();
    let seconds: f64 = text.parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| expected())
}

/// Reads a number of bytes: `1000`, `10k`, `2.5M`, `1G`. Its units are powers of 1024, as in curl.
///
/// # Errors
/// It is none, its unit is unknown, or it is larger than 2^64 - 1.
pub fn size(text: &str) -> Result<u64, String> {
    let expected = || "a number of bytes, such as 1000, 10k, 2.5M or 1G".to_owned();
    let number = text.strip_suffix(['b', 'B']).unwrap_or(text);
    let (number, unit) = match number.char_indices().next_back() {
        Some((end, letter)) if letter.is_ascii_alphabetic() => {
            let power = match letter.to_ascii_lowercase() {
                'k' => 1,
                'm' => 2,
                'g' => 3,
                't' => 4,
                'p' => 5,
                _ => return Err(expected()),
            };
            (&number[..end], 1024_u64.pow(power))
        }
        _ => (number, 1),
    };
    if !number.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(expected());
    }
    if number.contains('.') {
        let number: f64 = number.parse().map_err(|_| expected())?;
        // A number above the largest becomes the largest: a fraction is not exact to the byte anyway.
        return Ok((number * unit as f64) as u64);
    }
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(unit).ok_or_else(expected)
}

/// Reads how many redirects are followed at most; -1 means any number.
///
/// # Errors
/// It is neither a number from 0 to 4294967295 nor -1.
pub fn redirects(text: &str) -> Result<u32, String> {
    match text {
        "-1" => Ok(u32::MAX),
        text => text
            .parse()
            .map_err(|_| "a number, or -1 for no bound".to_owned()),
    }
}

/// Reads `USER:PASSWORD`. There is no prompt for a password, so it is required; it may be empty.
///
/// # Errors
/// There is no colon.
pub fn credentials(text: &str) -> Result<String, String> {
    match text.contains(':') {
        true => Ok(text.to_owned()),
        false => Err("USER:PASSWORD; the password may be empty".to_owned()),
    }
}

/// The URL that was typed. One without a scheme has `http`.
pub fn url(typed: &str) -> String {
    match typed.contains("://") {
        true => typed.to_owned(),
        false => format!("http://{typed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_seconds() {
        for (text, expected) in [
            ("0", Some(0)),
            ("10", Some(10_000)),
            ("0.5", Some(500)),
            ("1e3", Some(1_000_000)),
            ("-1", None),
            ("", None),
            ("x", None),
            ("1s", None),
            ("nan", None),
            ("inf", None),
            ("1e300", None),
        ] {
            let found = seconds(text).ok().map(|time| time.as_millis());
            assert_eq!(found, expected, "{text:?}");
        }
    }

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
    fn numbers_of_redirects() {
        for (text, expected) in [
            ("0", Some(0)),
            ("30", Some(30)),
            ("4294967295", Some(u32::MAX)),
            ("-1", Some(u32::MAX)),
            ("4294967296", None),
            ("-2", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(redirects(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn credentials_have_a_colon() {
        for (text, expected) in [
            ("a:b", true),
            ("a:", true),
            (":", true),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(credentials(text).is_ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_missing_scheme_is_http() {
        for (typed, expected) in [
            ("example.com", "http://example.com"),
            ("example.com:8080/a", "http://example.com:8080/a"),
            ("[::1]:80", "http://[::1]:80"),
            ("http://example.com", "http://example.com"),
            ("HTTPS://example.com", "HTTPS://example.com"),
            ("ftp://example.com", "ftp://example.com"),
        ] {
            assert_eq!(url(typed), expected);
        }
    }
}
