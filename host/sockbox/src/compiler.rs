//! Compiling in a separate process, with limits on time and memory.
//!
//! Compiling a hostile component may take any time and memory, and a thread can't be aborted. So a sandbox can
//! use a program ([`SandboxBuilder::compiler`]) that compiles one component and exits. Both communicate through
//! pipes that no other process has, so no other program can inject native code through a file. The program
//! limits its own memory before it reads the component. The sandbox kills it at the deadline. If the sandbox's
//! process ends, the system kills it, where the system supports that.
//!
//! [`SandboxBuilder::compiler`]: crate::SandboxBuilder::compiler

use crate::problem::cant_be_compiled;
use crate::proposals;
use crate::provided::lacks;
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

/// The most bytes of compiled code. The cache stores no more either.
pub(crate) const MAX_COMPILED_BYTES: u64 = 1 << 30;
/// The most bytes of an explanation.
const MAX_PROBLEM_BYTES: usize = 64 << 10;
/// The start of a request: the version of the protocol between the two processes.
const MAGIC: [u8; 8] = *b"sockbox1";
/// The bytes of a request before the component.
const HEAD: usize = MAGIC.len() + 1 + 1 + 1 + 8 + 8 + 4;
/// The first byte of an answer.
const COMPILED: u8 = 0;
const PROBLEM: u8 = 1;
const NO_MEMORY: u8 = 2;
/// The bytes of an answer before its content: the kind of answer, and how many bytes follow.
const ANSWER_HEAD: usize = 1 + 8;
/// How often a compilation checks whether it is still wanted.
const WANTED: Duration = Duration::from_millis(50);

/// A program that compiles by calling [`compile_for_parent`].
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

/// The job for a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Compile,
    /// Explain why the component is invalid.
    Explain,
}

/// A component to compile, and the engine settings.
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
    /// Whether a task still waits for the result.
    pub(crate) wanted: &'a (dyn Fn() -> bool + Sync),
}

/// How a compilation can fail.
#[derive(Debug)]
pub(crate) enum CompileError {
    /// The component is invalid. The text says why.
    Problem(String),
    /// It was not finished at the deadline.
    Deadline,
    /// It exceeded its memory limit.
    Memory,
    /// No task waits for it any more.
    Unwanted,
    /// The program failed.
    Failed(String),
}

impl Compiler {
    /// Compile a component in a separate process.
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
            return Err(CompileError::Failed(
                "the compiler process has no pipes".to_owned(),
            ));
        };
        let head = job.head(bounds);
        let (sender, answer) = mpsc::channel();
        thread::scope(|scope| {
            let started = thread::Builder::new().spawn_scoped(scope, move || {
                // If writing fails, the process has ended, and its exit status explains more.
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
                // The receiver may have stopped waiting.
                let _ = sender.send(read.map(|_| bytes));
            });
            if let Err(error) = started {
                process.end();
                return Err(failed("has no thread", error));
            }
            let answer = wait(&answer, bounds);
            let answer = answer.map(|read| read.map(answered));
            let status = match &answer {
                // It has closed its output without an answer, so it is about to exit. Its exit status is the
                // answer.
                Ok(Ok(None)) => process.settle(),
                _ => None,
            };
            // Both threads end when the process ends.
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
                return Err(CompileError::Failed(
                    "the compiler sent no result".to_owned(),
                ));
            }
            Err(RecvTimeoutError::Timeout) if !(bounds.wanted)() => {
                return Err(CompileError::Unwanted);
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(CompileError::Deadline),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Parse an answer. None: it is invalid.
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

/// The error for a process that ended without an answer.
fn died(status: Option<ExitStatus>) -> CompileError {
    let Some(status) = status else {
        return CompileError::Failed("the compiler process ended without a result".to_owned());
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
    CompileError::Failed(format!(
        "the compiler process ended without a result: {status}"
    ))
}

/// The process. It is killed when this is dropped.
struct Running(Child);

/// How long a process that has closed its output may take to exit, and how often that is checked.
const ENDING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);

impl Running {
    /// Wait for the process to exit by itself.
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

    /// Kill it, and wait for its end.
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
        // The limit on its CPU time, in case nothing else ends it.
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
            Task::Explain => Err(explain(self.binary, self.concurrency)),
            Task::Compile => {
                let mut config = engine::config(self.concurrency);
                self.reservation.configure(&mut config);
                let engine = Engine::new(&config)
                    .map_err(|error| format!("the compiler can't be set up: {error:#}"))?;
                compile(&engine, self.binary, self.concurrency)
            }
        }
    }
}

