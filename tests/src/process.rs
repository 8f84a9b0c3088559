//! A child process, and its result.

use crate::capture::Capture;
use crate::deadline::{Deadline, PATIENCE};
use crate::text::readable;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, prlimit};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

pub use rustix::process::Signal;

/// Texts of crashes, which no output may contain.
const CRASH_SIGNS: &[&str] = &[
    "panicked at",
    "RUST_BACKTRACE",
    "stack backtrace",
    "wasm backtrace",
    "internal error",
];

/// Whether this process ignores one of the signals that ask a process to end, as in the background of a shell
/// script: then the processes that it starts would ignore it as well.
pub(crate) fn ignores_signals() -> bool {
    static IGNORES: LazyLock<bool> = LazyLock::new(|| {
        let status = std::fs::read_to_string("/proc/self/status").expect("this process's status");
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .expect("a mask of signals");
        let signals = [Signal::HUP, Signal::INT, Signal::TERM];
        signals
            .iter()
            .any(|signal| mask & (1 << (signal.as_raw() - 1)) != 0)
    });
    *IGNORES
}

/// A running child process. Killed when dropped; when its test fails, it prints what it wrote.
pub struct Process {
    name: String,
    child: Child,
    stdout: Option<Capture>,
    stderr: Option<Capture>,
    started: Instant,
    waited_for: bool,
}

