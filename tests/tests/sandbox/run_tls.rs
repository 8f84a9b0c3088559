//! `sockbox run` of a component that uses `wasi:tls`: the trusted authorities, and the errors.

use sockbox_tests::{
    Authority, Finished, Program, TlsPeer, TlsSettings, Tripwire, component_with_tls,
};

const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";

/// sockbox's own component with TLS fetches a page like any other program.
fn fetch(peer: &TlsPeer, flags: &[&str]) -> Finished {
    program(peer, flags).run()
}

fn program(peer: &TlsPeer, flags: &[&str]) -> Program {
    let port = format!("127.0.0.1:{}", peer.port());
    Program::sockbox(["run", "--allow-connect", &port])
        .args(flags)
        .args([component_with_tls()])
        .args(["fetch", &peer.url()])
}

fn start(authority: &Authority) -> TlsPeer {
    TlsPeer::start(
        &authority.server(&["127.0.0.1"]),
        TlsSettings::default(),
        PAGE,
    )
}

#[test]
fn a_private_authority_is_trusted_where_it_is_given() {
    let authority = Authority::new();
    let peer = start(&authority);
    let file = authority.file();
    let folder = authority.folder();
    for flags in [
        ["--cacert", file.to_str().unwrap()],
        ["--capath", folder.to_str().unwrap()],
    ] {
        let finished = fetch(&peer, &flags);
        finished.assert_quiet_success().assert_stdout(b"page");
    }
    let finished = fetch(&peer, &[]);
    assert_ne!(finished.code(), 0);
    finished.assert_stdout(b"");
    // sockbox itself tells the user.
    assert!(
        finished.stderr().contains("sockbox: TLS: "),
        "{}",
        finished.stderr()
    );
}

#[test]
fn an_authority_that_is_not_there_is_a_mistake_of_the_command_line() {
    let tripwire = Tripwire::new();
    let address = tripwire.address().to_string();
    let finished = Program::sockbox(["run", "--allow-connect", &address])
        .args(["--cacert", "/nonexistent/ca.pem"])
        .args([component_with_tls()])
        .args(["fetch", &format!("https://{address}/")])
        .run();
    finished.assert_failure(77, &["/nonexistent/ca.pem"]);
    tripwire.assert_untouched();
}

#[test]
fn a_component_is_told_nothing_of_this_machine() {
    let peer = start(&Authority::new());
    let secret = "/nonexistent/home/of/somebody/authorities.pem";
    let finished = program(&peer, &[])
        .env("SSL_CERT_FILE", secret)
        .env("RUST_BACKTRACE", "1")
        .run();
    assert_ne!(finished.code(), 0);
    let (theirs, ours): (Vec<&str>, Vec<&str>) = finished
        .stderr()
        .lines()
        .partition(|line| !line.starts_with("sockbox: TLS: "));
    assert!(
        ours.iter().any(|line| line.contains(secret)),
        "the person is told: {ours:?}"
    );
    let theirs = theirs.join("\n");
    assert!(
        theirs.contains("this runtime has no trusted certificate authorities"),
        "{theirs}"
    );
    for hidden in [secret, "nonexistent", "wasmtime", ".rs:", "stack backtrace"] {
        assert!(!theirs.contains(hidden), "{hidden} is in {theirs}");
    }
}
