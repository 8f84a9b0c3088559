//! The servers that are compared, each in a process of its own.

use sockbox_tests::{Program, Serving, Wasi};

/// The servers that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// [`tokio_server`](super::tokio_server).
    Tokio,
    /// `sockbox serve`.
    Sockbox(Wasi),
    /// The component under the real `wasmtime run`.
    WasmtimeRun(Wasi),
}

impl Server {
    pub const ALL: [Server; 5] = [
        Server::Tokio,
        Server::Sockbox(Wasi::V0_2),
        Server::Sockbox(Wasi::V0_3),
        Server::WasmtimeRun(Wasi::V0_2),
        Server::WasmtimeRun(Wasi::V0_3),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Server::Tokio => "tokio",
            Server::Sockbox(Wasi::V0_2) => "sockbox",
            Server::Sockbox(Wasi::V0_3) => "sockbox, 0.3",
            Server::WasmtimeRun(Wasi::V0_2) => "wasmtime run",
            Server::WasmtimeRun(Wasi::V0_3) => "wasmtime run, 0.3",
        }
    }

    /// Starts it; it listens when this returns.
    pub fn start(self) -> Serving {
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        let program = match self {
            Server::Tokio => Program::this(["tokio-server"]),
            Server::Sockbox(wasi) => Program::sockbox(serve).args(["--wasi", wasi.name()]),
            Server::WasmtimeRun(wasi) => {
                Program::wasmtime_run_on(wasi, &["-S", "inherit-network"], serve)
            }
        };
        // Its output about each connection is not read.
        Serving::started(program.without_stderr(), 1)
    }
}
