//! The body that `-d` sends.

use std::io;

/// The default `Content-Type` of the data.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Joins the pieces in their order. `read` reads the file that a piece names; `-` is standard
/// input.
///
/// # Errors
/// The name of the file, and why it can't be read.
pub fn join(
    pieces: &[String],
    mut read: impl FnMut(&str) -> io::Result<Vec<u8>>,
) -> Result<Vec<u8>, (String, io::Error)> {
    let mut joined = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            joined.push(b'&');
        }
        match piece.strip_prefix('@') {
            None => joined.extend_from_slice(piece.as_bytes()),
            Some(name) => {
                let content = read(name).map_err(|error| (name.to_owned(), error))?;
                // As in curl: line breaks are removed, so a file that an editor has ended with a
                // newline is sent without it.
                joined.extend(content.into_iter().filter(|byte| !b"\r\n\0".contains(byte)));
            }
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> io::Result<Vec<u8>> {
        match name {
            "-" => Ok(b"typed\n".to_vec()),
            "file" => Ok(b"a\r\nb\n\0\xff".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    #[test]
    fn pieces_are_joined_as_curl_joins_them() {
        let cases: [(&[&str], &[u8]); 8] = [
            (&[], b""),
            (&[""], b""),
            (&["a=b"], b"a=b"),
            (&["a=b", "c\n"], b"a=b&c\n"),
            (&["a", "", "b"], b"a&&b"),
            (&["@file"], b"ab\xff"),
            (&["x", "@-", "@file"], b"x&typed&ab\xff"),
            (&["a@file"], b"a@file"),
        ];
        for (pieces, expected) in cases {
            let pieces: Vec<String> = pieces.iter().map(|&piece| piece.to_owned()).collect();
            assert_eq!(
                join(&pieces, read).ok().as_deref(),
                Some(expected),
                "{pieces:?}"
            );
        }
        let missing = join(&["@missing".to_owned()], read);
        let (name, error) = missing.expect_err("there is none");
        assert_eq!(
            (name.as_str(), error.kind()),
            ("missing", io::ErrorKind::NotFound)
        );
    }
}
