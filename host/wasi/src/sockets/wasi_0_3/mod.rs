//! TCP and UDP of WASI 0.3, under the same authority and the same limits as those of WASI 0.2.
//!
//! A TCP socket is one of this crate's own: the streams of wasmtime-wasi's sockets are made inside of wasmtime-wasi,
//! where their bytes can't be counted or bounded. A UDP socket is wasmtime-wasi's, with its calls counted.
//!
//! | file | content |
//! |---|---|
//! | `socket` | a TCP socket and its states |
//! | `tcp` | the component's calls on TCP sockets |
//! | `accepting` | the stream of accepted connections |
//! | `connection` | a connection, and its two streams |
//! | `private`, `stage` | TCP sockets on the run's private loopback |
//! | `private_udp` | UDP sockets on it |
//! | `recorded` | the traffic of connections, for the audit record |
//! | `udp` | the component's calls on UDP sockets |

mod accepting;
mod connection;
mod private;
mod private_udp;
mod recorded;
mod socket;
mod stage;
mod tcp;
mod udp;

#[cfg(test)]
mod tests;

pub(super) use recorded::Recorded;

use crate::ctx::{SockboxCtxView, SockboxView};
use sockbox_policy::Limit;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::p2::bindings::sockets::network;
use wasmtime_wasi::p3::bindings::sockets::types::{self, ErrorCode, IpAddressFamily};
use wasmtime_wasi::p3::sockets::SocketError;
use wasmtime_wasi::sockets::WasiSocketsCtxView;

/// The text of the error when no sockets are left. WASI 0.3 has no error code for that. sockbox's component recognizes
/// this text.
const NONE_LEFT: &str = "no sockets left";

/// What the interface `types` works on.
pub(crate) struct View<'a>(SockboxCtxView<'a>);

/// Tells the linker of [`View`].
pub(crate) struct HasSockets;

impl HasData for HasSockets {
    type Data<'a> = View<'a>;
}

/// Offer components the sockets of WASI 0.3.
pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    types::add_to_linker::<T, HasSockets>(linker, |data| View(data.sockbox()))
}

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}

/// wasmtime-wasi's sockets, which ask the run's authority.
fn theirs<T: SockboxView>(data: &mut T) -> WasiSocketsCtxView<'_> {
    data.sockbox().into_sockets()
}

/// What a stream waits for.
type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Wait for the event in `waiting`. If there is none, wait for `event`, which stays there until it has happened.
fn poll_event<F>(
    waiting: &mut Option<Waiting<F::Output>>,
    cx: &mut Context<'_>,
    event: impl FnOnce() -> F,
) -> Poll<F::Output>
where
    F: Future + Send + 'static,
{
    let event = waiting.get_or_insert_with(|| Box::pin(event()));
    let output = ready!(event.as_mut().poll(cx));
    *waiting = None;
    Poll::Ready(output)
}

fn none_left() -> ErrorCode {
    ErrorCode::Other(Some(NONE_LEFT.to_owned()))
}

/// The error for an operation that a limit on bytes refuses. The text is that of WASI 0.2.
fn no_more(limit: Limit) -> ErrorCode {
    ErrorCode::Other(Some(format!("LimitReached: no more {limit}")))
}

fn family_of(address: SocketAddr) -> IpAddressFamily {
    match address {
        SocketAddr::V4(_) => IpAddressFamily::Ipv4,
        SocketAddr::V6(_) => IpAddressFamily::Ipv6,
    }
}

/// The same error code in WASI 0.3.
fn code(of_0_2: network::ErrorCode) -> ErrorCode {
    use network::ErrorCode as V0_2;
    match of_0_2 {
        V0_2::AccessDenied => ErrorCode::AccessDenied,
        V0_2::NotSupported => ErrorCode::NotSupported,
        V0_2::InvalidArgument => ErrorCode::InvalidArgument,
        V0_2::OutOfMemory => ErrorCode::OutOfMemory,
        V0_2::Timeout => ErrorCode::Timeout,
        V0_2::InvalidState | V0_2::ConcurrencyConflict | V0_2::NotInProgress => {
            ErrorCode::InvalidState
        }
        V0_2::NewSocketLimit => none_left(),
        V0_2::AddressNotBindable => ErrorCode::AddressNotBindable,
        V0_2::AddressInUse => ErrorCode::AddressInUse,
        V0_2::RemoteUnreachable => ErrorCode::RemoteUnreachable,
        V0_2::ConnectionRefused => ErrorCode::ConnectionRefused,
        V0_2::ConnectionReset => ErrorCode::ConnectionReset,
        V0_2::ConnectionAborted => ErrorCode::ConnectionAborted,
        V0_2::DatagramTooLarge => ErrorCode::DatagramTooLarge,
        V0_2::Unknown
        | V0_2::WouldBlock
        | V0_2::NameUnresolvable
        | V0_2::TemporaryResolverFailure
        | V0_2::PermanentResolverFailure => ErrorCode::Other(None),
    }
}
