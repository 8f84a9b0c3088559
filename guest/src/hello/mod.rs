//! The hello server. It serves many clients at once, identifies each connection by its four-tuple,
//! and answers each message with `Hello, MESSAGE!`.

mod accept;
mod connection;
mod event;
mod framing;
mod options;
mod server;
mod shared;
#[cfg(test)]
mod tests;

pub use event::{
    AcceptFailed, CloseReason, Closed, Event, Json, Logged, Opened, RefuseReason, Refused,
    ServerStats,
};
pub use framing::{DEFAULT_MAX_MESSAGE_SIZE, Flow, Framer, Framing, Rules};
pub use options::{DEFAULT_GREETING, DEFAULT_MAX_HELD, DEFAULT_WRITE_TIMEOUT, Options, StartError};
pub use server::{Progress, Server};
