//! `sockbox fetch` over TLS: certificates, and the errors.

use sockbox_tests::{
    Authority, Finished, Nginx, Peer, Program, RawPeer, TlsPeer, TlsSettings, day, pattern,
};
use std::path::Path;

pub const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";

pub fn fetch(args: &[&str]) -> Finished {
    // The machine's own authorities are not used.
    Program::sockbox(["fetch"]).args(args).run()
}

/// Fetch with trust in one authority alone.
fn trusting(authority: &Authority, args: &[&str]) -> Finished {
    let file = authority.file();
    fetch(&[&["--cacert", text(&file)], args].concat())
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
pub fn assert_page(finished: &Finished) {
    finished.assert_quiet_success().assert_stdout(b"page");
}

#[test]
fn a_page_from_whom_is_vouched_for() {
    let authority = Authority::new();
    let names = ["localhost", "127.0.0.1", "*.wild.example"];
    for identity in [
        authority.server(&names),
        authority.server_behind(&names, true),
    ] {
        let peer = TlsPeer::start(&identity, TlsSettings::default(), PAGE);
        let wild = format!("a.wild.example:{}:127.0.0.1", peer.port());
        for args in [
            &[peer.url().as_str()][..],
            &[&peer.url_at("localhost")],
            &[&peer.url_at("LOCALHOST.")],
            &["--resolve", &wild, &peer.url_at("a.wild.example")],
        ] {
            eprintln!("{args:?}");
            assert_page(&trusting(&authority, args));
        }
    }
}

#[test]
fn a_certificate_that_is_trusted_by_itself() {
    let authority = Authority::new();
    for identity in [
        authority.self_made(&["127.0.0.1"]),
        authority.self_signed(&["127.0.0.1"]),
    ] {
        let peer = TlsPeer::start(&identity, TlsSettings::default(), PAGE);
        let trusted = ["--cacert", text(&identity.certificate)];
        assert_page(&fetch(&[&trusted[..], &[&peer.url()]].concat()));
        // A trusted certificate is not valid for other names.
        let elsewhere = peer.url_at("localhost");
        fetch(&[&trusted[..], &[&elsewhere]].concat()).assert_failure(60, &["for 127.0.0.1"]);
        fetch(&[&peer.url()]).assert_failure(60, &["self-signed"]);
    }
}

#[test]
fn both_versions() {
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    let tls12 = TlsSettings {
        tls12_only: true,
        ..TlsSettings::default()
    };
    let tls13 = TlsSettings {
        tls13_only: true,
        ..TlsSettings::default()
    };
    for (settings, version, refused) in [
        (tls12, "TLS 1.2", &["--tlsv1.3"][..]),
        (tls13, "TLS 1.3", &["--tls-max", "1.2"]),
    ] {
        let peer = TlsPeer::start(&identity, settings, PAGE);
        let url = peer.url();
        let finished = trusting(&authority, &["-v", &url]);
        finished.assert_code(0).assert_stdout(b"page");
        assert!(finished.stderr().contains(version), "{}", finished.stderr());
        trusting(&authority, &[refused, &[&url]].concat()).assert_failure(35, &["version"]);
    }
}

#[test]
fn what_is_wrong_with_a_certificate_is_told() {
    let authority = Authority::new();
    let other = Authority::named("Another Authority");
    let here = ["127.0.0.1"];
    for (what, identity, words) in [
        (
            "expired",
            authority.server_with(&here, |params| {
                params.not_before = day(2019, 1, 1);
                params.not_after = day(2020, 2, 3);
            }),
            &["expired at 2020-02-03", "CN=127.0.0.1", "CN=Test Authority"][..],
        ),
        (
            "of the future",
            authority.server_with(&here, |params| {
                params.not_before = day(2090, 1, 1);
                params.not_after = day(2091, 1, 1);
            }),
            &["before 2090-01-01"],
        ),
        (
            "for another name",
            authority.server(&["other.example", "more.example"]),
            &["for other.example, more.example"],
        ),
        (
            "for another address",
            authority.server(&["127.0.0.2", "localhost"]),
            &["for 127.0.0.2, localhost"],
        ),
        (
            "with the address as a name",
            authority.server_with(&["placeholder"], |params| {
                let name = "127.0.0.1".try_into().unwrap();
                params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
            }),
            &["127.0.0.1"],
        ),
        ("for no name", authority.server(&[]), &["no server names"]),
        (
            "signed by itself",
            authority.self_signed(&here),
            &["CN=127.0.0.1 is self-signed", "--cacert"],
        ),
        (
            "signed by another authority",
            other.server(&here),
            &[
                "issuer of CN=127.0.0.1 is not trusted: CN=Another Authority",
                "--cacert",
            ],
        ),
        (
            "with a gap on the way",
            authority.server_behind(&here, false),
            &["not trusted: CN=Between"],
        ),
        (
            "a client's",
            authority.client("127.0.0.1"),
            &["is not a server certificate"],
        ),
    ] {
        eprintln!("{what}");
        let peer = TlsPeer::start(&identity, TlsSettings::default(), PAGE);
        let url = peer.url();
        let dir = tempfile::tempdir().unwrap();
        let page = dir.path().join("page");
        trusting(&authority, &["-o", text(&page), &url])
            .assert_failure(60, &[&["127.0.0.1"], words].concat());
        assert!(!page.exists());
        // It prints a warning, and fetches the page.
        let finished = fetch(&["-k", &url]);
        finished.assert_code(0).assert_stdout(b"page");
        assert!(finished.stderr().contains("-k"), "{}", finished.stderr());
    }
}

#[test]
fn clients_show_a_certificate_to_whom_it_is_for() {
    let authority = Authority::new();
    let client = authority.client("me");
    let identity = authority.server(&["127.0.0.1", "localhost"]);
    for tls12_only in [false, true] {
        let settings = TlsSettings {
            tls12_only,
            ..TlsSettings::for_clients_of(&authority)
        };
        let peer = TlsPeer::start(&identity, settings, PAGE);
        let url = peer.url();
        let (certificate, key) = (text(&client.certificate), text(&client.key));
        assert_page(&trusting(
            &authority,
            &["--cert", certificate, "--key", key, &url],
        ));
        // With TLS 1.3 the client's handshake is complete before the server refuses.
        let (code, word) = if tls12_only {
            (35, "--cert")
        } else {
            (56, "--cert")
        };
        trusting(&authority, &[&url]).assert_failure(code, &[word]);
        // The client certificate is not sent to the target of a redirect.
        let elsewhere = peer.url_at("localhost");
        let redirect = RawPeer::answering(format!(
            "HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n"
        ));
        let typed = redirect.url("/");
        let redirected = &["-L", "--allow-connect", "localhost", "--cert", certificate];
        let redirected = [&redirected[..], &["--key", key, &typed]].concat();
        trusting(&authority, &redirected).assert_failure(code, &[word]);
    }
}

#[test]
fn a_page_that_is_cut_short() {
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    for (answer, code) in [
        ("HTTP/1.1 200 OK\r\n\r\nhalf", 18),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 18),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
            18,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            18,
        ),
        ("", 52),
        ("HTTP/1.1 200 OK\r\nContent", 8),
    ] {
        eprintln!("{answer:?}");
        let cut = TlsSettings {
            cut: true,
            ..TlsSettings::default()
        };
        let peer = TlsPeer::start(&identity, cut, answer);
        let dir = tempfile::tempdir().unwrap();
        let page = dir.path().join("page");
        let finished = trusting(&authority, &["-o", text(&page), &peer.url()]);
        finished.assert_failure(code, &[]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_page_that_ends_as_it_should() {
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    for (answer, cut) in [
        ("HTTP/1.1 200 OK\r\n\r\npage", false),
        (PAGE, false),
        // The body is complete, whatever follows.
        (PAGE, true),
    ] {
        let settings = TlsSettings {
            cut,
            ..TlsSettings::default()
        };
        let peer = TlsPeer::start(&identity, settings, answer);
        assert_page(&trusting(&authority, &[&peer.url()]));
    }
}

#[test]
fn a_server_that_speaks_no_tls() {
    let plain = RawPeer::start(|peer: &mut Peer| {
        peer.read_some()?;
        peer.send("HTTP/1.1 400 Bad Request\r\n\r\n")
    });
    let url = format!("https://{}/", plain.address());
    fetch(&[&url]).assert_failure(35, &["did not answer with TLS"]);
    let gone = RawPeer::start(|peer: &mut Peer| peer.read_some().map(drop));
    let url = format!("https://{}/", gone.address());
    fetch(&[&url]).assert_failure(35, &["closed"]);
    let reset = RawPeer::start(|peer: &mut Peer| {
        peer.read_some()?;
        peer.reset_at_end()
    });
    let url = format!("https://{}/", reset.address());
    fetch(&[&url]).assert_failure(35, &["reset"]);
}

#[test]
fn a_server_that_speaks_nothing_but_tls() {
    let authority = Authority::new();
    let peer = TlsPeer::start(
        &authority.server(&["127.0.0.1"]),
        TlsSettings::default(),
        PAGE,
    );
    let url = peer.url().replace("https:", "http:");
    fetch(&[&url]).assert_failure(8, &["https://"]);
}

#[test]
fn a_handshake_without_end() {
    let peer = RawPeer::start(Peer::wait_for_close);
    let url = format!("https://{}/", peer.address());
    for option in ["--connect-timeout", "--max-time"] {
        fetch(&[option, "0.5", &url]).assert_failure(28, &["TLS"]);
    }
}

#[test]
fn redirects_from_one_to_the_other() {
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    let peer = TlsPeer::start(&identity, TlsSettings::default(), PAGE);
    let redirect =
        |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let into = RawPeer::answering(redirect(&peer.url()));
    assert_page(&trusting(&authority, &["-L", &into.url("/")]));

    let plain = RawPeer::answering(PAGE);
    let out = TlsPeer::start(
        &identity,
        TlsSettings::default(),
        &redirect(&plain.url("/")),
    );
    let url = out.url();
    trusting(&authority, &["-L", &url]).assert_failure(126, &["--allow-downgrade"]);
    assert_eq!(plain.connections(), 0);
    assert_page(&trusting(&authority, &["-L", "--allow-downgrade", &url]));
}

#[test]
fn what_v_tells() {
    let authority = Authority::new();
    let peer = TlsPeer::start(
        &authority.server(&["127.0.0.1", "localhost"]),
        TlsSettings::default(),
        PAGE,
    );
    let url = peer.url();
    let finished = trusting(&authority, &["-v", &url]);
    finished.assert_code(0);
    for words in [
        "TLS 1.3, TLS_",
        "subject CN=127.0.0.1, issuer CN=Test Authority",
        "for 127.0.0.1, localhost",
        "proves that this is 127.0.0.1",
    ] {
        assert!(finished.stderr().contains(words), "{}", finished.stderr());
    }
    let finished = fetch(&["-k", "-v", &url]);
    finished.assert_code(0);
    assert!(
        finished.stderr().contains("NOT checked"),
        "{}",
        finished.stderr()
    );
    let finished = trusting(
        &authority,
        &["-w", "%{scheme} %{time_connect} %{time_appconnect}", &url],
    );
    finished.assert_code(0);
    let told = String::from_utf8_lossy(finished.stdout()).into_owned();
    let [scheme, connect, appconnect] = told
        .trim_start_matches("page")
        .split(' ')
        .collect::<Vec<_>>()[..]
    else {
        panic!("{told}");
    };
    assert_eq!(scheme, "HTTPS");
    assert!(connect < appconnect, "{told}");
}

#[test]
fn nginx_and_many_pages() {
    let authority = Authority::new();
    let nginx = Nginx::start_with_tls(&authority.server(&["127.0.0.2"]));
    nginx.write_page("5m.bin", pattern(5 << 20));
    let dir = tempfile::tempdir().unwrap();
    let mut args = Vec::new();
    for name in ["page.html", "empty.txt", "1m.bin", "5m.bin"] {
        args.extend([
            "-o".to_owned(),
            name.to_owned(),
            nginx.tls_url(&format!("/{name}")),
        ]);
    }
    let file = authority.file();
    Program::sockbox(["fetch", "--cacert", text(&file)])
        .args(&args)
        .current_dir(dir.path())
        .run()
        .assert_quiet_success();
    for name in ["page.html", "empty.txt", "1m.bin", "5m.bin"] {
        let page = std::fs::read(dir.path().join(name)).unwrap();
        assert!(page == nginx.page(name), "{name} differs");
    }
    // One connection for all.
    let log = nginx.access_log();
    let connections: std::collections::BTreeSet<&str> = log
        .lines()
        .filter(|line| line.contains(".bin") || line.contains("page.html"))
        .filter_map(|line| line.rsplit_once('#')?.1.split_once('.').map(|it| it.0))
        .collect();
    assert_eq!(connections.len(), 1, "{log}");
}
