//! Progress bars.

use crate::stderr;
use indicatif::{
    HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};
use std::convert::Infallible;
use std::fmt::{self, Arguments};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a transfer must have taken before a bar is worth looking at.
const PATIENCE: Duration = Duration::from_millis(300);

/// How often bars are drawn whether bytes are moved or not: with `--limit-rate`, and from slow servers,
/// they are moved seldom.
const TICK: Duration = Duration::from_millis(100);

/// How a transfer's bar looks when its size is known.
const WITH_SIZE: &str =
    "{prefix}{percent:>3} % [{bar:30}] {bytes} of {total_bytes}, {speed}, {eta} left";

/// How it looks when it isn't.
const WITHOUT_SIZE: &str = "{prefix}{bytes}, {speed}, {elapsed}";

/// How it looks while so many bytes are sent of which it isn't known how many have gone.
const SENDING: &str = "{prefix}sending {total_bytes}, {elapsed}";

/// The most characters that a bar's name takes.
const NAME_WIDTH: usize = 20;

/// The bars of all transfers, on standard error, and the lines that are told between them.
pub struct Bars {
    /// None if no bars are wanted.
    all: Option<MultiProgress>,
    /// Those of transfers that are under way.
    running: Mutex<Vec<Weak<Mutex<Shown>>>>,
}

/// A bar, and whether it is seen. It ends when its last handle is dropped.
struct Shown {
    bar: ProgressBar,
    /// Where it will appear; none once it has.
    unseen_in: Option<MultiProgress>,
    started: Instant,
}

impl Shown {
    /// Draw it, once it is worth looking at.
    fn draw(&mut self) {
        if self.started.elapsed() < PATIENCE {
            return;
        }
        if let Some(all) = self.unseen_in.take() {
            all.add(self.bar.clone());
        }
        self.bar.tick();
    }
}

impl Bars {
    pub fn new(wanted: bool) -> Bars {
        Bars {
            all: wanted.then(MultiProgress::new),
            running: Mutex::default(),
        }
    }

    /// Draw the bars now and then, for ever.
    pub async fn keep_drawing(&self) -> Infallible {
        if self.all.is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(TICK).await;
            self.draw();
        }
    }

    fn draw(&self) {
        locked(&self.running).retain(|bar| match bar.upgrade() {
            Some(bar) => {
                locked(&bar).draw();
                true
            }
            None => false,
        });
    }

    /// Tell a line on standard error. No bar is spoiled by it.
    pub fn line(&self, text: Arguments<'_>) {
        self.tell(|| stderr::line(text));
    }

    /// Write text to standard error as it is. No bar is spoiled by it.
    pub fn text(&self, text: &[u8]) {
        self.tell(|| stderr::text(text));
    }

    fn tell(&self, what: impl FnOnce()) {
        match &self.all {
            // Bars are drawn at once, and not by what writes lines.
            Some(all) => all.suspend(|| {
                what();
                stderr::settle();
            }),
            None => what(),
        }
    }

    /// Do something without bars on the terminal.
    pub fn suspend<T>(&self, what: impl FnOnce() -> T) -> T {
        match &self.all {
            Some(all) => all.suspend(what),
            None => what(),
        }
    }

    /// The bar of a transfer that begins now, if it is wanted: of `total` bytes, if that is known,
    /// `before` of which were there before.
    pub fn transfer(&self, wanted: bool, name: &str, before: u64, total: Option<u64>) -> Progress {
        let template = match total {
            Some(_) => WITH_SIZE,
            None => WITHOUT_SIZE,
        };
        self.begin(wanted, name, before, || bar(before, total, template))
    }

    /// The bar of `total` bytes that are being sent by the component, which doesn't say how many have gone.
    pub fn sending(&self, wanted: bool, name: &str, total: u64) -> Progress {
        self.begin(wanted, name, 0, || bar(0, Some(total), SENDING))
    }

    fn begin(
        &self,
        wanted: bool,
        name: &str,
        before: u64,
        bar: impl FnOnce() -> ProgressBar,
    ) -> Progress {
        let all = self.all.clone().filter(|_| wanted);
        let shown = all.map(|all| {
            // It takes note of the speed from the beginning, and is seen later.
            let bar = bar();
            bar.set_draw_target(ProgressDrawTarget::hidden());
            bar.set_prefix(shortened(name));
            let shown = Shown {
                bar: bar.with_position(before),
                unseen_in: Some(all),
                started: Instant::now(),
            };
            let shown = Arc::new(Mutex::new(shown));
            locked(&self.running).push(Arc::downgrade(&shown));
            shown
        });
        Progress { shown, before }
    }
}

