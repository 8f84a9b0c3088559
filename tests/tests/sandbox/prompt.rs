//! Asking at the terminal about operations that no rule decides.

use crate::http::OK;
use sockbox_tests::{Foreign, Internet, Peer, RawPeer, Tripwire};

/// What comes before a question: see `RESET` and `NEW_LINE` in the prompt's source.
const RESET: &str =
    "\x18\x1b\\\x1b[!p\x1b[0m\x0f\x1b(B\x1b[?25h\x1b[?5l\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\";

fn answering_peer() -> RawPeer {
    RawPeer::start(|peer: &mut Peer| {
        peer.read_bytes(4)?;
        peer.send("pong")
    })
}

#[test]
fn each_target_is_asked_about_once() {
    let (peer, tripwire) = (answering_peer(), Tripwire::new());
    let (yes, no) = (peer.address(), tripwire.address());
    let attempts =
        format!("connect {yes} then connect {no} then connect {yes} then connect {no} then env");
    for (answers, answer) in [
        (["y\n", "n\n"], "ok pong"),
        (["yes\n", "\n"], "ok pong"),
        (["Y\n", "x\n"], "ok pong"),
    ] {
        let program = Foreign::Rust.run(&["--prompt"], &attempts);
        let finished = program.on_a_terminal_answering("", &answers).run();
        finished.assert_code(1);
        let shown = finished.stdout_text();
        for asked in [yes, no] {
            let question = format!("may it connect to {asked}?");
            assert_eq!(shown.matches(&question).count(), 1, "{question}");
        }
        assert_eq!(shown.matches(answer).count(), 2, "{shown}");
        assert_eq!(
            shown.matches("access-denied at connect").count(),
            2,
            "{shown}"
        );
        tripwire.assert_untouched();
    }
}

#[test]
fn what_a_rule_decides_is_not_asked_about() {
    let (peer, tripwire) = (answering_peer(), Tripwire::new());
    let (yes, no) = (peer.address().to_string(), tripwire.address().to_string());
    let flags = ["--prompt", "--allow-connect", &yes, "--deny-connect", &no];
    let attempts = format!("connect {yes} then connect {no}");
    let finished = Foreign::Rust
        .run(&flags, &attempts)
        .on_a_terminal_answering("", &["y\n", "y\n"])
        .run();
    finished.assert_code(1);
    assert!(!finished.stdout_text().contains("may it"));
    tripwire.assert_untouched();
}

#[test]
fn each_request_is_asked_about_once() {
    let (peer, tripwire) = (RawPeer::answering(OK), Tripwire::new());
    let (yes, no) = (peer.address(), tripwire.address());
    let attempts = format!(
        "send GET http {yes} /a?b then send GET http {yes} /x/../a then send POST http {yes} /a then send GET http \
         {no} /a then send GET http {no} /a?c"
    );
    let finished = Foreign::Requests
        .run(&["--prompt"], &attempts)
        .on_a_terminal_answering("", &["y\n", "y\n", "n\n"])
        .run();
    finished.assert_code(1);
    let shown = finished.stdout_text();
    for request in [
        format!("GET http://{yes}/a"),
        format!("POST http://{yes}/a"),
        format!("GET http://{no}/a"),
    ] {
        let question = format!("may it send {request}? [y/N]");
        assert_eq!(shown.matches(&question).count(), 1, "{question} {shown}");
    }
    assert_eq!(shown.matches("[y/N]").count(), 3, "{shown}");
    assert_eq!(shown.matches("ok 200 page").count(), 3, "{shown}");
    let denied = "HttpRequestDenied at response";
    assert_eq!(shown.matches(denied).count(), 2, "{shown}");
    tripwire.assert_untouched();
}

#[test]
fn a_request_that_a_rule_decides_is_not_asked_about() {
    let (peer, tripwire) = (RawPeer::answering(OK), Tripwire::new());
    let (yes, no) = (peer.address(), tripwire.address());
    let allow = format!("GET http://{yes}/*");
    let deny = format!("* http://{no}/*");
    let flags = ["--prompt", "--allow-http", &allow, "--deny-http", &deny];
    let attempts = format!("send GET http {yes} /a then send GET http {no} /a");
    let finished = Foreign::Requests
        .run(&flags, &attempts)
        .on_a_terminal_answering("", &["y\n", "y\n"])
        .run();
    finished.assert_code(1);
    let shown = finished.stdout_text();
    assert!(!shown.contains("may it"), "{shown}");
    assert_eq!(shown.matches("ok 200 page").count(), 1, "{shown}");
    tripwire.assert_untouched();
}

#[test]
fn a_yes_to_a_request_leads_a_name_to_public_addresses_alone() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("evil.example", &[&["127.0.0.1"]]);
    let attempt = "send GET http evil.example /";
    let program = Foreign::Requests
        .run(&["--prompt"], attempt)
        .on_a_terminal_answering("", &["y\n"]);
    let (finished, seen) = internet.run(program);
    finished.assert_code(1);
    let shown = finished.stdout_text();
    let question = "may it send GET http://evil.example/? [y/N]";
    assert_eq!(shown.matches(question).count(), 1, "{shown}");
    assert!(
        shown.contains("DestinationIpProhibited at response"),
        "{shown}"
    );
    assert_eq!(seen.packets, [""; 0]);
}

