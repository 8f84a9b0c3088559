//! Ctrl-C and SIGTERM.

use std::io;

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// The exit code that a shell gives a process that the signal ended.
    pub fn code(self) -> u8 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    }
}

/// Receives them, from its creation on.
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one. The future can be dropped, and nothing is lost.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.terminate.recv() => Signal::Terminate,
            else => std::future::pending().await,
        }
    }
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
