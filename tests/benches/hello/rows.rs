//! The measurements, and their goals.

use super::load::{Load, Shape};
use super::servers::Server;
use sockbox_tests::Wasi;

/// A figure that a load prints, or that is read off the server's process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    MessagesPerSecond,
    MedianLatency,
    /// What a message costs the server. The one figure that other work on the machine leaves alone.
    ProcessorTime,
    /// How long a silent client waits for its answer: the median.
    UsualWake,
    /// The same: the longest.
    LongestWake,
    /// The server's memory per connection, with all clients connected.
    MemoryPerConnection,
}

impl Figure {
    pub fn unit(self) -> &'static str {
        match self {
            Figure::MessagesPerSecond => "messages/s",
            Figure::MedianLatency | Figure::ProcessorTime => "us",
            Figure::UsualWake | Figure::LongestWake => "ms",
            Figure::MemoryPerConnection => "KiB",
        }
    }
}

/// What a figure is compared with.
#[derive(Clone, Copy)]
pub enum Against {
    /// The tokio server's figure in the same row.
    Tokio,
    /// The server's own figure in the row of this name.
    Own(&'static str),
    /// Nothing: the goal is in the figure's own unit.
    Nothing,
}

/// The goal of a figure.
#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

const COST: (Figure, Against, Option<Goal>) = (Figure::ProcessorTime, Against::Tokio, None);

/// One line of the table.
pub struct Row {
    pub name: &'static str,
    pub load: Load,
    pub figures: &'static [(Figure, Against, Option<Goal>)],
}

const fn ping_pong(busy: usize) -> Load {
    Load {
        busy,
        idle: 0,
        batch: 1,
        seconds: 2,
        shape: Shape::Watchful,
    }
}

const fn plain(busy: usize) -> Load {
    Load {
        shape: Shape::Plain,
        ..ping_pong(busy)
    }
}

/// The rows, in an order in which those that others are compared with come first.
pub const ROWS: &[Row] = &[
    Row {
        name: "1 connection",
        load: ping_pong(1),
        figures: &[
            (
                Figure::MedianLatency,
                Against::Tokio,
                Some(Goal::AtMost(1.3)),
            ),
            COST,
        ],
    },
    Row {
        name: "64 connections",
        load: ping_pong(64),
        figures: &[
            (
                Figure::MessagesPerSecond,
                Against::Tokio,
                Some(Goal::AtLeast(0.8)),
            ),
            COST,
        ],
    },
    Row {
        name: "512 connections",
        load: ping_pong(512),
        figures: &[
            (
                Figure::MessagesPerSecond,
                Against::Tokio,
                Some(Goal::AtLeast(0.8)),
            ),
            COST,
        ],
    },
    Row {
        name: "64 connections, plain clients",
        load: plain(64),
        figures: &[
            (
                Figure::MessagesPerSecond,
                Against::Tokio,
                Some(Goal::AtLeast(0.8)),
            ),
            COST,
        ],
    },
    Row {
        name: "512 connections, plain clients",
        load: plain(512),
        figures: &[
            (
                Figure::MessagesPerSecond,
                Against::Tokio,
                Some(Goal::AtLeast(0.8)),
            ),
            COST,
        ],
    },
    Row {
        name: "64 pipelined, 16 messages per write",
        load: Load {
            batch: 16,
            ..ping_pong(64)
        },
        figures: &[
            (
                Figure::MessagesPerSecond,
                Against::Tokio,
                Some(Goal::AtLeast(0.6)),
            ),
            COST,
        ],
    },
    Row {
        name: "64 beside 10,000 idle",
        load: Load {
            idle: 10_000,
            ..ping_pong(64)
        },
        figures: &[
            (
                Figure::MessagesPerSecond,
                Against::Own("64 connections"),
                Some(Goal::AtLeast(0.7)),
            ),
            (Figure::ProcessorTime, Against::Own("64 connections"), None),
            (Figure::UsualWake, Against::Nothing, None),
            (
                Figure::LongestWake,
                Against::Nothing,
                Some(Goal::AtMost(50.0)),
            ),
            (
                Figure::MemoryPerConnection,
                Against::Nothing,
                Some(Goal::AtMost(4.0)),
            ),
        ],
    },
    Row {
        name: "15,000 held",
        load: Load {
            busy: 0,
            idle: 15_000,
            batch: 1,
            seconds: 1,
            shape: Shape::Watchful,
        },
        figures: &[(
            Figure::MemoryPerConnection,
            Against::Nothing,
            Some(Goal::AtMost(4.0)),
        )],
    },
];

/// Whether a row's goals apply to a server. They do not apply to `wasmtime run`, which this project
/// does not control.
pub fn held_to_goals(server: Server) -> bool {
    server == Server::Sockbox(Wasi::V0_2)
}
