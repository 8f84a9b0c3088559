//! A foreign component without a grant: every attempt is denied, no packet is sent, and the message names
//! the option that would allow it.

use sockbox_tests::{
    Finished, Foreign, Internet, RawPeer, Tripwire, UdpEcho, UdpTripwire, has_ipv6,
};

fn tries(flags: &[&str], attempts: &str) -> Finished {
    Foreign::Rust.run(flags, attempts).run()
}

/// Assert that the component got the error `told` and failed, and that one line of the output names
/// `target` and the option.
#[track_caller]
fn assert_denied(finished: &Finished, told: &str, target: &str, flag: &str) {
    finished
        .assert_failure(1, &["denied: ", target, "no rule grants it", flag])
        .assert_stdout(format!("{told}\n").as_bytes());
}

#[test]
fn nothing_is_granted_by_default() {
    let (tcp, udp) = (Tripwire::new(), UdpTripwire::new());
    let (tcp_address, udp_address) = (tcp.address(), udp.address());
    let port = tcp_address.port();
    for (attempt, told, target, flag) in [
        (
            format!("connect {tcp_address}"),
            "access-denied at connect",
            format!("connect to {tcp_address}"),
            format!("(--allow-connect {tcp_address} would)"),
        ),
        (
            "resolve localhost".to_owned(),
            "access-denied at resolve",
            "resolve localhost".to_owned(),
            "(--allow-resolve localhost would)".to_owned(),
        ),
        (
            format!("connect-name localhost {port}"),
            "access-denied at resolve",
            "resolve localhost".to_owned(),
            "(--allow-resolve localhost would)".to_owned(),
        ),
        (
            "bind 127.0.0.1:0".to_owned(),
            "access-denied at bind",
            "bind to 127.0.0.1:0".to_owned(),
            "(--allow-listen 127.0.0.1:0 would)".to_owned(),
        ),
        (
            "listen 0.0.0.0:0 1".to_owned(),
            "access-denied at listen",
            "listen on 0.0.0.0:".to_owned(),
            "(--allow-listen 0.0.0.0:".to_owned(),
        ),
        (
            "udp-bind 127.0.0.1:0".to_owned(),
            "access-denied at bind",
            "bind a UDP socket to 127.0.0.1:0".to_owned(),
            "(--allow-udp-bind 127.0.0.1:0 would)".to_owned(),
        ),
        (
            format!("udp-send {udp_address}"),
            "access-denied at bind",
            "bind a UDP socket to 0.0.0.0:0".to_owned(),
            "(--allow-udp-".to_owned(),
        ),
        (
            format!("udp-connect {udp_address}"),
            "access-denied at bind",
            "bind a UDP socket to 0.0.0.0:0".to_owned(),
            "(--allow-udp-".to_owned(),
        ),
    ] {
        eprintln!("{attempt}");
        let finished = tries(&["--no-private-loopback"], &attempt);
        assert_denied(&finished, told, &target, &flag);
        tcp.assert_untouched();
        udp.assert_untouched();
    }
}

#[test]
fn nothing_is_granted_by_default_over_ipv6_either() {
    if !has_ipv6() {
        return;
    }
    let (tcp, udp) = (Tripwire::on("[::1]:0"), UdpTripwire::on("[::1]:0"));
    for (attempt, told, target) in [
        (
            format!("connect {}", tcp.address()),
            "access-denied at connect",
            format!("(--allow-connect {} would)", tcp.address()),
        ),
        (
            "bind [::1]:0".to_owned(),
            "access-denied at bind",
            "(--allow-listen [::1]:0 would)".to_owned(),
        ),
        (
            "udp-bind [::1]:0".to_owned(),
            "access-denied at bind",
            "(--allow-udp-bind [::1]:0 would)".to_owned(),
        ),
        (
            format!("udp-send {}", udp.address()),
            "access-denied at bind",
            "(--allow-udp-".to_owned(),
        ),
    ] {
        eprintln!("{attempt}");
        let finished = tries(&["--no-private-loopback"], &attempt);
        assert_denied(&finished, told, "denied", &target);
        tcp.assert_untouched();
        udp.assert_untouched();
    }
}

