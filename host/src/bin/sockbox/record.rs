//! The audit record, as a file.

use crate::exit::Failure;
use crate::stderr;
use sockbox::audit::JsonLines;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

/// An audit record that is being written.
pub struct Record {
    name: PathBuf,
    lines: JsonLines,
}

impl Record {
    /// Begin to write to a file, behind what is in it; `-` is standard output.
    pub fn open(file: Option<&PathBuf>) -> Result<Option<Record>, Failure> {
        let Some(name) = file else {
            return Ok(None);
        };
        let lines = if name == Path::new("-") {
            JsonLines::new(io::stdout()).map_err(Failure::system)?
        } else {
            let file = OpenOptions::new().append(true).create(true).open(name);
            let failed = |source| Failure::output(format!("the audit {}", name.display()), source);
            JsonLines::new(file.map_err(failed)?).map_err(Failure::system)?
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

    /// Wait until all is written, and tell if it isn't.
    pub fn finish(self) {
        let written = self.lines.finish();
        let name = self.name.display();
        if let Some(error) = written.error {
            stderr::line(format_args!(
                "sockbox: could not write the audit {name}: {error}"
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