/// Nothing that is done under these locks leaves anything half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bar of one transfer, which appears when the transfer takes its time. Clones are the same bar.
#[derive(Clone)]
pub struct Progress {
    /// None if no bar is wanted.
    shown: Option<Arc<Mutex<Shown>>>,
    before: u64,
}

impl Progress {
    /// `bytes` have been moved so far.
    pub fn update(&mut self, bytes: u64) {
        if let Some(shown) = &self.shown {
            let mut shown = locked(shown);
            shown.bar.set_position(self.before.saturating_add(bytes));
            // One that is seen draws itself, as often as is worth it.
            if shown.unseen_in.is_some() {
                shown.draw();
            }
        }
    }
}

impl Drop for Shown {
    /// The transfer has ended. A bar that is seen stays, as it is.
    fn drop(&mut self) {
        self.bar.abandon();
    }
}

fn bar(before: u64, total: Option<u64>, template: &str) -> ProgressBar {
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::no_length(),
    };
    // A template that can't be read would fail the test below; without one the default is used.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ").with_key(
            "speed",
            move |state: &ProgressState, out: &mut dyn fmt::Write| {
                // A bar that can't be drawn is no reason to stop.
                let _ = write!(out, "{}/s", HumanBytes(speed(state, before)));
            },
        )),
        Err(_) => bar,
    }
}

/// Bytes in a second: now, or of all of it when it has ended.
fn speed(state: &ProgressState, before: u64) -> u64 {
    let speed = if state.is_finished() {
        state.pos().saturating_sub(before) as f64 / state.elapsed().as_secs_f64()
    } else {
        state.per_sec()
    };
    speed as u64
}

/// A name as it stands before its bar: its end, without what could steer a terminal.
fn shortened(name: &str) -> String {
    let shown: Vec<char> = sockbox_printable::line(name).chars().collect();
    match shown.len() {
        0 => String::new(),
        length if length <= NAME_WIDTH => {
            let name: String = shown.into_iter().collect();
            format!("{name:NAME_WIDTH$} ")
        }
        length => {
            let end: String = shown[length - (NAME_WIDTH - 1)..].iter().collect();
            format!("\u{2026}{end} ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_can_be_drawn() {
        for total in [None, Some(0), Some(100)] {
            let bar = bar(0, total, WITH_SIZE);
            bar.set_position(50);
            assert_eq!(bar.length(), total);
        }
        for template in [WITH_SIZE, WITHOUT_SIZE, SENDING] {
            ProgressStyle::with_template(template).unwrap();
        }
    }

    #[test]
    fn a_short_transfer_has_no_bar() {
        let mut progress = Bars::new(true).transfer(true, "", 0, Some(10));
        progress.update(5);
        assert!(locked(progress.shown.as_ref().unwrap()).unseen_in.is_some());
    }

    /// Whether it is seen, and how far it is; none if there is none.
    fn seen(progress: &Progress) -> Option<(bool, u64)> {
        let shown = locked(progress.shown.as_ref()?);
        Some((shown.unseen_in.is_none(), shown.bar.position()))
    }

    fn make_older(progress: &Progress) {
        if let Some(shown) = &progress.shown {
            locked(shown).started -= PATIENCE;
        }
    }

    #[test]
    fn a_long_one_has_one_if_it_is_wanted() {
        for (all, this, expected) in [
            (true, true, true),
            (true, false, false),
            (false, true, false),
        ] {
            let mut progress = Bars::new(all).transfer(this, "name", 3, Some(10));
            make_older(&progress);
            progress.update(5);
            assert_eq!(
                seen(&progress),
                expected.then_some((true, 8)),
                "{all} {this}"
            );
        }
    }

    #[test]
    fn a_long_one_in_which_nothing_is_moved_has_one() {
        let bars = Bars::new(true);
        for sends in [false, true] {
            let progress = match sends {
                false => bars.transfer(true, "", 0, Some(10)),
                true => bars.sending(true, "", 10),
            };
            bars.draw();
            assert_eq!(seen(&progress), Some((false, 0)));
            make_older(&progress);
            bars.draw();
            assert_eq!(seen(&progress), Some((true, 0)));
            drop(progress);
            bars.draw();
            assert!(locked(&bars.running).is_empty());
        }
    }

    #[test]
    fn names_are_short() {
        for (name, expected) in [
            ("", ""),
            ("page", "page                 "),
            ("12345678901234567890", "12345678901234567890 "),
            ("x12345678901234567890", "…2345678901234567890 "),
            ("a\u{1b}[2Jb", "a?[2Jb               "),
        ] {
            assert_eq!(shortened(name), expected);
        }
    }
}
