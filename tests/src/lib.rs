//! The harness of sockbox's end-to-end tests; the tests themselves are in `tests/tests`.
//!
//! A test starts programs ([`Program`]), or the same one beside curl ([`SideBySide`]), and gives them peers: real
//! servers ([`Nginx`], [`Lighttpd`], [`Node`], [`Httpbin`], [`PythonHttp`]), a peer that sends exact bytes
//! ([`RawPeer`], and over TLS [`TlsPeer`], with a certificate of an [`Authority`]), a listener that must stay
//! untouched ([`Tripwire`]), a proxy ([`ConnectProxy`], [`Tinyproxy`]), a name server that knows no name ([`NameTrap`]), a network on which packets vanish
//! ([`BlackHole`]), one where names change their addresses and every packet is recorded ([`Internet`]), or
//! clients of the hello server ([`HelloClient`], [`TutorialClient`], [`Resets`]). [`Foreign`] are components that
//! were not written for sockbox.
//!
//! Everything listens on loopback, on ports that the system chose, and ends when it is dropped. When
//! a test fails, all programs and peers that it started print their output, so the failure shows
//! both sides.

#![forbid(unsafe_code)]

mod authority;
mod black_hole;
mod capture;
mod clang;
mod compiled;
mod connect_proxy;
mod deadline;
mod fifo;
mod foreign;
mod hello_client;
mod httpbin;
mod internet;
mod json;
mod lighttpd;
mod name_trap;
mod nginx;
mod node;
mod paths;
mod ports;
mod process;
mod program;
mod python;
mod raw_peer;
mod refuser;
mod resets;
mod serving;
mod side_by_side;
mod site;
mod text;
mod tinyproxy;
mod tls_peer;
mod tools;
mod tripwire;
mod udp;
mod wasi;

pub use authority::{Authority, Identity, Params, day};
pub use black_hole::BlackHole;
pub use connect_proxy::ConnectProxy;
pub use deadline::{Deadline, PATIENCE, eventually};
pub use fifo::Fifo;
pub use foreign::Foreign;
pub use hello_client::HelloClient;
pub use httpbin::Httpbin;
pub use internet::{Internet, Seen};
pub use json::Json;
pub use lighttpd::Lighttpd;
pub use name_trap::NameTrap;
pub use nginx::Nginx;
pub use node::Node;
pub use paths::{component, component_with_tls};
pub use process::{Finished, Process, Signal};
pub use program::Program;
pub use python::{PythonHttp, TutorialClient};
pub use raw_peer::{Peer, RawPeer};
pub use refuser::Refuser;
pub use resets::Resets;
pub use serving::Serving;
pub use side_by_side::{OLD, Outcome, SideBySide};
pub use text::pattern;
pub use tinyproxy::Tinyproxy;
pub use tls_peer::{TlsPeer, TlsSettings};
pub use tripwire::Tripwire;
pub use udp::{UdpEcho, UdpTripwire, ask as ask_by_udp};
pub use wasi::Wasi;

/// Whether this machine's loopback speaks IPv6. Says so on standard error if it doesn't, since a test
/// that asks is about to be skipped.
pub fn has_ipv6() -> bool {
    match std::net::TcpListener::bind("[::1]:0") {
        Ok(_) => true,
        Err(error) => {
            text::skipped(&format!("there is no IPv6 on this machine: {error}"));
            false
        }
    }
}
