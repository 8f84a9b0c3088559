//! A thread that hears signals and keeps deadlines whatever the others do.
//!
//! Subcommands run on the main thread, and there may be something that it waits for in the kernel, where
//! neither a signal nor a timer reaches it: a disk that hangs, a terminal that is stopped, a pipe that was
//! opened by name. So this thread receives the signals, and passes them on. It ends the process itself if
//! the main thread doesn't answer, or doesn't end in time: then what was under way is lost, and nothing but
//! the exit code and a message tell of it. It writes nothing that it would have to wait for.

use crate::exit::Failure;
use crate::room;
use crate::signals::{Handlers, Signal, UserSignal};
use crate::stderr;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc as blocking};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};

/// How long the main thread may take to answer before it counts as stuck: 2 seconds.
///
/// It answers within milliseconds, unless the machine is very busy.
const ANSWER: Duration = Duration::from_secs(2);

/// How long the process may take to end after a signal that ends it: 10 seconds.
///
/// The audit has 5 of them to be written.
const ENDING: Duration = Duration::from_secs(10);

/// How long after a deadline the main thread is asked whether it is there: a quarter of a second, as it keeps
/// deadlines by itself.
const AFTER_DEADLINE: Duration = Duration::from_millis(250);

/// How long removing unfinished files may take when the process is ended: half a second.
const REMOVING: Duration = Duration::from_millis(500);

/// The most signals and questions that wait for the main thread.
const MAX_WAITING: usize = 16;

/// What this thread and the others share.
#[derive(Default)]
struct Shared {
    /// Whether the main thread hears: before and after, a signal has nothing to wait for.
    hears: AtomicBool,
    /// Whether the main thread has ever heard. Before, it reads what the command line names, and keeps no
    /// deadline itself.
    has_heard: AtomicBool,
    /// How many messages the main thread has taken.
    taken: AtomicU64,
    deadlines: Mutex<Deadlines>,
    /// Told when there is a new deadline, or a message was taken.
    changed: Notify,
}

#[derive(Default)]
struct Deadlines {
    next: u64,
    /// When to look, and how to end if the main thread is stuck then.
    by_number: BTreeMap<u64, (Instant, Failure)>,
}

/// What is told to the main thread.
enum Message {
    Signal(Signal),
    /// Nothing but whether it is there.
    Question,
}

static SHARED: OnceLock<Arc<Shared>> = OnceLock::new();

/// Whether no message is wanted.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Files that are to be removed if the process is ended while they are written.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The signals that ask the process to end, as the main thread hears them.
pub struct Signals {
    shared: Arc<Shared>,
    messages: mpsc::Receiver<Message>,
}

/// A signal after this many is the last that the main thread is given time to act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// The first signal is to end it.
    AtTheFirst,
    /// The first is a request to stop in order, which may take its time.
    AtTheSecond,
}

impl Ends {
    /// A subcommand that is asked to stop in order is a server, and has statistics.
    fn user_signal(self) -> UserSignal {
        match self {
            Ends::AtTheFirst => UserSignal::Ends,
            Ends::AtTheSecond => UserSignal::AsksForStatistics,
        }
    }

    fn number(self) -> u64 {
        match self {
            Ends::AtTheFirst => 1,
            Ends::AtTheSecond => 2,
        }
    }
}

/// Start the thread. From now on a signal that asks the process to end is told to [`Signals`].
///
/// # Errors
/// The system has no thread or no files to give, or doesn't let signals be received.
pub fn start(ends: Ends) -> io::Result<Signals> {
    room::to_start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handlers = {
        let _in_runtime = runtime.enter();
        Handlers::new(ends.user_signal())?
    };
    let shared = SHARED.get_or_init(Arc::default).clone();
    let (tell, messages) = mpsc::channel(MAX_WAITING);
    let watch = Watch {
        shared: shared.clone(),
        tell,
        told: 0,
        ends,
        signals: 0,
        ending: None,
        asked: None,
        ask_again: None,
    };
    thread::Builder::new()
        .name("sockbox-watchdog".to_owned())
        .spawn(move || runtime.block_on(watch.run(handlers)))?;
    Ok(Signals { shared, messages })
}

impl Signals {
    /// Have signals wait for [`Signals::next`] from now on, which is about to be called: they end the process
    /// at once no more.
    pub fn hear(&self) {
        self.shared.has_heard.store(true, Ordering::SeqCst);
        self.shared.hears.store(true, Ordering::SeqCst);
    }

