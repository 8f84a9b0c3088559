//! Standard output and error that are not read.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sockbox_tests::{
    HelloClient, Peer, Process, Program, RawPeer, Serving, Signal, Wasi, eventually,
};
use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

/// A command that copies its standard input to its standard output, until the end.
const CAT: &str = include_str!("components/cat.wat");

/// As many bytes as a pipe holds.
pub const PIPE: usize = 64 * 1024;

pub struct Components(tempfile::TempDir);

impl Components {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// One that copies its input to its output.
    pub fn cat(&self) -> PathBuf {
        self.file("cat.wat", CAT)
    }

    /// One that copies its input to its standard error.
    pub fn cat_to_stderr(&self) -> PathBuf {
        let to_stderr = CAT
            .replace("wasi:cli/stdout", "wasi:cli/stderr")
            .replace("\"get-stdout\"", "\"get-stderr\"");
        self.file("cat-to-stderr.wat", &to_stderr)
    }

    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub fn pipe(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let made = Program::from_path("/usr/bin/mkfifo").args([&path]).run();
        made.assert_quiet_success();
        path
    }
}

pub fn zeros() -> File {
    File::open("/dev/zero").unwrap()
}

pub fn null() -> File {
    File::options().write(true).open("/dev/null").unwrap()
}

/// A full pipe.
fn full_pipe() -> (PipeReader, OwnedFd) {
    let (reader, writer) = io::pipe().unwrap();
    let filled = Program::from_path("/bin/sh")
        .args(["-c", "head -c 65536 /dev/zero"])
        .stdout(writer.try_clone().unwrap())
        .run();
    filled.assert_quiet_success();
    assert_eq!(unread(&reader), PIPE);
    (reader, writer.into())
}

/// How many bytes are in a pipe.
fn unread(reader: &PipeReader) -> usize {
    let unread = rustix::io::ioctl_fionread(reader.as_fd()).unwrap();
    usize::try_from(unread).unwrap()
}

/// Start a program whose standard output is not read, and wait until it can write nothing more.
fn stuck(program: Program) -> (Process, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let process = program.stdout(writer.try_clone().unwrap()).start();
    eventually("a full pipe", || is_full(&writer).then_some(()));
    (process, reader)
}

fn is_full(writer: &PipeWriter) -> bool {
    let mut files = [PollFd::new(writer, PollFlags::OUT)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut files, Some(&at_once)).unwrap() == 0
}

/// A server of a page without an end.
pub fn endless() -> RawPeer {
    RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\n\r\n")?;
        peer.send_zeros(1 << 40)
    })
}

/// A server with a slow page, so that progress bars appear.
fn dripping() -> RawPeer {
    RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            peer.send("x")?;
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

/// A server that doesn't answer.
fn silent() -> RawPeer {
    RawPeer::start(|peer: &mut Peer| {
        peer.read_request()?;
        peer.wait_for_close()
    })
}

/// Whether the kernel ignores this signal for a process.
fn ignores(process: &Process, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap();
    mask & (1 << (signal.as_raw() - 1)) != 0
}

#[test]
fn a_run_whose_output_nobody_reads_keeps_its_time() {
    let components = Components::new();
    for (component, to_stderr) in [
        (components.cat(), false),
        (components.cat_to_stderr(), true),
    ] {
        let program = Program::sockbox(["run", "--max-wall-time", "1"])
            .args([&component])
            .stdin(zeros());
        let (reader, writer) = full_pipe();
        let finished = match to_stderr {
            false => program.stdout(writer).run(),
            true => program.stderr(writer).run(),
        };
        finished.assert_code(124);
        if !to_stderr {
            assert!(finished.stderr().contains("(124)"), "{}", finished.stderr());
        }
        drop(reader);
    }
}

#[test]
fn a_run_that_neither_output_is_read_of_keeps_its_time() {
    let components = Components::new();
    let (out, stdout) = full_pipe();
    let (err, stderr) = full_pipe();
    let finished = Program::sockbox(["run", "-v", "--max-wall-time", "1"])
        .args([components.cat()])
        .stdin(zeros())
        .stdout(stdout)
        .stderr(stderr)
        .run();
    finished.assert_code(124);
    drop((out, err));
}

#[test]
fn a_run_whose_output_nobody_reads_can_be_interrupted() {
    let components = Components::new();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let program = Program::sockbox(["run"])
            .args([components.cat()])
            .stdin(zeros());
        let (process, reader) = stuck(program);
        process.signal(signal);
        process.wait().assert_code(code);
        drop(reader);
    }
}

