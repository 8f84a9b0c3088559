//! The record as a file of JSON lines, written beside the run.

use sockbox_policy::audit::{AuditEvent, AuditSink};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How many bytes of memory events may take that wait to be written: 8 MiB, which is some ten thousand
/// events. One more is lost, and counted.
///
/// This bridges a disk that pauses for a tenth of a second. If the reader of a pipe stops reading,
/// events are lost instead of using the host's memory.
pub const MAX_WAITING_BYTES: usize = 8 * 1024 * 1024;

/// How many bytes a record may have unless [`JsonLines::with_max_bytes`] says otherwise: 1 GiB. Behind
/// them comes a line `{"event":"full"}`, and what follows is lost, and counted.
///
/// A run that does the same again and again, or is flooded, writes 5 MB a minute at most (see
/// [`REPEAT_WINDOW`](crate::REPEAT_WINDOW)), but may go on for years.
pub const MAX_RECORD_BYTES: u64 = 1024 * 1024 * 1024;

/// How many bytes are written at once, if there are as many: 8 KiB.
const PIECE: usize = 8 * 1024;

/// How long [`JsonLines::finish`] waits for what is still to be written: 5 seconds.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes each event as [a JSON object](AuditEvent::to_json) on a line of its own.
///
/// A thread writes. A slow or failing writer does not delay a run: events that can't be written are counted,
/// and a line `{"event":"lost","lines":…}` says how many are missing as soon as a line can be written again.
///
/// Cloning it is cheap, and gives the same record.
///
/// # Examples
/// ```
/// use sockbox_wasi::policy::audit::RunId;
/// use sockbox_wasi::{Grant, JsonLines, SockboxCtx};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let record = JsonLines::new(Vec::new())?;
/// let grant = Grant::new().audit(record.clone());
/// drop(SockboxCtx::new(RunId::new(1), &grant));
/// let written = record.finish();
/// assert_eq!((written.lines, written.lost), (1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct JsonLines {
    shared: Arc<Shared>,
}

struct Shared {
    /// None as soon as it is finished.
    queue: Mutex<Option<Sender<AuditEvent>>>,
    done: Mutex<Receiver<io::Result<()>>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Bytes of memory that what waits takes.
    waiting: AtomicUsize,
    accepted: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
    /// Whether the record has as much as it may have.
    full: AtomicBool,
}

/// The result of a [`JsonLines`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Written {
    /// How many lines were written.
    pub lines: u64,
    /// How many events were lost.
    pub lost: u64,
    /// Whether the record has as many bytes as it may have, so that events were lost.
    pub full: bool,
    /// What the writer said when it failed, if it did.
    pub error: Option<io::Error>,
}

impl JsonLines {
    /// Write to `writer`, from a thread of its own.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub fn new(writer: impl Write + Send + 'static) -> io::Result<JsonLines> {
        JsonLines::with_max_bytes(writer, MAX_RECORD_BYTES)
    }

    /// Write so many bytes at most to `writer`, from a thread of its own; the line that says that it is full
    /// comes behind them.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub fn with_max_bytes(
        writer: impl Write + Send + 'static,
        max_bytes: u64,
    ) -> io::Result<JsonLines> {
        // Bounded by counting: a channel with a bound makes room for as many from the start, which takes
        // longer than a small run does.
        let (queue, events) = mpsc::channel();
        let (tell, done) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let counting = counts.clone();
        thread::Builder::new()
            .name("sockbox-audit".to_owned())
            .spawn(move || {
                let result = Lines::new(writer, max_bytes, &counting).write(&events);
                // The receiver may have stopped waiting.
                let _ = tell.send(result);
            })?;
        Ok(JsonLines {
            shared: Arc::new(Shared {
                queue: Mutex::new(Some(queue)),
                done: Mutex::new(done),
                counts,
            }),
        })
    }

    /// Wait for what is still to be written, for [`FINISH_TIMEOUT`] at most, and say what came of it. Later
    /// events are lost.
    pub fn finish(&self) -> Written {
        self.finish_within(FINISH_TIMEOUT)
    }

    /// The same, but wait for `timeout` at most: what is not written by then counts as lost.
    pub fn finish_within(&self, timeout: Duration) -> Written {
        drop(locked(&self.shared.queue).take());
        let result = locked(&self.shared.done).recv_timeout(timeout);
        let counts = &self.shared.counts;
        let lines = counts.written.load(Ordering::SeqCst);
        let accepted = counts.accepted.load(Ordering::SeqCst);
        Written {
            lines,
            lost: counts.lost.load(Ordering::SeqCst) + accepted.saturating_sub(lines),
            full: counts.full.load(Ordering::SeqCst),
            error: result.ok().and_then(Result::err),
        }
    }
}

