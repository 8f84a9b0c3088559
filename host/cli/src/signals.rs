//! The signals that ask a process to end: Ctrl-C, SIGTERM, and a terminal that is closed.

use std::io;

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: the terminal was closed.
    Hangup,
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// The exit code that a shell gives a process that the signal ended.
    pub fn code(self) -> u8 {
        match self {
            Signal::Hangup => 129,
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    }
}

/// Receives them, from its creation on. One that was ignored when the process started stays ignored, as
/// `nohup` and the background of shell scripts count on.
pub struct Handlers {
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    interrupt: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    terminate: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Handlers {
    pub fn new() -> io::Result<Handlers> {
        use tokio::signal::unix::{SignalKind, signal};
        // Where there is no Linux to ask, none is taken for ignored.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let unless_ignored = |kind: SignalKind| match ignores(&status, kind.as_raw_value()) {
            true => Ok(None),
            false => signal(kind).map(Some),
        };
        Ok(Handlers {
            hangup: unless_ignored(SignalKind::hangup())?,
            interrupt: unless_ignored(SignalKind::interrupt())?,
            terminate: unless_ignored(SignalKind::terminate())?,
        })
    }

    /// The next one. The future can be dropped, and nothing is lost.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            () = received(&mut self.hangup) => Signal::Hangup,
            () = received(&mut self.interrupt) => Signal::Interrupt,
            () = received(&mut self.terminate) => Signal::Terminate,
        }
    }
}

/// Wait for a signal; for one that is ignored, for ever.
#[cfg(unix)]
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending().await
    }
}

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
    pub fn new() -> io::Result<Handlers> {
        Ok(Handlers {})
    }

    /// The next one. The future can be dropped, and nothing is lost.
    pub async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
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