#[test]
fn a_fetch_whose_page_nobody_reads_keeps_its_time() {
    let peer = endless();
    for (options, code) in [
        (&["-m", "1"][..], 28),
        (&["-m", "1", "-w", "%{http_code}"], 28),
        (&["--max-wall-time", "1"], 124),
    ] {
        let (reader, writer) = full_pipe();
        let finished = Program::sockbox(["fetch"])
            .args(options)
            .args([peer.url("/")])
            .stdout(writer)
            .run();
        finished.assert_code(code);
        drop(reader);
    }
}

#[test]
fn a_short_page_that_nobody_reads_keeps_its_time() {
    // All of it has come; what is left is to write it.
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    for (options, code) in [(["-m", "1"], 28), (["--max-wall-time", "1"], 124)] {
        let (reader, writer) = full_pipe();
        let finished = Program::sockbox(["fetch"])
            .args(options)
            .args([peer.url("/")])
            .stdout(writer)
            .run();
        finished.assert_code(code);
        drop(reader);
    }
}

#[test]
fn a_fetch_whose_page_nobody_reads_can_be_interrupted() {
    let peer = endless();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (process, reader) = stuck(Program::sockbox(["fetch", &peer.url("/")]));
        process.signal(signal);
        process.wait().assert_code(code);
        drop(reader);
    }
}

#[test]
fn what_is_told_and_not_read_holds_up_no_fetch() {
    let peer = silent();
    let (reader, stderr) = full_pipe();
    let finished = Program::sockbox(["fetch", "-v", "-m", "1", &peer.url("/")])
        .stderr(stderr)
        .run();
    finished.assert_code(28);
    drop(reader);

    let page = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let (reader, stderr) = full_pipe();
    let finished = Program::sockbox(["fetch", "-v", &page.url("/")])
        .stderr(stderr)
        .run();
    finished.assert_code(0).assert_stdout(b"hello");
    drop(reader);
}

#[test]
fn a_stopped_terminal_keeps_no_time_from_being_kept() {
    let components = Components::new();
    let component = components.cat();
    let component = component.to_str().unwrap();
    let peer = dripping();
    let page = components.path("page");
    let page = page.to_str().unwrap();
    for (args, code) in [
        // It reads the terminal, so its standard error is what it can't write to.
        (&["run", "-v", "--max-wall-time", "1", component][..], 124),
        // The bars are drawn on it.
        (&["fetch", "-m", "1", "-o", page, &peer.url("/")], 28),
    ] {
        let finished = Program::sockbox(args).on_a_stopped_terminal().run();
        finished.assert_code(code);
    }
    let mut left = fs::read_dir(components.0.path()).unwrap();
    let part = left.find(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".part")
    });
    assert!(part.is_none(), "{part:?} is left");
}

#[test]
fn a_policy_that_never_comes_can_be_interrupted() {
    let components = Components::new();
    let policy = components.pipe("policy.toml");
    let policy = policy.to_str().unwrap();
    let component = components.cat();
    for args in [
        ["run", "--policy", policy, component.to_str().unwrap()],
        ["fetch", "--policy", policy, "http://127.0.0.1:9/"],
    ] {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let process = Program::sockbox(args).start();
            // Once the other end is opened, it has begun to read.
            let writer = File::options().write(true).open(policy).unwrap();
            process.signal(signal);
            assert_eq!(process.wait().code(), code);
            drop(writer);
        }
    }
}

