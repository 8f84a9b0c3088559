//! Named pipes.

use crate::deadline::PATIENCE;
use crate::program::Program;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// A named pipe, to which nothing is written unless a test does.
pub struct Fifo {
    path: PathBuf,
}

impl Fifo {
    /// Make one.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let made = Program::from_path("/usr/bin/mkfifo").args([&path]).run();
        made.assert_quiet_success();
        Self { path }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Wait until a program reads it, and give the end to write to. Until that is dropped, the reader waits.
    ///
    /// # Panics
    /// When no program opens it within [`PATIENCE`].
    pub fn wait_for_reader(&self) -> File {
        let (sender, opened) = mpsc::channel();
        let path = self.path.clone();
        // Opening it waits for the other end, and has no timeout.
        std::thread::spawn(move || {
            let _ = sender.send(File::options().write(true).open(path));
        });
        opened
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("no program reads {}", self.path.display()))
            .unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
    }
}
