//! The body that `-d` sends.

/// The default `Content-Type` of the data.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Joins pieces with `&`, in their order, as curl does.
pub fn join(pieces: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut joined = Vec::new();
    for (index, piece) in pieces.into_iter().enumerate() {
        if index > 0 {
            joined.push(b'&');
        }
        joined.extend(piece);
    }
    joined
}

/// What of a file's content is sent, as in curl: all but line breaks and NUL. So a file that an editor has ended with
/// a newline is sent without it.
pub fn of_file(mut content: Vec<u8>) -> Vec<u8> {
    content.retain(|byte| !b"\r\n\0".contains(byte));
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_as_curl_joins_them() {
        let cases: [(&[&str], &str); 5] = [
            (&[], ""),
            (&[""], ""),
            (&["a=b"], "a=b"),
            (&["a=b", "c\n"], "a=b&c\n"),
            (&["a", "", "b"], "a&&b"),
        ];
        for (pieces, expected) in cases {
            let pieces_of = pieces.iter().map(|piece| piece.as_bytes().to_vec());
            assert_eq!(join(pieces_of), expected.as_bytes(), "{pieces:?}");
        }
    }

    #[test]
    fn line_breaks_of_files_are_not_sent() {
        assert_eq!(of_file(b"a\r\nb\n\0\xff".to_vec()), b"ab\xff");
    }
}