#[test]
fn an_address_of_localhost_is_asked_about_once() {
    let peer = answering_peer();
    let port = peer.address().port();
    let attempts = format!(
        "connect-name localhost {port} then connect-name localhost {port} then bind 127.0.0.1:0 then udp-bind \
         127.0.0.1:0"
    );
    let finished = Foreign::Rust
        .run(&["--prompt", "--no-private-loopback"], &attempts)
        .on_a_terminal_answering("", &["y\n"; 4])
        .run();
    finished.assert_code(0);
    let shown = finished.stdout_text();
    let connect = format!("may it connect to 127.0.0.1:{port} (localhost)?");
    for question in [
        "may it resolve localhost?",
        &connect,
        "may it bind to 127.0.0.1:0?",
        "may it bind a UDP socket to 127.0.0.1:0?",
    ] {
        assert_eq!(shown.matches(question).count(), 1, "{question}");
    }
}

#[test]
fn one_question_for_the_public_addresses_of_a_name() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let v4 = Internet::PUBLIC_V4;
    let internet = internet.name("a.example", &[&[v4], &[Internet::OTHER_V4]]);
    let attempts = "connect-name a.example 80 then connect-name a.example 80";
    let program = Foreign::Rust
        .run(&["--prompt"], attempts)
        .on_a_terminal_answering("", &["y\n", "y\n"]);
    let (finished, seen) = internet.run(program);
    finished.assert_code(0);
    let shown = finished.stdout_text();
    assert_eq!(shown.matches("[y/N]").count(), 2, "{shown}");
    let question = format!("may it connect to {v4}:80 (a.example)?");
    assert!(shown.contains(&question), "{shown}");
    assert_eq!(seen.packets, ["tcp 1.2.3.4:80", "tcp 5.6.7.8:80"]);
}

#[test]
fn a_name_that_moves_to_the_inside_is_asked_about_again() {
    let Some(internet) = Internet::new() else {
        return;
    };
    for (inside, what) in [
        ("127.0.0.1", "loopback"),
        (Internet::METADATA, "link-local, cloud metadata"),
        (
            Internet::NEIGHBOUR_V4,
            "in a network that this machine is connected to",
        ),
    ] {
        let internet = Internet::default().name("evil.example", &[&["1.2.3.4"], &[inside]]);
        let attempts = "connect-name evil.example 80 then connect-name evil.example 80";
        let program = Foreign::Rust
            .run(&["--prompt"], attempts)
            .on_a_terminal_answering("", &["y\n", "y\n", "n\n"]);
        let (finished, seen) = internet.run(program);
        finished.assert_code(1);
        let shown = finished.stdout_text();
        let question =
            format!("may it connect to {inside}:80 (evil.example, which leads to {what}");
        assert_eq!(shown.matches(&question).count(), 1, "{shown}");
        assert_eq!(seen.packets, ["tcp 1.2.3.4:80"], "{inside}");
    }
    drop(internet);
}

#[test]
fn a_yes_to_one_port_is_none_to_another() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let attempts =
        format!("bind {free} then bind 127.0.0.1:0 then udp-bind {free} then udp-bind 127.0.0.1:0");
    let finished = Foreign::Rust
        .run(&["--prompt", "--no-private-loopback"], &attempts)
        .on_a_terminal_answering("", &["y\n", "n\n", "y\n", "n\n"])
        .run();
    finished.assert_code(1);
    let shown = finished.stdout_text();
    assert_eq!(shown.matches("[y/N]").count(), 4, "{shown}");
    assert_eq!(shown.matches("access-denied at bind").count(), 2, "{shown}");
    assert_eq!(shown.matches(&format!("ok {free}")).count(), 2, "{shown}");
}

#[test]
fn what_was_typed_before_a_question_is_not_its_answer() {
    let tripwire = Tripwire::new();
    let attempts = format!("connect {}", tripwire.address());
    for typed in ["y\n", "y\ny\ny\n", "y"] {
        let finished = Foreign::Rust
            .run(&["--prompt"], &attempts)
            .on_a_terminal_answering(typed, &["\n"])
            .run();
        finished.assert_code(1);
        assert!(finished.stdout_text().contains("access-denied at connect"));
        tripwire.assert_untouched();
    }
}

#[test]
fn a_question_looks_like_no_component_has_it_look() {
    let tripwire = Tripwire::new();
    let attempts = format!("connect {}", tripwire.address());
    let asking = || Foreign::Rust.run(&["--prompt"], &attempts);
    let question = format!("sockbox: may it connect to {}? [y/N] ", tripwire.address());
    let shown = asking().on_a_terminal_answering("", &["n\n"]).run();
    // On its own line, after resetting the terminal's attributes. The terminal makes CR LF of the
    // LF.
    let expected = format!("{RESET}\r\r\n\x1b[2K{question}");
    let shown = shown.stdout_text();
    assert!(shown.contains(&expected), "{shown:?}");
    // A terminal without escape sequences gets none.
    let plain = asking()
        .on_a_terminal_answering("", &["n\n"])
        .env("TERM", "dumb")
        .run();
    let plain = plain.stdout_text();
    assert!(plain.contains(&format!("\n{question}")), "{plain:?}");
    assert!(!plain.contains('\x1b'), "{plain:?}");
    tripwire.assert_untouched();
}

#[test]
fn silence_is_a_no() {
    let tripwire = Tripwire::new();
    let attempts = format!("connect {}", tripwire.address());
    // The end of the input.
    let finished = Foreign::Rust
        .run(&["--prompt"], &attempts)
        .on_a_terminal_answering("", &["\u{4}"])
        .run();
    finished.assert_code(1);
    assert!(finished.stdout_text().contains("access-denied at connect"));
    tripwire.assert_untouched();
}