impl AuditSink for JsonLines {
    fn record(&self, event: &AuditEvent) {
        let counts = &self.shared.counts;
        let bytes = event.held_bytes();
        let queue = locked(&self.shared.queue);
        // Counted under the lock, and by the writer only downwards.
        let waiting = counts.waiting.load(Ordering::SeqCst).saturating_add(bytes);
        let has_room = waiting <= MAX_WAITING_BYTES && !counts.full.load(Ordering::SeqCst);
        let queue = queue.as_ref().filter(|_| has_room);
        counts.waiting.fetch_add(bytes, Ordering::SeqCst);
        let sent = queue.is_some_and(|queue| queue.send(event.clone()).is_ok());
        let count = match sent {
            true => &counts.accepted,
            false => {
                counts.waiting.fetch_sub(bytes, Ordering::SeqCst);
                &counts.lost
            }
        };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Writes lines, each in one piece.
struct Lines<'a, W> {
    writer: W,
    counts: &'a Counts,
    /// How many more bytes the record may have.
    left: u64,
    /// Whole lines that are still to be written, and how many of them are events.
    piece: String,
    events: u64,
    /// How many lost events have been told.
    told: u64,
}

impl<W: Write> Lines<'_, W> {
    fn new(writer: W, max_bytes: u64, counts: &Counts) -> Lines<'_, W> {
        Lines {
            writer,
            counts,
            left: max_bytes,
            piece: String::new(),
            events: 0,
            told: 0,
        }
    }

    /// Write until there are no more events, or writing fails.
    fn write(mut self, events: &Receiver<AuditEvent>) -> io::Result<()> {
        let mut next = events.recv().ok();
        while let Some(event) = next {
            self.tell_lost()?;
            self.counts
                .waiting
                .fetch_sub(event.held_bytes(), Ordering::SeqCst);
            self.event(&event)?;
            next = events.try_recv().ok();
            if next.is_none() {
                self.flush()?;
                next = events.recv().ok();
            }
        }
        self.tell_lost()?;
        self.flush()
    }

    fn event(&mut self, event: &AuditEvent) -> io::Result<()> {
        if !self.counts.full.load(Ordering::SeqCst) {
            let line = event.to_json();
            let bytes = line.len() as u64 + 1;
            if bytes <= self.left {
                self.left -= bytes;
                self.events += 1;
                return self.line(&line);
            }
            self.counts.full.store(true, Ordering::SeqCst);
            self.line(r#"{"event":"full"}"#)?;
            self.flush()?;
        }
        // The event was accepted but is not written, so it counts as lost at the end.
        Ok(())
    }

    fn tell_lost(&mut self) -> io::Result<()> {
        let lost = self.counts.lost.load(Ordering::SeqCst);
        if lost > self.told && !self.counts.full.load(Ordering::SeqCst) {
            let lines = lost - self.told;
            self.told = lost;
            self.line(&format!(r#"{{"event":"lost","lines":{lines}}}"#))?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.piece.push_str(line);
        self.piece.push('\n');
        match self.piece.len() < PIECE {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.write_all(self.piece.as_bytes())?;
        self.piece.clear();
        self.writer.flush()?;
        let events = std::mem::take(&mut self.events);
        self.counts.written.fetch_add(events, Ordering::SeqCst);
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What these hold is valid at every moment, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockbox_policy::audit::{EventKind, RunId};
    use std::io::ErrorKind;

    fn event() -> AuditEvent {
        AuditEvent::now(RunId::new(1), EventKind::Ended)
    }

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            locked(&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_event_is_a_line() {
        let memory = Memory::default();
        let record = JsonLines::new(memory.clone()).unwrap();
        for _ in 0..3 {
            record.record(&event());
        }
        let written = record.finish();
        assert_eq!((written.lines, written.lost), (3, 0));
        assert!(written.error.is_none());
        let text = String::from_utf8(locked(&memory.0).clone()).unwrap();
        assert_eq!(text.lines().count(), 3);
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        record.record(&event());
        assert_eq!(
            record.shared.counts.lost.load(Ordering::SeqCst),
            1,
            "it is over"
        );
    }

    /// A writer that takes nothing before it is told to.
    struct Stuck(Receiver<()>, Memory);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_writer_that_is_stuck_loses_lines_and_holds_nobody_up() {
        let (go_on, wait) = mpsc::channel();
        let memory = Memory::default();
        let record = JsonLines::new(Stuck(wait, memory.clone())).unwrap();
        // What is written at once, what waits, and some more.
        let count = 2 * (MAX_WAITING_BYTES / event().held_bytes()) as u64 + 1000;
        for _ in 0..count {
            record.record(&event());
        }
        drop(go_on);
        let written = record.finish();
        assert!(written.lost > 0);
        assert_eq!(written.lines + written.lost, count);
        let text = String::from_utf8(locked(&memory.0).clone()).unwrap();
        let lost: u64 = text
            .lines()
            .filter(|line| line.contains(r#""event":"lost""#))
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter_map(|line| line["lines"].as_u64())
            .sum();
        assert_eq!(lost, written.lost);
    }

    #[test]
    fn waiting_for_a_stuck_writer_ends_at_the_timeout() {
        let (go_on, wait) = mpsc::channel();
        let record = JsonLines::new(Stuck(wait, Memory::default())).unwrap();
        record.record(&event());
        let written = record.finish_within(Duration::ZERO);
        assert_eq!((written.lines, written.lost), (0, 1));
        assert!(written.error.is_none());
        drop(go_on);
    }

    #[test]
    fn what_waits_is_bounded_by_its_bytes() {
        let long = || {
            let what = EventKind::Decision {
                target: sockbox_policy::Target::Connect("192.0.2.1:80".parse().unwrap()),
                verdict: sockbox_policy::Verdict::Denied {
                    reason: sockbox_policy::DenialReason::Decider {
                        reason: "x".repeat(1_000_000),
                    },
                    name: None,
                },
            };
            AuditEvent::now(RunId::new(1), what)
        };
        let (go_on, wait) = mpsc::channel();
        let record = JsonLines::new(Stuck(wait, Memory::default())).unwrap();
        let mut most = 0;
        for _ in 0..100 {
            record.record(&long());
            most = most.max(record.shared.counts.waiting.load(Ordering::SeqCst));
        }
        assert!(most <= MAX_WAITING_BYTES, "{most}");
        assert!(most > MAX_WAITING_BYTES / 2, "{most}");
        drop(go_on);
        let written = record.finish();
        assert_eq!(written.lines + written.lost, 100);
        // Those that wait, and those that the thread has taken.
        assert!(written.lines <= 10, "{written:?}");
    }

    #[test]
    fn a_record_has_no_more_bytes_than_it_may_have_and_says_so() {
        let line = event().to_json().len() as u64 + 1;
        for (max_bytes, lines, full) in [
            // The time may be a digit shorter.
            (3 * line + 30, 3, false),
            (2 * line + 20, 2, true),
            (0, 0, true),
        ] {
            let memory = Memory::default();
            let record = JsonLines::with_max_bytes(memory.clone(), max_bytes).unwrap();
            for _ in 0..3 {
                record.record(&event());
            }
            let written = record.finish();
            assert_eq!((written.lines, written.lost), (lines, 3 - lines));
            assert_eq!(written.full, full);
            let text = String::from_utf8(locked(&memory.0).clone()).unwrap();
            let told = text.lines().filter(|line| *line == r#"{"event":"full"}"#);
            assert_eq!(told.count(), usize::from(full), "{text}");
            assert_eq!(text.lines().count() as u64, lines + u64::from(full));
        }
    }

    /// A writer that notes each piece.
    struct Pieces(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            locked(&self.0).push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_whole() {
        let pieces = Arc::default();
        let record = JsonLines::new(Pieces(Arc::clone(&pieces))).unwrap();
        for _ in 0..1000 {
            record.record(&event());
        }
        assert_eq!(record.finish().lines, 1000);
        for piece in &*locked(&pieces) {
            assert_eq!(piece.last(), Some(&b'\n'));
        }
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_writer_that_fails_is_told_of() {
        let record = JsonLines::new(Full).unwrap();
        record.record(&event());
        let written = record.finish();
        assert_eq!((written.lines, written.lost), (0, 1));
        assert_eq!(written.error.unwrap().kind(), ErrorKind::StorageFull);
    }
}
