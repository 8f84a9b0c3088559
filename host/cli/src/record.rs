//! The audit record, as a file.

use crate::exit::Failure;
use crate::output::Output;
use crate::stderr;
use sockbox::audit::{FINISH_TIMEOUT, JsonLines, MAX_RECORD_BYTES};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the end waits for the record after a signal: half a second. A disk takes less, and a FIFO
/// without a reader takes for ever.
const AFTER_SIGNAL: Duration = Duration::from_millis(500);

/// How the run ended, which decides how long the end waits for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    ByItself,
    BySignal,
}

impl Ended {
    /// How a subcommand with this result ended.
    pub fn with<T>(result: &Result<T, Failure>) -> Ended {
        match result {
            Err(Failure::Signal(_)) => Ended::BySignal,
            _ => Ended::ByItself,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}

/// A file that is opened when it is first written to, on the thread that writes.
struct OpenedLater {
    path: PathBuf,
    file: Option<File>,
}

impl OpenedLater {
    fn new(path: &Path) -> OpenedLater {
        OpenedLater {
            path: path.to_owned(),
            file: None,
        }
    }
}

impl Write for OpenedLater {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        let written = file.write(bytes);
        self.file = Some(file);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An audit record that is being written.
pub struct Record {
    name: PathBuf,
    lines: JsonLines,
}

impl Record {
    /// Begin to write to a file, behind what is in it, and no more than so many bytes; `-` is standard
    /// output.
    pub fn open(file: Option<&PathBuf>, max_bytes: Option<u64>) -> Result<Option<Record>, Failure> {
        let Some(name) = file else {
            return Ok(None);
        };
        let max_bytes = max_bytes.unwrap_or(MAX_RECORD_BYTES);
        let lines = if name == Path::new("-") {
            let writer = Output::stdout()?.writer()?;
            JsonLines::with_max_bytes(writer, max_bytes).map_err(Failure::system)?
        } else if is_pipe(name) {
            // Opening a pipe waits for its reader. The run doesn't.
            let writer = OpenedLater::new(name);
            JsonLines::with_max_bytes(writer, max_bytes).map_err(Failure::system)?
        } else {
            let failed = |source| Failure::output(format!("the audit {}", name.display()), source);
            let file = open(name).map_err(failed)?;
            JsonLines::with_max_bytes(file, max_bytes).map_err(Failure::system)?
        };
        Ok(Some(Record {
            name: name.clone(),
            lines,
        }))
    }

    /// Where events go.
    pub fn sink(&self) -> JsonLines {
        self.lines.clone()
    }

    /// Wait until all is written, for a time that depends on how the run ended, and tell if it isn't.
    pub fn finish(self, ended: Ended) {
        let written = self.lines.finish_within(match ended {
            Ended::ByItself => FINISH_TIMEOUT,
            Ended::BySignal => AFTER_SIGNAL,
        });
        let name = self.name.display();
        if let Some(error) = written.error {
            stderr::line(format_args!(
                "sockbox: could not write the audit {name}: {error}"
            ));
        }
        if written.full {
            stderr::line(format_args!(
                "sockbox: the audit {name} has as many bytes as it may have (--audit-max)"
            ));
        }
        if written.lost > 0 {
            let lost = written.lost;
            stderr::line(format_args!(
                "sockbox: {lost} lines of the audit {name} are lost"
            ));
        }
    }
}
