//! What `-H` says.

use super::input;
use crate::exit::Failure;
use std::ffi::OsString;
use std::path::Path;

/// What one line says about a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Send it.
    Send { name: String, value: Vec<u8> },
    /// Don't send it, though it would be.
    Omit { name: String },
}

/// All lines, those of files included.
///
/// # Errors
/// A file can't be read, or a line says nothing.
pub fn lines(typed: &[OsString]) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for text in typed {
        match input::file_name(text) {
            None => lines.push(line(text.as_encoded_bytes())?),
            Some(file) => {
                let content = input::read(Path::new(&file), input::HEADERS)?;
                for text in content.split(|byte| *byte == b'\n') {
                    let text = text.strip_suffix(b"\r").unwrap_or(text);
                    if !text.is_empty() {
                        lines.push(line(text)?);
                    }
                }
            }
        }
    }
    Ok(lines)
}

fn line(text: &[u8]) -> Result<Line, Failure> {
    let wrong = || Failure::Usage {
        problem: format!(
            "the header line `{}` is neither `Name: value` nor `Name:` nor `Name;`",
            text.escape_ascii()
        ),
    };
    let name = |bytes: &[u8]| {
        let name = String::from_utf8(bytes.trim_ascii().to_vec()).map_err(|_| wrong())?;
        if name.is_empty() {
            Err(wrong())
        } else {
            Ok(name)
        }
    };
    if let Some(colon) = text.iter().position(|byte| *byte == b':') {
        let (before, value) = (name(&text[..colon])?, text[colon + 1..].trim_ascii());
        return Ok(if value.is_empty() {
            Line::Omit { name: before }
        } else {
            Line::Send {
                name: before,
                value: value.to_vec(),
            }
        });
    }
    match text.trim_ascii_end().strip_suffix(b";") {
        Some(before) => Ok(Line::Send {
            name: name(before)?,
            value: Vec::new(),
        }),
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn send(name: &str, value: &str) -> Line {
        Line::Send {
            name: name.to_owned(),
            value: value.as_bytes().to_vec(),
        }
    }

    fn omit(name: &str) -> Line {
        Line::Omit {
            name: name.to_owned(),
        }
    }

    #[test]
    fn each_form_has_its_meaning() {
        for (text, expected) in [
            ("A: b", Some(send("A", "b"))),
            ("A:b", Some(send("A", "b"))),
            (" A :  b c \t", Some(send("A", "b c"))),
            ("A: b: c", Some(send("A", "b: c"))),
            ("A: b;", Some(send("A", "b;"))),
            ("A:", Some(omit("A"))),
            ("A: ", Some(omit("A"))),
            ("A;", Some(send("A", ""))),
            ("A; ", Some(send("A", ""))),
            ("A", None),
            ("", None),
            (":", None),
            (": b", None),
            (";", None),
            ("A;b", None),
        ] {
            assert_eq!(line(text.as_bytes()).ok(), expected, "{text:?}");
        }
        let failure = line(b"no\xffsense").unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(failure.message(false).unwrap().contains(r"no\xffsense"));
    }

    #[test]
    fn a_file_has_a_line_for_each() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "A: b\r\n\r\nB:\nC;").unwrap();
        let typed = ["X: y".to_owned(), format!("@{}", file.display())];
        let typed = typed.map(OsString::from);
        assert_eq!(
            lines(&typed).unwrap(),
            [send("X", "y"), send("A", "b"), omit("B"), send("C", "")]
        );
        fs::write(&file, "A: b\nnonsense\n").unwrap();
        assert_eq!(lines(&typed).unwrap_err().code(), 2);
        fs::remove_file(&file).unwrap();
        assert_eq!(lines(&typed).unwrap_err().code(), 26);
    }
}