impl Process {
    /// Start `command`. Its streams are captured where they are pipes.
    pub(crate) fn start(mut command: Command) -> Self {
        let name = shown(&command);
        let started = Instant::now();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} can't be started: {error}"));
        Self {
            stdout: child.stdout.take().map(Capture::of),
            stderr: child.stderr.take().map(Capture::of),
            name,
            child,
            started,
            waited_for: false,
        }
    }

    /// Start `command` and return its standard output to the caller, which can read it slowly.
    pub(crate) fn start_with_pipe(mut command: Command) -> (Self, std::io::PipeReader) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        command.stdout(Stdio::from(writer));
        // The command keeps its copy of the writing end until it is dropped, in `start`.
        (Self::start(command), reader)
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The writing end of its standard input, where the program was told to have one.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child
            .stdin
            .take()
            .unwrap_or_else(|| panic!("{} has no standard input to write to", self.name))
    }

    /// What it has written on standard output so far.
    pub fn stdout(&self) -> String {
        captured(&self.stdout)
    }

    /// What it has written on standard error so far.
    pub fn stderr(&self) -> String {
        captured(&self.stderr)
    }

    /// Wait until `find` finds something in its standard output.
    ///
    /// # Panics
    /// When the output ends without it, or it doesn't come within [`PATIENCE`].
    pub fn wait_for_stdout<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        self.wait_for(what, "standard output", &self.stdout, find)
    }

    /// As [`Process::wait_for_stdout`], of its standard error.
    pub fn wait_for_stderr<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        self.wait_for(what, "standard error", &self.stderr, find)
    }

    /// The most memory it has used so far, in KiB (`VmHWM`: pages that were resident).
    pub fn peak_memory(&self) -> u64 {
        self.status_kib("VmHWM:")
            .expect("a process that still runs")
    }

    /// None when it has ended: then it has no memory any more.
    fn status_kib(&self, field: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))
            .expect("the process's status");
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let number = line.trim().trim_end_matches("kB").trim();
        let number = number.parse();
        Some(number.unwrap_or_else(|error| panic!("{line:?} is not a size: {error}")))
    }

    /// Wait until it ends; also returns the most memory that it was seen to use, in KiB.
    pub fn wait_watching_memory(mut self) -> (Finished, u64) {
        let deadline = Deadline::after(PATIENCE);
        let mut most = 0;
        // Looked at before it is asked whether it has ended: until then, it can be.
        while let Some(memory) = self.status_kib("VmHWM:")
            && !self.has_ended()
            && !deadline.passed()
        {
            most = memory.max(most);
            std::thread::sleep(Duration::from_millis(1));
        }
        (self.wait(), most)
    }

    /// How much memory it uses now, in KiB (`VmRSS`: pages that are resident).
    pub fn memory(&self) -> u64 {
        self.status_kib("VmRSS:")
            .expect("a process that still runs")
    }

    /// How many files it has open.
    pub fn open_files(&self) -> usize {
        self.files().len()
    }

    /// Let it open no more files than it has.
    pub fn allow_no_more_files(&self) {
        let files = self.files();
        // The limit is one on a new file's number, which is the lowest that is free.
        let free = (0..).find(|number| !files.contains(number));
        self.set_file_limit(free.expect("there are more numbers than files"));
    }

    fn files(&self) -> BTreeSet<u64> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.id()));
        files
            .expect("the process's files")
            .filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// Let it have so many files open from now on, and no more.
    pub fn set_file_limit(&self, files: u64) {
        let limit = Rlimit {
            current: Some(files),
            // What may be lowered may be raised again.
            maximum: getrlimit(Resource::Nofile).maximum,
        };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit)
            .unwrap_or_else(|error| panic!("the limit of {} can't be set: {error}", self.name));
    }

    /// The CPU time that it has used so far.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))
            .expect("the process's statistics");
        // The name, in parentheses, may contain anything; after it, fields 14 and 15 of proc(5).
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().expect("a number of ticks"))
            .sum();
        // USER_HZ is 100 on every Linux that Rust runs on.
        Duration::from_millis(ticks * 10)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child's status").is_some()
    }

    /// Send it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .unwrap_or_else(|error| panic!("{} can't be sent {signal:?}: {error}", self.name));
    }

    /// Stop it while `meanwhile` runs. Its input waits in the system.
    pub fn standing_still<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        self.signal(Signal::STOP);
        let deadline = Deadline::after(PATIENCE);
        // It is stopped once every thread is.
        while !self.threads_are_stopped() {
            assert!(!deadline.passed(), "{} doesn't stop", self.name);
            std::thread::yield_now();
        }
        let done = meanwhile();
        self.signal(Signal::CONT);
        done
    }

    fn threads_are_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id()));
        let mut threads = threads.expect("the process's threads").flatten();
        threads.all(|thread| {
            // One that has ended meanwhile stands still as well.
            let stat = std::fs::read_to_string(thread.path().join("stat"));
            stat.map_or(true, |stat| {
                stat.rsplit_once(") ")
                    .is_some_and(|(_, fields)| fields.starts_with('T'))
            })
        })
    }

    /// Wait until it ends.
    ///
    /// # Panics
    /// When it doesn't within [`PATIENCE`].
    pub fn wait(self) -> Finished {
        self.wait_at_most(PATIENCE)
    }

    /// Wait until it ends.
    ///
    /// # Panics
    /// When it doesn't within `duration`.
    pub fn wait_at_most(mut self, duration: Duration) -> Finished {
        let deadline = Deadline::after(duration);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child's status") {
                break status;
            }
            assert!(
                !deadline.passed(),
                "{} was still running after {duration:?}",
                self.name
            );
            std::thread::sleep(Duration::from_millis(1));
        };
        let elapsed = self.started.elapsed();
        // A grandchild may hold the pipes open; what it writes is not waited for.
        let deadline = Deadline::after(Duration::from_secs(5));
        for capture in [&self.stdout, &self.stderr].into_iter().flatten() {
            capture.wait_for_end(deadline);
        }
        self.waited_for = true;
        Finished {
            name: self.name.clone(),
            status,
            stdout: self.stdout.as_ref().map(Capture::bytes).unwrap_or_default(),
            stderr: captured(&self.stderr),
            elapsed,
        }
    }

    fn wait_for<T>(
        &self,
        what: &str,
        stream: &str,
        capture: &Option<Capture>,
        find: impl Fn(&str) -> Option<T>,
    ) -> T {
        let capture = capture
            .as_ref()
            .unwrap_or_else(|| panic!("the {stream} of {} isn't captured", self.name));
        capture
            .wait_for(Deadline::after(PATIENCE), |bytes| {
                find(&String::from_utf8_lossy(bytes))
            })
            .unwrap_or_else(|| panic!("{} did not write {what} on its {stream}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.waited_for {
            return;
        }
        // It may have ended by itself; then there is nothing to kill, and waiting collects it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "---- {} (killed by its test)\n---- its stdout:\n{}\n---- its stderr:\n{}\n----",
                self.name,
                readable(self.stdout().as_bytes()),
                readable(self.stderr().as_bytes()),
            );
        }
    }
}

