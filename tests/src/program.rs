//! Programs that tests start.

use crate::compiled;
use crate::paths;
use crate::process::{Finished, Process, ignores_signals};
use crate::python;
use crate::text::skipped;
use crate::tools;
use crate::wasi::Wasi;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

/// A program to start. By default its environment is clean, its standard input is empty, and both
/// outputs are captured.
pub struct Program {
    command: Command,
    /// Files that stay open until it is started.
    files: Vec<OwnedFd>,
}

impl Program {
    /// The `sockbox` command of this build.
    pub fn sockbox<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let mut program = Self::new(paths::sockbox(), [] as [&str; 0]);
        // Its cache is in the build folder, not in the user's home.
        let cache = paths::target_dir().join("cache");
        program.command.env("SOCKBOX_CACHE_DIR", cache);
        program.args(args)
    }

    /// An example of the library.
    pub fn example(name: &str) -> Self {
        Self::new(&paths::example(name), [] as [&str; 0])
    }

    /// `sockbox serve`, with the component for this version of WASI.
    pub fn serve(wasi: Wasi) -> Self {
        let program = Self::sockbox(["serve"]);
        match wasi {
            // The default.
            Wasi::V0_2 => program,
            Wasi::V0_3 => program.args(["--wasi", wasi.name()]),
        }
    }

    /// The real `wasmtime run` with these flags, on sockbox's component for WASI 0.2 with these arguments.
    pub fn wasmtime_run<A: AsRef<OsStr>>(
        flags: &[&str],
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self::wasmtime_run_on(Wasi::V0_2, flags, args)
    }

    /// The same, on the component for this version of WASI.
    pub fn wasmtime_run_on<A: AsRef<OsStr>>(
        wasi: Wasi,
        flags: &[&str],
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let component = paths::component(wasi);
        let flags = flags.iter().map(OsStr::new);
        Self::new(&paths::wasmtime_run(), flags.chain([component.as_os_str()])).args(args)
    }

    /// The real `wasmtime run` with these flags, on any component.
    pub fn wasmtime_run_of(component: &Path, flags: &[&str]) -> Self {
        let flags = flags.iter().map(OsStr::new);
        Self::new(&paths::wasmtime_run(), flags.chain([component.as_os_str()]))
    }

    /// The same, on the component with TLS.
    pub fn wasmtime_run_with_tls<A: AsRef<OsStr>>(
        flags: &[&str],
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let component = paths::component_with_tls();
        let flags = flags.iter().map(OsStr::new);
        Self::new(&paths::wasmtime_run(), flags.chain([component.as_os_str()])).args(args)
    }

    /// The same with a component that was compiled before, for tests that run it often.
    pub fn wasmtime_run_compiled<A: AsRef<OsStr>>(
        flags: &[&str],
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let flags = ["--allow-precompiled"].iter().chain(flags);
        let flags = flags.map(OsStr::new);
        let component = compiled::component().as_os_str();
        Self::new(&paths::wasmtime_run(), flags.chain([component])).args(args)
    }

    /// The real `curl`, silent, and without the user's own settings.
    pub fn curl<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let curl = tools::curl();
        Self::new(&curl.path, ["-q", "-s"])
            .libraries(curl)
            .args(args)
    }

    /// The real `openssl`.
    pub fn openssl<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let openssl = tools::openssl();
        Self::new(&openssl.path, args).libraries(openssl)
    }

    /// The real netcat, OpenBSD's, which shuts its sending side down at the end of its input.
    pub fn netcat<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let netcat = tools::netcat();
        Self::new(&netcat.path, ["-N"]).libraries(netcat).args(args)
    }

    /// The running test or benchmark program itself, for another role.
    pub fn this<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let path = std::env::current_exe().expect("the path of the running program");
        Self::new(&path, args)
    }

    /// Any program of this machine.
    pub fn from_path(path: &str) -> Self {
        Self::new(Path::new(path), [] as [&str; 0])
    }

    /// Any program.
    pub(crate) fn new<A: AsRef<OsStr>>(path: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let mut command = heeding_signals(path);
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
        Self {
            command,
            files: Vec::new(),
        }
    }

    /// Let it find the libraries that came with a tool.
    pub(crate) fn libraries(mut self, tool: &tools::Tool) -> Self {
        if let Some(libraries) = &tool.libraries {
            self.command.env("LD_LIBRARY_PATH", libraries);
        }
        self
    }

    /// The same program on a terminal, which is all of its streams: what it shows there is on standard
    /// output.
    pub fn on_a_terminal(self) -> Self {
        self.on_a_terminal_answering("", &[])
    }

    /// The same with `typed` typed there before it has shown anything, and then these answers, one each
    /// time that it asks a question with `[y/N]`.
    pub fn on_a_terminal_answering(self, typed: &str, answers: &[&str]) -> Self {
        let script = include_str!("terminal.py");
        let answers = serde_json::json!(answers).to_string();
        self.launched_by(
            python::path(),
            ["-I", "-S", "-u", "-c", script, typed, &answers],
        )
        .env("TERM", "xterm")
    }

    /// Add arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// The program and its arguments.
    pub(crate) fn words(&self) -> impl Iterator<Item = &OsStr> {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let is_reset = self.command.get_args().next() == Some(OsStr::new(RESET_SIGNALS));
        words.skip(if is_reset { 2 } else { 0 })
    }

    /// Subject it to files' permissions and owners, like every user except root.
    pub fn held_by_permissions(self) -> Self {
        if !rustix::process::geteuid().is_root() {
            return self;
        }
        let args = ["--bounding-set=-dac_override,-dac_read_search,-chown,-fowner,-fsetid"];
        self.launched_by(Path::new("setpriv"), args)
    }

    /// Give it at most so many bytes of addresses (`ulimit -v`).
    pub fn address_limit(self, bytes: u64) -> Self {
        self.launched_by(Path::new("prlimit"), [format!("--as={bytes}")])
    }

    /// Let it see one file in the place of another, as containers do. Takes namespaces (`unshare`).
    pub fn with_file_mounted(self, file: &Path, onto: &Path) -> Self {
        let script = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;
        let args = ["-r", "-m", "/bin/sh", "-c", script, "sh"].map(OsStr::new);
        let files = [file.as_os_str(), onto.as_os_str()];
        self.launched_by(Path::new("unshare"), args.into_iter().chain(files))
    }

    /// Unset a variable of its environment.
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Let it read this file as its standard input.
    pub fn stdin(mut self, file: impl Into<Stdio>) -> Self {
        self.command.stdin(file);
        self
    }

    /// Set a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Let it have so many files open, and no more.
    pub fn file_limit(self, files: usize) -> Self {
        let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        self.launched_by(Path::new("/bin/sh"), ["-c", &script])
    }

    /// Start it as systemd does, with these as its files from number 3 on.
    pub fn with_files<F: Into<OwnedFd>>(self, files: impl IntoIterator<Item = F>) -> Self {
        let script = include_str!("activate.py");
        // A copy is inherited by the child, and by whatever else is started right now, which does it
        // no harm.
        let files: Vec<OwnedFd> = files
            .into_iter()
            .map(|file| rustix::io::dup(file.into()).expect("a copy of a file"))
            .collect();
        let numbers: Vec<String> = files
            .iter()
            .map(|file| file.as_raw_fd().to_string())
            .collect();
        let args = ["-I", "-S", "-c", script, &numbers.join(",")];
        Self {
            files,
            ..self.launched_by(python::path(), args)
        }
    }

    /// Let the real systemd-socket-activate listen on an address, and start it when there is a client.
    /// None where the machine lacks that program.
    pub fn socket_activated(self, address: SocketAddr) -> Option<Self> {
        let launcher = tools::systemd_socket_activate();
        if launcher.is_none() {
            skipped("there is no systemd-socket-activate");
        }
        Some(self.launched_by(&launcher?, ["-l", &address.to_string()]))
    }

    /// Start it by a Python script in a fresh user, mount and network namespace. The script is given
    /// these files, and then the program.
    pub(crate) fn in_namespaces(self, script: &str, files: &[&Path]) -> Self {
        let new = ["-r", "-m", "-n"].map(OsStr::new);
        let run_script = ["-I", "-S", "-c", script].map(OsStr::new);
        let args = new
            .into_iter()
            .chain([python::path().as_os_str()])
            .chain(run_script)
            .chain(files.iter().map(|file| file.as_os_str()));
        self.launched_by(Path::new("unshare"), args)
    }

    /// Start it by another program, which is given its path and arguments behind its own, and its
    /// environment.
    pub(crate) fn launched_by<A: AsRef<OsStr>>(
        self,
        launcher: &Path,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let mut command = heeding_signals(launcher);
        command.args(args).args(self.words()).env_clear();
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            command,
            files: self.files,
        }
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

    /// Let its standard error go somewhere else; it isn't captured then.
    pub fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stderr(to);
        self
    }

    /// Start it from a shell, after these commands and with these redirections: `trap '' INT`, `>&-`.
    pub fn from_a_shell(self, before: &str, redirections: &str) -> Self {
        let script = format!("{before}\nexec \"$0\" \"$@\" {redirections}");
        self.launched_by(Path::new("/bin/sh"), ["-c", &script])
    }

    /// The same program on a stopped terminal, as after Ctrl-S. Its output is lost.
    pub fn on_a_stopped_terminal(self) -> Self {
        let script = include_str!("stopped_terminal.py");
        self.launched_by(python::path(), ["-I", "-S", "-u", "-c", script])
            .env("TERM", "xterm")
    }

    /// Leave its standard error unread.
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

/// What has `env` reset the signals that ask a program to end.
const RESET_SIGNALS: &str = "--default-signal=HUP,INT,QUIT,TERM";

/// A command for a program that doesn't ignore the signals which ask it to end, even where the tests do.
fn heeding_signals(path: &Path) -> Command {
    if !ignores_signals() {
        return Command::new(path);
    }
    let mut command = Command::new("/usr/bin/env");
    command.arg(RESET_SIGNALS).arg(path);
    command
}
