//! `--deny-resolve` denies a name that a wider grant covers.

use sockbox_tests::{Finished, Foreign, Internet, Program, RawPeer, Tripwire};

const V4: &str = Internet::PUBLIC_V4;

#[track_caller]
fn assert_told(finished: &Finished, line: &str) {
    let stderr = finished.stderr();
    assert!(stderr.lines().any(|told| told == line), "{line}\n{stderr}");
}

#[test]
fn a_wildcard_is_less_the_names_that_are_denied() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet
        .name("www.example.com", &[&[V4]])
        .name("admin.example.com", &[&[Internet::OTHER_V4]])
        .name("x.admin.example.com", &[&[Internet::OTHER_V4]]);
    let attempts = "connect-name www.example.com 80 then connect-name admin.example.com 80 then resolve \
                    ADMIN.example.com. then connect-name x.admin.example.com 80";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let policy = "allow-connect = [\"*.example.com:80\"]\n\
                  deny-resolve = [\"admin.example.com\", \"*.admin.example.com\"]\n";
    std::fs::write(&file, policy).unwrap();
    for flags in [
        &[
            "--allow-connect",
            "*.example.com:80",
            "--deny-resolve",
            "admin.example.com,*.admin.example.com",
        ][..],
        &["--policy", file.to_str().unwrap()],
    ] {
        let (finished, seen) = internet.run(Foreign::Rust.run(flags, attempts));
        finished.assert_code(1);
        let stdout = finished.stdout_text();
        let lines: Vec<&str> = stdout.lines().collect();
        assert_eq!(lines[0], "ok 1.2.3.4:80 hello from 1.2.3.4:80");
        assert_eq!(lines[1..], ["access-denied at resolve"; 3]);
        for (name, rule) in [
            ("admin.example.com", "admin.example.com"),
            ("x.admin.example.com", "*.admin.example.com"),
        ] {
            let line = format!("sockbox: denied: resolve {name}: denied by deny-resolve {rule}");
            assert_told(&finished, &line);
        }
        seen.assert(&["www.example.com"], &["tcp 1.2.3.4:80"]);
    }
}

#[test]
fn neither_a_static_address_nor_the_whole_network_overrides_a_denial() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let flags = [
        "--allow-connect",
        "a.example:80",
        "--resolve",
        "a.example:1.2.3.4",
        "--deny-resolve",
        "a.example",
    ];
    let attempts = "resolve a.example then connect 1.2.3.4:80";
    let (finished, seen) = internet.run(Foreign::Rust.run(&flags, attempts));
    finished.assert_code(1);
    finished.assert_stdout(b"access-denied at resolve\naccess-denied at connect\n");
    let line =
        "sockbox: denied: connect to 1.2.3.4:80 (a.example): denied by deny-resolve a.example";
    assert_told(&finished, line);
    seen.assert_nothing();

    // The denial covers the lookup and not the address. The component can connect to an address that is granted by its
    // number.
    let flags = ["--allow-net", "--deny-resolve", "a.example"];
    let (finished, seen) = internet.run(Foreign::Rust.run(&flags, attempts));
    finished.assert_code(1);
    finished.assert_stdout(b"access-denied at resolve\nok hello from 1.2.3.4:80\n");
    seen.assert(&[], &["tcp 1.2.3.4:80"]);
}

#[test]
fn fetch_resolves_no_denied_name_though_it_was_typed() {
    let tripwire = Tripwire::new();
    let port = tripwire.address().port();
    let url = format!("http://localhost:{port}/");
    let pinned = format!("a.example:{port}:127.0.0.1");
    let by_pin = format!("http://a.example:{port}/");
    for (words, name) in [
        (&["--deny-resolve", "localhost", &url][..], "localhost"),
        (
            &["--deny-resolve", "a.example", "--resolve", &pinned, &by_pin],
            "a.example",
        ),
    ] {
        let finished = Program::sockbox(["fetch"]).args(words).run();
        let told = format!("not allowed to resolve {name}: denied by deny-resolve {name}");
        finished.assert_failure(126, &[&told]);
        tripwire.assert_untouched();
    }
}

#[test]
fn a_redirect_leads_to_no_denied_name() {
    let tripwire = Tripwire::new();
    let to = format!("http://b.localhost:{}/", tripwire.address().port());
    let peer = RawPeer::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
    ));
    let finished = Program::sockbox(["fetch", "-L", "--deny-resolve", "*.localhost"])
        .args([&peer.url("/")])
        .run();
    let told = "not allowed to resolve b.localhost: denied by deny-resolve *.localhost";
    finished.assert_failure(126, &[told]);
    tripwire.assert_untouched();
}

#[test]
fn explain_names_the_denial() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let policy =
        "allow-connect = [\"*.example.com:443\"]\ndeny-resolve = [\"admin.example.com\"]\n";
    std::fs::write(&file, policy).unwrap();
    let explain = |target: &str| {
        Program::sockbox(["policy", "explain"])
            .args([file.to_str().unwrap(), target])
            .run()
    };
    let denied = explain("admin.example.com:443");
    denied.assert_code(126);
    assert_eq!(
        denied.stdout_text(),
        "denied: resolve admin.example.com: denied by deny-resolve admin.example.com\n"
    );
    let allowed = explain("www.example.com:443");
    allowed.assert_code(0);
    assert_eq!(
        allowed.stdout_text(),
        "allowed: resolve www.example.com, by allow-connect *.example.com:443\n\
         allowed: connect to the public addresses that www.example.com resolves to, at port 443, by \
         allow-connect *.example.com:443\n"
    );
}

#[test]
fn only_names_can_be_denied() {
    for (value, told) in [
        ("1.2.3.4", "is an address, which needs no lookup"),
        ("a.example:80", "is neither a host name nor an address"),
    ] {
        let finished = Foreign::Rust.run(&["--deny-resolve", value], "env").run();
        finished.assert_code(2);
        assert!(finished.stderr().contains(told), "{}", finished.stderr());
    }
}
