//! Network programs in a WebAssembly sandbox that reaches only what it was granted.
//!
//! sockbox runs a component that was written for WASI 0.2 sockets: an HTTP client and a small TCP
//! server. It runs inside [wasmtime], and reaches only what a [`Policy`] grants. Without a grant it
//! can't resolve a name, connect, listen or accept. sockbox runs any other command component in the
//! same way.
//!
//! [wasmtime]: https://wasmtime.dev
//!
//! # Overview
//! 1. A [`Sandbox`] holds what all runs share: the engine, and the component, compiled when sockbox
//!    was built. Make one, and keep it.
//! 2. [`Sandbox::instance`] prepares one run: its [`Policy`], its [`Limits`], the audit record
//!    ([`audit`]), and the TLS settings ([`TlsConfig`]). The result is an [`Instance`].
//! 3. [`Instance::fetch`] sends a [`Request`] and gives a [`Response`] whose body is streamed, and
//!    [`Response::follow`] follows a redirect, if that is granted. [`Instance::serve`] returns a
//!    [`Server`] with an event for each connection. Both run in the tokio runtime that they are
//!    called in.
//! 4. [`Sandbox::plugin_file`] loads a component of any world. A [`Plugin`] calls its functions, with the types of `bindgen!`
//!    or without, and offers it imports of the program's own. A [`Pool`] lends its instances to many tasks.
//! 5. [`Sandbox::program_file`] loads any command component, and [`Program::command`] runs it. It also loads components
//!    that handle HTTP requests: [`Program::handler`] makes a [`Handler`], and [`Handler::serve`] serves it.
//!
//! Every failure is an [`Error`]. Its documentation names the cause of each case.
//!
//! # Examples
//! Fetch a page that is granted, and fail to fetch one that isn't:
//! ```
//! use sockbox::{Error, Policy, Request, Sandbox, origin_of};
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
//! let policy = Policy::new().allow_origin(origin_of(&url)?);
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
#![deny(unsafe_code)]

mod bindings;
mod cache;
mod command;
mod compiler;
mod cost;
mod cpu;
mod entry;
mod epoch;
mod error;
mod exports;
mod exposed;
mod failure;
mod fetch;
mod handler;
mod http_server;
mod idle;
pub mod inspect;
mod instance;
mod life;
mod listen;
mod load;
mod mounts;
mod network_error;
mod output;
mod plugin;
mod problem;
mod program;
mod proposals;
mod provided;
mod reservation;
mod roles;
mod runtime;
mod sandbox;
mod secrets;
mod serve;
mod setup;
mod state;
mod streams;
mod surroundings;
mod url;
mod wanted;
mod wasi_version;
mod wit_convert;

/// The record of a run: its events, and a sink that writes them to a file.
pub mod audit {
    pub use sockbox_policy::audit::*;
    pub use sockbox_wasi::{
        FINISH_TIMEOUT, JsonLines, MAX_DIFFERENT_EVENTS, MAX_EVENT_BYTES, MAX_RECORD_BYTES,
        MAX_WAITING_BYTES, REPEAT_WINDOW, Written,
    };
}

pub use sockbox_policy as policy;
pub use sockbox_policy::{limits, profile};

pub use audit::{AuditEvent, AuditSink, EventKind, RunId};
pub use cache::CacheUse;
pub use command::Command;
pub use compiler::compile_for_parent;
pub use error::{
    ConnectFailure, Error, ErrorKind, Hint, NetworkError, ResponseLimit, ResponseProblem, Result,
    Stage, TimeBound,
};
pub use exposed::{must_not_expose, must_not_show};
pub use fetch::{Body, Family, Header, Redirect, Request, Response, Timings};
pub use handler::{Handler, HandlerBody, HandlerBuilder};
pub use http_server::{
    HttpEvent, HttpOptions, HttpRefused, HttpServer, HttpServerHandle, HttpStats,
};
pub use instance::{Instance, InstanceBuilder};
pub use output::{Pause, StdioWriter};
pub use plugin::{Plugin, PluginInstance, Pool, PoolOptions, Pooled, Value, WrongValue};
pub use policy::{Limits, Policy, Profile, Wasi};
pub use program::Program;
pub use sandbox::{Sandbox, SandboxBuilder};
pub use serve::{
    AcceptFailed, CloseReason, Closed, Event, Framing, Opened, RefuseReason, Refused, ServeOptions,
    Server, ServerHandle, ServerStats,
};
pub use sockbox_policy::{SecretHeader, SecretHeaderError};
pub use sockbox_wasi::tls::{
    Certificate, CertificateProblem, TlsConfig, TlsError, TlsFailure, TlsHandshake, TlsHint,
    TlsVersion,
};
pub use sockbox_wasi::{
    Authority, Decider, Decision, Grant, GrantHandle, Incident, Incidents, ProfileError, ProxiedBy,
    ProxyProblem, Question, Refusal, RequestError, local_networks,
};
pub use state::State as PluginState;
pub use streams::{Captured, Input, InputPipe, Output, OutputPipe};
pub use url::{UrlError, origin_of};

/// The runtime, of the version that `sockbox` uses: for [`Plugin::with`], and for `bindgen!` with
/// `wasmtime_crate: sockbox::wasmtime`.
pub use wasmtime;

/// The types of [`TlsConfig::roots`] and [`TlsConfig::verifier`].
pub use sockbox_wasi::rustls;

/// The documentation, page by page.
#[cfg(doc)]
pub mod docs {
    /// A module for each page, whose links to other pages lead to their modules.
    macro_rules! pages {
        ($($module:ident $file:literal,)*) => {
            $(
                #[doc = "[audit.md]: self::audit"]
                #[doc = "[comparison.md]: self::comparison"]
                #[doc = "[components.md]: self::components"]
                #[doc = "[deploy.md]: self::deploy"]
                #[doc = "[exit-codes.md]: self::exit_codes"]
                #[doc = "[fetch.md]: self::fetch"]
                #[doc = "[grants.md]: self::grants"]
                #[doc = "[handlers.md]: self::handlers"]
                #[doc = "[http.md]: self::http"]
                #[doc = "[limits.md]: self::limits"]
                #[doc = "[run.md]: self::run"]
                #[doc = "[serve.md]: self::serve"]
                #[doc = "[wasmtime-run.md]: self::wasmtime_run"]
                #[doc = ""]
                #[doc = include_str!(concat!("../../docs/", $file))]
                pub mod $module {}
            )*
        };
    }

    pages! {
        audit "audit.md",
        comparison "comparison.md",
        components "components.md",
        deploy "deploy.md",
        embedding "embedding.md",
        exit_codes "exit-codes.md",
        fetch "fetch.md",
        grants "grants.md",
        handlers "handlers.md",
        http "http.md",
        limits "limits.md",
        run "run.md",
        serve "serve.md",
        wasmtime_run "wasmtime-run.md",
    }
}
