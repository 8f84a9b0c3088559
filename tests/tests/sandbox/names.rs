//! A granted name covers only the addresses that it resolves to in this run, whatever its name server
//! answers.

use sockbox_tests::{Finished, Foreign, Internet, Seen};

const V4: &str = Internet::PUBLIC_V4;
const V6: &str = Internet::PUBLIC_V6;
const OTHER: &str = Internet::OTHER_V4;
const METADATA: &str = Internet::METADATA;

#[track_caller]
fn run(internet: &Internet, flags: &[&str], attempts: &str) -> (Finished, Seen) {
    let outcome = internet.run(Foreign::Rust.run(flags, attempts));
    eprintln!("{flags:?} {attempts}: {:?}", outcome.0.stdout_text());
    outcome
}

#[track_caller]
fn assert_lines(finished: &Finished, expected: &[&str]) {
    let stdout = finished.stdout_text();
    assert_eq!(stdout.lines().collect::<Vec<_>>(), expected);
}

#[track_caller]
fn assert_told(finished: &Finished, words: &[&str]) {
    for word in words {
        assert!(finished.stderr().contains(word), "{word:?} isn't told");
    }
}

#[test]
fn a_name_is_the_addresses_that_it_resolves_to() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet
        .name("a.example", &[&[V6, V4]])
        .name("b.example", &[&[OTHER]]);
    let flags = ["--allow-connect", "a.example:80"];
    // Nothing is reached before the name was looked up.
    let attempts = format!(
        "connect {V4}:80 then connect-name a.example 80 then connect {V4}:80 then connect {V4}:81 then \
         connect [{V6}]:80 then connect {OTHER}:80 then connect-name b.example 80 then udp-send {V4}:80"
    );
    let (finished, seen) = run(&internet, &flags, &attempts);
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "access-denied at connect");
    assert!(lines[1].starts_with("ok "), "{}", lines[1]);
    assert_eq!(lines[2], "ok hello from 1.2.3.4:80");
    assert_eq!(lines[3], "access-denied at connect");
    assert_eq!(lines[4], "ok hello from [2a00::1]:80");
    assert_eq!(
        lines[5..7],
        ["access-denied at connect", "access-denied at resolve"]
    );
    assert_eq!(lines[7], "access-denied at bind");
    assert_eq!(seen.names, ["a.example"]);
    assert_eq!(seen.packets.len(), 3, "{:?}", seen.packets);
    assert!(seen.packets.iter().all(|packet| packet.ends_with(":80")));
    // The message names the name and the address, and the option that would allow it.
    assert_told(
        &finished,
        &[
            "(--allow-connect a.example:81 would)",
            "(--allow-connect 5.6.7.8:80 would)",
        ],
    );
}

#[test]
fn the_name_is_compared_as_names_are() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet
        .name("a.example", &[&[V4]])
        .name("xn--bcher-kva.example", &[&[V4]]);
    for (granted, asked) in [
        ("A.Example:80", "a.EXAMPLE"),
        ("a.example.:80", "a.example"),
        ("a.example:80", "A.example."),
        ("bücher.example:80", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example:80", "BÜCHER.example"),
    ] {
        let attempts = format!("connect-name {asked} 80");
        let (finished, seen) = run(&internet, &["--allow-connect", granted], &attempts);
        finished.assert_quiet_success();
        assert_eq!(seen.packets, ["tcp 1.2.3.4:80"]);
    }
}

#[test]
fn a_wildcard_is_every_name_below_and_not_the_name_itself() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet
        .name("a.example", &[&[V4]])
        .name("b.a.example", &[&[V4]])
        .name("c.b.a.example", &[&[V4]])
        .name("nota.example", &[&[V4]])
        .name("a.example.net", &[&[V4]]);
    let attempts = "connect-name b.a.example 80 then connect-name c.b.a.example 80 then connect-name \
                    a.example 80 then connect-name nota.example 80 then connect-name a.example.net 80";
    let (finished, seen) = run(&internet, &["--allow-connect", "*.a.example:80"], attempts);
    finished.assert_code(1);
    assert_lines(
        &finished,
        &[
            "ok 1.2.3.4:80 hello from 1.2.3.4:80",
            "ok 1.2.3.4:80 hello from 1.2.3.4:80",
            "access-denied at resolve",
            "access-denied at resolve",
            "access-denied at resolve",
        ],
    );
    seen.assert(&["b.a.example", "c.b.a.example"], &["tcp 1.2.3.4:80"; 2]);
}

/// Addresses that a name must not lead to: special-purpose addresses of both families, and IPv6
/// addresses that contain them.
const NOT_PUBLIC: &[&str] = &[
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    METADATA,
    "172.16.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::127.0.0.1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
];

