//! `sockbox fetch`: the address that it connects to, and the errors when none answers.

use sockbox_tests::{BlackHole, Finished, Nginx, Peer, Program, RawPeer, Refuser, has_ipv6};

fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Far shorter than the system's own connect timeout, and far longer than racing two addresses
/// takes.
const RACE: &str = "40";

#[test]
fn an_address_that_is_silent_does_not_hold_up_the_other() {
    let Some(hole) = BlackHole::new() else { return };
    let url = |host: &str| format!("http://{host}/");
    let pin = |addresses: &[&str]| format!("a.example:80:{}", addresses.join(","));
    let (holes_first, six_first) = (
        pin(&[
            BlackHole::HOLE_V4,
            BlackHole::HOLE_V6,
            BlackHole::HOLE_V4,
            BlackHole::GOOD_V4,
        ]),
        pin(&[BlackHole::HOLE_V6, BlackHole::GOOD_V4]),
    );
    let four_first = pin(&[BlackHole::HOLE_V4, BlackHole::GOOD_V6]);
    let same_family = pin(&[BlackHole::HOLE_V4, BlackHole::GOOD_V4]);
    for (args, host, reached) in [
        // As the system's resolver gives them.
        (&[][..], BlackHole::SIX_FIRST, BlackHole::GOOD_V4),
        (&["--resolve", &six_first], "a.example", BlackHole::GOOD_V4),
        (&["--resolve", &four_first], "a.example", BlackHole::GOOD_V6),
        (
            &["--resolve", &same_family],
            "a.example",
            BlackHole::GOOD_V4,
        ),
        (
            &["--resolve", &holes_first],
            "a.example",
            BlackHole::GOOD_V4,
        ),
        (
            &[
                "--resolve",
                &holes_first,
                "--happy-eyeballs-timeout-ms",
                "1",
            ],
            "a.example",
            BlackHole::GOOD_V4,
        ),
        (&["-4"], BlackHole::SIX_FIRST, BlackHole::GOOD_V4),
    ] {
        eprintln!("{args:?} {host}");
        let program = Program::sockbox(["fetch", "--connect-timeout", RACE])
            .args(args)
            .args([url(host)]);
        let (finished, asked) = hole.run(program);
        finished.assert_quiet_success().assert_stdout(b"hello");
        assert_eq!(asked, [reached]);
    }
}

#[test]
fn an_address_has_its_time_before_the_next_one_is_tried() {
    let Some(hole) = BlackHole::new() else { return };
    let pin = format!("a.example:80:{},{}", BlackHole::HOLE_V4, BlackHole::GOOD_V4);
    let patient = ["--happy-eyeballs-timeout-ms", "600000", "-m", "1"];
    let program = Program::sockbox(["fetch", "--resolve", &pin])
        .args(patient)
        .args(["http://a.example/"]);
    let (finished, asked) = hole.run(program);
    finished.assert_failure(28, &["connect", "1s"]);
    assert_eq!(asked, [""; 0]);
}

#[test]
fn the_same_component_races_under_another_runtime() {
    let Some(hole) = BlackHole::new() else { return };
    let network = ["-S", "inherit-network", "-S", "allow-ip-name-lookup"];
    let url = format!("http://{}/", BlackHole::SIX_FIRST);
    let program = Program::wasmtime_run(&network, ["fetch", "--connect-timeout", RACE, &url]);
    let (finished, asked) = hole.run(program);
    finished.assert_quiet_success().assert_stdout(b"hello");
    assert_eq!(asked, [BlackHole::GOOD_V4]);
}

#[test]
fn silence_everywhere_ends() {
    let Some(hole) = BlackHole::new() else { return };
    for (args, host) in [
        (&[][..], BlackHole::NOWHERE),
        (&["-6"], BlackHole::SIX_FIRST),
        (&[], BlackHole::HOLE_V4),
    ] {
        let url = format!("http://{host}/");
        let program = Program::sockbox(["fetch", "--connect-timeout", "0.5"])
            .args(args)
            .args([&url]);
        let (finished, asked) = hole.run(program);
        // The stage, and how long it had.
        finished.assert_failure(28, &["connect", "500ms"]);
        assert_eq!(asked, [""; 0]);
        // The bound on the whole does the same.
        let (finished, _) = hole.run(
            Program::sockbox(["fetch", "-m", "0.5"])
                .args(args)
                .args([&url]),
        );
        finished.assert_failure(28, &["connect", "500ms"]);
    }
}

