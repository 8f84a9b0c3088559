//! The pages that servers of files serve, in a folder that goes when it is dropped.

use crate::ports::TOKEN_PAGE;
use crate::text::pattern;
use std::fs;
use std::path::{Path, PathBuf};

/// A server's folder: its configuration and logs, and its pages below `html`.
///
/// | page | size |
/// |---|---|
/// | `page.html` | 268 bytes |
/// | `empty.txt` | 0 bytes |
/// | `1m.bin` | 1 MiB |
pub(crate) struct Site {
    dir: tempfile::TempDir,
    token: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder for a server");
        fs::create_dir(dir.path().join("html")).expect("a folder for pages");
        // No other server has this page.
        let token = format!("{:?} {:?}", dir.path(), std::time::Instant::now());
        let site = Self { dir, token };
        site.write_page("page.html", page());
        site.write_page("empty.txt", b"");
        site.write_page("1m.bin", pattern(1 << 20));
        site.write_page(TOKEN_PAGE, &site.token);
        site
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What [`TOKEN_PAGE`] says.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The path of a page.
    pub(crate) fn path(&self, page: &str) -> PathBuf {
        self.dir.path().join("html").join(page)
    }

    pub(crate) fn write_page(&self, page: &str, content: impl AsRef<[u8]>) {
        let path = self.path(page);
        fs::write(&path, content)
            .unwrap_or_else(|error| panic!("{} can't be written: {error}", path.display()));
    }

    pub(crate) fn page(&self, page: &str) -> Vec<u8> {
        let path = self.path(page);
        fs::read(&path).unwrap_or_else(|error| panic!("{} can't be read: {error}", path.display()))
    }

    /// What a log in the folder says; nothing if there is none.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read(self.dir.path().join(name))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }
}

/// A page of 268 bytes.
fn page() -> Vec<u8> {
    let (head, tail) = ("<!doctype html>\n<title>sockbox</title>\n<p>", "</p>\n");
    let text = "A page of 268 bytes. "
        .chars()
        .cycle()
        .take(268 - head.len() - tail.len());
    format!("{head}{}{tail}", text.collect::<String>()).into_bytes()
}
