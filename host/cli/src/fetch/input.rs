//! Files that options name, and standard input.

use crate::descriptors::Descriptor;
use crate::exit::Failure;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// What `path` has in it; `-` is standard input.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let (name, read) = if path == Path::new("-") {
        let name = "standard input".to_owned();
        let read = Descriptor::Input.check();
        let read = read.and_then(|()| io::stdin().lock().read_to_end(&mut content));
        (name, read)
    } else {
        let name = path.display().to_string();
        let read = fs::File::open(path).and_then(|mut file| file.read_to_end(&mut content));
        (name, read)
    };
    match read {
        Ok(_) => Ok(content),
        Err(source) => Err(Failure::Input { name, source }),
    }
}

/// What is behind the `@` of an option's value: the name of a file.
pub fn file_name(value: &OsStr) -> Option<OsString> {
    let bytes = value.as_encoded_bytes().strip_prefix(b"@")?;
    Some(os_string(bytes))
}

/// A part of a word that was typed, as a word of its own. Where words are Unicode (Windows) it has
/// to be too, and what isn't is replaced.
#[cfg(unix)]
pub fn os_string(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(bytes.to_vec())
}

/// A part of a word that was typed, as a word of its own. Where words are Unicode (Windows) it has
/// to be too, and what isn't is replaced.
#[cfg(not(unix))]
pub fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_at_sign_names_a_file() {
        for (value, expected) in [
            ("@a", Some("a")),
            ("@-", Some("-")),
            ("@", Some("")),
            ("@@a", Some("@a")),
            ("a", None),
            ("", None),
        ] {
            let found = file_name(OsStr::new(value));
            assert_eq!(found.as_deref(), expected.map(OsStr::new), "{value:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "content").unwrap();
        assert_eq!(read(&file).unwrap(), b"content");
        for path in [folder.path().join("missing"), folder.path().to_owned()] {
            let failure = read(&path).unwrap_err();
            assert_eq!(failure.code(), 26, "{failure:?}");
            let message = failure.message(false).unwrap();
            let expected = format!("could not read {}: ", path.display());
            assert!(message.starts_with(&expected), "{message}");
        }
    }
}
