//! A hello server that is running.

use crate::hello_client::HelloClient;
use crate::process::{Finished, Process, Signal};
use crate::program::Program;
use crate::wasi::Wasi;
use std::net::SocketAddr;

/// `serve`, started and ready: by sockbox or by another runtime.
pub struct Serving {
    process: Process,
    addresses: Vec<SocketAddr>,
}

impl Serving {
    /// `sockbox serve` on these addresses, once it listens.
    pub fn on(wasi: Wasi, listen: &[&str]) -> Self {
        let args = listen.iter().flat_map(|address| ["--listen", address]);
        Self::started(Program::serve(wasi).args(args), listen.len())
    }

    /// `sockbox serve` on a free port of 127.0.0.1, with these options.
    pub fn with(wasi: Wasi, options: &[&str]) -> Self {
        Self::started(Self::program(wasi, options), 1)
    }

    /// What [`Serving::with`] starts.
    pub fn program(wasi: Wasi, options: &[&str]) -> Program {
        Program::serve(wasi)
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
    }

    /// `sockbox serve` on a free port of 127.0.0.1.
    pub fn new(wasi: Wasi) -> Self {
        Self::on(wasi, &["127.0.0.1:0"])
    }

    /// Start a program and wait until it has said that it listens on so many addresses.
    pub fn started(program: Program, addresses: usize) -> Self {
        let process = program.start();
        let addresses = process.wait_for_stdout("where it listens", |stdout| {
            let whole_lines = stdout.rsplit_once('\n')?.0;
            let found: Vec<SocketAddr> = whole_lines.lines().filter_map(listening_on).collect();
            (found.len() == addresses).then_some(found)
        });
        Self { process, addresses }
    }

    /// The first address.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses, in the order of the lines.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connect a client to the first address.
    #[track_caller]
    pub fn client(&self) -> HelloClient {
        HelloClient::connect(self.address())
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The process, to be changed.
    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Wait until a line of its log has all of these words.
    pub fn wait_for_log(&self, words: &[&str]) -> String {
        self.process
            .wait_for_stderr(&format!("a line with {words:?}"), |stderr| {
                let whole_lines = stderr.rsplit_once('\n')?.0;
                whole_lines
                    .lines()
                    .find(|line| words.iter().all(|word| line.contains(word)))
                    .map(str::to_owned)
            })
    }

    /// How many lines of its log have all of these words, so far.
    pub fn count_in_log(&self, words: &[&str]) -> usize {
        let stderr = self.process.stderr();
        stderr
            .lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    }

    /// Ask it for statistics, with SIGUSR1; returns the line that it answers with.
    pub fn statistics(&self) -> String {
        let before = self.count_in_log(&["statistics"]);
        self.process.signal(Signal::USR1);
        self.process.wait_for_stderr("statistics", |stderr| {
            let whole_lines = stderr.rsplit_once('\n')?.0;
            let mut lines = whole_lines
                .lines()
                .filter(|line| line.contains("statistics"));
            lines.nth(before).map(str::to_owned)
        })
    }

    /// Whether a line of statistics tells of so many sockets.
    pub fn holds_sockets(line: &str, count: usize) -> bool {
        line.contains(&format!(", {count} sockets"))
    }

    /// Send it SIGTERM and wait until it has ended.
    pub fn terminate(self) -> Finished {
        self.process.signal(Signal::TERM);
        self.process.wait()
    }

    /// Give up the address list, keep the process.
    pub fn into_process(self) -> Process {
        self.process
    }
}

/// The address in a line `listening on ADDR:PORT`.
fn listening_on(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("listening on ")?.trim().parse().ok()
}