#[test]
fn a_lookup_that_hangs_ends() {
    let Some(hole) = BlackHole::new() else { return };
    for bound in ["--connect-timeout", "-m"] {
        let program = Program::sockbox(["fetch", bound, "0.5", "http://any-other.example/"]);
        let (finished, _) = hole.run(program);
        finished.assert_failure(28, &["resolving the host name", "500ms"]);
    }
}

#[test]
fn a_network_that_cannot_be_reached() {
    let Some(hole) = BlackHole::new() else { return };
    // The public network, from a machine that has no way there.
    let (finished, _) = hole.run(Program::sockbox(["fetch", "http://198.41.0.4/"]));
    finished.assert_failure(7, &["198.41.0.4:80", "unreachable"]);
}

#[test]
fn every_address_is_tried_and_told() {
    let refuser = Refuser::new();
    let port = refuser.address().port();
    let pin = format!("a.example:{port}:127.0.0.1,127.0.0.1");
    let url = format!("http://a.example:{port}/");
    let finished = fetch(&["--resolve", &pin, &url]);
    finished.assert_failure(7, &["a.example", &format!("127.0.0.1:{port}"), "refused"]);
    // If one address refuses, the next one is tried, and -v shows both.
    let peer = RawPeer::start_on("127.0.0.2:0", |peer: &mut Peer| {
        peer.read_request()?;
        peer.send(HELLO)
    });
    let port = peer.address().port();
    let pin = format!("a.example:{port}:127.0.0.3,127.0.0.2");
    let url = format!("http://a.example:{port}/");
    // At once, however long it would have had.
    let patient = ["--happy-eyeballs-timeout-ms", "600000", "-m", "30"];
    let finished = fetch(&[&patient[..], &["-v", "--resolve", &pin, &url]].concat());
    finished.assert_code(0).assert_stdout(b"hello");
    for word in [
        format!("127.0.0.3:{port}"),
        "refused".to_owned(),
        format!("127.0.0.2:{port}"),
    ] {
        assert!(finished.stderr().contains(&word), "{word:?} isn't told");
    }
}

#[test]
fn a_family_is_chosen() {
    if !has_ipv6() {
        return;
    }
    let nginx = Nginx::start();
    let page = nginx.page("page.html");
    let port = nginx.address().port();
    let pin = format!("a.example:{port}:127.0.0.1,[::1]");
    let url = format!("http://a.example:{port}/page.html");
    for (flag, address) in [("-4", "127.0.0.1"), ("-6", "::1")] {
        let finished = fetch(&["-s", flag, "--resolve", &pin, "-w", "%{remote_ip}", &url]);
        let expected = [&page[..], address.as_bytes()].concat();
        finished.assert_quiet_success().assert_stdout(&expected);
    }
    // None of that family is left.
    let pin = format!("a.example:{port}:127.0.0.1");
    fetch(&["-6", "--resolve", &pin, &url]).assert_failure(6, &["a.example"]);
}

#[test]
fn a_static_host_is_for_its_name_and_port() {
    let peer = RawPeer::answering(HELLO);
    let port = peer.address().port();
    let pin = |host: &str, port: u16| format!("{host}:{port}:127.0.0.1");
    let url = format!("http://a.invalid:{port}/");
    fetch(&["--resolve", &pin("A.INVALID", port), &url])
        .assert_quiet_success()
        .assert_stdout(b"hello");
    // Another name, another port: they are resolved, and do not exist (RFC 6761 section 6.4).
    for other in [pin("b.invalid", port), pin("a.invalid", port ^ 1)] {
        fetch(&["--resolve", &other, &url]).assert_failure(6, &["a.invalid"]);
    }
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_static_host_without_a_port_is_for_every_port() {
    let peers = [RawPeer::answering(HELLO), RawPeer::answering(HELLO)];
    for peer in &peers {
        let url = format!("http://a.invalid:{}/", peer.address().port());
        fetch(&["--resolve", "A.invalid:127.0.0.1", &url])
            .assert_quiet_success()
            .assert_stdout(b"hello");
        fetch(&["--resolve", "b.invalid:127.0.0.1", &url]).assert_failure(6, &["a.invalid"]);
        assert_eq!(peer.connections(), 1);
    }
}

#[test]
fn static_hosts_that_cannot_be_read() {
    for pin in [
        "",
        "a",
        "a:80",
        "a:80:",
        "a:80:b",
        "a:99999:127.0.0.1",
        "a:80:127.0.0.1,",
        "a:x:127.0.0.1",
        "*:127.0.0.1",
        "[::1]:127.0.0.1",
    ] {
        let finished = fetch(&["--resolve", pin, "http://127.0.0.1:1/"]);
        finished.assert_code(2).assert_stdout(b"");
        assert!(finished.stderr().contains("--resolve"), "{pin:?}");
    }
}