#[test]
fn the_flags_that_are_told_are_enough() {
    let tcp = RawPeer::start(|peer| {
        peer.read_bytes(4)?;
        peer.send("pong")
    });
    let udp = UdpEcho::start();
    let (tcp_address, udp_address) = (tcp.address(), udp.address());
    for (attempt, answer, flags) in [
        (
            format!("connect {tcp_address}"),
            "ok pong".to_owned(),
            vec![format!("--allow-connect {tcp_address}")],
        ),
        (
            format!("connect-name localhost {}", tcp_address.port()),
            format!("ok {tcp_address} pong"),
            vec![
                "--allow-resolve localhost".to_owned(),
                format!("--allow-connect localhost:{}", tcp_address.port()),
            ],
        ),
        (
            "bind 127.0.0.1:0".to_owned(),
            "ok 127.0.0.1:".to_owned(),
            vec!["--allow-listen 127.0.0.1:0".to_owned()],
        ),
        (
            "udp-bind 127.0.0.1:0".to_owned(),
            "ok 127.0.0.1:".to_owned(),
            vec!["--allow-udp-bind 127.0.0.1:0".to_owned()],
        ),
        (
            format!("udp-ask {udp_address}"),
            "ok ping".to_owned(),
            vec![
                "--allow-udp-bind 0.0.0.0:0".to_owned(),
                format!("--allow-udp-send {udp_address}"),
            ],
        ),
    ] {
        eprintln!("{attempt}");
        let mut told: Vec<String> = Vec::new();
        loop {
            let mut words = vec!["--no-private-loopback"];
            words.extend(told.iter().flat_map(|flag| flag.split(' ')));
            let finished = tries(&words, &attempt);
            if finished.code() == 0 {
                assert!(finished.stdout_text().starts_with(&answer));
                break;
            }
            let (_, flag) = finished.stderr().rsplit_once('(').expect("a flag");
            let (flag, _) = flag.split_once(" would").expect("a flag");
            assert!(!told.contains(&flag.to_owned()), "{flag} didn't help");
            told.push(flag.to_owned());
        }
        assert_eq!(told, flags);
    }
}

#[test]
fn without_a_grant_nothing_is_sent_to_anybody() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("a.example", &[&[Internet::PUBLIC_V4]]);
    let metadata = format!("{}:80", Internet::METADATA);
    for attempts in [
        format!("connect {}:80 then connect {metadata}", Internet::PUBLIC_V4),
        format!("connect [{}]:80 then connect [::1]:80", Internet::PUBLIC_V6),
        "connect-name a.example 80 then connect-name localhost 80".to_owned(),
        format!(
            "udp-send {}:80 then udp-connect {metadata}",
            Internet::PUBLIC_V4
        ),
        format!("udp-send [{}]:80", Internet::PUBLIC_V6),
        "lookups-at-once a.example 10 then lookups a.example 10".to_owned(),
        "listen 0.0.0.0:0 1 then listen [::]:0 1 then udp-bind 0.0.0.0:53".to_owned(),
    ] {
        eprintln!("{attempts}");
        let (finished, seen) = internet.run(Foreign::Rust.run(&[], &attempts));
        finished.assert_code(1);
        for line in finished.stdout_text().lines() {
            assert!(line.starts_with("access-denied at "), "{line}");
        }
        seen.assert_nothing();
    }
    // Proves that the check can fail.
    let attempts =
        format!("connect {metadata} then connect-name a.example 81 then udp-ask {metadata}");
    let (finished, seen) = internet.run(Foreign::Rust.run(&["--allow-net"], &attempts));
    finished.assert_quiet_success();
    let packets = [
        format!("tcp {metadata}"),
        format!("tcp {}:81", Internet::PUBLIC_V4),
        format!("udp {metadata}"),
    ];
    seen.assert(&["a.example"], &packets.each_ref().map(String::as_str));
}

/// Every way to write 127.0.0.1 as a host's name, and as an address.
const LOOPBACK_IN_DISGUISE: &[&str] = &[
    "2130706433",
    "0x7f000001",
    "0x7F.1",
    "0x7f.0.0.0x1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.000.000.001",
    "[::1]",
    "::1",
    "::ffff:127.0.0.1",
    "[::ffff:7f00:1]",
    "0:0:0:0:0:ffff:7f00:0001",
    "１２７.0.0.1",
    "127。0。0。1",
];

