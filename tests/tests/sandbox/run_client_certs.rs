//! Client certificates of components that use `wasi:tls` or `wasi:http`: each is for one host.

use sockbox_tests::{
    Authority, Finished, Foreign, Identity, Program, TlsPeer, TlsSettings, Tripwire,
    component_with_tls,
};
use std::fs;

const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";

/// A server at `localhost` and 127.0.0.1 that takes clients with a certificate of an authority of theirs.
struct Server {
    peer: TlsPeer,
    authority: Authority,
    clients: Authority,
}

impl Server {
    fn start() -> Server {
        Server::start_speaking(TlsSettings::default())
    }

    /// A server with this version of TLS.
    fn start_speaking(version: TlsSettings) -> Server {
        let (authority, clients) = (Authority::new(), Authority::named("Clients"));
        let identity = authority.server(&["localhost", "127.0.0.1"]);
        let settings = TlsSettings {
            clients: Some(clients.certificate()),
            ..version
        };
        let peer = TlsPeer::start(&identity, settings, PAGE);
        Server {
            peer,
            authority,
            clients,
        }
    }

    /// The options that have `client` shown to `host`.
    fn options(&self, host: &str, client: &Identity) -> Vec<String> {
        vec![
            "--cert".to_owned(),
            format!("{host}={}", client.certificate.display()),
            "--key".to_owned(),
            format!("{host}={}", client.key.display()),
        ]
    }
}

/// What speaks TLS for a component.
#[derive(Clone, Copy, Debug)]
enum Interface {
    Tls,
    Http,
}

impl Interface {
    /// Run a component that asks for the page at `host`.
    fn fetch(self, server: &Server, host: &str, flags: &[String]) -> Finished {
        let authority = format!("{host}:{}", server.peer.port());
        let file = server.authority.file();
        let trust = [
            "--allow-connect",
            &authority,
            "--cacert",
            file.to_str().unwrap(),
        ];
        let flags: Vec<&str> = trust
            .into_iter()
            .chain(flags.iter().map(String::as_str))
            .collect();
        match self {
            Interface::Http => Foreign::Requests
                .run(&flags, &format!("send GET https {authority} /"))
                .run(),
            Interface::Tls => Program::sockbox(["run"])
                .args(&flags)
                .args([component_with_tls()])
                .args(["fetch", &server.peer.url_at(host)])
                .run(),
        }
    }

    #[track_caller]
    fn assert_fetched(self, finished: &Finished) {
        finished.assert_quiet_success();
        let expected: &[u8] = match self {
            Interface::Http => b"ok 200 page\n",
            Interface::Tls => b"page",
        };
        finished.assert_stdout(expected);
    }
}

