//! Operations that are not granted do not happen: no packet is sent.

use sockbox::{Error, Policy, Request, Sandbox, ServeOptions, origin_of};
use sockbox_tests::{
    Finished, Foreign, NameTrap, Peer, Program, RawPeer, Tripwire, Wasi, component, has_ipv6,
};
use std::net::{SocketAddr, TcpListener};

/// `sockbox run` of sockbox's own component with these flags.
fn run(flags: &[&str], args: &[&str]) -> Program {
    Program::sockbox(["run"])
        .args(flags)
        .args([component(Wasi::V0_2)])
        .args(args)
}

/// Assert that it ended with the guest's own failure, and that the output names the denial and the
/// option that would allow it.
#[track_caller]
fn assert_refused(finished: &Finished, target: &str) {
    finished.assert_code(1).assert_stdout(b"");
    for word in [target, "(--allow-"] {
        assert!(finished.stderr().contains(word), "{word:?} isn't told");
    }
}

#[test]
fn without_a_grant_no_connection_is_made() {
    let mut addresses = vec!["127.0.0.1:0"];
    if has_ipv6() {
        addresses.push("[::1]:0");
    }
    for address in addresses {
        let tripwire = Tripwire::on(address);
        let target = tripwire.address().to_string();
        let finished = run(&[], &["fetch", &format!("http://{target}/")]).run();
        assert_refused(&finished, &target);
        tripwire.assert_untouched();
    }
}

#[test]
fn with_a_grant_it_is_made() {
    let peer = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    run(&["--allow-net"], &["fetch", &peer.url("/")])
        .run()
        .assert_quiet_success()
        .assert_stdout(b"hello");
    // By name, too.
    let by_name = format!("http://localhost:{}/", peer.address().port());
    run(&["--allow-net"], &["fetch", &by_name])
        .run()
        .assert_quiet_success()
        .assert_stdout(b"hello");
}

#[test]
fn without_a_grant_nothing_is_listened_on() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "127.0.0.1:80"] {
        let flags = ["--no-private-loopback"];
        let finished = run(&flags, &["serve", "--listen", address]).run();
        assert_refused(&finished, address);
    }
}

#[test]
fn without_a_grant_no_name_is_looked_up() {
    let tripwire = Tripwire::new();
    let url = format!("http://localhost:{}/", tripwire.address().port());
    assert_refused(&run(&[], &["fetch", &url]).run(), "localhost");
    tripwire.assert_untouched();
}

#[test]
fn without_a_grant_no_name_server_is_asked() {
    let Some(trap) = NameTrap::new() else { return };
    let url = "http://a-name.example/";
    // Proves that the trap works: with the grant the connection arrives.
    let (finished, asked) = trap.run(run(&["--allow-net"], &["fetch", url]));
    finished.assert_failure(1, &["a-name.example"]);
    assert!(asked.contains(&"a-name.example".to_owned()), "{asked:?}");

    let (finished, asked) = trap.run(run(&[], &["fetch", url]));
    assert_refused(&finished, "a-name.example");
    assert_eq!(asked, [""; 0]);
}

#[test]
fn a_fetch_asks_for_its_own_name_alone() {
    let Some(trap) = NameTrap::new() else { return };
    let (finished, asked) = trap.run(Program::sockbox(["fetch", "http://a-name.example/"]));
    finished.assert_failure(6, &["a-name.example"]);
    assert_eq!(asked, ["a-name.example"]);
    // An address is no name.
    let (finished, asked) = trap.run(Program::sockbox(["fetch", "http://127.0.0.1:1/"]));
    finished.assert_failure(7, &["127.0.0.1:1"]);
    assert_eq!(asked, [""; 0]);
}

#[test]
fn a_flag_behind_the_component_is_the_components() {
    // In `sockbox run COMPONENT "$@"` the arguments grant nothing.
    let tripwire = Tripwire::new();
    let url = format!("http://{}/", tripwire.address());
    for args in [
        &["--allow-net", "fetch", &url][..],
        &["-v", "--allow-net", "fetch", &url],
        &["fetch", "--allow-net", &url],
        &["--", "--allow-net", "fetch", &url],
    ] {
        run(&[], args).run().assert_code(1);
        tripwire.assert_untouched();
    }
}

#[test]
fn a_fetch_reaches_nothing_but_its_own_url() {
    // The server redirects in every way that HTTP has. The client follows none of them.
    let tripwire = Tripwire::new();
    let elsewhere = format!("http://{}/", tripwire.address());
    let peer = RawPeer::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nRefresh: 0; url={elsewhere}\r\nLink: <{elsewhere}>; rel=preload\r\n\
         Alt-Svc: http=\"{}\"\r\nContent-Length: 0\r\n\r\n",
        tripwire.address()
    ));
    Program::sockbox(["fetch", &peer.url("/")])
        .run()
        .assert_quiet_success();
    tripwire.assert_untouched();
}

/// Ask a sandbox with this policy for a page; the error if it gives none.
async fn fetch(sandbox: &Sandbox, policy: Policy, url: &str) -> Result<u16, Error> {
    let mut instance = sandbox.instance().policy(policy).build().await?;
    let response = instance.fetch(Request::get(url)).await?;
    Ok(response.status())
}

