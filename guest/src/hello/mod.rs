//! The hello server: many clients at once, each told apart by its four-tuple, each message
//! answered with `Hello, MESSAGE!`.

mod connection;
mod framing;
mod server;
#[cfg(test)]
mod tests;

pub use connection::{CloseReason, Closed, Opened};
pub use framing::{DEFAULT_MAX_MESSAGE_SIZE, Flow, Framer};
pub use server::{AcceptFailed, Event, Options, Progress, Server, StartError, Statistics};
