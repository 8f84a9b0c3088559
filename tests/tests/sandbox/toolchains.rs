//! Components of other toolchains than those in [`languages`](crate::languages), or of the same with other libraries:
//! what they do with grants and without, and which grants a dry run names.

use sockbox_tests::{Finished, Foreign, HelloClient, Nginx, Process, RawPeer, Tripwire};
use std::net::{SocketAddr, TcpListener};

/// What a dry run prints that lists these options, and this policy file.
fn needed(options: &[&str], policy: &[String]) -> String {
    let mut text = "sockbox: it needed these options:\n".to_owned();
    for option in options {
        text += &format!("  {option}\n");
    }
    text += "sockbox: or, as a policy file:\n";
    for line in policy {
        text += &format!("  {line}\n");
    }
    text
}

/// The lines about denials among those that `-v` prints.
fn denials(finished: &Finished) -> Vec<&str> {
    let lines = finished.stderr().lines();
    lines.filter(|line| line.contains("denied: ")).collect()
}

fn answering_peer() -> RawPeer {
    RawPeer::start(|peer| {
        peer.read_bytes(4)?;
        peer.send("pong")
    })
}

fn listens(process: &Process) -> SocketAddr {
    process.wait_for_stdout("where it listens", |stdout| {
        let (_, rest) = stdout.split_once("listening on ")?;
        rest.split_once('\n')?.0.parse().ok()
    })
}

/// An address with a port that no socket uses at the moment of the call. No other test uses the IP address.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.77:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn wstd_sends_requests_and_connects() {
    if !Foreign::WstdClient.has_compiler() {
        return;
    }
    let nginx = Nginx::start();
    nginx.write_page("hello.txt", "hello");
    let peer = answering_peer();
    let (url, address) = (nginx.url("/hello.txt"), peer.address().to_string());
    let words = format!("{url} {address}");

    let request = format!("GET {url}");
    let flags = ["--allow-http", &request, "--allow-connect", &address];
    let finished = Foreign::WstdClient.run(&flags, &words).run();
    finished.assert_quiet_success();
    assert_eq!(finished.stdout_text(), "ok 200 hello\nok pong\n");

    let finished = Foreign::WstdClient.run(&["--dry-run"], &words).run();
    finished
        .assert_code(0)
        .assert_stdout(b"ok 200 hello\nok pong\n");
    let options = [
        format!("--allow-connect {address}"),
        format!("--allow-http 'GET {url}'"),
    ];
    let policy = [
        format!("allow-connect = [\"{address}\"]"),
        format!("allow-http = [\"GET {url}\"]"),
    ];
    let options = options.each_ref().map(String::as_str);
    assert_eq!(finished.stderr(), needed(&options, &policy));
}

#[test]
fn wstd_without_grants() {
    if !Foreign::WstdClient.has_compiler() {
        return;
    }
    let tripwire = Tripwire::new();
    let address = tripwire.address();
    let words = format!("http://{address}/ {address}");
    let finished = Foreign::WstdClient.run(&["-v"], &words).run();
    finished.assert_code(0);
    assert_eq!(
        finished.stdout_text(),
        "failed ErrorCode::HttpRequestDenied\nfailed permission denied\n"
    );
    assert_eq!(
        denials(&finished),
        [
            format!(
                "* denied: send GET http://{address}/: no rule grants it (--allow-http 'GET http://{address}/' would)"
            ),
            format!(
                "* denied: connect to {address}: no rule grants it (--allow-connect {address} would)"
            ),
        ]
    );
    tripwire.assert_untouched();
}

#[test]
fn an_exception_leaves_a_function_of_c() {
    if !Foreign::Jumps.has_compiler() {
        return;
    }
    let peer = answering_peer();
    let (host, port) = (peer.address().ip(), peer.address().port());
    let grant = peer.address().to_string();
    let finished = Foreign::Jumps
        .run(&["--allow-connect", &grant], &format!("{host} {port}"))
        .run();
    finished.assert_quiet_success();
    assert_eq!(finished.stdout_text(), "ok pong\n");

    let tripwire = Tripwire::new();
    let (host, port) = (tripwire.address().ip(), tripwire.address().port());
    let finished = Foreign::Jumps.run(&[], &format!("{host} {port}")).run();
    finished.assert_quiet_success();
    assert_eq!(finished.stdout_text(), "jumped: Permission denied\n");
    tripwire.assert_untouched();

    // It would do the same if clang had made no exceptions of it, so look for those.
    let bytes = std::fs::read(Foreign::Jumps.component()).unwrap();
    let mut config = wasmtime::Config::new();
    config.wasm_exceptions(false);
    let engine = wasmtime::Engine::new(&config).unwrap();
    let Err(error) = wasmtime::component::Component::new(&engine, &bytes) else {
        panic!("it has no exceptions");
    };
    assert!(format!("{error:#}").contains("exceptions"), "{error:#}");
}

