//! Counts over all starts of the component.

use super::json::{Json, milliseconds};
use sockbox::{Event, ServerStats};
use std::fmt;
use std::time::{Duration, Instant};

/// Adds up what the component counts in each of its lives. The counts
/// of one that ends in a trap are lost: what is known is what it had told, which is without the messages of clients
/// that were still connected.
pub struct Totals {
    since: Instant,
    /// Of the lives before this one.
    before: Counts,
    /// What this life has told.
    told: Counts,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub accepted: u64,
    pub refused: u64,
    pub messages: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub restarts: u64,
    pub uptime: Duration,
}

impl Totals {
    pub fn new() -> Totals {
        Totals {
            since: Instant::now(),
            before: Counts::default(),
            told: Counts::default(),
        }
    }

    pub fn event(&mut self, event: &Event) {
        let told = &mut self.told;
        match event {
            Event::Opened(_) => told.accepted += 1,
            Event::Refused(_) => told.refused += 1,
            Event::Closed(closed) => {
                told.messages += closed.messages;
                told.bytes_received += closed.bytes_received;
                told.bytes_sent += closed.bytes_sent;
            }
            _ => {}
        }
    }

    /// This life has ended in a trap, and another one begins. Gives the number of restarts.
    pub fn restart(&mut self) -> u64 {
        self.before = self.before.plus(&self.told);
        self.before.restarts += 1;
        self.told = Counts::default();
        self.before.restarts
    }

    /// All counts, this life's being those given.
    pub fn with(&self, summary: &ServerStats) -> Counts {
        let now = Counts {
            accepted: summary.accepted,
            refused: summary.refused,
            messages: summary.messages,
            bytes_received: summary.bytes_received,
            bytes_sent: summary.bytes_sent,
            ..Counts::default()
        };
        self.until_now(self.before.plus(&now))
    }

    /// All counts as far as they were told.
    pub fn told(&self) -> Counts {
        self.until_now(self.before.plus(&self.told))
    }

    fn until_now(&self, counts: Counts) -> Counts {
        Counts {
            uptime: self.since.elapsed(),
            ..counts
        }
    }
}

impl Counts {
    fn plus(&self, other: &Counts) -> Counts {
        Counts {
            accepted: self.accepted + other.accepted,
            refused: self.refused + other.refused,
            messages: self.messages + other.messages,
            bytes_received: self.bytes_received + other.bytes_received,
            bytes_sent: self.bytes_sent + other.bytes_sent,
            restarts: self.restarts + other.restarts,
            uptime: Duration::ZERO,
        }
    }

    pub fn json(&self, json: Json) -> Json {
        json.with("accepted", self.accepted)
            .with("refused", self.refused)
            .with("messages", self.messages)
            .with("bytes_received", self.bytes_received)
            .with("bytes_sent", self.bytes_sent)
            .with("restarts", self.restarts)
            .with("uptime_seconds", milliseconds(self.uptime))
    }
}

/// Part of a line for people.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections, {} refused, {} messages, {} bytes received, {} sent, {:.3} s",
            self.accepted,
            self.refused,
            self.messages,
            self.bytes_received,
            self.bytes_sent,
            self.uptime.as_secs_f64(),
        )
    }
}
