//! The form of a URL's path.

use super::HttpUrlError;

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
    Ok(resolved(&merged(&spelled)))
}

/// The path with one slash in place of repeated ones.
pub(super) fn merged(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !merged.ends_with('/') {
            merged.push(character);
        }
    }
    merged
}

/// The path without dot segments (RFC 3986 section 5.2.4).
pub(super) fn resolved(path: &str) -> String {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let mut resolved = String::with_capacity(path.len() + 1);
    for segment in &kept {
        resolved.push('/');
        resolved.push_str(segment);
    }
    if kept.is_empty() || path.ends_with("/.") || path.ends_with("/..") {
        resolved.push('/');
    }
    resolved
}

/// Add a byte: as it is if a path may contain it (RFC 3986 section 3.3), and otherwise percent-encoded.
pub(super) fn spell(text: &mut String, byte: u8) -> Result<(), HttpUrlError> {
    match is_unreserved(byte) || b"!$&()+,;=:@/".contains(&byte) {
        true => text.push(byte.into()),
        false => encode(text, byte)?,
    }
    Ok(())
}

pub(super) fn encode(text: &mut String, byte: u8) -> Result<(), HttpUrlError> {
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

pub(super) fn hex(digit: u8) -> Option<u8> {
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
    fn dot_segments_are_resolved_with_and_without_empty_segments() {
        for (path, merged_first, expected) in [
            ("/a/../b", "/b", "/b"),
            ("/a//../b", "/b", "/a/b"),
            ("//../b", "/b", "/b"),
            ("//a", "/a", "//a"),
            ("/a//", "/a/", "/a//"),
            ("/a//..", "/", "/a/"),
            ("/a/.", "/a/", "/a/"),
            ("/a/..", "/", "/"),
            ("/..", "/", "/"),
            ("/a/../", "/", "/"),
            ("/a/%2E%2E/b", "/a/%2E%2E/b", "/a/%2E%2E/b"),
            ("/a/.../b", "/a/.../b", "/a/.../b"),
        ] {
            assert_eq!(resolved(&merged(path)), merged_first, "{path:?}");
            assert_eq!(resolved(path), expected, "{path:?}");
        }
    }
}
