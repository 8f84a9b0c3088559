//! Network programs in a WebAssembly sandbox that reaches only what it was granted.
//!
//! sockbox runs a component that was written for WASI 0.2 sockets: an HTTP client and a small TCP
//! server. It runs inside [wasmtime], with no access to anything but what a [`Policy`] grants: with
//! no grant it can't look up a name, connect, listen or accept. It runs any other command component
//! the same way.
//!
//! [wasmtime]: https://wasmtime.dev
//!
//! # The way through
//! 1. A [`Sandbox`] holds what all runs share: the engine, and the component, compiled when sockbox
//!    was built. Make one, and keep it.
//! 2. [`Sandbox::instance`] prepares one run: its [`Policy`], its [`Limits`], and where its
//!    decisions are recorded ([`audit`]), and how it speaks TLS ([`TlsConfig`]). The result is an
//!    [`Instance`].
//! 3. [`Instance::fetch`] sends a [`Request`] and gives a [`Response`] whose body is streamed, and
//!    [`Response::follow`] goes where it redirects to, if that is granted;
//!    [`Instance::serve`] gives a [`Server`] that tells of each connection. Both run in the tokio
//!    runtime that they are called in.
//! 4. [`Sandbox::program_file`] loads any command component, and [`Program::command`] runs it.
//!
//! Whatever fails is an [`Error`], sorted by who can do something about it.
//!
//! # Examples
//! Fetch a page that is granted, and fail to fetch one that isn't:
//! ```
//! use sockbox::{Error, Policy, Request, Sandbox};
//! # use std::io::{Read, Write};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let url = format!("http://{}/", listener.local_addr()?);
//! # let peer = std::thread::spawn(move || -> std::io::Result<()> {
//! #     let mut stream = listener.accept()?.0;
//! #     let mut request = Vec::new();
//! #     while !request.ends_with(b"\r\n\r\n") {
//! #         let mut byte = [0];
//! #         stream.read_exact(&mut byte)?;
//! #         request.push(byte[0]);
//! #     }
//! #     stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
//! # });
//! let sandbox = Sandbox::new()?;
//!
//! let policy = Policy::new().allow_url(&url)?;
//! let mut instance = sandbox.instance().policy(policy).build().await?;
//! let mut response = instance.fetch(Request::get(&url)).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.write_to(std::io::sink()).await?, 5);
//!
//! let mut nothing_granted = sandbox.instance().build().await?;
//! let denied = nothing_granted.fetch(Request::get(&url)).await;
//! assert!(matches!(denied, Err(Error::Denied { .. })));
//! # peer.join().unwrap()?;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

pub mod audit;
mod bindings;
mod budget;
mod cache;
mod compiler;
mod component;
mod convert;
mod cost;
mod cpu;
mod decider;
mod engine;
mod error;
mod exhausted;
mod exports;
mod exposed;
mod failed;
mod fetch;
mod files;
mod in_place;
pub mod inspect;
mod instance;
pub mod limits;
mod load;
mod local_networks;
mod lookup;
mod network;
pub mod policy;
pub mod profile;
mod readiness;
mod reservation;
mod run;
mod sandbox;
mod serve;
mod sink;
mod sockets;
mod state;
mod ticker;
mod tls;
mod traffic;

pub use audit::{AuditEvent, AuditSink, RunId, What};
pub use cache::CacheUse;
pub use compiler::compile_for_parent;
pub use decider::{Decider, Decision, Question};
pub use error::{ConnectFailure, Error, NetworkError, ResponseLimit, Result, Stage, TimeBound};
pub use exports::Wasi;
pub use fetch::{Body, Family, Header, Redirect, Request, Response, Timings};
pub use instance::{Instance, InstanceBuilder};
pub use limits::Limits;
pub use policy::Policy;
pub use profile::Profile;
pub use run::{Command, Program};
pub use sandbox::{Sandbox, SandboxBuilder};
pub use serve::{
    AcceptFailed, CloseReason, Closed, Event, Framing, Opened, RefuseReason, Refused, ServeOptions,
    Server, ServerHandle, Summary,
};
pub use sink::{Pause, StdioWriter};
pub use tls::{Certificate, CertificateProblem, TlsConfig, TlsFailure, TlsHandshake, TlsVersion};

/// What [`TlsConfig::roots`] and [`TlsConfig::verifier`] take the types of.
pub use rustls;
