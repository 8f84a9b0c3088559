//! Header lines, as `-H` takes them.

use std::fmt;

/// The meaning of a header line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The field is sent.
    Send {
        /// The field's name, without white space around it.
        name: String,
        /// The field's value, without white space around it.
        value: Vec<u8>,
    },
    /// The default field of this name is left out.
    Omit {
        /// The field's name, without white space around it.
        name: String,
    },
}

/// A header line that has none of the three forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLine {
    /// The line, with everything but printable ASCII escaped.
    line: String,
}

/// The longest excerpt of a line that an error shows, in bytes.
const MAX_SHOWN: usize = 200;

impl fmt::Display for InvalidLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the header line `{}` is neither `Name: value` nor `Name:` nor `Name;`",
            self.line
        )
    }
}

impl std::error::Error for InvalidLine {}

/// Reads a header line: `Name: value`, `Name:` to leave a field out, or `Name;` for a field without a value.
///
/// It does not check whether the field may be sent: the request does that.
///
/// # Errors
/// The line has none of these forms, or its name is not UTF-8.
pub fn parse(line: &[u8]) -> Result<Line, InvalidLine> {
    let invalid = || InvalidLine {
        line: line[..line.len().min(MAX_SHOWN)].escape_ascii().to_string(),
    };
    let name = |bytes: &[u8]| {
        let name = std::str::from_utf8(bytes.trim_ascii()).map_err(|_| invalid())?;
        match name {
            "" => Err(invalid()),
            name => Ok(name.to_owned()),
        }
    };
    if let Some(colon) = line.iter().position(|byte| *byte == b':') {
        let (name, value) = (name(&line[..colon])?, line[colon + 1..].trim_ascii());
        return Ok(match value {
            [] => Line::Omit { name },
            value => Line::Send {
                name,
                value: value.to_vec(),
            },
        });
    }
    match line.trim_ascii_end().strip_suffix(b";") {
        Some(before) => Ok(Line::Send {
            name: name(before)?,
            value: Vec::new(),
        }),
        None => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_its_meaning() {
        let send = |name: &str, value: &str| {
            Some(Line::Send {
                name: name.to_owned(),
                value: value.as_bytes().to_vec(),
            })
        };
        let omit = |name: &str| {
            Some(Line::Omit {
                name: name.to_owned(),
            })
        };
        for (text, expected) in [
            ("A: b", send("A", "b")),
            ("A:b", send("A", "b")),
            (" A :  b c \t", send("A", "b c")),
            ("A: b: c", send("A", "b: c")),
            ("A: b;", send("A", "b;")),
            ("A: \u{e4}", send("A", "\u{e4}")),
            ("A:", omit("A")),
            ("A: ", omit("A")),
            ("A;", send("A", "")),
            ("A; ", send("A", "")),
            // The request refuses to send these.
            ("A B: c", send("A B", "c")),
            ("A: b\r\nC: d", send("A", "b\r\nC: d")),
            ("A\r\nB;", send("A\r\nB", "")),
            ("A", None),
            ("", None),
            (":", None),
            (": b", None),
            (";", None),
            ("A;b", None),
            ("@file", None),
        ] {
            assert_eq!(parse(text.as_bytes()).ok(), expected, "{text:?}");
        }
        let value = Line::Send {
            name: "A".to_owned(),
            value: vec![0xff],
        };
        assert_eq!(parse(b"A: \xff"), Ok(value));
        assert!(parse(b"\xff: a").is_err());
    }

    #[test]
    fn an_error_shows_a_part_of_the_line_that_no_terminal_obeys() {
        let error = parse(b"no\x1b[1m\xff").unwrap_err().to_string();
        assert!(error.contains(r"`no\x1b[1m\xff`"), "{error}");
        let error = parse(&[b'a'; 1 << 20]).unwrap_err().to_string();
        assert!(error.len() < 2 * MAX_SHOWN, "{} bytes", error.len());
    }
}
