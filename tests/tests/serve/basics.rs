//! `sockbox serve`: the answers to clients.

use super::WASI;
use sockbox_tests::{HelloClient, Serving, TutorialClient, has_ipv6};

#[test]
fn the_tutorials_client_is_answered() {
    let server = Serving::new(WASI);
    for _ in 0..3 {
        let client = TutorialClient::run(server.address());
        client
            .assert_quiet_success()
            .assert_stdout(TutorialClient::ANSWERS.as_bytes());
    }
    server.terminate().assert_code(0);
}

#[test]
fn a_hundred_tutorial_clients_at_once() {
    let server = Serving::new(WASI);
    TutorialClient::run_together(server.address(), 100);
    server.terminate().assert_code(0);
}

#[test]
fn a_newline_ends_a_message_and_is_repeated() {
    let server = Serving::new(WASI);
    let mut client = server.client();
    client
        .ask("Michael\n", "Hello, Michael!\n")
        .ask("Tracy\r\n", "Hello, Tracy!\r\n")
        .ask("Sarah", "Hello, Sarah!")
        .ask("\n", "Hello, !\n")
        .ask("\r\n", "Hello, !\r\n")
        .ask("你好\n", "Hello, 你好!\n")
        .ask("two words\n", "Hello, two words!\n");
    client.send("exit\n").expect_end();
}

#[test]
fn messages_of_one_packet_are_answered_in_order() {
    let server = Serving::new(WASI);
    let mut client = server.client();
    client.ask(
        "a\nb\r\n\nc\n",
        "Hello, a!\nHello, b!\r\nHello, !\nHello, c!\n",
    );
    let numbers = 0..5000;
    let messages: String = numbers
        .clone()
        .map(|number| format!("{number}\n"))
        .collect();
    let answers: String = numbers
        .map(|number| format!("Hello, {number}!\n"))
        .collect();
    client.ask(&messages, &answers);
}

#[test]
fn a_character_may_be_split_over_packets() {
    let server = Serving::new(WASI);
    let (mut client, mut other) = (server.client(), server.client());
    for character in ["é", "你", "😀"] {
        for cut in 1..character.len() {
            let (first, rest) = character.as_bytes().split_at(cut);
            client.send([b"a", first].concat());
            // An answer to another client proves that the server has read half a character.
            other.ask("x", "Hello, x!");
            client
                .send([rest, b"\n"].concat())
                .expect(format!("Hello, a{character}!\n"));
        }
    }
}

#[test]
fn exit_closes_after_what_came_before_it() {
    let server = Serving::new(WASI);
    for (sent, answers) in [
        ("exit", ""),
        ("exit\n", ""),
        ("exit\r\n", ""),
        ("a\nb\nexit\nc\n", "Hello, a!\nHello, b!\n"),
        ("exit now\nexit\n", "Hello, exit now!\n"),
    ] {
        let mut client = server.client();
        client.ask(sent, answers).expect_end();
    }
}

#[test]
fn a_client_that_shuts_its_sending_side_gets_every_answer() {
    let server = Serving::new(WASI);
    let messages: String = (0..2000).map(|number| format!("{number}\n")).collect();
    let answers: String = (0..2000)
        .map(|number| format!("Hello, {number}!\n"))
        .collect();
    for (sent, answers) in [
        ("", ""),
        ("a", "Hello, a!"),
        ("a\nb\nc", "Hello, a!\nHello, b!\nHello, c!"),
        (&messages, &answers),
    ] {
        let mut client = server.client();
        client.send(sent).end_sending().expect(answers).expect_end();
    }
}

#[test]
fn a_message_that_is_too_long() {
    // With a newline alone as the end of a message: otherwise a message that is slow to arrive is several.
    let server = Serving::with(WASI, &["--framing", "line"]);
    let mut client = server.client();
    let mut other = server.client();
    client.send("x".repeat(512 << 10)).end_sending();
    client
        .expect("message longer than 65536 bytes\n")
        .expect_end();
    other.ask("still there?\n", "Hello, still there?!\n");
    let line = server.wait_for_log(&["closed", &client.address().to_string()]);
    assert!(line.contains("long"), "{line}");
}

#[test]
fn a_client_that_breaks_off_harms_nobody() {
    let server = Serving::new(WASI);
    let mut other = server.client();
    for what in ["", "half a mess", "a\nb\nc\n"] {
        let mut client = server.client();
        client.send(what);
        let address = client.address().to_string();
        server.wait_for_log(&["open", &address]);
        client.reset();
        server.wait_for_log(&["closed", &address]);
        other.ask("still there?", "Hello, still there?!");
    }
    server.terminate().assert_code(0);
}

/// Everything that the buffers of the two systems and of the server may take from a client that reads
/// nothing. Far less than "everything that it sends".
const MOST_TAKEN: usize = 64 << 20;

#[test]
fn a_client_that_reads_nothing_holds_nobody_up() {
    let server = Serving::new(WASI);
    let mut greedy: Vec<HelloClient> = (0..4).map(|_| server.client()).collect();
    let messages = "a message whose answer is never read\n".repeat(1000);
    for client in &mut greedy {
        client.send_until_full(messages.as_bytes(), MOST_TAKEN);
    }
    let mut polite = server.client();
    for number in 0..500 {
        polite.ask(&format!("{number}\n"), &format!("Hello, {number}!\n"));
    }
    TutorialClient::run_together(server.address(), 10);
    // This would grow if the server buffered unsent answers without bound.
    assert!(
        server.process().peak_memory() < 200 << 10,
        "{} KiB",
        server.process().peak_memory()
    );
}

#[test]
fn several_addresses_of_both_kinds() {
    let mut listen = vec!["127.0.0.1:0", "127.0.0.1:0"];
    if has_ipv6() {
        listen.push("[::1]:0");
    }
    let server = Serving::on(WASI, &listen);
    let addresses = server.addresses();
    assert_eq!(addresses.len(), listen.len());
    for (asked, address) in listen.iter().zip(addresses) {
        let asked: std::net::SocketAddr = asked.parse().unwrap();
        assert_eq!(asked.ip(), address.ip());
        assert_ne!(address.port(), 0);
        HelloClient::connect(*address).ask("Michael", "Hello, Michael!");
        TutorialClient::run(*address)
            .assert_quiet_success()
            .assert_stdout(TutorialClient::ANSWERS.as_bytes());
    }
    server.terminate().assert_code(0);
}

#[test]
fn many_clients_come_and_go() {
    let server = Serving::new(WASI);
    for _ in 0..5 {
        let mut clients: Vec<HelloClient> = (0..200).map(|_| server.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("{number}\n"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.expect(format!("Hello, {number}!\n"));
        }
    }
    server.terminate().assert_code(0);
}
