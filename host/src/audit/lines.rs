//! The record as a file of JSON lines, written beside the run.

use super::{AuditEvent, AuditSink};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How many events may wait to be written: 16,384. One more is lost, and counted.
///
/// A disk that pauses for a tenth of a second is made up for; a reader that has stopped reading a pipe
/// isn't, and must not take the host's memory.
pub const MAX_WAITING: usize = 16_384;

/// How long [`JsonLines::finish`] waits for what is still to be written: 5 seconds.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes each event as [a JSON object](AuditEvent::to_json) on a line of its own.
///
/// A thread does the writing. Neither a slow writer nor a failing one keeps a run from anything: what
/// can't be written is counted, and a line `{"event":"lost","lines":…}` says how many are missing, as soon as
/// there can be a line.
///
/// Cloning it is cheap, and gives the same record.
///
/// # Examples
/// ```
/// use sockbox::Sandbox;
/// use sockbox::audit::JsonLines;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let record = JsonLines::new(Vec::new())?;
/// let sandbox = Sandbox::new()?;
/// drop(sandbox.instance().audit(record.clone()).build().await?);
/// let written = record.finish();
/// assert_eq!(written.lost, 0);
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
    waiting: AtomicU64,
    accepted: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
}

/// What came of a [`JsonLines`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Written {
    /// How many lines were written.
    pub lines: u64,
    /// How many events were lost.
    pub lost: u64,
    /// What the writer said when it failed, if it did.
    pub error: Option<io::Error>,
}

impl JsonLines {
    /// Write to `writer`, from a thread of its own.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn new(writer: impl Write + Send + 'static) -> io::Result<JsonLines> {
        // Bounded by counting: a channel with a bound makes room for as many from the start, which takes
        // longer than a small run does.
        let (queue, events) = mpsc::channel();
        let (tell, done) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let counting = counts.clone();
        thread::Builder::new()
            .name("sockbox-audit".to_owned())
            .spawn(move || {
                let result = write(&events, writer, &counting);
                // Whoever waited has given up.
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
        drop(locked(&self.shared.queue).take());
        let result = locked(&self.shared.done).recv_timeout(FINISH_TIMEOUT);
        let counts = &self.shared.counts;
        let lines = counts.written.load(Ordering::SeqCst);
        let accepted = counts.accepted.load(Ordering::SeqCst);
        Written {
            lines,
            lost: counts.lost.load(Ordering::SeqCst) + accepted.saturating_sub(lines),
            error: result.ok().and_then(Result::err),
        }
    }
}

impl AuditSink for JsonLines {
    fn record(&self, event: &AuditEvent) {
        let counts = &self.shared.counts;
        let queue = locked(&self.shared.queue);
        // Counted under the lock, and by the writer only downwards.
        let has_room = counts.waiting.load(Ordering::SeqCst) < MAX_WAITING as u64;
        let queue = queue.as_ref().filter(|_| has_room);
        counts.waiting.fetch_add(1, Ordering::SeqCst);
        let sent = queue.is_some_and(|queue| queue.send(event.clone()).is_ok());
        let count = match sent {
            true => &counts.accepted,
            false => {
                counts.waiting.fetch_sub(1, Ordering::SeqCst);
                &counts.lost
            }
        };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Write until there are no more events, or writing fails.
fn write(events: &Receiver<AuditEvent>, writer: impl Write, counts: &Counts) -> io::Result<()> {
    let mut writer = io::BufWriter::new(writer);
    let mut told = 0;
    // What is in the buffer isn't written yet.
    let mut waiting = 0;
    let mut next = events.recv().ok();
    while let Some(event) = next {
        let lost = counts.lost.load(Ordering::SeqCst);
        if lost > told {
            writeln!(writer, r#"{{"event":"lost","lines":{}}}"#, lost - told)?;
            told = lost;
        }
        counts.waiting.fetch_sub(1, Ordering::SeqCst);
        writeln!(writer, "{}", event.to_json())?;
        waiting += 1;
        next = events.try_recv().ok();
        if next.is_none() {
            writer.flush()?;
            counts
                .written
                .fetch_add(std::mem::take(&mut waiting), Ordering::SeqCst);
            next = events.recv().ok();
        }
    }
    let lost = counts.lost.load(Ordering::SeqCst);
    if lost > told {
        writeln!(writer, r#"{{"event":"lost","lines":{}}}"#, lost - told)?;
    }
    writer.flush()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What these hold is valid at every moment, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{RunId, What};
    use std::io::ErrorKind;

    fn event() -> AuditEvent {
        AuditEvent::now(RunId(1), What::Ended)
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
        let count = 2 * MAX_WAITING as u64 + 1000;
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
