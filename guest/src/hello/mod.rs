//! The hello server: many clients at once, each told apart by its four-tuple, each message
//! answered with `Hello, MESSAGE!`.

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
    Statistics,
};
pub use framing::{DEFAULT_MAX_MESSAGE_SIZE, Flow, Framer, Framing, Rules};
pub use options::{DEFAULT_GREETING, DEFAULT_MAX_HELD, DEFAULT_WRITE_TIMEOUT, Options, StartError};
pub use server::{Progress, Server};
