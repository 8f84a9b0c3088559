//! Programs that tests start.

use crate::paths;
use crate::process::{Finished, Process};
use crate::tools;
use crate::wasi::Wasi;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program about to be started: with a clean environment, nothing on its standard input, and both
/// outputs captured, unless told otherwise.
pub struct Program {
    command: Command,
}

impl Program {
    /// The `sockbox` command of this build; `serve` on the version of WASI under test, unless that is
    /// the default.
    pub fn sockbox<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let mut program = Self::new(paths::sockbox(), [] as [&str; 0]);
        for arg in args {
            program.command.arg(arg.as_ref());
            if arg.as_ref() == "serve" && Wasi::under_test() == Wasi::V0_3 {
                program.command.args(["--wasi", "0.3"]);
            }
        }
        program
    }

    /// The real `wasmtime run` with these flags, on sockbox's component for the version of WASI under
    /// test with these arguments.
    pub fn wasmtime_run<A: AsRef<OsStr>>(
        flags: &[&str],
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self::wasmtime_run_on(Wasi::under_test(), flags, args)
    }

    /// The same, for this version of WASI.
    pub fn wasmtime_run_on<A: AsRef<OsStr>>(
        wasi: Wasi,
        flags: &[&str],
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let component = paths::component(wasi);
        let flags = flags.iter().map(OsStr::new);
        Self::new(&paths::wasmtime_run(), flags.chain([component.as_os_str()])).args(args)
    }

    /// The real `curl`, silent.
    pub fn curl<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let curl = tools::curl();
        Self::new(&curl.path, ["-s"]).libraries(curl).args(args)
    }

    /// The program that is running, once more: a test or a benchmark that has another part to play.
    pub fn this<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let path = std::env::current_exe().expect("the path of the running program");
        Self::new(&path, args)
    }

    /// Any program.
    pub(crate) fn new<A: AsRef<OsStr>>(path: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(path);
        command.args(args).env_clear().env("LC_ALL", "C.UTF-8");
        // `PATH` and `HOME` so that programs find what they need; nothing that changes what they do
        // (proxies, colours, backtraces).
        for name in ["PATH", "HOME", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { command }
    }

    /// Let it find the libraries that came with a tool.
    pub(crate) fn libraries(mut self, tool: &tools::Tool) -> Self {
        if let Some(libraries) = &tool.libraries {
            self.command.env("LD_LIBRARY_PATH", libraries);
        }
        self
    }

    /// Add arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// The program and its arguments.
    pub(crate) fn words(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(self.command.get_program()).chain(self.command.get_args())
    }

    /// Set a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Start it in this folder.
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Give it a standard input to read: [`Process::stdin`] writes to it.
    pub fn with_stdin(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Let its standard output go somewhere else; it isn't captured then.
    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    /// Let nobody read its standard error.
    pub fn without_stderr(mut self) -> Self {
        self.command.stderr(Stdio::null());
        self
    }

    /// Start it.
    pub fn start(self) -> Process {
        Process::start(self.command)
    }

    /// Start it and read its standard output by hand.
    pub fn start_with_pipe(self) -> (Process, std::io::PipeReader) {
        Process::start_with_pipe(self.command)
    }

    /// Start it and wait until it ends.
    pub fn run(self) -> Finished {
        self.start().wait()
    }
}
