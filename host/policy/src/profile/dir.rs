//! Directories that a component sees: `HOST[::GUEST][:ro]`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A directory of this machine that a component sees.
///
/// # Examples
/// ```
/// use sockbox_policy::profile::Dir;
///
/// let dir: Dir = "./pages::/data:ro".parse()?;
/// assert_eq!(dir.host, std::path::Path::new("./pages"));
/// assert_eq!(dir.guest, "/data");
/// assert!(dir.read_only);
/// # Ok::<(), sockbox_policy::profile::DirError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dir {
    /// Where it is.
    pub host: PathBuf,
    /// Where the component sees it.
    pub guest: String,
    /// Whether nothing in it may be changed.
    pub read_only: bool,
}

impl Dir {
    /// Take a relative path as one below `folder`.
    #[must_use]
    pub(crate) fn below(mut self, folder: &Path) -> Dir {
        self.host = folder.join(self.host);
        self
    }
}

impl FromStr for Dir {
    type Err = DirError;

    /// Read `HOST[::GUEST][:ro]`. Without GUEST the component sees it under the path that it has here.
    ///
    /// # Errors
    /// [`DirError`]: one of the paths is empty.
    fn from_str(text: &str) -> Result<Dir, DirError> {
        let error = || DirError {
            text: text.to_owned(),
        };
        let (paths, read_only) = match text.strip_suffix(":ro") {
            Some(paths) => (paths, true),
            None => (text, false),
        };
        let (host, guest) = paths.split_once("::").unwrap_or((paths, paths));
        if host.is_empty() || guest.is_empty() {
            return Err(error());
        }
        Ok(Dir {
            host: host.into(),
            guest: guest.to_owned(),
            read_only,
        })
    }
}

impl fmt::Display for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.host.display(), self.guest)?;
        f.write_str(if self.read_only { ":ro" } else { "" })
    }
}

/// A text is not a directory argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` names no directory: expected HOST, HOST::GUEST or HOST::GUEST:ro, such as ./pages::/data"
)]
pub struct DirError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("data", Some("data::data")),
            (".", Some(".::.")),
            ("data:ro", Some("data::data:ro")),
            ("/a/b::/c", Some("/a/b::/c")),
            ("/a/b::/c:ro", Some("/a/b::/c:ro")),
            ("a:b::c", Some("a:b::c")),
            ("a::b::c", Some("a::b::c")),
            ("a:rw", Some("a:rw::a:rw")),
            ("", None),
            (":ro", None),
            ("::/data", None),
            ("data::", None),
            ("data:::ro", None),
        ] {
            let found = text.parse::<Dir>().ok().map(|dir| dir.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
        let dir: Dir = "a::b".parse().unwrap();
        assert_eq!(dir.below(Path::new("/c")).host, Path::new("/c/a"));
        let dir: Dir = "/a::b".parse().unwrap();
        assert_eq!(dir.below(Path::new("/c")).host, Path::new("/a"));
    }
}
