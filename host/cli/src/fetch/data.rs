//! What `-d` and its kin send.

use super::input::{self, os_string};
use crate::args::{Data, DataKind};
use crate::exit::Failure;
use std::ffi::OsStr;
use std::fmt::Write;
use std::path::Path;

/// Join the pieces, in the order in which they were typed.
///
/// # Errors
/// A file can't be read, or all of it is more than [`input::DATA`].
pub fn join(data: &Data) -> Result<Vec<u8>, Failure> {
    let mut joined = Vec::new();
    for (index, (kind, text)) in data.0.iter().enumerate() {
        if index > 0 {
            joined.push(b'&');
        }
        joined.extend(piece(*kind, text)?);
        let size = joined.len() as u64;
        input::DATA.check(size).map_err(|source| Failure::Input {
            name: "the data to be sent".to_owned(),
            source,
        })?;
    }
    Ok(joined)
}

fn piece(kind: DataKind, text: &OsStr) -> Result<Vec<u8>, Failure> {
    let file = input::file_name(text);
    match (kind, file) {
        (DataKind::Plain, Some(file)) => {
            input::read(Path::new(&file), input::DATA).map(sockbox_grammar::data::of_file)
        }
        (DataKind::Binary, Some(file)) => input::read(Path::new(&file), input::DATA),
        (DataKind::UrlEncode, _) => encoded(text.as_encoded_bytes()),
        (DataKind::Raw, _) | (DataKind::Plain | DataKind::Binary, None) => {
            Ok(text.as_encoded_bytes().to_vec())
        }
    }
}

/// `CONTENT`, `=CONTENT`, `NAME=CONTENT`, `@FILE` or `NAME@FILE`, whichever sign comes first.
fn encoded(text: &[u8]) -> Result<Vec<u8>, Failure> {
    let sign = text.iter().position(|byte| b"=@".contains(byte));
    let (name, content) = match sign {
        None => (&[][..], text.to_vec()),
        Some(at) => {
            let (name, rest) = (&text[..at], &text[at + 1..]);
            let content = if text[at] == b'=' {
                rest.to_vec()
            } else {
                input::read(Path::new(&os_string(rest)), input::DATA)?
            };
            (name, content)
        }
    };
    let mut piece = name.to_vec();
    if !name.is_empty() {
        piece.push(b'=');
    }
    piece.extend(form_encoded(&content).bytes());
    Ok(piece)
}

/// `application/x-www-form-urlencoded`, in the form in which curl writes it.
fn form_encoded(content: &[u8]) -> String {
    let mut encoded = String::with_capacity(content.len());
    for &byte in content {
        match byte {
            b' ' => encoded.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                encoded.push(byte.into());
            }
            _ => push_percent(&mut encoded, byte),
        }
    }
    encoded
}

/// `url` with `data` in its query, behind what is there.
pub fn into_query(url: &str, data: &[u8]) -> String {
    let (url, fragment) = match url.split_once('#') {
        Some((url, fragment)) => (url, Some(fragment)),
        None => (url, None),
    };
    let mut with = url.to_owned();
    with.push(match url.split_once('?') {
        None => '?',
        Some(_) => '&',
    });
    if with.ends_with("?&") || with.ends_with("&&") {
        with.pop();
    }
    for &byte in data {
        // A `#` would end the query, and the URL's reader encodes only what it can read.
        if byte.is_ascii_graphic() && byte != b'#' {
            with.push(byte.into());
        } else {
            push_percent(&mut with, byte);
        }
    }
    if let Some(fragment) = fragment {
        with.push('#');
        with.push_str(fragment);
    }
    with
}

/// Append a byte, percent-encoded.
pub fn push_percent(text: &mut String, byte: u8) {
    // Writing to a string can't fail.
    let _ = write!(text, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::fs;

    fn joined(pieces: &[(DataKind, &str)]) -> String {
        let pieces = pieces
            .iter()
            .map(|(kind, text)| (*kind, OsString::from(text)));
        let joined = join(&Data(pieces.collect())).unwrap();
        String::from_utf8(joined).unwrap()
    }

    #[test]
    fn pieces_are_joined_as_curl_joins_them() {
        use DataKind::*;
        for (pieces, expected) in [
            (&[][..], ""),
            (&[(Plain, "")], ""),
            (&[(Plain, "a"), (Plain, ""), (Plain, "b")], "a&&b"),
            (&[(Plain, "a=1"), (Raw, "@b"), (Binary, "c")], "a=1&@b&c"),
            (&[(UrlEncode, "plain text")], "plain+text"),
            (&[(UrlEncode, "=a=b")], "a%3Db"),
            (&[(UrlEncode, "n=a b&c é~")], "n=a+b%26c+%C3%A9~"),
            (&[(UrlEncode, "n x=-._~*")], "n x=-._~%2A"),
            (&[(UrlEncode, "")], ""),
        ] {
            assert_eq!(joined(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn files_are_read_as_curl_reads_them() {
        use DataKind::*;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "l1\r\nl2\n\0").unwrap();
        let at = format!("@{}", file.display());
        let named = format!("n{at}");
        for (kind, text, expected) in [
            (Plain, &at, "l1l2"),
            (Binary, &at, "l1\r\nl2\n\0"),
            (Raw, &at, &at),
            (UrlEncode, &at, "l1%0D%0Al2%0A%00"),
            (UrlEncode, &named, "n=l1%0D%0Al2%0A%00"),
        ] {
            assert_eq!(joined(&[(kind, text)]), expected, "{kind:?} {text}");
        }
        let missing = Data(vec![(Plain, format!("{at}-missing").into())]);
        assert_eq!(join(&missing).unwrap_err().code(), 26);
    }

    #[test]
    fn data_in_a_query() {
        for (url, data, expected) in [
            ("http://a", &b"x=1"[..], "http://a?x=1"),
            ("http://a/b", b"x", "http://a/b?x"),
            ("http://a/?y", b"x", "http://a/?y&x"),
            ("http://a/?", b"x", "http://a/?x"),
            ("http://a/?y&", b"x", "http://a/?y&x"),
            ("http://a/#f?", b"x", "http://a/?x#f?"),
            ("http://a/?y#f", b"x&z", "http://a/?y&x&z#f"),
            (
                "http://a/",
                b"a b#c\n\xff%20",
                "http://a/?a%20b%23c%0A%FF%20",
            ),
        ] {
            assert_eq!(into_query(url, data), expected, "{url} {data:?}");
        }
    }
}