#[test]
fn an_audit_that_nobody_reads_holds_up_nothing() {
    let components = Components::new();
    let audit = components.pipe("audit");
    let page = || RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let args = ["fetch", "--audit", audit.to_str().unwrap()];
    let peer = page();
    let finished = Program::sockbox(args).args([peer.url("/")]).run();
    finished.assert_code(0).assert_stdout(b"hello");
    assert!(finished.stderr().contains("lost"), "{}", finished.stderr());

    // A reader that starts later gets all of it.
    let peer = page();
    let process = Program::sockbox(args).args([peer.url("/")]).start();
    let mut text = String::new();
    File::open(&audit)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    process.wait().assert_code(0).assert_stdout(b"hello");
    assert!(text.contains(r#""event":"ended""#), "{text}");
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_server() {
    for options in [&[][..], &["-v"], &["--log", "json"]] {
        let (mut reader, stderr) = full_pipe();
        let server = Serving::started(Serving::program(Wasi::V0_2, options).stderr(stderr), 1);
        for number in 0..20 {
            let mut client = HelloClient::connect(server.address());
            client.ask(&format!("{number}\n"), &format!("Hello, {number}!\n"));
        }
        let process = server.into_process();
        process.signal(Signal::TERM);
        process.wait().assert_code(0);
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        assert_eq!(text.len(), PIPE, "{options:?}: what was in the pipe before");
    }
}

#[test]
fn a_second_signal_ends_a_server_whose_log_nobody_reads() {
    let (reader, stderr) = full_pipe();
    let server = Serving::started(Serving::program(Wasi::V0_2, &[]).stderr(stderr), 1);
    let mut client = HelloClient::connect(server.address());
    // It reads no answer, so the server can't finish.
    let messages = "a message whose answer is never read\n".repeat(1000);
    client.send_until_full(messages.as_bytes(), 64 << 20);
    let address = server.address();
    let process = server.into_process();
    process.signal(Signal::TERM);
    eventually("it to stop listening", || {
        std::net::TcpStream::connect(address).is_err().then_some(())
    });
    process.signal(Signal::TERM);
    process.wait().assert_code(143);
    drop(reader);
}

#[test]
fn a_server_whose_start_nobody_reads_serves() {
    let (reader, stdout) = full_pipe();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let process = Program::sockbox(["serve", "--listen", &address.to_string()])
        .stdout(stdout)
        .start();
    eventually("it to listen", || {
        std::net::TcpStream::connect(address).ok()
    });
    HelloClient::connect(address).ask("Michael\n", "Hello, Michael!\n");
    process.signal(Signal::TERM);
    let finished = process.wait();
    finished.assert_code(0);
    assert!(
        finished.stderr().contains("served"),
        "{}",
        finished.stderr()
    );
    drop(reader);
}

#[test]
fn signals_that_are_ignored_stay_ignored() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let peer = silent();
    let peers = peer.url("/");
    let listen = address.to_string();
    for (ignored, others) in [
        (Signal::INT, [Signal::TERM, Signal::HUP]),
        (Signal::TERM, [Signal::INT, Signal::HUP]),
        (Signal::HUP, [Signal::INT, Signal::TERM]),
    ] {
        let name = match ignored {
            Signal::INT => "INT",
            Signal::TERM => "TERM",
            _ => "HUP",
        };
        for args in [&["serve", "--listen", &listen][..], &["fetch", &peers]] {
            let before = peer.connections();
            let process = Program::sockbox(args)
                .from_a_shell(&format!("trap '' {name}"), "")
                .start();
            match args[0] {
                "serve" => process.wait_for_stdout("where it listens", |stdout| {
                    stdout.contains("listening on").then_some(())
                }),
                _ => eventually("a request", || (peer.connections() > before).then_some(())),
            }
            assert!(ignores(&process, ignored), "{args:?} {name}");
            process.signal(ignored);
            // It has no effect, and the other file is written.
            if args[0] == "serve" {
                HelloClient::connect(address).ask("Michael\n", "Hello, Michael!\n");
            }
            // The process that runs the tests may ignore these signals.
            if let Some(other) = others.into_iter().find(|other| !ignores(&process, *other)) {
                process.signal(other);
                let finished = process.wait();
                let expected = match args[0] {
                    "serve" => 0,
                    _ => 128 + other.as_raw(),
                };
                assert_eq!(finished.code(), expected, "{args:?} {name}");
            }
        }
    }
}