#[test]
fn a_name_that_turns_to_the_inside_reaches_nothing() {
    let Some(internet) = Internet::new() else {
        return;
    };
    for inside in NOT_PUBLIC {
        let internet = Internet::default()
            .name("rebind.example", &[&[V4], &[inside]])
            .name("inside.example", &[&[inside]]);
        let flags = ["--allow-connect", "rebind.example:80,inside.example:80"];
        let attempts = "connect-name rebind.example 80 then connect-name rebind.example 80 then \
                        connect-name inside.example 80";
        let (finished, seen) = run(&internet, &flags, attempts);
        finished.assert_code(1);
        assert_lines(
            &finished,
            &[
                "ok 1.2.3.4:80 hello from 1.2.3.4:80",
                "access-denied at resolve",
                "access-denied at resolve",
            ],
        );
        seen.assert(&["rebind.example", "inside.example"], &["tcp 1.2.3.4:80"]);
        assert_told(
            &finished,
            &["rebind.example", "inside.example", "--allow-private"],
        );
    }
    drop(internet);
}

#[test]
fn the_addresses_behind_a_rebound_name_stay_closed() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet
        .name("rebind.example", &[&[V4], &["127.0.0.1", METADATA, "::1"]])
        .name("mixed.example", &[&["127.0.0.1", V4, METADATA]]);
    let flags = ["--allow-connect", "rebind.example,mixed.example"];
    // A component can try the address even if it does not see it in the answer.
    let attempts = format!(
        "connect-name rebind.example 80 then resolve rebind.example then connect 127.0.0.1:80 then connect \
         {METADATA}:80 then connect [::1]:80 then resolve mixed.example then connect-name mixed.example 81 \
         then connect 127.0.0.1:80"
    );
    let (finished, seen) = run(&internet, &flags, &attempts);
    finished.assert_code(1);
    assert_lines(
        &finished,
        &[
            "ok 1.2.3.4:80 hello from 1.2.3.4:80",
            "access-denied at resolve",
            "access-denied at connect",
            "access-denied at connect",
            "access-denied at connect",
            // The component sees the public addresses of an answer.
            "ok 1.2.3.4",
            "ok 1.2.3.4:81 hello from 1.2.3.4:81",
            "access-denied at connect",
        ],
    );
    assert_eq!(seen.packets, ["tcp 1.2.3.4:80", "tcp 1.2.3.4:81"]);
}

#[test]
fn what_is_refused_says_why_and_how_to_allow_it() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet
        .name("inside.example", &[&["127.0.0.1"]])
        .name("metadata.example", &[&[METADATA]]);
    for (name, address, what) in [
        ("inside.example", "127.0.0.1", "loopback"),
        ("metadata.example", METADATA, "metadata"),
    ] {
        let granted = format!("{name}:80");
        let attempts = format!("connect-name {name} 80");
        let (finished, seen) = run(&internet, &["--allow-connect", &granted], &attempts);
        finished.assert_failure(1, &["denied", name, address, what, "--allow-private"]);
        assert_eq!(seen.packets, [""; 0]);
        // With the one flag, or with the address's own grant, it is reached.
        let by_number = format!("{granted},{address}:80");
        for flags in [
            &["--allow-connect", &granted, "--allow-private"][..],
            &["--allow-connect", &by_number],
        ] {
            let (finished, seen) = run(&internet, flags, &attempts);
            finished.assert_quiet_success();
            assert_eq!(seen.packets, [format!("tcp {address}:80")]);
        }
    }
}

#[test]
fn a_name_does_not_lead_into_a_network_of_this_machines_own() {
    let Some(internet) = Internet::new() else {
        return;
    };
    for own in [
        Internet::OWN_V4,
        Internet::OWN_V6,
        Internet::NEIGHBOUR_V4,
        Internet::NEIGHBOUR_V6,
    ] {
        let internet = Internet::default().name("own.example", &[&[own]]);
        let granted = ["--allow-connect", "own.example:80"];
        let attempts = "connect-name own.example 80";
        let (finished, seen) = run(&internet, &granted, attempts);
        finished.assert_failure(1, &["denied", own, "this machine", "--allow-private"]);
        assert_eq!(seen.packets, [""; 0]);
        // With the one flag, or by its number, it is reached.
        let shown = std::net::SocketAddr::new(own.parse().unwrap(), 80).to_string();
        let by_number = format!("own.example:80,{shown}");
        for flags in [
            &["--allow-connect", "own.example:80", "--allow-private"][..],
            &["--allow-connect", &by_number],
        ] {
            let (finished, seen) = run(&internet, flags, attempts);
            finished.assert_quiet_success();
            assert_eq!(seen.packets, [format!("tcp {shown}")]);
        }
    }
    drop(internet);
}

#[test]
fn a_name_may_move_among_public_addresses() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("a.example", &[&[V4], &[OTHER]]);
    let flags = ["--allow-connect", "a.example:80"];
    let attempts = format!(
        "connect {OTHER}:80 then connect-name a.example 80 then connect {OTHER}:80 then connect-name \
         a.example 80"
    );
    let (finished, seen) = run(&internet, &flags, &attempts);
    finished.assert_code(1);
    assert_lines(
        &finished,
        &[
            "access-denied at connect",
            "ok 1.2.3.4:80 hello from 1.2.3.4:80",
            "access-denied at connect",
            "ok 5.6.7.8:80 hello from 5.6.7.8:80",
        ],
    );
    assert_eq!(seen.packets, ["tcp 1.2.3.4:80", "tcp 5.6.7.8:80"]);
}

