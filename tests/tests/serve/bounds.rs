//! `sockbox serve`: bounds on time, on clients and on memory.

use super::WASI;
use sockbox_tests::{HelloClient, Program, Serving, Signal, eventually};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// The time limit in the tests: longer than scheduling delays, short enough to wait for.
const SECOND: Duration = Duration::from_secs(1);

/// Everything that the buffers of the two systems and of the server may take from a client that reads
/// nothing.
const MOST_TAKEN: usize = 64 << 20;

/// A client that sends without ever reading, until the server has stopped reading from it.
fn greedy(server: &Serving) -> HelloClient {
    let mut client = server.client();
    let messages = "a message whose answer is never read\n".repeat(1000);
    client.send_until_full(messages.as_bytes(), MOST_TAKEN);
    client
}

#[test]
fn a_client_that_takes_no_answers_is_closed() {
    let server = Serving::with(WASI, &["--write-timeout", "3"]);
    let mut polite = server.client();
    let mut client = greedy(&server);
    let ours = client.address().to_string();
    let line = server.wait_for_log(&["closed", &ours]);
    assert!(line.contains("answers not taken in time"), "{line}");
    // Its socket is closed too: in the host's count, and for the client.
    eventually("the socket to be closed", || {
        Serving::holds_sockets(&server.statistics(), 2).then_some(())
    });
    client.wait_for_any_end();
    polite.ask("still there?\n", "Hello, still there?!\n");
    server.terminate().assert_code(0);
}

#[test]
fn a_client_that_shuts_down_and_takes_no_answers_is_closed() {
    let server = Serving::with(WASI, &["--write-timeout", "3"]);
    let mut client = greedy(&server);
    let ours = client.address().to_string();
    client.end_sending();
    server.wait_for_log(&["closed", &ours, "answers not taken in time"]);
}

#[test]
fn clients_that_never_stop_talking_leave_others_their_turns() {
    let server = Serving::with(WASI, &["--quiet"]);
    let until = Instant::now() + 3 * SECOND;
    let talkers: Vec<_> = (0..4)
        .map(|_| {
            let mut listener = server.client();
            let mut talker = listener.clone_to_send();
            thread::spawn(move || {
                // The shortest messages there are: the most work for the fewest bytes.
                let messages = "\n".repeat(100_000);
                let answers = "Hello, !\n".repeat(100_000);
                let mut rounds = 0;
                while Instant::now() < until {
                    talker.send_while_receiving(&messages, &answers);
                    rounds += 1;
                }
                listener.send("exit\n").expect_end();
                rounds
            })
        })
        .collect();
    let mut polite = server.client();
    let (mut slowest, mut answers) = (Duration::ZERO, 0);
    while Instant::now() < until {
        let asked = Instant::now();
        polite.ask("my turn?\n", "Hello, my turn?!\n");
        slowest = slowest.max(asked.elapsed());
        answers += 1;
    }
    let rounds: u32 = talkers.into_iter().map(|it| it.join().unwrap()).sum();
    assert!(rounds >= 4, "{rounds} times 100,000 messages");
    assert!(
        answers >= 20 && slowest < SECOND,
        "{answers} answers, the slowest after {slowest:?}"
    );
}

#[test]
fn a_client_that_takes_its_answers_slowly_is_not_closed() {
    let server = Serving::with(WASI, &["--write-timeout", "1", "--framing", "line"]);
    let mut client = server.client();
    // More than the systems keep, so that the server has to wait again and again.
    let count = 300_000;
    let mut sender = client.clone_to_send();
    let sending = thread::spawn(move || {
        let messages = "a message\n".repeat(count);
        sender.send(messages);
    });
    let answer = "Hello, a message!\n".repeat(count / 10);
    for _ in 0..10 {
        thread::sleep(SECOND / 4);
        client.expect(&answer);
    }
    sending.join().unwrap();
    client.send("exit\n").expect_end();
    server.wait_for_log(&["closed", "exit"]);
}

#[test]
fn a_silent_client_is_closed_and_one_that_speaks_is_not() {
    let server = Serving::with(WASI, &["--idle-timeout", "1"]);
    let (mut silent, mut talker) = (server.client(), server.client());
    let since = Instant::now();
    let ours = silent.address().to_string();
    let speaking = thread::spawn(move || {
        while since.elapsed() < 2 * SECOND {
            talker.ask("still here\n", "Hello, still here!\n");
            thread::sleep(SECOND / 10);
        }
        talker
    });
    silent.expect_end();
    assert!(since.elapsed() >= SECOND, "{:?}", since.elapsed());
    drop(silent);
    server.wait_for_log(&["closed", &ours, "silent for too long"]);
    let mut talker = speaking.join().unwrap();
    talker.expect_end();
    assert!(since.elapsed() >= 5 * SECOND / 2, "{:?}", since.elapsed());
}

