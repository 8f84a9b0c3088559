//! `sockbox serve`: messages and answers.

use super::WASI;
use sockbox_tests::{HelloClient, Program, Serving, TutorialClient};
use std::io::Write;

/// The other client's answer proves that the server has read the earlier bytes.
fn pause(other: &mut HelloClient) {
    other.ask("pause\n", "Hello, pause!\n");
}

#[test]
fn lines_end_with_newlines_alone() {
    let server = Serving::with(WASI, &["--framing", "line"]);
    let (mut client, mut other) = (server.client(), server.client());
    client.send("Mich");
    pause(&mut other);
    client.send("ael\n").expect("Hello, Michael!\n").send("a\r");
    pause(&mut other);
    client
        .send("\n\n\r\nb\nc")
        .expect("Hello, a!\r\nHello, !\nHello, !\r\nHello, b!\n");
    for byte in "你好, byte by byte\r\n".as_bytes() {
        client.send([*byte]);
    }
    client.expect("Hello, c你好, byte by byte!\r\n");
    client
        .send("the end")
        .end_sending()
        .expect("Hello, the end!")
        .expect_end();
    let mut client = server.client();
    client.send("ex");
    pause(&mut other);
    client.send("it\nmore\n").expect_end();
    server.terminate().assert_code(0);
}

#[test]
fn chunks_are_what_one_receive_returned() {
    let server = Serving::with(WASI, &["--framing", "chunk"]);
    let mut client = server.client();
    client
        .ask("Michael", "Hello, Michael!")
        .ask("a\nb\r\n", "Hello, a\nb\r\n!")
        .ask("exit\n", "Hello, exit\n!");
    let mut other = server.client();
    for character in ["é", "你", "😀"] {
        let (first, rest) = character.as_bytes().split_at(1);
        client.send(first);
        other.ask("pause", "Hello, pause!");
        client.send(rest).expect(format!("Hello, {character}!"));
    }
    client.send("exit").expect_end();
    TutorialClient::run(server.address())
        .assert_quiet_success()
        .assert_stdout(TutorialClient::ANSWERS.as_bytes());
    server.terminate().assert_code(0);
}

#[test]
fn a_character_byte_by_byte_is_one_message() {
    for framing in ["auto", "chunk"] {
        let server = Serving::with(WASI, &["--framing", framing]);
        let (mut client, mut other) = (server.client(), server.client());
        for byte in "😀".as_bytes() {
            client.send([*byte]);
            other.ask("pause", "Hello, pause!");
        }
        client.expect("Hello, 😀!");
    }
}

#[test]
fn the_full_tutorial_welcomes_its_clients() {
    let server = Serving::with(WASI, &["--welcome", "Welcome!", "--framing", "chunk"]);
    let mut client = server.client();
    client
        .expect("Welcome!")
        .ask("Michael", "Hello, Michael!")
        .send("exit")
        .expect_end();
    let server = Serving::with(WASI, &["--welcome", "Welcome!", "--framing", "line"]);
    server.client().expect("Welcome!\n");
}

#[test]
fn the_greeting_is_whatever_it_is_told() {
    let server = Serving::with(WASI, &["--greeting", "你好"]);
    server.client().ask("Michael\n", "你好, Michael!\n");
    Program::serve(WASI)
        .args(["--listen", "127.0.0.1:0", "--greeting", "a\nb"])
        .run()
        .assert_failure(2, &["greeting", "line break"])
        .assert_stdout(b"");
}

#[test]
fn the_longest_message_and_one_byte_more() {
    for (framing, newline) in [
        ("auto", "\n"),
        ("line", "\n"),
        ("line", "\r\n"),
        ("chunk", ""),
    ] {
        let server = Serving::with(WASI, &["--max-message", "100", "--framing", framing]);
        let longest = "x".repeat(100);
        let mut client = server.client();
        client.ask(
            &format!("{longest}{newline}"),
            &format!("Hello, {longest}!{newline}"),
        );
        client
            .send(format!("{longest}y{newline}"))
            .expect("message longer than 100 bytes\n")
            .expect_end();
        server.wait_for_log(&["closed 1:", "message too long", "1 messages"]);
    }
    // Far past the default.
    let server = Serving::with(WASI, &["--max-message", "3M", "--framing", "line"]);
    let long = "x".repeat(3 << 20);
    let mut client = server.client();
    let (ours, message) = (client.address(), format!("{long}\n"));
    client.send_while_receiving(&message, &format!("Hello, {long}!\n"));
    client.send("exit\n").expect_end();
    server.wait_for_log(&["closed 1:", &ours.to_string(), "exit", "1 messages"]);
}

#[test]
fn a_slow_writer_is_waited_for() {
    let server = Serving::with(WASI, &["--framing", "line"]);
    let mut others: Vec<HelloClient> = (0..10).map(|_| server.client()).collect();
    let mut client = server.client();
    for (number, byte) in "one byte at a time\n".bytes().enumerate() {
        client.send([byte]);
        let other = &mut others[number % 10];
        other.ask(&format!("{number}\n"), &format!("Hello, {number}!\n"));
    }
    client.expect("Hello, one byte at a time!\n");
}

#[test]
fn garbage_is_answered_and_harms_nobody() {
    let server = Serving::with(WASI, &["--framing", "line"]);
    let mut polite = server.client();
    // Every byte but the newline, a few times over, and what other protocols begin with.
    let bytes: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    for garbage in [
        bytes.repeat(7),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET / HTTP/1.1".to_vec(),
        vec![0; 5000],
        b"\xff\xfe\xfd".to_vec(),
        b"%s%n%x\\x00".to_vec(),
    ] {
        let mut client = server.client();
        client
            .send([&garbage[..], b"\n"].concat())
            .expect([b"Hello, ", &garbage[..], b"!\n"].concat());
        client.send(&garbage);
        client.reset();
        polite.ask("still there?\n", "Hello, still there?!\n");
    }
    server.terminate().assert_code(0);
}

#[test]
fn netcat_is_answered() {
    let server = Serving::new(WASI);
    let address = server.address();
    let mut netcat = Program::netcat([address.ip().to_string(), address.port().to_string()])
        .with_stdin()
        .start();
    let mut stdin = netcat.stdin();
    stdin.write_all(b"Michael\nTracy\n").unwrap();
    drop(stdin);
    let finished = netcat.wait();
    finished
        .assert_quiet_success()
        .assert_stdout(b"Hello, Michael!\nHello, Tracy!\n");
}