    /// The next one. The future can be dropped, and nothing is lost.
    pub async fn next(&mut self) -> Signal {
        self.hear();
        loop {
            let message = self.messages.recv().await;
            self.shared.taken.fetch_add(1, Ordering::SeqCst);
            self.shared.changed.notify_one();
            match message {
                Some(Message::Signal(signal)) => return signal,
                Some(Message::Question) => {}
                // The thread has ended, which it does with the process alone.
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Signals {
    /// From now on a signal ends the process at once: nothing is left to be done but to tell and to record.
    fn drop(&mut self) {
        self.shared.hears.store(false, Ordering::SeqCst);
    }
}

/// A deadline that is being kept, until it is dropped.
#[must_use]
pub struct Deadline(Option<u64>);

/// Have the process end with `failure` if, a little later than in `time`, the main thread is stuck. It has to
/// keep the deadline itself as long as it isn't. Before it has heard signals ([`Signals::hear`]) it need not:
/// then the process ends at the deadline in any case.
pub fn deadline(time: Duration, failure: Failure) -> Deadline {
    let at = Instant::now()
        .checked_add(time)
        .and_then(|at| at.checked_add(AFTER_DEADLINE));
    // A time too long to be added up is no bound.
    let (Some(shared), Some(at)) = (SHARED.get(), at) else {
        return Deadline(None);
    };
    let mut deadlines = locked(&shared.deadlines);
    let number = deadlines.next;
    deadlines.next += 1;
    deadlines.by_number.insert(number, (at, failure));
    drop(deadlines);
    shared.changed.notify_one();
    Deadline(Some(number))
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let (Some(number), Some(shared)) = (self.0, SHARED.get()) {
            locked(&shared.deadlines).by_number.remove(&number);
        }
    }
}

/// Say nothing when the process is ended.
pub fn be_quiet() {
    QUIET.store(true, Ordering::SeqCst);
}

/// Remove this file if the process is ended before it has its place and name.
pub fn remove_if_ended(path: &Path) {
    locked(&UNFINISHED).push(path.to_owned());
}

/// The thread's own.
struct Watch {
    shared: Arc<Shared>,
    tell: mpsc::Sender<Message>,
    /// How many messages were told.
    told: u64,
    ends: Ends,
    /// How many signals there were.
    signals: u64,
    /// The signal that ends the process, and when it has to have ended.
    ending: Option<(Signal, Instant)>,
    /// How many messages will have been taken when the main thread has answered, and when it has to have.
    asked: Option<(u64, Instant)>,
    /// When to ask next, at the earliest.
    ask_again: Option<Instant>,
}

impl Watch {
    async fn run(mut self, mut handlers: Handlers) {
        loop {
            let wake = self.look(Instant::now());
            let shared = self.shared.clone();
            let time = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                signal = handlers.next() => self.signal(signal, Instant::now()),
                () = shared.changed.notified() => {}
                () = time => {}
            }
        }
    }

    fn signal(&mut self, signal: Signal, now: Instant) {
        self.signals += 1;
        let hears = self.shared.hears.load(Ordering::SeqCst);
        // It was given its time with the one before.
        if !hears || self.signals > self.ends.number() {
            end(&Failure::Signal(signal));
        }
        self.ask(Message::Signal(signal), now);
        if self.signals == self.ends.number() {
            self.ending = Some((signal, now + ENDING));
        }
    }

    fn ask(&mut self, message: Message, now: Instant) {
        // With a full channel it is stuck, which comes out anyway.
        if self.tell.try_send(message).is_ok() {
            self.told += 1;
        }
        self.asked = Some((self.told, now + ANSWER));
    }

    /// See what has to be done now, and say when to look again.
    fn look(&mut self, now: Instant) -> Option<Instant> {
        let taken = self.shared.taken.load(Ordering::SeqCst);
        self.asked = self.asked.filter(|(told, _)| taken < *told);
        let due = self.due(now);
        if let Some((signal, at)) = self.ending
            && at <= now
        {
            end(&Failure::Signal(signal));
        }
        if let Some(number) = due
            && !self.shared.has_heard.load(Ordering::SeqCst)
        {
            self.end_at(number);
        }
        if let Some((_, at)) = self.asked
            && at <= now
        {
            match (self.ending, due) {
                (Some((signal, _)), _) => end(&Failure::Signal(signal)),
                (None, Some(number)) => self.end_at(number),
                // A request to stop in order: the next signal ends it.
                (None, None) => self.asked = None,
            }
        }
        self.ask_again = self.ask_again.filter(|at| due.is_some() && now < *at);
        if due.is_some() && self.asked.is_none() && self.ask_again.is_none() {
            self.ask(Message::Question, now);
            self.ask_again = Some(now + ANSWER);
        }
        let next = locked(&self.shared.deadlines).next_after(now);
        let asked = self.asked.map(|(_, at)| at);
        let ending = self.ending.map(|(_, at)| at);
        [next, asked, self.ask_again, ending]
            .into_iter()
            .flatten()
            .min()
    }

    /// End the process at this deadline, unless it was dropped meanwhile.
    fn end_at(&self, number: u64) {
        let failure = locked(&self.shared.deadlines).by_number.remove(&number);
        if let Some((_, failure)) = failure {
            end(&failure);
        }
    }

    /// A deadline that has passed.
    fn due(&self, now: Instant) -> Option<u64> {
        let deadlines = locked(&self.shared.deadlines);
        let mut all = deadlines.by_number.iter();
        all.find(|(_, (at, _))| *at <= now)
            .map(|(number, _)| *number)
    }
}

impl Deadlines {
    fn next_after(&self, now: Instant) -> Option<Instant> {
        let all = self.by_number.values().map(|(at, _)| *at);
        all.filter(|at| *at > now).min()
    }
}

/// End the process, whatever its other threads wait for.
fn end(failure: &Failure) -> ! {
    let message = failure.message(false);
    if let Some(message) = message.filter(|_| !QUIET.load(Ordering::SeqCst)) {
        stderr::line(format_args!("sockbox: ({}) {message}", failure.code()));
        stderr::settle();
    }
    let (done, removed) = blocking::channel();
    // The disk may be what it hangs on.
    let removing = thread::Builder::new().spawn(move || {
        for path in std::mem::take(&mut *locked(&UNFINISHED)) {
            // Most of them aren't there any more.
            let _ = std::fs::remove_file(path);
        }
        let _ = done.send(());
    });
    if removing.is_ok() {
        let _ = removed.recv_timeout(REMOVING);
    }
    std::process::exit(failure.code().into())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these hold is valid at every moment, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(ends: Ends) -> (Watch, mpsc::Receiver<Message>) {
        let (tell, messages) = mpsc::channel(MAX_WAITING);
        let shared = Arc::<Shared>::default();
        shared.has_heard.store(true, Ordering::SeqCst);
        shared.hears.store(true, Ordering::SeqCst);
        let watch = Watch {
            shared,
            tell,
            told: 0,
            ends,
            signals: 0,
            ending: None,
            asked: None,
            ask_again: None,
        };
        (watch, messages)
    }

    fn answer(watch: &Watch, messages: &mut mpsc::Receiver<Message>) -> usize {
        let mut count = 0;
        while messages.try_recv().is_ok() {
            watch.shared.taken.fetch_add(1, Ordering::SeqCst);
            count += 1;
        }
        count
    }

    #[test]
    fn a_main_thread_that_answers_is_left_alone() {
        let (mut watch, mut messages) = watch(Ends::AtTheFirst);
        let now = Instant::now();
        let failure = Failure::MaxTime(Duration::from_secs(1));
        let at = now + Duration::from_secs(1);
        let mut deadlines = locked(&watch.shared.deadlines);
        deadlines.by_number.insert(0, (at, failure));
        drop(deadlines);
        assert_eq!(watch.look(now), Some(at));
        assert_eq!(answer(&watch, &mut messages), 0);
        // It is asked once, and again only after a while, as long as the deadline is there.
        for round in 0..3 {
            let now = at + ANSWER * round;
            watch.look(now);
            assert_eq!(answer(&watch, &mut messages), 1, "{round}");
            assert_eq!(watch.look(now), Some(now + ANSWER));
            assert_eq!(answer(&watch, &mut messages), 0, "{round}");
        }
        locked(&watch.shared.deadlines).by_number.clear();
        assert_eq!(watch.look(at + ANSWER * 3), None);
    }

    #[test]
    fn a_signal_gives_the_main_thread_its_time() {
        let (mut watch, mut messages) = watch(Ends::AtTheFirst);
        let now = Instant::now();
        watch.signal(Signal::TERMINATE, now);
        assert_eq!(watch.look(now), Some(now + ANSWER));
        assert_eq!(answer(&watch, &mut messages), 1);
        assert_eq!(watch.look(now), Some(now + ENDING));
    }

    #[test]
    fn a_request_to_stop_in_order_has_no_end() {
        let (mut watch, mut messages) = watch(Ends::AtTheSecond);
        let now = Instant::now();
        watch.signal(Signal::TERMINATE, now);
        assert_eq!(answer(&watch, &mut messages), 1);
        assert_eq!(watch.look(now), None);
        watch.signal(Signal::TERMINATE, now);
        assert_eq!(answer(&watch, &mut messages), 1);
        assert_eq!(watch.look(now), Some(now + ENDING));
    }
}
