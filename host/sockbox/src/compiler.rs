//! Compiling in a process of its own, under bounds on its time and memory.
//!
//! A compiler that works on a hostile component may take any time and any memory, and a thread can't be
//! broken off. So a sandbox can be told of a program ([`SandboxBuilder::compiler`]) that compiles one component
//! and ends. What the two say to each other goes through pipes that no other process has: there is no path
//! at which somebody else could put native code. The program bounds its own memory before it reads
//! a byte of the component, and the sandbox kills it at the deadline; where it can, the system kills it when
//! the process that waits for it is no more.
//!
//! [`SandboxBuilder::compiler`]: crate::SandboxBuilder::compiler

use crate::inspect;
use crate::load::cant_be_compiled;
use crate::proposals;
use crate::reservation::Reservation;
use sockbox_component::engine;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use wasmparser::Validator;
use wasmtime::Engine;

/// The most bytes that compiled code may have. What may be kept in a cache is no more.
pub(crate) const MAX_COMPILED_BYTES: u64 = 1 << 30;
/// The most bytes of an explanation.
const MAX_PROBLEM_BYTES: usize = 64 << 10;
/// What a request begins with: this version of what the two processes say.
const MAGIC: [u8; 8] = *b"sockbox1";
/// The bytes of a request before the component.
const HEAD: usize = MAGIC.len() + 1 + 1 + 1 + 8 + 8 + 4;
/// What an answer begins with.
const COMPILED: u8 = 0;
const PROBLEM: u8 = 1;
const NO_MEMORY: u8 = 2;
/// The bytes of an answer before the code, or the problem: which it is, and how many bytes follow.
const ANSWER_HEAD: usize = 1 + 8;
/// How often a compilation looks whether it is still wanted.
const WANTED: Duration = Duration::from_millis(50);

/// A program that compiles: [`compile_for_parent`] is to be its work.
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

/// What is to be done with a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Compile,
    /// Say what is wrong with it: it was found to make no sense.
    Explain,
}

/// Something to be compiled, and for what.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) binary: &'a [u8],
    pub(crate) task: Task,
    pub(crate) concurrency: bool,
    pub(crate) reservation: Reservation,
}

/// Bounds of a compilation.
pub(crate) struct Bounds<'a> {
    /// When it has to be over. None is no bound.
    pub(crate) deadline: Option<Instant>,
    pub(crate) memory: u64,
    /// Whether anybody still waits for it.
    pub(crate) wanted: &'a (dyn Fn() -> bool + Sync),
}

/// How a compilation can fail.
#[derive(Debug)]
pub(crate) enum CompileError {
    /// The component: what is wrong with it.
    Problem(String),
    /// It was not done at the deadline.
    Deadline,
    /// It took more memory than it may.
    Memory,
    /// Nobody waits for it any more.
    Unwanted,
    /// The program did not do its job.
    Failed(String),
}

impl Compiler {
    /// Compile a component in a process of its own.
    pub(crate) fn run(&self, job: Job<'_>, bounds: &Bounds<'_>) -> Result<Vec<u8>, CompileError> {
        let failed = |what: &str, error: io::Error| {
            CompileError::Failed(format!(
                "the compiler {} {what}: {error}",
                self.program.display()
            ))
        };
        let mut process = Running(
            Command::new(&self.program)
                .args(&self.args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| failed("can't be started", error))?,
        );
        let (Some(mut stdin), Some(stdout)) = (process.0.stdin.take(), process.0.stdout.take())
        else {
            return Err(CompileError::Failed("it has no pipes".to_owned()));
        };
        let head = job.head(bounds);
        let (sender, answer) = mpsc::channel();
        thread::scope(|scope| {
            let started = thread::Builder::new().spawn_scoped(scope, move || {
                // Where it reads no more it has ended, and there is more to be told of that.
                let _ = stdin
                    .write_all(&head)
                    .and_then(|()| stdin.write_all(job.binary));
            });
            started.map_err(|error| failed("has no thread", error))?;
            let started = thread::Builder::new().spawn_scoped(scope, move || {
                let mut bytes = Vec::new();
                let read = stdout
                    .take(MAX_COMPILED_BYTES + ANSWER_HEAD as u64)
                    .read_to_end(&mut bytes);
                // Nobody waits for it if it comes too late.
                let _ = sender.send(read.map(|_| bytes));
            });
            if let Err(error) = started {
                process.end();
                return Err(failed("has no thread", error));
            }
            let answer = wait(&answer, bounds);
            let answer = answer.map(|read| read.map(answered));
            let status = match &answer {
                // It has closed its end without an answer, so that it is about to end, and how is the answer.
                Ok(Ok(None)) => process.settle(),
                _ => None,
            };
            // Both threads end with it.
            process.end();
            match answer?.map_err(|error| failed("can't be read", error))? {
                Some(answer) => answer,
                None => Err(died(status)),
            }
        })
    }
}