#[test]
fn an_address_in_disguise_is_an_address() {
    let Some(internet) = Internet::new() else {
        return;
    };
    for denied in [
        // Nothing is granted, or something else is, or all but that.
        &[][..],
        &["--allow-connect", "1.2.3.4:80"],
        &[
            "--allow-net",
            "--deny-connect",
            "127.0.0.0/8",
            "--deny-connect",
            "[::1]",
        ],
    ] {
        let attempts: Vec<_> = LOOPBACK_IN_DISGUISE
            .iter()
            .map(|host| format!("connect-name {host} 80"))
            .collect();
        let (finished, seen) = internet.run(Foreign::Rust.run(denied, &attempts.join(" then ")));
        finished.assert_code(1);
        let lines = finished.stdout_text();
        assert_eq!(lines.lines().count(), LOOPBACK_IN_DISGUISE.len());
        for (host, line) in LOOPBACK_IN_DISGUISE.iter().zip(lines.lines()) {
            let told = line.contains("access-denied at connect") || line.contains("at resolve");
            assert!(told && !line.starts_with("ok"), "{host}: {line}");
        }
        seen.assert_nothing();
    }
    // A grant for one spelling covers all spellings.
    for granted in ["127.0.0.1:80", "2130706433:80", "0x7f.1:80"] {
        let flags = ["--allow-connect", granted];
        let attempts = "connect-name 2130706433 80 then connect-name 0177.0.0.1 80 then \
                        connect-name ::ffff:127.0.0.1 80";
        let (finished, seen) = internet.run(Foreign::Rust.run(&flags, attempts));
        finished.assert_quiet_success();
        seen.assert(&[], &["tcp 127.0.0.1:80"; 3]);
    }
}

#[test]
fn an_address_within_an_address_is_denied_as_well() {
    let Some(internet) = Internet::new() else {
        return;
    };
    // Mapped, compatible, NAT64 (both prefixes), 6to4, Teredo (server and client).
    let addresses = [
        "[::ffff:10.1.2.3]:80",
        "[::10.1.2.3]:80",
        "[64:ff9b::10.1.2.3]:80",
        "[64:ff9b:1:a01:2:300::]:80",
        "[64:ff9b:1::10.1.2.3]:80",
        "[2002:a01:203::1]:80",
        "[2001:0:a01:203::]:80",
        "[2001:0:102:304:0:0:f5fe:fdfc]:80",
    ];
    let attempts = |operation: &str| {
        addresses
            .map(|address| format!("{operation} {address}"))
            .join(" then ")
    };
    let flags = ["--allow-net", "--deny-connect", "10.0.0.0/8"];
    for operation in ["connect", "udp-send", "udp-connect"] {
        let (finished, seen) = internet.run(Foreign::Rust.run(&flags, &attempts(operation)));
        finished.assert_code(1);
        for (address, line) in addresses.iter().zip(finished.stdout_text().lines()) {
            // WASI does not permit mapped addresses here: they are an invalid argument, and no
            // packet is sent.
            let told = ["access-denied at ", "invalid-argument at "];
            assert!(
                told.iter().any(|told| line.starts_with(told)),
                "{operation} {address}: {line}"
            );
        }
        seen.assert_nothing();
    }
}

#[test]
fn the_exit_code_is_the_components_own_after_a_denial() {
    // A component may handle a denial and succeed. Then the denial is not reported.
    let file = "connect 127.0.0.1:1 then env";
    let finished = tries(&[], file);
    finished.assert_code(1);
    assert_eq!(finished.stdout_text(), "access-denied at connect\nok\n");
    let finished = tries(&[], "env");
    finished.assert_quiet_success();
}

#[test]
fn many_denials_are_a_few_lines_and_all_of_them_when_asked_for() {
    let attempts: Vec<_> = (1..=9)
        .map(|port| format!("connect 127.0.0.1:{port}"))
        .collect();
    let attempts = attempts.join(" then ");
    let finished = tries(&[], &attempts);
    finished.assert_code(1);
    assert!(finished.stderr().lines().count() < 9, "too much is told");
    let finished = tries(&["-v"], &attempts);
    finished.assert_code(1);
    for port in 1..=9 {
        let flag = format!("(--allow-connect 127.0.0.1:{port} would)");
        assert!(finished.stderr().contains(&flag), "{flag} isn't told");
    }
}