/// Compile a component in this process; the error is what is wrong with it.
pub(crate) fn compile(
    engine: &Engine,
    binary: &[u8],
    concurrency: bool,
) -> Result<Vec<u8>, String> {
    let compiled = engine.precompile_component(binary);
    // A missing import is a better explanation than types that are newer than the version of WASI.
    compiled.map_err(|error| {
        lacks(binary)
            .or_else(|| proposals::lacking(binary, concurrency))
            .unwrap_or_else(|| cant_be_compiled(&error))
    })
}

/// Why a component is invalid, in the words of the compile error. Empty if it is valid.
pub(crate) fn explain(binary: &[u8], concurrency: bool) -> String {
    let valid = Validator::new_with_features(engine::features(concurrency)).validate_all(binary);
    match valid {
        Ok(_) => String::new(),
        Err(error) => lacks(binary)
            .or_else(|| proposals::lacking(binary, concurrency))
            .unwrap_or_else(|| format!("it can't be compiled: {}", first_line(&error))),
    }
}

fn first_line(error: &wasmparser::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// The fields of a request.
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
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not a compilation request");
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

/// Compile a component for the [`Sandbox`](crate::Sandbox) of the parent process, which started this process
/// because of [`SandboxBuilder::compiler`](crate::SandboxBuilder::compiler). The request is read from standard
/// input, and the answer is written to standard output.
///
/// On Linux the process limits its own resources before it reads the component, so it should do nothing
/// else before or afterwards.
///
/// # Errors
/// Standard input holds no request, or the answer can't be written.
pub fn compile_for_parent() -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    let mut head = [0; HEAD];
    stdin.read_exact(&mut head)?;
    let request = Request::read(head)?;
    // This starts the compiler's threads before memory is limited. If one of them could not start later, the
    // others could wait for ever.
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
    // The system's limit applies only to new allocations, and a small component may need none.
    if data_bytes().is_some_and(|taken| taken > request.memory) {
        return answer(NO_MEMORY, &[]);
    }
    // A panic is a bug of the compiler. It is reported as an answer.
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

/// Send an answer to the parent.
fn answer(kind: u8, content: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(&[kind])?;
    stdout.write_all(&(content.len() as u64).to_le_bytes())?;
    stdout.write_all(content)?;
    stdout.flush()
}

/// The texts of the system's errors for lack of memory, also for a thread. Compiling has no other error
/// with these texts.
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
        // An error will appear again in the real compilation.
        let _ = engine.precompile_component(&binary);
    }
}

/// Limit the resources of this process.
#[cfg(target_os = "linux")]
fn bound(request: &Request) -> io::Result<()> {
    use rustix::process::{
        Pid, Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal,
        setrlimit,
    };

    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = i32::try_from(request.parent).ok().and_then(Pid::from_raw);
    if getppid() != parent {
        // The parent ended before the signal was set.
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    for (resource, most) in [
        (Resource::Data, request.memory),
        // Several threads compute at once.
        (
            Resource::Cpu,
            request.seconds.saturating_mul(MAX_THREADS_TIME),
        ),
        // No core file, which would contain the component.
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

/// How many threads a compilation may use at the same time.
#[cfg(target_os = "linux")]
const MAX_THREADS_TIME: u64 = 256;

/// Other systems limit only its time.
#[cfg(not(target_os = "linux"))]
fn bound(_: &Request) -> io::Result<()> {
    Ok(())
}
