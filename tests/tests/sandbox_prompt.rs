//! Asking at the terminal what no rule decides.

use sockbox_tests::{Foreign, Peer, RawPeer, Tripwire};

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
    for (typed, answer) in [
        ("y\nn\n", "ok pong"),
        ("yes\n\n", "ok pong"),
        ("Y\nx\n", "ok pong"),
    ] {
        let program = Foreign::Rust.run(&["--prompt"], &attempts);
        let finished = program.on_a_terminal_typing(typed).run();
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
        .on_a_terminal_typing("y\ny\n")
        .run();
    finished.assert_code(1);
    assert!(!finished.stdout_text().contains("may it"));
    tripwire.assert_untouched();
}

#[test]
fn one_question_for_all_of_a_name() {
    let peer = answering_peer();
    let port = peer.address().port();
    let attempts = format!(
        "connect-name localhost {port} then connect-name localhost {port} then bind 127.0.0.1:0 then udp-bind \
         127.0.0.1:0"
    );
    let finished = Foreign::Rust
        .run(&["--prompt"], &attempts)
        .on_a_terminal_typing("y\ny\ny\ny\n")
        .run();
    finished.assert_code(0);
    let shown = finished.stdout_text();
    for question in [
        "may it look up localhost?",
        "(localhost)?",
        "may it bind to 127.0.0.1:0?",
        "may it bind a UDP socket to 127.0.0.1:0?",
    ] {
        assert_eq!(shown.matches(question).count(), 1, "{question}");
    }
}

#[test]
fn silence_is_a_no() {
    let tripwire = Tripwire::new();
    let attempts = format!("connect {}", tripwire.address());
    // The end of what is typed.
    let finished = Foreign::Rust
        .run(&["--prompt"], &attempts)
        .on_a_terminal_typing("\u{4}")
        .run();
    finished.assert_code(1);
    assert!(finished.stdout_text().contains("access-denied at connect"));
    tripwire.assert_untouched();
}