#[test]
fn by_default_nobody_is_too_silent() {
    let server = Serving::new(WASI);
    let mut silent = server.client();
    thread::sleep(2 * SECOND);
    silent.ask("at last\n", "Hello, at last!\n");
}

#[test]
fn a_full_server_lets_others_wait() {
    let server = Serving::with(WASI, &["--max-connections", "2"]);
    let (mut one, mut two) = (server.client(), server.client());
    one.ask("1\n", "Hello, 1!\n");
    two.ask("2\n", "Hello, 2!\n");
    let mut three = server.client();
    three.send("3\n").expect_silence(SECOND / 2);
    one.ask("1\n", "Hello, 1!\n");
    assert!(server.statistics().contains("2 open, 2 connections"));
    two.send("exit\n").expect_end();
    three.expect("Hello, 3!\n");
    assert!(
        server
            .statistics()
            .contains("2 open, 3 connections, 0 refused")
    );
    server.terminate().assert_code(0);
}

#[test]
fn a_full_server_refuses_if_it_is_told_to() {
    let server = Serving::with(WASI, &["--max-connections", "1", "--refuse-when-full"]);
    let mut one = server.client();
    one.ask("1\n", "Hello, 1!\n");
    for _ in 0..3 {
        let mut two = server.client();
        let ours = two.address().to_string();
        assert_eq!(two.read_to_end(), b"too many connections\n");
        server.wait_for_log(&["refused", &ours, "too many connections"]);
    }
    one.send("exit\n").expect_end();
    drop(one);
    server.wait_for_log(&["closed 1:"]);
    server.client().ask("2\n", "Hello, 2!\n");
    assert!(server.statistics().contains("2 connections, 3 refused"));
    server.terminate().assert_code(0);
}

#[test]
fn one_address_has_its_share() {
    let server = Serving::with(WASI, &["--max-per-peer", "2"]);
    let (mut one, mut two) = (server.client(), server.client());
    one.ask("1\n", "Hello, 1!\n");
    two.ask("2\n", "Hello, 2!\n");
    let mut three = server.client();
    assert_eq!(
        three.read_to_end(),
        b"too many connections from this address\n"
    );
    // Another peer is not affected.
    let mut other = HelloClient::connect_from("127.0.0.2", server.address());
    other.ask("3\n", "Hello, 3!\n");
    one.send("exit\n").expect_end();
    drop(one);
    server.wait_for_log(&["closed 1:"]);
    server.client().ask("4\n", "Hello, 4!\n");
    server.terminate().assert_code(0);
}

#[test]
fn the_default_leaves_room_for_the_rest_of_the_process() {
    // 100 files: 32 for the process, a quarter of the rest for what isn't a connection.
    let server = Serving::started(
        Serving::program(WASI, &["--refuse-when-full"]).file_limit(100),
        1,
    );
    let mut clients: Vec<HelloClient> = Vec::new();
    for number in 0..51 {
        let mut client = server.client();
        client.ask(&format!("{number}\n"), &format!("Hello, {number}!\n"));
        clients.push(client);
    }
    assert_eq!(server.client().read_to_end(), b"too many connections\n");
    drop(server);

    let more = ["--max-connections", "1000"];
    let server = Serving::started(Serving::program(WASI, &more).file_limit(100), 1);
    server.wait_for_log(&["warning", "--max-connections 1000", "51"]);
}

#[test]
fn when_no_files_are_left_accepting_pauses_and_goes_on() {
    let server = Serving::new(WASI);
    let mut first = server.client();
    first.ask("1\n", "Hello, 1!\n");
    server.process().allow_no_more_files();
    let mut second = server.client();
    second.send("2\n");
    let line = server.wait_for_log(&["could not accept"]);
    assert!(line.contains("too many files"), "{line}");
    let before = server.process().cpu_time();
    second.expect_silence(2 * SECOND);
    let used = server.process().cpu_time() - before;
    assert!(used < SECOND / 4, "{used:?} of computing in two seconds");
    first.ask("still there?\n", "Hello, still there?!\n");
    assert_eq!(server.count_in_log(&["could not accept"]), 1, "once");
    server.process().set_file_limit(200);
    second.expect("Hello, 2!\n");
    server.terminate().assert_code(0);
}

