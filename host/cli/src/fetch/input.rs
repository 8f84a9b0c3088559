//! Input from files that options name, and from standard input.

use crate::descriptors::Descriptor;
use crate::exit::Failure;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// The size limit of one kind of input, which is kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    bytes: u64,
    /// The end of the error message: the limit, the input that it holds for, and the alternative if there is one.
    text: &'static str,
}

/// All data of `-d` and the similar options together: 256 MiB.
pub const DATA: Bound = Bound {
    bytes: 256 << 20,
    text: "256 MiB that the data of -d may have together (-T sends a file of any size)",
};

/// A file of header lines: 1 MiB. Servers accept some KiB of header lines.
pub const HEADERS: Bound = Bound {
    bytes: 1 << 20,
    text: "1 MiB that a file of header lines may have",
};

/// A file with the format of `-w`: 1 MiB.
pub const FORMAT: Bound = Bound {
    bytes: 1 << 20,
    text: "1 MiB that a format of -w may have",
};

/// A file with an entity tag: 64 KiB. The file has one line, which becomes the value of a header.
pub const ENTITY_TAG: Bound = Bound {
    bytes: 64 << 10,
    text: "64 KiB that a file of --etag-compare may have",
};

impl Bound {
    /// Check that `used` bytes are within the limit.
    ///
    /// # Errors
    /// They are more.
    pub fn check(self, used: u64) -> io::Result<()> {
        match used <= self.bytes {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "it is larger than the {}",
                self.text
            ))),
        }
    }
}

/// Read the file `path`, or standard input for `-`.
///
/// # Errors
/// The input can't be read, or is larger than `bound`.
pub fn read(path: &Path, bound: Bound) -> Result<Vec<u8>, Failure> {
    let (name, content) = if path == Path::new("-") {
        let name = "standard input".to_owned();
        let usable = Descriptor::Input.check();
        (
            name,
            usable.and_then(|()| bounded(io::stdin().lock(), bound)),
        )
    } else {
        let name = path.display().to_string();
        let file = fs::File::open(path);
        (name, file.and_then(|file| bounded(file, bound)))
    };
    content.map_err(|source| Failure::Input { name, source })
}

fn bounded(reader: impl Read, bound: Bound) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut reader = reader.take(bound.bytes.saturating_add(1));
    reader.read_to_end(&mut content)?;
    bound.check(content.len() as u64)?;
    Ok(content)
}

/// The file name in a value such as `@FILE`. None for a value without `@`.
pub fn file_name(value: &OsStr) -> Option<OsString> {
    let bytes = value.as_encoded_bytes().strip_prefix(b"@")?;
    Some(os_string(bytes))
}

/// The bytes of a part of an argument, as a string of the system.
#[cfg(unix)]
pub fn os_string(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(bytes.to_vec())
}

/// The bytes of a part of an argument, as a string of the system. Arguments are Unicode on Windows, so bytes that are not
/// are replaced.
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
        assert_eq!(read(&file, FORMAT).unwrap(), b"content");
        for path in [folder.path().join("missing"), folder.path().to_owned()] {
            let failure = read(&path, FORMAT).unwrap_err();
            assert_eq!(failure.code(), 26, "{failure:?}");
            let message = failure.message(false).unwrap();
            let expected = format!("could not read {}: ", path.display());
            assert!(message.starts_with(&expected), "{message}");
        }
    }

    #[test]
    fn what_is_kept_in_memory_has_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        for bound in [HEADERS, FORMAT, ENTITY_TAG] {
            fs::write(&file, vec![b'x'; bound.bytes as usize]).unwrap();
            assert_eq!(read(&file, bound).unwrap().len() as u64, bound.bytes);
            fs::write(&file, vec![b'x'; bound.bytes as usize + 1]).unwrap();
            let failure = read(&file, bound).unwrap_err();
            assert_eq!(failure.code(), 26);
            let expected = format!(
                "could not read {}: it is larger than the {}",
                file.display(),
                bound.text
            );
            assert_eq!(failure.message(false).unwrap(), expected);
        }
    }
}
