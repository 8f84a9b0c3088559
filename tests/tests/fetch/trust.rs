//! Which certificates `sockbox fetch` trusts by default, by variables and by files.

use crate::tls::{PAGE, assert_page, fetch, text};
use sockbox_tests::{Authority, Finished, Program, RawPeer, TlsPeer, TlsSettings};

#[test]
fn the_machine_does_not_trust_whoever_likes() {
    let authority = Authority::new();
    let peer = TlsPeer::start(
        &authority.server(&["127.0.0.1"]),
        TlsSettings::default(),
        PAGE,
    );
    let url = peer.url();
    fetch(&[&url]).assert_failure(60, &["CN=Test Authority"]);
    // But certificates that the user names are trusted, in each of the possible ways.
    let (file, folder) = (authority.file(), authority.folder().to_owned());
    for (variable, value) in [
        ("SSL_CERT_FILE", &file),
        ("SSL_CERT_DIR", &folder),
        ("CURL_CA_BUNDLE", &file),
    ] {
        let finished = Program::sockbox(["fetch", &url])
            .env(variable, text(value))
            .run();
        assert_page(&finished);
    }
    assert_page(&fetch(&["--capath", text(&folder), &url]));
    for variable in ["SSL_CERT_FILE", "CURL_CA_BUNDLE"] {
        let fetch = |url: &str| {
            let program = Program::sockbox(["fetch", url]);
            program.env(variable, "/no/such/file").run()
        };
        fetch(&url).assert_failure(77, &["/no/such/file"]);
        // An empty variable has no effect.
        fetch_with(&url, &[(variable, "")]).assert_failure(60, &["Test Authority"]);
        // A request that needs no authorities does not fail because of it.
        let plain = RawPeer::answering(PAGE);
        fetch(&plain.url("/")).assert_code(0);
    }
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    let peer = TlsPeer::start(&identity, TlsSettings::default(), PAGE);
    let (file, folder) = (authority.file(), authority.folder().to_owned());
    for variables in [
        [
            ("SSL_CERT_FILE", text(&file)),
            ("CURL_CA_BUNDLE", ""),
            ("SSL_CERT_DIR", ""),
        ],
        [
            ("SSL_CERT_FILE", ""),
            ("CURL_CA_BUNDLE", ""),
            ("SSL_CERT_DIR", text(&folder)),
        ],
        [
            ("SSL_CERT_FILE", ""),
            ("CURL_CA_BUNDLE", text(&file)),
            ("SSL_CERT_DIR", ":"),
        ],
    ] {
        eprintln!("{variables:?}");
        assert_page(&fetch_with(&peer.url(), &variables));
    }
    let none = ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"].map(|name| (name, ""));
    fetch_with(&peer.url(), &none).assert_failure(60, &["Test Authority"]);
}

/// Fetch with these environment variables.
fn fetch_with(url: &str, variables: &[(&str, &str)]) -> Finished {
    let program = Program::sockbox(["fetch", url]);
    let set = |program: Program, &(name, value): &(&str, &str)| program.env(name, value);
    variables.iter().fold(program, set).run()
}

#[test]
fn files_that_are_of_no_use() {
    let authority = Authority::new();
    let (one, two) = (authority.client("one"), authority.client("two"));
    let dir = tempfile::tempdir().unwrap();
    let nonsense = dir.path().join("nonsense");
    std::fs::write(&nonsense, "nonsense").unwrap();
    for (args, code, word) in [
        (["--cacert", "missing", "-s", "-S"], 77, "missing"),
        (["--cacert", text(&nonsense), "-s", "-S"], 77, "nonsense"),
        (["--cacert", text(&one.key), "-s", "-S"], 77, "certificate"),
        (["--capath", "missing", "-s", "-S"], 77, "missing"),
        (["--cert", "missing", "-s", "-S"], 58, "missing"),
        (
            ["--cert", text(&one.certificate), "-s", "-S"],
            58,
            "private key",
        ),
        (
            ["--cert", text(&one.certificate), "--key", "missing"],
            58,
            "missing",
        ),
        // The password must not be readable.
        (["--cert", "missing:pass", "-s", "-S"], 58, "in missing: "),
        (["--cert", r"miss\:ing", "-s", "-S"], 58, "in miss:ing: "),
        (
            ["--cert", text(&one.certificate), "--key", text(&two.key)],
            58,
            "does not belong to the certificate",
        ),
    ] {
        let args = [&args[..], &["https://127.0.0.1:1/"]].concat();
        fetch(&args).assert_failure(code, &[word]);
    }
}