#[test]
fn a_certificate_is_shown_to_its_host_and_to_no_other() {
    let server = Server::start();
    let client = server.clients.client("me");
    for interface in [Interface::Tls, Interface::Http] {
        for (cert, host, shown) in [
            ("localhost", "localhost", true),
            ("LOCALHOST.", "localhost", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("2130706433", "127.0.0.1", true),
            ("localhost", "127.0.0.1", false),
            ("127.0.0.1", "localhost", false),
            ("a.localhost", "localhost", false),
        ] {
            let before = server.peer.requests().len();
            let finished = interface.fetch(&server, host, &server.options(cert, &client));
            eprintln!("{interface:?} {cert} {host}");
            match shown {
                true => interface.assert_fetched(&finished),
                false => {
                    finished.assert_code(1);
                }
            }
            // The server reads a request only from a client that has shown a certificate.
            let read = server.peer.requests().len() - before;
            assert_eq!(read, usize::from(shown));
        }
        // One that the server does not take is refused, too: it does look at them.
        let strangers = Authority::named("Strangers");
        let stranger = strangers.client("you");
        let finished = interface.fetch(
            &server,
            "localhost",
            &server.options("localhost", &stranger),
        );
        finished.assert_code(1);
    }
    // Each of two hosts gets its own. The server takes the first client's alone.
    let others = Authority::named("Others");
    let other = others.client("them");
    let both = [
        server.options("127.0.0.1", &other),
        server.options("localhost", &client),
    ];
    let finished = Interface::Http.fetch(&server, "localhost", &both.concat());
    Interface::Http.assert_fetched(&finished);
    let finished = Interface::Http.fetch(&server, "127.0.0.1", &both.concat());
    finished.assert_code(1);
}

#[test]
fn sockbox_tells_that_a_server_wants_a_certificate() {
    // With TLS 1.3 the client learns it after the handshake, or not at all if the connection is reset first.
    let server = Server::start_speaking(TlsSettings {
        tls12_only: true,
        ..TlsSettings::default()
    });
    let client = server.clients.client("me");
    for interface in [Interface::Tls, Interface::Http] {
        let finished = interface.fetch(&server, "127.0.0.1", &server.options("localhost", &client));
        finished.assert_code(1);
        let stderr = finished.stderr();
        assert!(
            stderr.contains("sockbox: TLS: TLS handshake with 127.0.0.1 failed: "),
            "{stderr}"
        );
        assert!(
            stderr.contains("(a client certificate is needed)"),
            "{stderr}"
        );
    }
    assert!(server.peer.requests().is_empty());
}

#[test]
fn a_policy_file_names_certificates_beside_it() {
    let server = Server::start();
    let client = server.clients.client("me");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::copy(server.authority.file(), at("ca.pem")).unwrap();
    fs::copy(&client.certificate, at("me.pem")).unwrap();
    fs::copy(&client.key, at("me.key")).unwrap();
    let port = server.peer.port();
    let text = format!(
        "allow-connect = [\"localhost:{port}\"]\ncacert = \"ca.pem\"\n[[client-cert]]\nhost = \"localhost\"\ncert = \
         \"me.pem\"\nkey = \"me.key\"\n"
    );
    fs::write(at("policy.toml"), text).unwrap();
    let file = at("policy.toml");
    let policy = file.to_str().unwrap();
    let attempt = format!("send GET https localhost:{port} /");
    let finished = Foreign::Requests.run(&["--policy", policy], &attempt).run();
    Interface::Http.assert_fetched(&finished);
    // `fetch` speaks TLS with the same files, and `serve` speaks none.
    let url = server.peer.url_at("localhost");
    let finished = Program::sockbox(["fetch", "-s", "--policy", policy, &url]).run();
    finished.assert_quiet_success().assert_stdout(b"page");
    let finished = Program::sockbox(["serve", "--policy", policy, "--listen", "127.0.0.1:0"]).run();
    finished.assert_failure(2, &["`client-cert` have no effect on `sockbox serve`"]);
    // What is typed for a host comes before what the file says.
    let strangers = Authority::named("Strangers");
    let stranger = strangers.client("you");
    let typed = server.options("localhost", &stranger);
    let flags = [
        "--policy", policy, &typed[0], &typed[1], &typed[2], &typed[3],
    ];
    let finished = Foreign::Requests.run(&flags, &attempt).run();
    finished.assert_code(1);
    let check = Program::sockbox(["policy", "check", policy]).run();
    let stdout = check.stdout_text();
    let line = format!(
        "  client-cert localhost: {}, key {}\n",
        at("me.pem").display(),
        at("me.key").display()
    );
    assert!(stdout.contains(&line), "{stdout}");
}

#[test]
fn a_component_cannot_be_given_the_key() {
    let tripwire = Tripwire::new();
    let clients = Authority::new();
    let client = clients.client("me");
    let dir = format!("{}::/data:ro", clients.folder().display());
    let cert = format!("localhost={}", client.certificate.display());
    let key = format!("localhost={}", client.key.display());
    let attempt = format!("send GET https {} /", tripwire.address());
    let flags = ["--allow-net", "--cert", &cert, "--key", &key, "--dir", &dir];
    let finished = Foreign::Requests.run(&flags, &attempt).run();
    finished.assert_failure(
        2,
        &["a component could read the file of the private key of a client certificate there"],
    );
    tripwire.assert_untouched();
}

#[test]
fn what_cannot_be_shown_is_told_before_the_run() {
    let tripwire = Tripwire::new();
    let clients = Authority::new();
    let (client, other) = (clients.client("me"), clients.client("you"));
    let attempt = format!("send GET https {} /", tripwire.address());
    let at = |file: &std::path::Path| format!("localhost={}", file.display());
    let (cert, key, wrong) = (at(&client.certificate), at(&client.key), at(&other.key));
    for (flags, code, expected) in [
        (
            &["--cert", "me.pem:hunter2"][..],
            2,
            "--cert: the value has no host and file: write HOST=FILE[:PASSWORD]",
        ),
        (
            &["--cert", "localhost=/nonexistent/me.pem"],
            58,
            "could not use the client certificate in /nonexistent/me.pem",
        ),
        (&["--cert", &cert], 58, "it contains no PEM private key"),
        (
            &["--cert", &cert, "--key", &wrong],
            58,
            "the key does not belong to the certificate",
        ),
        (
            &["--cert", &cert, "--key", "other=x"],
            2,
            "--key: there is no --cert for other",
        ),
        (
            &["--cert", &cert, "--cert", &cert, "--key", &key],
            2,
            "--cert: there are two for localhost",
        ),
    ] {
        let flags = [&["--allow-net"], flags].concat();
        let finished = Foreign::Requests.run(&flags, &attempt).run();
        finished.assert_failure(code, &[expected]);
        assert!(
            !finished.stderr().contains("hunter2"),
            "{}",
            finished.stderr()
        );
    }
    tripwire.assert_untouched();
}
