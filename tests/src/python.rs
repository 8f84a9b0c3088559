//! What the tests run with Python: its web server, and the tutorial's client.

use crate::process::{Finished, Process};
use crate::program::Program;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Python itself.
pub(crate) fn path() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        // `python3` may be a wrapper that takes longer to start than Python itself: ask for the real one.
        let ask = ["-c", "import sys; print(sys.executable)"];
        let output = Command::new("python3").args(ask).output();
        let output = output
            .unwrap_or_else(|error| panic!("the tests need python3, please install it: {error}"));
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
    })
}

/// Start Python with nothing but its own library: quicker, and the same on every machine.
pub(crate) fn bare() -> Program {
    Program::new(path(), ["-I", "-S", "-u"])
}

/// Python's `http.server`: HTTP/1.0, one page per connection.
pub struct PythonHttp {
    _process: Process,
    address: SocketAddr,
}

impl PythonHttp {
    /// Serve the files of a folder on a free port of 127.0.0.1.
    pub fn serving(dir: &Path) -> Self {
        let process = bare()
            .args(["-m", "http.server", "--bind", "127.0.0.1", "0"])
            .current_dir(dir)
            .start();
        let port = process.wait_for_stdout("its port", |stdout| {
            let (_, rest) = stdout.split_once(" port ")?;
            let (port, _) = rest.split_once(' ')?;
            port.parse::<u16>().ok()
        });
        Self {
            _process: process,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    /// A URL on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// The tutorial's client, run by Python.
pub struct TutorialClient {
    process: Process,
}

impl TutorialClient {
    /// What it prints when every answer is right.
    pub const ANSWERS: &str = "Hello, Michael!\nHello, Tracy!\nHello, Sarah!\n";

    /// Run one client to its end.
    pub fn run(server: SocketAddr) -> Finished {
        Self::program(server).run()
    }

    /// Run so many clients that are all connected before the first of them sends anything, and assert
    /// that each gets its answers.
    #[track_caller]
    pub fn run_together(server: SocketAddr, count: usize) {
        let start = |_| Self {
            process: Self::program(server)
                .args(["together"])
                .with_stdin()
                .start(),
        };
        let clients: Vec<Self> = (0..count).map(start).collect();
        for client in &clients {
            client
                .process
                .wait_for_stdout("that it is connected", |stdout| {
                    stdout.starts_with("connected\n").then_some(())
                });
        }
        let go = |mut client: Self| {
            let mut stdin = client.process.stdin();
            stdin.write_all(b"go\n").expect("a client that waits");
            client
        };
        let clients: Vec<Self> = clients.into_iter().map(go).collect();
        for client in clients {
            let finished = client.process.wait();
            finished.assert_quiet_success();
            assert_eq!(
                finished.stdout_text(),
                format!("connected\n{}", Self::ANSWERS)
            );
        }
    }

    fn program(server: SocketAddr) -> Program {
        let script = include_str!("tutorial_client.py");
        bare()
            .args(["-c", script])
            .args([server.ip().to_string(), server.port().to_string()])
    }
}
