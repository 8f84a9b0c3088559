//! The servers that are compared, each in a process of its own.

use sockbox_tests::{Program, Serving};

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// [`tokio_server`](super::tokio_server).
    Tokio,
    /// `sockbox serve`.
    Sockbox,
    /// The component under the real `wasmtime run`.
    WasmtimeRun,
}

impl Server {
    pub const ALL: [Server; 3] = [Server::Tokio, Server::Sockbox, Server::WasmtimeRun];

    pub fn name(self) -> &'static str {
        match self {
            Server::Tokio => "tokio",
            Server::Sockbox => "sockbox",
            Server::WasmtimeRun => "wasmtime run",
        }
    }

    /// Starts it; it listens when this returns.
    pub fn start(self) -> Serving {
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        let program = match self {
            Server::Tokio => Program::this(["tokio-server"]),
            Server::Sockbox => Program::sockbox(serve),
            Server::WasmtimeRun => Program::wasmtime_run(&["-S", "inherit-network"], serve),
        };
        // Nobody reads what it says about each connection.
        Serving::started(program.without_stderr(), 1)
    }
}
