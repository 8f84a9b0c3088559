//! The progress bar.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// How long a transfer must have taken before a bar is worth looking at.
const PATIENCE: Duration = Duration::from_millis(300);

/// A bar on standard error, which appears when the transfer takes its time.
pub struct Progress {
    wanted: bool,
    total: Option<u64>,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// For a transfer of `total` bytes, if that is known, that starts now. With `wanted` false there
    /// will be no bar.
    pub fn new(wanted: bool, total: Option<u64>) -> Progress {
        Progress {
            wanted,
            total,
            started: Instant::now(),
            bar: None,
        }
    }

    /// `bytes` have been moved so far.
    pub fn update(&mut self, bytes: u64) {
        if self.wanted && self.started.elapsed() >= PATIENCE {
            let bar = self.bar.get_or_insert_with(|| bar(self.total));
            bar.set_position(bytes);
        }
    }

    /// The transfer has ended. A bar that is seen stays, as it is.
    pub fn end(self) {
        if let Some(bar) = self.bar {
            bar.abandon();
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{percent:>3} % [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        ),
        None => (
            ProgressBar::no_length(),
            "{bytes}, {bytes_per_sec}, {elapsed}",
        ),
    };
    // A template that can't be read would fail the test below; without one the default is used.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_can_be_drawn() {
        for total in [None, Some(0), Some(100)] {
            let bar = bar(total);
            bar.set_position(50);
            assert_eq!(bar.length(), total);
        }
        for template in [
            "{percent:>3} % [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            "{bytes}, {bytes_per_sec}, {elapsed}",
        ] {
            ProgressStyle::with_template(template).unwrap();
        }
    }

    #[test]
    fn a_short_transfer_has_no_bar() {
        let mut progress = Progress::new(true, Some(10));
        progress.update(5);
        assert!(progress.bar.is_none());
        progress.end();
    }

    #[test]
    fn an_unwanted_bar_never_appears() {
        let mut progress = Progress::new(false, Some(10));
        progress.started -= PATIENCE;
        progress.update(5);
        assert!(progress.bar.is_none());
    }
}