#[track_caller]
fn assert_denied<T>(result: Result<T, Error>, target: &str) {
    match result {
        Err(error @ Error::Denied { .. }) => {
            let text = error.to_string();
            assert!(text.contains(target), "{target:?} is not in {text:?}");
        }
        Err(other) => panic!("not a denial: {other:?}"),
        Ok(_) => panic!("not denied"),
    }
}

#[tokio::test]
async fn the_librarys_default_reaches_nothing() {
    let sandbox = Sandbox::new().unwrap();
    let tripwire = Tripwire::new();
    let address = tripwire.address();
    assert_denied(
        fetch(&sandbox, Policy::default(), &format!("http://{address}/")).await,
        &address.to_string(),
    );
    let by_name = format!("http://localhost:{}/", address.port());
    assert_denied(
        fetch(&sandbox, Policy::default(), &by_name).await,
        "localhost",
    );
    // The same address, mapped to IPv6.
    if has_ipv6() {
        let mapped = format!("http://[::ffff:127.0.0.1]:{}/", address.port());
        fetch(&sandbox, Policy::default(), &mapped)
            .await
            .unwrap_err();
    }
    tripwire.assert_untouched();
}

#[tokio::test]
async fn a_granted_url_grants_no_other() {
    let sandbox = Sandbox::new().unwrap();
    let peer = RawPeer::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let tripwire = Tripwire::new();
    let granted = || Policy::new().allow_origin(origin_of(&peer.url("/")).unwrap());
    assert_eq!(
        fetch(&sandbox, granted(), &peer.url("/any/path"))
            .await
            .unwrap(),
        204
    );
    // The same address, another port; a name that leads to the same address and port.
    let other_port = format!("http://{}/", tripwire.address());
    assert_denied(
        fetch(&sandbox, granted(), &other_port).await,
        &tripwire.address().to_string(),
    );
    let by_name = format!("http://localhost:{}/", peer.address().port());
    assert_denied(fetch(&sandbox, granted(), &by_name).await, "localhost");
    tripwire.assert_untouched();
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn a_granted_name_covers_its_addresses_and_its_port() {
    let sandbox = Sandbox::new().unwrap();
    let peer = RawPeer::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let tripwire = Tripwire::new();
    let url = |port: u16| format!("http://localhost:{port}/");
    let granted = || Policy::new().allow_origin(origin_of(&url(peer.address().port())).unwrap());
    assert_eq!(
        fetch(&sandbox, granted(), &url(peer.address().port()))
            .await
            .unwrap(),
        204
    );
    assert!(matches!(
        fetch(&sandbox, granted(), &url(tripwire.address().port())).await,
        Err(Error::Denied { .. })
    ));
    tripwire.assert_untouched();
}

#[tokio::test]
async fn the_librarys_default_listens_on_nothing() {
    let sandbox = Sandbox::new().unwrap();
    // A port that is free now, and must still be afterwards.
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let instance = sandbox.instance().build().await.unwrap();
    let result = instance.serve(ServeOptions::new().listen(address)).await;
    assert_denied(result, &address.to_string());
    // A connect grant for an address is none for listening on it.
    let policy = Policy::new().allow_origin(origin_of(&format!("http://{address}/")).unwrap());
    let instance = sandbox.instance().policy(policy).build().await.unwrap();
    assert_denied(
        instance.serve(ServeOptions::new().listen(address)).await,
        &address.to_string(),
    );
    TcpListener::bind(address).unwrap();
}

#[test]
fn a_static_address_needs_no_grant_of_private_addresses() {
    let peer = RawPeer::start(|peer: &mut Peer| {
        peer.read_bytes(4)?;
        peer.send("pong!")
    });
    let port = peer.address().port();
    let (grant, pin) = (format!("db.example:{port}"), "db.example:127.0.0.1");
    let attempts = format!("connect-name db.example {port}");
    let typed = ["--allow-connect", &grant, "--resolve", pin];
    let finished = Foreign::Rust.run(&typed, &attempts).run();
    let expected = format!("ok 127.0.0.1:{port} pong!\n");
    finished
        .assert_quiet_success()
        .assert_stdout(expected.as_bytes());
    // It is a denial that keeps it away,
    let denied = [&typed[..], &["--deny-connect", "127.0.0.0/8"]].concat();
    let finished = Foreign::Rust.run(&denied, &attempts).run();
    finished.assert_failure(1, &["denied by deny-connect 127.0.0.0/8"]);
    // and a static address grants no name.
    let finished = Foreign::Rust.run(&["--resolve", pin], &attempts).run();
    finished.assert_failure(1, &["no rule grants it"]);
    assert_eq!(peer.connections(), 1);
    // fetch grants what it is told to use.
    let page = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let pin = format!("db.example:{}:127.0.0.1", page.address().port());
    let url = format!("http://db.example:{}/", page.address().port());
    let finished = Program::sockbox(["fetch", "--resolve", &pin, &url]).run();
    finished.assert_quiet_success().assert_stdout(b"hello");
}

#[test]
fn an_option_that_is_proposed_can_be_typed() {
    let name = "-x.example";
    let finished = Foreign::Rust.run(&[], &format!("resolve {name}")).run();
    finished.assert_failure(1, &["(--allow-resolve=-x.example would)"]);
    let proposed = "--allow-resolve=-x.example";
    let finished = Foreign::Rust
        .run(
            &[proposed, "--resolve=-x.example:127.0.0.1"],
            &format!("resolve {name}"),
        )
        .run();
    finished
        .assert_quiet_success()
        .assert_stdout(b"ok 127.0.0.1\n");
}
