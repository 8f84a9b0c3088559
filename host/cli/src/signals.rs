//! The signals that end a process unless it handles them: Ctrl-C, SIGTERM, a terminal that is closed, and
//! others.
//!
//! All of them are handled alike, so that none leaves a temporary file behind. Not handled are SIGKILL,
//! which can't be; the signals of a fault (SIGSEGV, SIGABRT and the like), after which nothing can be relied
//! upon; and real-time signals, which no program sends unasked.

use std::io;

/// A signal that ends the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    number: u8,
}

impl Signal {
    /// Ctrl-C.
    #[cfg(any(not(unix), test))]
    pub const INTERRUPT: Signal = Signal { number: 2 };

    #[cfg(test)]
    pub const HANGUP: Signal = Signal { number: 1 };

    #[cfg(test)]
    pub const TERMINATE: Signal = Signal { number: 15 };

    /// The exit code that a shell gives a process that the signal ended.
    pub fn code(self) -> u8 {
        128 + self.number
    }
}

/// What SIGUSR1 does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSignal {
    /// It ends the process, as any other signal does.
    Ends,
    /// It asks for statistics ([`StatisticsSignal`]).
    AsksForStatistics,
}

/// Receives them, from its creation on. One that was ignored when the process started stays ignored, as
/// `nohup` and the background of shell scripts count on.
pub struct Handlers {
    #[cfg(unix)]
    handlers: Vec<(Signal, tokio::signal::unix::Signal)>,
}

/// The signals that end a process by default.
#[cfg(unix)]
const ENDING: [i32; 11] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGXCPU,
    libc::SIGIO,
];

#[cfg(unix)]
impl Handlers {
    pub fn new(user_signal: UserSignal) -> io::Result<Handlers> {
        use tokio::signal::unix::{SignalKind, signal};
        // Where there is no Linux to ask, none is taken for ignored.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut handlers = Vec::with_capacity(ENDING.len());
        for number in ENDING {
            let is_taken = number == libc::SIGUSR1 && user_signal == UserSignal::AsksForStatistics;
            let known = u8::try_from(number).ok().filter(|number| *number < 128);
            if let Some(known) = known
                && !is_taken
                && !ignores(&status, number)
            {
                let handler = signal(SignalKind::from_raw(number))?;
                handlers.push((Signal { number: known }, handler));
            }
        }
        Ok(Handlers { handlers })
    }

    /// The next one. The future can be dropped, and nothing is lost.
    pub async fn next(&mut self) -> Signal {
        use std::task::Poll;
        std::future::poll_fn(|context| {
            for (signal, handler) in &mut self.handlers {
                if let Poll::Ready(Some(())) = handler.poll_recv(context) {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Have a write beyond the limit on files' sizes (`ulimit -f`) fail with EFBIG, which is reported as any
/// failed write is. By default SIGXFSZ ends the process there.
#[cfg(unix)]
#[allow(unsafe_code, reason = "the action of a signal is set")]
pub fn ignore_file_size_signal() {
    // SAFETY: no handler is installed, and nothing in this process waits for that signal.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

#[cfg(not(unix))]
pub fn ignore_file_size_signal() {}

/// What a status as proc(5) has it says of a signal.
#[cfg(unix)]
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = signal
        .checked_sub(1)
        .and_then(|shift| u32::try_from(shift).ok())
        .and_then(|shift| 1_u64.checked_shl(shift));
    matches!((mask, bit), (Some(mask), Some(bit)) if mask & bit != 0)
}

#[cfg(not(unix))]
impl Handlers {
    pub fn new(_: UserSignal) -> io::Result<Handlers> {
        Ok(Handlers {})
    }

    /// The next one. The future can be dropped, and nothing is lost.
    pub async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::INTERRUPT,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Receives what asks for statistics, where there is such a signal: SIGUSR1.
pub struct StatisticsSignal {
    #[cfg(unix)]
    user_defined: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StatisticsSignal {
    pub fn new() -> io::Result<StatisticsSignal> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(StatisticsSignal {
            user_defined: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next one. The future can be dropped, and nothing is lost.
    pub async fn next(&mut self) {
        if self.user_defined.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

#[cfg(not(unix))]
impl StatisticsSignal {
    pub fn new() -> io::Result<StatisticsSignal> {
        Ok(StatisticsSignal {})
    }

    pub async fn next(&mut self) {
        std::future::pending().await
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_what_is_ignored() {
        for (status, signal, expected) in [
            ("Name:\tx\nSigIgn:\t0000000000000001\n", 1, true),
            ("SigIgn:\t0000000000000002\n", 1, false),
            ("SigIgn:\t0000000000000002\n", 2, true),
            ("SigIgn:\t8000000000000000\n", 64, true),
            ("SigIgn:\tffffffffffffffff\n", 65, false),
            ("SigIgn:\tffffffffffffffff\n", 0, false),
            ("SigIgn:\tnothing\n", 1, false),
            ("SigBlk:\t0000000000000001\n", 1, false),
            ("", 1, false),
        ] {
            assert_eq!(ignores(status, signal), expected, "{status:?} {signal}");
        }
    }
}