#[test]
fn long_messages_of_many_do_not_use_up_the_memory() {
    // A quarter of it is for messages that have arrived in part: 2 MiB.
    let server = Serving::with(WASI, &["--max-memory", "8M", "--framing", "line"]);
    let mut polite = server.client();
    let half = "x".repeat(60_000);
    let mut clients: Vec<HelloClient> = Vec::new();
    for _ in 0..60 {
        let mut client = server.client();
        client.send(&half);
        clients.push(client);
    }
    server.wait_for_log(&["closed", "server overloaded"]);
    polite.ask("still there?\n", "Hello, still there?!\n");
    let served = clients.iter_mut().filter_map(|client| client.try_ask("\n"));
    let (answers, refusals): (Vec<_>, Vec<_>) =
        served.partition(|answer| answer.starts_with(b"Hello, xxx"));
    assert!(answers.len() >= 10, "{} were served", answers.len());
    for refusal in refusals {
        assert_eq!(refusal, b"server overloaded\n");
    }
    assert_eq!(server.count_in_log(&["starting anew"]), 0);
    server.terminate().assert_code(0);
}

#[test]
fn a_word_from_everybody_at_once_does_not_use_up_the_memory() {
    let server = Serving::with(WASI, &["--max-memory", "4M", "--quiet"]);
    let mut clients: Vec<HelloClient> = Vec::new();
    for _ in 0..300 {
        let mut client = server.client();
        client.ask("here\n", "Hello, here!\n");
        clients.push(client);
    }
    // Many long ones, whose answers are more than all the memory; and one short one.
    for (length, count) in [(1000, 12), (500, 1)] {
        let word = "x".repeat(length);
        // When all have been silent for a moment, the server waits for all of them, and then reads all
        // new messages in one turn.
        thread::sleep(SECOND / 4);
        server.process().signal(Signal::STOP);
        for client in &mut clients {
            client.send(format!("{word}\n").repeat(count));
        }
        server.process().signal(Signal::CONT);
        for client in &mut clients {
            client.expect(format!("Hello, {word}!\n").repeat(count));
        }
    }
    server.terminate().assert_code(0);
}

#[test]
fn clients_that_come_and_go_a_thousand_times_a_second() {
    let server = Serving::with(WASI, &["--quiet"]);
    let address = server.address();
    let mut polite = server.client();
    let until = Instant::now() + 5 * SECOND;
    let visitors: Vec<_> = (0..4)
        .map(|kind| {
            thread::spawn(move || {
                let mut visits = 0_u64;
                while Instant::now() < until {
                    match TcpStream::connect(address) {
                        Ok(stream) => {
                            if kind % 2 == 0 {
                                let mut client = HelloClient::over(stream);
                                client.ask("here\n", "Hello, here!\n");
                                if kind == 2 {
                                    client.reset();
                                }
                            }
                            visits += 1;
                        }
                        // So many connections have just been closed that there is no port left.
                        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                            thread::sleep(SECOND / 100);
                        }
                        Err(error) => panic!("{error}"),
                    }
                    // About 300 a second each.
                    thread::sleep(Duration::from_millis(2));
                }
                visits
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    while Instant::now() < until {
        let asked = Instant::now();
        polite.ask("still there?\n", "Hello, still there?!\n");
        slowest = slowest.max(asked.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
    let visits: u64 = visitors.into_iter().map(|it| it.join().unwrap()).sum();
    println!("{visits} visits in 5 seconds, the slowest answer to another client in {slowest:?}");
    assert!(visits > 1000, "{visits} visits");
    assert!(slowest < SECOND, "one answer took {slowest:?}");
    eventually("all connections to be closed", || {
        server.statistics().contains("1 open").then_some(())
    });
    let line = server.statistics();
    assert!(Serving::holds_sockets(&line, 2), "{line}");
    server.terminate().assert_code(0);
}

#[test]
fn too_few_files_for_a_client_are_told_at_the_start() {
    let serve = |args: &[&str], files: usize| {
        let program = Program::serve(WASI).args(["--listen", "127.0.0.1:0"]);
        program.args(args).file_limit(files).run()
    };
    let two = ["--listen", "127.0.0.2:0"];
    for (args, files, taker, enough) in [
        (&[][..], 33, "serving", 34),
        (&[], 20, "every subcommand", 32),
        (&two, 34, "serving", 35),
    ] {
        let word = format!("`ulimit -n {enough}` or more");
        let finished = serve(args, files);
        finished.assert_failure(125, &[taker, &word]);
        finished.assert_stdout(b"");
    }
    serve(&["--max-sockets", "1"], 1000).assert_failure(2, &["--max-sockets 1"]);
    // With just enough a client is served.
    let server = Serving::started(Serving::program(WASI, &[]).file_limit(34), 1);
    let mut client = server.client();
    client.ask("still room?\n", "Hello, still room?!\n");
}
