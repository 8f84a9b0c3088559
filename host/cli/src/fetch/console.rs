//! What people are told, and what is printed, beside the pages.

use super::harmless::harmless;
use super::write_out::Place;
use crate::args::Fetch;
use crate::exit::{self, Failure};
use crate::output::Output;
use crate::progress::Bars;
use std::fmt::Arguments;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// Standard output and standard error, shared by all transfers.
pub struct Console {
    silent: bool,
    hides_errors: bool,
    verbose: bool,
    pub bars: Arc<Bars>,
    stdout: Mutex<()>,
}

/// The right to write to standard output until it is dropped: pages don't come in between of pages.
pub type Turn<'a> = MutexGuard<'a, ()>;

impl Console {
    pub fn new(args: &Fetch) -> Console {
        // What the component and the policy tell line by line would spoil bars.
        let bars =
            io::stderr().is_terminal() && !args.silent && !args.no_progress_meter && !args.verbose;
        Console {
            silent: args.silent,
            hides_errors: args.hides_errors(),
            verbose: args.verbose,
            bars: Arc::new(Bars::new(bars)),
            stdout: Mutex::new(()),
        }
    }

    /// Tell what is odd, and goes on nevertheless.
    pub fn warn(&self, text: Arguments<'_>) {
        if !self.silent {
            self.bars.line(format_args!("sockbox: {text}"));
        }
    }

    /// Tell what is dangerous, unless even errors are not wanted.
    pub fn alarm(&self, text: Arguments<'_>) {
        if !self.hides_errors {
            self.bars.line(format_args!("sockbox: {text}"));
        }
    }

    /// Tell what was done, with -v.
    pub fn note(&self, text: Arguments<'_>) {
        if self.verbose {
            self.bars.line(format_args!("* {text}"));
        }
    }

    /// Tell that a transfer has failed; `url` says which one, if that isn't clear.
    pub fn failed(&self, failure: &Failure, url: Option<&str>) {
        if self.hides_errors {
            return;
        }
        let details = self.verbose || exit::wants_backtrace();
        let Some(message) = failure.message(details) else {
            return;
        };
        let code = failure.code();
        match url.filter(|url| !url.is_empty()) {
            Some(url) => self
                .bars
                .line(format_args!("sockbox: ({code}) {url}: {message}")),
            None => self.bars.line(format_args!("sockbox: ({code}) {message}")),
        }
    }

    /// Wait until no other transfer writes to standard output.
    pub async fn turn(&self) -> Turn<'_> {
        self.stdout.lock().await
    }

    /// Print a head.
    pub async fn print_head(&self, _turn: &Turn<'_>, head: &[u8]) -> Result<(), Failure> {
        let shown = harmless(head, io::stdout().is_terminal()).into_owned();
        self.print(shown).await
    }

    /// Print what `-w` and `--json` say, wherever it is to go.
    pub async fn print_facts(
        &self,
        _turn: &Turn<'_>,
        texts: Vec<(Place, Vec<u8>)>,
    ) -> Result<(), Failure> {
        for (place, text) in texts {
            match place {
                Place::Stdout => self.print(text).await?,
                Place::Stderr => {
                    // Behind the lines that were told before.
                    self.bars.text(&text);
                }
                Place::File { path, append } => {
                    let name = path.display().to_string();
                    blocking(move || {
                        let mut options = OpenOptions::new();
                        options.create(true).write(true);
                        options.append(append).truncate(!append);
                        options.open(path)?.write_all(&text)
                    })
                    .await
                    .map_err(|source| Failure::output(name, source))?;
                }
            }
        }
        Ok(())
    }

    async fn print(&self, text: Vec<u8>) -> Result<(), Failure> {
        let stdout = Output::stdout()?;
        let mut writer = stdout.writer()?;
        let bars = self.bars.clone();
        // Bars wait while they are suspended, and nothing may wait for the reader of a pipe.
        let beside_bars = io::stdout().is_terminal();
        blocking(move || match beside_bars {
            true => bars.suspend(|| writer.write_all(&text)),
            false => writer.write_all(&text),
        })
        .await
        .map_err(|source| stdout.failed(source))
    }
}

/// Write a head to a file, which may be a terminal, and may keep us waiting.
pub async fn write_head(file: File, head: &[u8]) -> io::Result<()> {
    let shown = harmless(head, file.is_terminal()).into_owned();
    write_all(file, shown).await
}

/// Write to a file that may keep us waiting.
pub async fn write_all(mut file: File, bytes: Vec<u8>) -> io::Result<()> {
    blocking(move || file.write_all(&bytes)).await
}

/// Do what may wait for a pipe or a disk on a thread of its own, so that a signal is heard meanwhile.
pub async fn blocking<T: Send + 'static>(
    what: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(what).await {
        Ok(done) => done,
        Err(failed) => Err(io::Error::other(failed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_panic_elsewhere_is_an_error() {
        let done = blocking::<()>(|| panic!("on purpose")).await;
        assert!(done.is_err());
    }
}