#[test]
fn localhost_means_this_machine() {
    let Some(internet) = Internet::new() else {
        return;
    };
    // No name server is asked about it.
    let internet = internet
        .name("localhost", &[&[V4]])
        .name("a.localhost", &[&[V4]])
        .name("b.a.localhost", &[&[V4]]);
    let flags = ["--allow-connect", "localhost:80,*.localhost:80"];
    let attempts = "connect-name localhost 80 then connect-name a.localhost 80 then connect-name \
                    B.A.LOCALHOST. 80";
    let (finished, seen) = run(&internet, &flags, attempts);
    finished.assert_quiet_success();
    let stdout = finished.stdout_text();
    assert_eq!(stdout.matches("ok ").count(), 3, "{stdout}");
    assert_eq!(seen.names, [""; 0]);
    for packet in &seen.packets {
        assert!(
            ["tcp 127.0.0.1:80", "tcp [::1]:80"].contains(&packet.as_str()),
            "{packet}"
        );
    }
    assert!(!seen.packets.is_empty());
    // Another name with the same address is not localhost.
    let (finished, seen) = run(
        &internet,
        &["--allow-connect", "localhost:80"],
        "connect 127.0.0.1:80",
    );
    finished.assert_code(1);
    seen.assert_nothing();
}

#[test]
fn a_pinned_name_asks_nobody() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("a.example", &[&[OTHER]]);
    for (pin, reached) in [
        ("a.example:1.2.3.4", "1.2.3.4:80"),
        ("A.example.:1.2.3.4,5.6.7.8", "1.2.3.4:80"),
        ("a.example:[2a00::1]", "[2a00::1]:80"),
        // The user gave this address, so it needs no --allow-private.
        ("a.example:127.0.0.1", "127.0.0.1:80"),
    ] {
        let flags = ["--allow-connect", "a.example:80", "--resolve", pin];
        let (finished, seen) = run(&internet, &flags, "connect-name a.example 80");
        finished.assert_quiet_success();
        assert_lines(&finished, &[&format!("ok {reached} hello from {reached}")]);
        seen.assert(&[], &[&format!("tcp {reached}")]);
    }
    // A static address grants neither the name nor another port, and does not override a denial.
    let pin = ["--resolve", "a.example:1.2.3.4"];
    for (flags, told) in [
        (&[][..], "access-denied at resolve"),
        (
            &["--allow-connect", "b.example:80"],
            "access-denied at resolve",
        ),
        (
            &["--allow-connect", "a.example:81"],
            "unreachable at 1.2.3.4:80: access-denied at connect",
        ),
        (
            &[
                "--allow-connect",
                "a.example:80",
                "--deny-connect",
                "1.2.3.4",
            ],
            "unreachable at 1.2.3.4:80: access-denied at connect",
        ),
    ] {
        let flags = [&pin, flags].concat();
        let (finished, seen) = run(&internet, &flags, "connect-name a.example 80");
        finished.assert_code(1);
        assert_lines(&finished, &[told]);
        seen.assert_nothing();
    }
}

#[test]
fn a_name_may_be_granted_for_datagrams() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("a.example", &[&[V4], &["127.0.0.1"]]);
    let flags = ["--allow-udp-send", "a.example:80"];
    let attempts = format!(
        "udp-send {V4}:80 then resolve a.example then udp-ask {V4}:80 then udp-connect {V4}:80 then udp-send \
         {V4}:81 then connect {V4}:80 then resolve a.example then udp-send 127.0.0.1:80"
    );
    let (finished, seen) = run(&internet, &flags, &attempts);
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].starts_with("access-denied at "), "{stdout}");
    assert_eq!(
        lines[1..4],
        ["ok 1.2.3.4", "ok hello from 1.2.3.4:80", "ok"]
    );
    for line in &lines[4..] {
        assert!(line.starts_with("access-denied at "), "{stdout}");
    }
    assert_eq!(seen.packets, ["udp 1.2.3.4:80"; 2]);
}

#[test]
fn a_name_that_nobody_has() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let flags = ["--allow-connect", "nobody.example:80"];
    let (finished, seen) = run(&internet, &flags, "connect-name nobody.example 80");
    // No denial: nothing is said of any.
    finished
        .assert_code(1)
        .assert_stdout(b"name-unresolvable at resolve\n");
    assert!(!finished.stderr().contains("denied"));
    seen.assert(&["nobody.example"], &[]);
}

#[test]
fn what_is_no_name_at_all() {
    let Some(internet) = Internet::new() else {
        return;
    };
    for flags in [&[][..], &["--allow-net"], &["--allow-connect", "*.example"]] {
        let attempts = "resolve a..example then resolve http://a.example/ then resolve a.example:80 then \
                        resolve a%00.example then resolve [::1 then resolve *.example";
        let (finished, seen) = run(&internet, flags, attempts);
        finished.assert_code(1);
        assert!(!finished.stdout_text().contains("ok"));
        seen.assert(
            &seen.names.iter().map(String::as_str).collect::<Vec<_>>(),
            &[],
        );
    }
}