/// Wait for an answer, until the deadline.
fn wait<T>(answer: &mpsc::Receiver<T>, bounds: &Bounds<'_>) -> Result<T, CompileError> {
    loop {
        let left = match bounds.deadline {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => WANTED,
        };
        match answer.recv_timeout(left.min(WANTED)) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(CompileError::Failed("the compiler said nothing".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) if !(bounds.wanted)() => {
                return Err(CompileError::Unwanted);
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(CompileError::Deadline),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// What an answer means; None if it is none.
fn answered(mut bytes: Vec<u8>) -> Option<Result<Vec<u8>, CompileError>> {
    let (head, content) = bytes.split_first_chunk::<ANSWER_HEAD>()?;
    let [kind, length @ ..] = *head;
    let length = u64::from_le_bytes(length);
    if kind == COMPILED && length > MAX_COMPILED_BYTES {
        return Some(Err(CompileError::Problem(format!(
            "it can't be compiled: the code would have more than {} MiB",
            MAX_COMPILED_BYTES >> 20
        ))));
    }
    if content.len() as u64 != length {
        return None;
    }
    match kind {
        COMPILED => Some(Ok(bytes.split_off(ANSWER_HEAD))),
        PROBLEM => {
            let text = String::from_utf8_lossy(content);
            Some(Err(CompileError::Problem(text.into_owned())))
        }
        NO_MEMORY => Some(Err(CompileError::Memory)),
        _ => None,
    }
}

/// What it means that the process ended without an answer.
fn died(status: Option<ExitStatus>) -> CompileError {
    let Some(status) = status else {
        return CompileError::Failed("the compiler ended without an answer".to_owned());
    };
    #[cfg(unix)]
    {
        use rustix::process::Signal;
        use std::os::unix::process::ExitStatusExt;
        // A failed allocation aborts; the system's own answer to too much memory is SIGKILL.
        if let Some(signal) = status.signal()
            && [Signal::ABORT, Signal::KILL]
                .iter()
                .any(|it| it.as_raw() == signal)
        {
            return CompileError::Memory;
        }
    }
    CompileError::Failed(format!("the compiler ended without an answer: {status}"))
}

/// The process, which ends when this does.
struct Running(Child);

/// How long a process may take to end that has closed its output, and how often it is looked at.
const ENDING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);

impl Running {
    /// Learn how it ends by itself.
    fn settle(&mut self) -> Option<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < ENDING {
            match self.0.try_wait() {
                Ok(None) => thread::sleep(LOOK),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
        None
    }

    /// End it, and wait until nothing of it is left.
    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl Job<'_> {
    fn head(&self, bounds: &Bounds<'_>) -> Vec<u8> {
        // What it may compute at most, should nothing else end it.
        let seconds = bounds.deadline.map_or(u64::MAX, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            left.as_secs().saturating_add(1)
        });
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(&MAGIC);
        head.push(u8::from(self.task == Task::Explain));
        head.push(u8::from(self.concurrency));
        head.push(u8::from(self.reservation == Reservation::Small));
        head.extend_from_slice(&bounds.memory.to_le_bytes());
        head.extend_from_slice(&seconds.to_le_bytes());
        head.extend_from_slice(&std::process::id().to_le_bytes());
        head
    }

    /// Do it in this process.
    fn run_here(&self) -> Result<Vec<u8>, String> {
        match self.task {
            Task::Explain => Err(explain(self.binary)),
            Task::Compile => {
                let mut config = engine::config(self.concurrency);
                self.reservation.configure(&mut config);
                let engine = Engine::new(&config)
                    .map_err(|error| format!("the compiler can't be set up: {error:#}"))?;
                compile(&engine, self.binary)
            }
        }
    }
}

/// Compile a component in this process; the error is what is wrong with it.
pub(crate) fn compile(engine: &Engine, binary: &[u8]) -> Result<Vec<u8>, String> {
    let compiled = engine.precompile_component(binary);
    // What it lacks says more than what its types are made of, which is newer than WASI 0.2.
    compiled.map_err(|error| {
        inspect::lacks(binary)
            .or_else(|| proposals::lacking(binary))
            .unwrap_or_else(|| cant_be_compiled(&error))
    })
}

/// What is wrong with a component that makes no sense, in the words that compiling it would fail with;
/// nothing if it is valid.
pub(crate) fn explain(binary: &[u8]) -> String {
    let valid = Validator::new_with_features(engine::features(false)).validate_all(binary);
    match valid {
        Ok(_) => String::new(),
        Err(error) => inspect::lacks(binary)
            .or_else(|| proposals::lacking(binary))
            .unwrap_or_else(|| format!("it can't be compiled: {}", first_line(&error))),
    }
}

fn first_line(error: &wasmparser::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// The numbers of a request, as this process reads them.
struct Request {
    task: Task,
    concurrency: bool,
    reservation: Reservation,
    memory: u64,
    seconds: u64,
    parent: u32,
}

impl Request {
    fn read(head: [u8; HEAD]) -> io::Result<Request> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "this is no request");
        let rest = head.strip_prefix(&MAGIC).ok_or_else(wrong)?;
        let ([task, concurrency, small], rest) = rest.split_first_chunk().ok_or_else(wrong)?;
        let (memory, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
        let (seconds, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
        let (parent, _) = rest.split_first_chunk().ok_or_else(wrong)?;
        Ok(Request {
            task: match task {
                0 => Task::Compile,
                _ => Task::Explain,
            },
            concurrency: *concurrency != 0,
            reservation: match small {
                0 => Reservation::Full,
                _ => Reservation::Small,
            },
            memory: u64::from_le_bytes(*memory),
            seconds: u64::from_le_bytes(*seconds),
            parent: u32::from_le_bytes(*parent),
        })
    }
}

/// Do what a [`Sandbox`](crate::Sandbox) of another process wants compiled: it has started this one
/// because of [`SandboxBuilder::compiler`](crate::SandboxBuilder::compiler). The request is on standard input,
/// and the answer goes to standard output.
///
/// The process bounds itself before it reads the component, on Linux, so it should do nothing else before
/// or afterwards.
///
/// # Errors
/// Standard input holds no request, or the answer can't be written.
pub fn compile_for_parent() -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    let mut head = [0; HEAD];
    stdin.read_exact(&mut head)?;
    let request = Request::read(head)?;
    // The compiler's threads are there from now on: that one of them can't be started for lack of memory could
    // keep the others waiting for ever.
    let _ = catch_unwind(warm_up);
    bound(&request)?;
    let mut binary = Vec::new();
    stdin.read_to_end(&mut binary)?;
    let job = Job {
        binary: &binary,
        task: request.task,
        concurrency: request.concurrency,
        reservation: request.reservation,
    };
    // The system bounds only what is taken from now on, and a small component may need no more than there is.
    if data_bytes().is_some_and(|taken| taken > request.memory) {
        return answer(NO_MEMORY, &[]);
    }
    // A panic is a mistake of the compiler's, and an answer like another.
    let done = catch_unwind(AssertUnwindSafe(|| job.run_here()));
    let done = done.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("it gave no reason");
        Err(format!("the compiler failed: {text}"))
    });
    match &done {
        Ok(code) => answer(COMPILED, code),
        Err(problem) if NO_MEMORY_TEXTS.iter().any(|text| problem.contains(text)) => {
            answer(NO_MEMORY, &[])
        }
        Err(problem) => {
            let length = problem.len().min(MAX_PROBLEM_BYTES);
            answer(PROBLEM, &problem.as_bytes()[..length])
        }
    }
}

/// Tell the parent.
fn answer(kind: u8, content: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(&[kind])?;
    stdout.write_all(&(content.len() as u64).to_le_bytes())?;
    stdout.write_all(content)?;
    stdout.flush()
}

/// How the system says that there is no more memory, or none for a thread: nothing else of these comes from
/// compiling.
const NO_MEMORY_TEXTS: [&str; 3] = ["os error 12", "os error 11", "code: 11"];

/// How much memory for data this process has, in bytes: what `RLIMIT_DATA` counts (proc_pid_status(5),
/// `VmData`). None where the system doesn't say.
fn data_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmData:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Compile two functions that do nothing.
fn warm_up() {
    let engine = Engine::new(&engine::config(false));
    let binary = wat::parse_str("(component (core module (func) (func)))");
    if let (Ok(engine), Ok(binary)) = (engine, binary) {
        // What comes of it is told when it matters.
        let _ = engine.precompile_component(&binary);
    }
}

/// Bound what this process may take of the machine.
#[cfg(target_os = "linux")]
fn bound(request: &Request) -> io::Result<()> {
    use rustix::process::{
        Pid, Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal,
        setrlimit,
    };

    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = i32::try_from(request.parent).ok().and_then(Pid::from_raw);
    if getppid() != parent {
        // It ended before the system could be told.
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    for (resource, most) in [
        (Resource::Data, request.memory),
        // Several threads compute at once.
        (
            Resource::Cpu,
            request.seconds.saturating_mul(MAX_THREADS_TIME),
        ),
        // What it knows of the component goes into no file.
        (Resource::Core, 0),
    ] {
        let limit = getrlimit(resource);
        let bound = |now: Option<u64>| Some(now.map_or(most, |now| now.min(most)));
        let lowered = Rlimit {
            current: bound(limit.current),
            maximum: bound(limit.maximum),
        };
        setrlimit(resource, lowered)?;
    }
    Ok(())
}

/// How many threads a compilation may keep busy for all of its time.
#[cfg(target_os = "linux")]
const MAX_THREADS_TIME: u64 = 256;

/// Elsewhere it is bounded by its time alone.
#[cfg(not(target_os = "linux"))]
fn bound(_: &Request) -> io::Result<()> {
    Ok(())
}
