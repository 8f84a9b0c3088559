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

/// Receives them, from its creation on.
pub struct Signals {
    /// None where it is ignored, as `nohup` has it.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        let hangup = SignalKind::hangup();
        Ok(Signals {
            hangup: match is_ignored(hangup) {
                true => None,
                false => Some(signal(hangup)?),
            },
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one. The future can be dropped, and nothing is lost.
    pub async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => None,
            }
        };
        tokio::select! {
            Some(()) = hangup => Signal::Hangup,
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.terminate.recv() => Signal::Terminate,
            else => std::future::pending().await,
        }
    }
}

/// Whether whoever started this process wants it to ignore a signal. Where there is no Linux to ask,
/// it is taken for not ignored.
#[cfg(unix)]
fn is_ignored(signal: tokio::signal::unix::SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, signal.as_raw_value())
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
impl Signals {
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {})
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