#[test]
fn pythons_asyncio_serves_itself_on_the_private_loopback() {
    if !Foreign::Python.has_compiler() {
        return;
    }
    let finished = Foreign::Python
        .run(&["--dry-run"], "asyncio-talk 127.0.0.1:0 3")
        .run();
    finished.assert_code(0);
    let stdout = finished.stdout_text();
    assert!(
        stdout.starts_with("listening on 127.0.0.1:")
            && stdout.ends_with("\nok ping 0, ping 1, ping 2\n"),
        "{stdout}"
    );
    assert_eq!(
        finished.stderr(),
        "sockbox: it needed nothing of the network\n"
    );
}

#[test]
fn pythons_asyncio_serves_clients_of_the_machine() {
    if !Foreign::Python.has_compiler() {
        return;
    }
    let address = free_address().to_string();
    let flags = ["--allow-listen", &address];
    let attempt = format!("asyncio-serve {address} 2");
    let process = Foreign::Python.run(&flags, &attempt).start();
    let address = listens(&process);
    let mut clients = [(); 2].map(|()| HelloClient::connect(address));
    for client in &mut clients {
        client
            .send("hello")
            .end_sending()
            .expect("hello")
            .expect_end();
    }
    let finished = process.wait();
    finished.assert_quiet_success();
    assert!(finished.stdout_text().ends_with("\nok 2\n"));
}

#[test]
fn a_grant_for_port_0_takes_asyncios_own_sockets_off_the_private_loopback() {
    if !Foreign::Python.has_compiler() {
        return;
    }
    // The event loop has a pair of sockets, which it makes with a listener on port 0. See grants.md.
    let flags = ["-v", "--allow-listen", "127.0.0.1:0"];
    let finished = Foreign::Python.run(&flags, "asyncio-threads").run();
    assert_eq!(finished.stdout_text(), "EACCES at asyncio-threads\n");
    let [denied] = denials(&finished)[..] else {
        panic!("{}", finished.stderr());
    };
    assert!(
        denied.starts_with("* denied: connect to 127.0.0.1:"),
        "{denied}"
    );
    let flags = [
        "--allow-listen",
        "127.0.0.1:0",
        "--allow-connect",
        "127.0.0.1",
    ];
    let finished = Foreign::Python.run(&flags, "asyncio-threads").run();
    finished.assert_quiet_success().assert_stdout(b"ok woken\n");
}

#[test]
fn pythons_urllib_fetches_over_sockets() {
    if !Foreign::Python.has_compiler() {
        return;
    }
    let nginx = Nginx::start();
    nginx.write_page("hello.txt", "hello");
    let by_name = nginx.url_at("localhost", "/hello.txt");
    let attempts = format!("urllib {by_name} then urllib {by_name}/none");
    let finished = Foreign::Python.run(&["--dry-run"], &attempts).run();
    finished
        .assert_code(0)
        .assert_stdout(b"ok 200 hello\nok 404\n");
    let port = nginx.address().port();
    let target = format!("localhost:{port}");
    let option = format!("--allow-connect {target}");
    let policy = format!("allow-connect = [\"{target}\"]");
    assert_eq!(finished.stderr(), needed(&[&option], &[policy]));

    let flags = ["-v", "--allow-connect", &target];
    let finished = Foreign::Python.run(&flags, &attempts).run();
    finished
        .assert_code(0)
        .assert_stdout(b"ok 200 hello\nok 404\n");
    // The name's grant is none for an address that the run has not resolved.
    let by_address = format!("urllib {}", nginx.url("/secret"));
    let finished = Foreign::Python.run(&flags, &by_address).run();
    finished.assert_code(0).assert_stdout(b"EACCES at urllib\n");
    let to = format!("127.0.0.1:{port}");
    let denied =
        format!("* denied: connect to {to}: no rule grants it (--allow-connect {to} would)");
    assert_eq!(denials(&finished), [denied]);
    assert!(!nginx.access_log().contains("secret"));
}
