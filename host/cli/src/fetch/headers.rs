//! What `-H` says.

use super::input;
use crate::exit::Failure;
use sockbox_grammar::header::{self, Line};
use std::ffi::OsString;
use std::path::Path;

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
    header::parse(text).map_err(|error| Failure::Usage {
        problem: error.to_string(),
    })
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
    fn a_line_without_a_form_is_told() {
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