/// The result of a process that has ended. When its test fails, it is printed.
pub struct Finished {
    name: String,
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: String,
    elapsed: Duration,
}

impl Finished {
    /// The exit code; of a process that a signal ended, 128 and the signal's number, as shells say it.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .or_else(|| self.status.signal().map(|signal| 128 + signal))
            .unwrap_or(-1)
    }

    /// What it wrote on standard output, where that was captured.
    pub fn stdout(&self) -> &[u8] {
        &self.stdout
    }

    /// What it wrote on standard output, as text.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// What it wrote on standard error.
    pub fn stderr(&self) -> &str {
        &self.stderr
    }

    /// How long it ran.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Assert that it ended with this code, by itself and without a sign of a crash.
    #[track_caller]
    pub fn assert_code(&self, expected: i32) -> &Self {
        // What isn't text isn't for people: a component that is written out may well have such words.
        let stdout = std::str::from_utf8(&self.stdout).unwrap_or_default();
        for sign in CRASH_SIGNS {
            for output in [stdout, &self.stderr] {
                assert!(
                    !output.contains(sign),
                    "{} crashed: its output says {sign:?}",
                    self.name
                );
            }
        }
        assert_eq!(
            self.status.code(),
            Some(expected),
            "exit code of {} ({})",
            self.name,
            self.status
        );
        self
    }

    /// Assert that it ended with this code and without any message.
    #[track_caller]
    pub fn assert_quiet(&self, code: i32) -> &Self {
        self.assert_code(code);
        assert_eq!(self.stderr, "", "standard error of {}", self.name);
        self
    }

    /// Assert that it succeeded without any message.
    #[track_caller]
    pub fn assert_quiet_success(&self) -> &Self {
        self.assert_code(0);
        assert_eq!(self.stderr, "", "standard error of {}", self.name);
        self
    }

    /// Assert that it ended with this code and one line for the user, which has all of these words.
    #[track_caller]
    pub fn assert_failure(&self, code: i32, words: &[&str]) -> &Self {
        self.assert_code(code);
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert!(
            lines.len() == 1,
            "{} lines on standard error of {}, not one",
            lines.len(),
            self.name
        );
        assert!(
            self.stderr.starts_with("sockbox: "),
            "the message doesn't say whose it is"
        );
        assert!(
            self.stderr.ends_with('\n'),
            "the message's line doesn't end"
        );
        for word in words {
            assert!(
                self.stderr.contains(word),
                "{word:?} is not in the message of {}",
                self.name
            );
        }
        self
    }

    /// Assert that standard output was exactly this.
    #[track_caller]
    pub fn assert_stdout(&self, expected: &[u8]) -> &Self {
        assert!(
            self.stdout == expected,
            "standard output of {} is not the expected {} bytes:\n{}",
            self.name,
            expected.len(),
            readable(expected)
        );
        self
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "---- {}\n---- {} after {:?}; its stdout, {} bytes:\n{}\n---- its stderr:\n{}\n----",
                self.name,
                self.status,
                self.elapsed,
                self.stdout.len(),
                readable(&self.stdout),
                readable(self.stderr.as_bytes()),
            );
        }
    }
}

/// The program and its arguments, as one would type them; of a script the first line.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| match word.to_string_lossy().split_once("\n") {
        Some((line, rest)) if rest.len() > 200 => format!("\"{line} …\""),
        _ => format!("{word:?}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn captured(capture: &Option<Capture>) -> String {
    capture
        .as_ref()
        .map(|capture| String::from_utf8_lossy(&capture.bytes()).into_owned())
        .unwrap_or_default()
}
