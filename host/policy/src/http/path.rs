//! The form of a URL's path, and its readings: the other paths that a server may read in it.

use super::HttpUrlError;

/// How many rounds of decoding a path may need. A request whose path needs more is refused.
const MAX_ENCODINGS: usize = 4;

/// The path in the form in which it is judged and sent:
///
/// - An empty path is `/`.
/// - Segments `.` and `..` are resolved, also if their dots are percent-encoded. Repeated slashes are one slash.
/// - A character is percent-encoded only if it has to be (RFC 3986 section 6.2.2.2), with capital digits.
/// - `*` is never encoded. `'` is always encoded, because a rule with the path may stand between quotes in a shell.
///
/// # Errors
/// [`HttpUrlError`]: the path does not begin with a slash, or has an invalid `%`, a space or a control character.
pub(super) fn normal(path: &str) -> Result<String, HttpUrlError> {
    match path.as_bytes().first() {
        None => return Ok("/".to_owned()),
        Some(b'/') => {}
        Some(_) => return Err(HttpUrlError::NotAPath),
    }
    let mut bytes = path.bytes();
    let mut spelled = String::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(hex).ok_or(HttpUrlError::Escape);
                let byte = digit()? << 4 | digit()?;
                match byte {
                    _ if is_unreserved(byte) => spelled.push(byte.into()),
                    _ => encode(&mut spelled, byte)?,
                }
            }
            b' ' => return Err(HttpUrlError::Character),
            _ => spell(&mut spelled, byte)?,
        }
    }
    Ok(resolved(&spelled))
}

/// The readings of a path that [`normal`] returned. Each is the path after some rounds of decoding (`%2F`, `%5C`,
/// `%252E`), or that path without the parameters of its segments (from each `;` on).
///
/// # Errors
/// The path would need more than [`MAX_ENCODINGS`] rounds, or a round finds a control character.
pub(super) fn readings(path: &str) -> Result<Vec<String>, HttpUrlError> {
    let mut readings: Vec<String> = Vec::new();
    let mut latest = path.to_owned();
    for round in 0.. {
        let bare = without_parameters(&latest);
        for reading in [&latest, &bare] {
            if reading != path && !readings.contains(reading) {
                readings.push(reading.clone());
            }
        }
        let decoded = resolved(&decoded(&latest)?);
        if decoded == latest {
            break;
        }
        if round == MAX_ENCODINGS {
            return Err(HttpUrlError::TooManyEncodings);
        }
        latest = decoded;
    }
    Ok(readings)
}

/// The path decoded once. A backslash becomes a slash.
fn decoded(path: &str) -> Result<String, HttpUrlError> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        plain.push(match (byte, behind) {
            (b'%', [high, low, behind @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = behind;
                    high << 4 | low
                }
                _ => b'%',
            },
            (byte, _) => *byte,
        });
    }
    let mut spelled = String::with_capacity(plain.len());
    for (index, byte) in plain.iter().enumerate() {
        let digits = plain.get(index + 1..index + 3).unwrap_or_default();
        match byte {
            b'\\' => spelled.push('/'),
            // This `%` begins an escape that the next round decodes.
            b'%' if digits.len() == 2 && digits.iter().all(|digit| hex(*digit).is_some()) => {
                spelled.push('%');
            }
            byte => spell(&mut spelled, *byte)?,
        }
    }
    Ok(spelled)
}

fn without_parameters(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let (before, _) = segment.split_once(';').unwrap_or((segment, ""));
        before
    });
    resolved(&segments.collect::<Vec<_>>().join("/"))
}

/// The path without dot segments (RFC 3986 section 5.2.4) and empty segments.
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_with_slash = false;
    for segment in path.split('/') {
        ends_with_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for segment in &kept {
        resolved.push('/');
        resolved.push_str(segment);
    }
    if ends_with_slash || kept.is_empty() {
        resolved.push('/');
    }
    resolved
}

/// Add a byte: as it is if a path may contain it (RFC 3986 section 3.3), and otherwise percent-encoded.
fn spell(text: &mut String, byte: u8) -> Result<(), HttpUrlError> {
    match is_unreserved(byte) || b"!$&()+,;=:@/".contains(&byte) {
        true => text.push(byte.into()),
        false => encode(text, byte)?,
    }
    Ok(())
}

fn encode(text: &mut String, byte: u8) -> Result<(), HttpUrlError> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_control() {
        return Err(HttpUrlError::Character);
    }
    text.push('%');
    text.push(DIGITS[usize::from(byte >> 4)].into());
    text.push(DIGITS[usize::from(byte & 15)].into());
    Ok(())
}

/// Whether the byte means the same with and without percent-encoding. These are the unreserved characters of RFC 3986
/// section 2.3, and `*`, which servers do not use as a delimiter.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~*".contains(&byte)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("//a///b//", "/a/b/"),
            ("/./a/./b/.", "/a/b/"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/../../a", "/a"),
            ("/..", "/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/%61%7E%2d", "/a~-"),
            ("/a%2fb", "/a%2Fb"),
            ("/a\\b", "/a%5Cb"),
            ("/%c3%bc", "/%C3%BC"),
            ("/ü", "/%C3%BC"),
            ("/a'b", "/a%27b"),
            ("/a*b%2A", "/a*b*"),
            ("/a{b}\"", "/a%7Bb%7D%22"),
            ("/a;b=c,d:e@f!$&()+", "/a;b=c,d:e@f!$&()+"),
            ("/...", "/..."),
            ("/a%25b", "/a%25b"),
        ] {
            assert_eq!(normal(path).as_deref(), Ok(expected), "{path:?}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (path, expected) in [
            ("a", HttpUrlError::NotAPath),
            ("*", HttpUrlError::NotAPath),
            ("http://a.example/", HttpUrlError::NotAPath),
            ("\\a", HttpUrlError::NotAPath),
            ("/%", HttpUrlError::Escape),
            ("/%2", HttpUrlError::Escape),
            ("/%2g", HttpUrlError::Escape),
            ("/%+1", HttpUrlError::Escape),
            ("/a b", HttpUrlError::Character),
            ("/a\r\nb", HttpUrlError::Character),
            ("/a\tb", HttpUrlError::Character),
            ("/a%00", HttpUrlError::Character),
            ("/a%0d%0ab", HttpUrlError::Character),
            ("/%7f", HttpUrlError::Character),
        ] {
            assert_eq!(normal(path), Err(expected), "{path:?}");
        }
    }

    #[test]
    fn what_a_server_may_take_a_path_for_is_known() {
        for (path, expected) in [
            ("/a/b", &[][..]),
            ("/a%2Fb", &["/a/b"]),
            ("/a/..%2Fb", &["/b"]),
            ("/a/%2E%2E%5Cb", &["/b"]),
            ("/a/%252e%252e/b", &["/a/%2e%2e/b", "/b"]),
            (
                "/a/%25252e%25252e/b",
                &["/a/%252e%252e/b", "/a/%2e%2e/b", "/b"],
            ),
            ("/a/..;x/b", &["/b"]),
            ("/a;x/b", &["/a/b"]),
            ("/a%3Bx/b", &["/a;x/b", "/a/b"]),
            ("/100%25", &[]),
            ("/%25zz", &[]),
            ("/%C3%BC", &[]),
        ] {
            let normal = normal(path).unwrap();
            assert_eq!(readings(&normal).unwrap(), expected, "{path:?}");
        }
        for (path, expected) in [
            ("/%2500", HttpUrlError::Character),
            ("/%25252525252e", HttpUrlError::TooManyEncodings),
        ] {
            assert_eq!(readings(path), Err(expected), "{path:?}");
        }
    }
}
