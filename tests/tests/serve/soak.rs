//! `sockbox serve` with many kinds of clients that connect and disconnect. Every answer is checked,
//! and at the end the server holds no more resources than at the beginning.
//!
//! For 15 seconds, or for as many as SOCKBOX_SOAK_SECONDS says.

use super::WASI;
use sockbox_tests::{HelloClient, Serving, eventually};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many clients there are at a time, each on a thread of its own.
const CLIENTS: u64 = 24;

/// How much the memory may grow after the first third: the allocators of host and component keep
/// some. A leak of 100 bytes per connection would exceed this within a minute.
const MORE_AT_MOST: u64 = 2 * 1024;

/// Numbers that look random and are the same at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn message(&mut self, longest: u64) -> String {
        let length = 1 + self.below(longest);
        let letters = (0..length).map(|_| char::from(b'a' + self.below(26) as u8));
        letters.collect()
    }
}

/// The messages that the server has received, from its answers. The server treats the received bytes as a
/// message whenever nothing more can be read, so a message that arrives slowly is answered in parts.
fn heard(answers: &[u8]) -> String {
    let answers = std::str::from_utf8(answers).expect("letters");
    let answers = answers.strip_suffix('\n').unwrap_or(answers);
    let parts = answers.split_terminator('!');
    parts
        .map(|part| part.strip_prefix("Hello, ").unwrap_or(part))
        .collect()
}

/// One client's visit; returns how many messages were answered.
fn visit(address: SocketAddr, random: &mut Random) -> u64 {
    let mut client = HelloClient::over(loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            // So many connections have just been closed that there is no port left.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("no connection: {error}"),
        }
    });
    match random.below(8) {
        // A client as in the tutorial.
        0 => {
            let count = 1 + random.below(20);
            for _ in 0..count {
                let message = random.message(40);
                client.ask(&message, &format!("Hello, {message}!"));
            }
            client.send("exit").expect_end();
            count
        }
        // Many messages at once, and the end right behind them.
        1 => {
            let messages: Vec<_> = (0..1 + random.below(500))
                .map(|_| random.message(40))
                .collect();
            let answers: String = messages
                .iter()
                .map(|message| format!("Hello, {message}!\n"))
                .collect();
            client
                .send(messages.join("\n") + "\n")
                .end_sending()
                .expect(answers)
                .expect_end();
            messages.len() as u64
        }
        // One byte at a time.
        2 => {
            let message = random.message(20);
            for byte in message.bytes() {
                client.send([byte]);
                // Whatever it has taken for a message until now is right.
            }
            client.send("\n").end_sending();
            let heard = heard(&client.read_to_end());
            assert!(heard == message, "{message:?} became {heard:?}");
            1
        }
        // A long message.
        3 => {
            let message = random.message(60_000);
            client.send(format!("{message}\n")).end_sending();
            let heard = heard(&client.read_to_end());
            let lengths = (message.len(), heard.len());
            assert!(heard == message, "{lengths:?} bytes");
            1
        }
        // Too long a message, or several where the server finds nothing more while it is being sent.
        4 => {
            let message = "x".repeat(70_000);
            client.send(&message).end_sending();
            let answer = client.read_to_end();
            let refused = answer.ends_with(b"message longer than 65536 bytes\n");
            assert!(refused || heard(&answer) == message, "{}", answer.len());
            0
        }
        // Disconnects in the middle of a message.
        5 => {
            let message = random.message(1000);
            client.send(message);
            client.reset();
            0
        }
        // Connects, and is silent for a while.
        6 => {
            thread::sleep(Duration::from_millis(random.below(200)));
            0
        }
        // Sends much, and disconnects before it has read everything.
        _ => {
            let messages = "a message whose answer is not read to the end\n".repeat(2000);
            client.send(&messages);
            client.expect("Hello, a message whose answer is not read to the end!\n");
            client.reset();
            1
        }
    }
}

/// Run clients until then. Returns the numbers of clients and messages.
fn come_and_go(address: SocketAddr, until: Instant, seed: u64) -> (u64, u64) {
    let (visits, messages) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (visits, messages) = (&visits, &messages);
            scope.spawn(move || {
                let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (seed * CLIENTS + client + 1));
                while Instant::now() < until {
                    messages.fetch_add(visit(address, &mut random), Ordering::Relaxed);
                    visits.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (visits.into_inner(), messages.into_inner())
}

#[test]
fn what_comes_and_goes_leaves_nothing_behind() {
    let seconds = std::env::var("SOCKBOX_SOAK_SECONDS")
        .map_or(15, |seconds| seconds.parse().expect("a number of seconds"));
    let third = Duration::from_secs(seconds) / 3;
    let server = Serving::with(WASI, &["--quiet"]);
    let mut witness = server.client();
    let state_at_rest = || {
        eventually("all connections to be closed", || {
            let line = server.statistics();
            let rest = line.contains(" 1 open") && Serving::holds_sockets(&line, 2);
            rest.then_some(())
        });
        (server.process().memory(), server.process().open_files())
    };
    let start = Instant::now();
    let (mut visits, mut messages) = come_and_go(server.address(), start + third, 1);
    let (memory, files) = state_at_rest();
    for part in 2..=3 {
        let more = come_and_go(server.address(), start + part * third, u64::from(part));
        visits += more.0;
        messages += more.1;
        witness.ask("still there?\n", "Hello, still there?!\n");
    }
    let (memory_at_end, files_at_end) = state_at_rest();
    println!(
        "{visits} clients and {messages} messages in {:?}: {memory} KiB and {files} files after a \
         third of it, {memory_at_end} KiB and {files_at_end} files at the end, {} KiB at most",
        start.elapsed(),
        server.process().peak_memory()
    );
    assert_eq!(files_at_end, files, "files");
    assert!(
        memory_at_end <= memory + MORE_AT_MOST,
        "{memory} KiB became {memory_at_end}"
    );
    server.terminate().assert_code(0);
}
