//! The header lines that `-H` takes.

use crate::http1::Header;

/// The meaning of a header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The field is sent.
    Send(Header),
    /// The default field of this name is left out.
    Omit(String),
}

/// Parses a header line: `Name: value`, `Name:` to leave a field out, or `Name;` for a field
/// without a value.
///
/// It does not check whether the field may be sent: the request does that.
///
/// # Errors
/// The line has none of these forms. The error is a text for the user.
pub fn parse(line: &str) -> Result<Line, String> {
    let (name, value) = match line.split_once(':') {
        Some((name, value)) => (name.trim(), Some(value.trim()).filter(|v| !v.is_empty())),
        None => match line.trim_end().strip_suffix(';') {
            Some(name) => (name.trim(), Some("")),
            None => ("", None),
        },
    };
    if name.is_empty() {
        return Err(format!(
            "the header line {line:?} is neither `Name: value` nor `Name:` nor `Name;`"
        ));
    }
    let name = name.to_owned();
    Ok(match value {
        None => Line::Omit(name),
        Some(value) => Line::Send(Header {
            name,
            value: value.as_bytes().to_vec(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_its_meaning() {
        let send = |name: &str, value: &str| {
            Some(Line::Send(Header {
                name: name.to_owned(),
                value: value.as_bytes().to_vec(),
            }))
        };
        let omit = |name: &str| Some(Line::Omit(name.to_owned()));
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
            assert_eq!(parse(text).ok(), expected, "{text:?}");
        }
        let why = parse("no\x1b[1m").expect_err("no line");
        assert!(why.contains("no\\u{1b}[1m"), "{why}");
    }
}
