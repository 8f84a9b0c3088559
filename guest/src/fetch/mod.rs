//! The HTTP client: requests and their responses.

mod address;
mod body;
mod client;
mod clock;
mod coding;
mod connect;
mod connection;
mod error;
mod exchange;
mod info;
mod options;
mod origin;
mod pool;
mod prepared;
mod redirect;
mod request;
mod send;
mod speed;
#[cfg(test)]
mod tests;
mod trace;

pub use address::{Family, StaticHost};
pub use body::Response;
pub use client::Client;
pub use coding::{CodingError, ContentDecoder, Step};
pub use error::{ConnectFailure, Denied, FetchError, ResponseLimit, Stage, TimeBound, Timeout};
pub use info::{ResponseInfo, Timings};
pub use options::{ATTEMPT_DELAY, EXPECT_TIMEOUT, MAX_REDIRECTS, Options, Timeouts};
pub use redirect::Redirect;
pub use request::{Request, RequestBody};
pub use speed::MinSpeed;
pub use trace::trace_to_stderr;
