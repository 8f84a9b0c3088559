//! httpbin, as PyPI has it.

use crate::process::Process;
use crate::python;
use crate::tools;

/// A running httpbin: a web application about HTTP itself. It closes each connection after one request.
pub struct Httpbin {
    _process: Process,
    port: u16,
}

impl Httpbin {
    /// Start it on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let process = python::bare()
            .args(["-c", include_str!("httpbin_server.py")])
            .args([tools::httpbin()])
            .start();
        let port = process.wait_for_stdout("its port", |stdout| {
            let (port, _) = stdout
                .strip_prefix("listening on port ")?
                .split_once('\n')?;
            port.parse().ok()
        });
        Self {
            _process: process,
            port,
        }
    }

    /// A URL on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}
