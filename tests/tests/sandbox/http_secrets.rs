//! Secret headers: what servers get, and that the component and the records have no trace of the value.

use crate::http::{OK, assert_lines};
use sockbox_tests::{
    Authority, Finished, Foreign, Program, RawPeer, TlsPeer, TlsSettings, Tripwire,
};
use std::fs;
use std::path::{Path, PathBuf};

/// The value of the variable TOKEN.
const SECRET: &str = "hunter2-hunter2-hunter2";
const INVALID: &str = "HttpRequestUriInvalid at response";

/// The value from right to left, for a search in the component's memory.
fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

/// An authority, and TLS servers with its certificates.
struct Site {
    authority: Authority,
    file: PathBuf,
}

impl Site {
    fn new() -> Site {
        let authority = Authority::new();
        let file = authority.file();
        Site { authority, file }
    }

    fn peer(&self, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> TlsPeer {
        let identity = self.authority.server(&["localhost", "127.0.0.1"]);
        TlsPeer::start_with(&identity, TlsSettings::default(), answer)
    }

    /// Run the component that sends requests.
    #[track_caller]
    fn run(&self, flags: &[&str], attempts: &str) -> Finished {
        let trust = ["--cacert", self.file.to_str().unwrap()];
        run(&[&trust, flags].concat(), attempts)
    }
}

#[track_caller]
fn run(flags: &[&str], attempts: &str) -> Finished {
    let program = Foreign::Requests.run(flags, attempts);
    let finished = program.env("TOKEN", SECRET).run();
    eprintln!("{flags:?} {attempts}: {:?}", finished.stdout_text());
    finished
}

/// Assert that the run has printed the value nowhere.
#[track_caller]
fn assert_hidden(finished: &Finished) {
    let (stdout, stderr) = (finished.stdout_text(), finished.stderr());
    assert!(!stdout.contains(SECRET), "{stdout}");
    assert!(!stderr.contains(SECRET), "{stderr}");
}

/// The values that the request with this head has for a header.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let own = lines.filter(|(own, _)| own.eq_ignore_ascii_case(name));
    own.map(|(_, value)| value).collect()
}

#[test]
fn the_server_gets_the_value_and_the_component_has_no_trace_of_it() {
    let site = Site::new();
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let file = folder.path().join("key");
    fs::write(&file, "key-key-key-key\n").unwrap();
    let peer = site.peer(|_| OK.to_owned());
    let origin = format!("https://localhost:{}", peer.port());
    let token = format!("{origin}/v1/=Authorization: Bearer {{env:TOKEN}}");
    let key = format!("{origin}/=X-Api-Key: {{file:{}}}", file.display());
    let grant = format!("* {origin}/*");
    let attempts = format!(
        "send GET https localhost:{port} /v1/x header=authorization:own-value header=x_api_key:own-value readback \
         then env then search {secret} then search {key} then search {own}",
        port = peer.port(),
        secret = reversed(SECRET),
        key = reversed("key-key-key-key"),
        own = reversed("own-value"),
    );
    let audit_text = audit.to_str().unwrap();
    let secrets = ["--secret-header", &token, "--secret-header", &key];
    for more in [
        &["--allow-http", &grant, "-v", "--audit", audit_text][..],
        &["--dry-run"],
    ] {
        let finished = site.run(&[&secrets, more].concat(), &attempts);
        finished.assert_code(0);
        assert_hidden(&finished);
        assert_lines(
            &finished,
            &[
                "ok 200 page sent authorization:own-value sent x_api_key:own-value",
                "ok ",
                "ok absent",
                "ok absent",
                "ok present",
            ],
        );
    }
    for head in peer.requests() {
        let bearer = format!("Bearer {SECRET}");
        assert_eq!(values(&head, "authorization"), [bearer.as_str()], "{head}");
        assert_eq!(values(&head, "x-api-key"), ["key-key-key-key"], "{head}");
        assert!(!head.contains("own-value"), "{head}");
    }
    assert_eq!(peer.requests().len(), 2);
    let record = fs::read_to_string(&audit).unwrap();
    assert!(record.contains(&format!("{origin}/v1/x")), "{record}");
    for (name, path) in [("authorization", "/v1/"), ("x-api-key", "/")] {
        let used = format!(r#"{{"name":"{name}","prefix":"{origin}{path}"}}"#);
        assert!(record.contains(&used), "{used}: {record}");
    }
    let is_told = record.contains(SECRET) || record.contains("key-key");
    assert!(!is_told, "{record}");
}

#[test]
fn it_is_sent_below_its_prefix_in_each_reading_and_nowhere_else() {
    let site = Site::new();
    let peer = site.peer(|_| OK.to_owned());
    let port = peer.port();
    let header = format!("https://localhost:{port}/v1/=X-Key: {{env:TOKEN}}");
    let at = format!("localhost:{port}");
    let sent = [
        (at.clone(), "/v1/"),
        (at.clone(), "/v1/x?y=../../z"),
        (at.clone(), "//v1//x/../y"),
        (at.clone(), "/%761/x%2Fy"),
        (format!("LOCALHOST.:{port}"), "/v1/x"),
    ];
    let not_sent = [
        (at.clone(), "/"),
        (at.clone(), "/v1"),
        (at.clone(), "/v10/x"),
        (at.clone(), "/V1/x"),
        (at.clone(), "/v1/../x"),
        (at.clone(), "/v1/%2e%2e/x"),
        (at.clone(), "/v1/..%2Fx"),
        (at.clone(), "/v1/..%5Cx"),
        (at.clone(), "/v1/..;/x"),
        (at.clone(), "/v1/%252e%252e/x"),
        (at.clone(), "/x/..%2Fv1/y"),
        (at.clone(), "/v1%2Fx"),
        (format!("127.0.0.1:{port}"), "/v1/x"),
        (format!("2130706433:{port}"), "/v1/x"),
    ];
    let (sent_count, all) = (sent.len(), sent.iter().chain(&not_sent));
    let attempts: Vec<String> = all
        .map(|(authority, path)| format!("send GET https {authority} {path} header=x-own:{path}"))
        .collect();
    let flags = ["--allow-net", "--secret-header", &header];
    let finished = site.run(&flags, &attempts.join(" then "));
    finished.assert_quiet_success();
    let heads = peer.requests();
    assert_eq!(heads.len(), attempts.len());
    for (index, head) in heads.iter().enumerate() {
        let expected = if index < sent_count {
            &[SECRET][..]
        } else {
            &[]
        };
        assert_eq!(
            values(head, "x-key"),
            expected,
            "{}: {head}",
            attempts[index]
        );
    }
    // A user's name or another host in the authority, and a Host header of the component's own.
    let tricks = [
        (format!("send GET https user@{at} /v1/x"), INVALID),
        (format!("send GET https {at}@evil.example /v1/x"), INVALID),
        (
            format!("send GET https {at} /v1/x header=host:evil.example"),
            "HeaderError::Forbidden at header",
        ),
    ];
    for (attempt, expected) in tricks {
        let finished = site.run(&flags, &attempt);
        assert_lines(&finished, &[expected]);
    }
    assert_eq!(peer.requests().len(), attempts.len());
}

#[test]
fn it_is_not_sent_without_tls() {
    let plain = RawPeer::answering(OK);
    let port = plain.address().port();
    let header = format!("https://localhost:{port}/=X-Key: {{env:TOKEN}}");
    let attempt = format!("send GET http localhost:{port} /");
    let finished = run(&["--allow-net", "--secret-header", &header], &attempt);
    assert_lines(&finished, &["ok 200 page"]);
    assert!(!plain.requests()[0].contains(SECRET));
    let header = "http://a.example/=X-Key: {env:TOKEN}";
    let finished = run(&["--allow-net", "--secret-header", header], &attempt);
    finished.assert_failure(
        2,
        &["the secret header `X-Key` is for http://a.example/, which is not encrypted: write https"],
    );
    assert_eq!(plain.connections(), 1);
}

#[test]
fn on_loopback_it_is_sent_without_tls_for_each_request_of_a_connection() {
    let peer = RawPeer::start(|peer| {
        for _ in 0..3 {
            peer.read_request()?;
            peer.send(OK)?;
        }
        Ok(())
    });
    let address = peer.address();
    let header = format!("http://{address}/v1/=X-Key: {{env:TOKEN}}");
    let attempts =
        ["/v1/x", "/v2/x", "/v1/y"].map(|path| format!("send GET http {address} {path}"));
    let flags = [
        "--allow-connect",
        &address.to_string(),
        "--secret-header",
        &header,
    ];
    let finished = run(&flags, &attempts.join(" then "));
    finished.assert_quiet_success();
    let sent: Vec<bool> = peer
        .requests()
        .iter()
        .map(|it| it.contains(SECRET))
        .collect();
    assert_eq!(sent, [true, false, true]);
    assert_eq!(peer.connections(), 1);
    // A name of loopback that is said to be elsewhere.
    let port = address.port();
    let header = format!("http://localhost:{port}/=X-Key: {{env:TOKEN}}");
    let elsewhere = [
        "--allow-net",
        "--resolve",
        "localhost:192.0.2.1",
        "--secret-header",
        &header,
    ];
    let finished = run(&elsewhere, &format!("send GET http localhost:{port} /"));
    assert_lines(&finished, &["DestinationIpProhibited at response"]);
}

#[test]
fn a_redirect_leads_it_nowhere() {
    let site = Site::new();
    let other = site.peer(|_| OK.to_owned());
    let elsewhere = format!("https://127.0.0.1:{}/v1/x", other.port());
    let redirecting = site.peer(move |head| {
        let to = match head.starts_with("GET /v1/away ") {
            true => elsewhere.clone(),
            false => "/v2/x".to_owned(),
        };
        match head.starts_with("GET /v2/x ") {
            true => OK.to_owned(),
            false => format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"),
        }
    });
    let port = redirecting.port();
    let header = format!("https://localhost:{port}/v1/=X-Key: {{env:TOKEN}}");
    let attempts = format!(
        "send GET https localhost:{port} /v1/away follow then send GET https localhost:{port} /v1/inside follow"
    );
    let finished = site.run(&["--allow-net", "--secret-header", &header], &attempts);
    finished.assert_quiet_success();
    assert_lines(&finished, &["ok 200 page", "ok 200 page"]);
    let sent = |peer: &TlsPeer| {
        let heads = peer.requests();
        let sent = heads.iter().map(|head| values(head, "x-key").len());
        sent.collect::<Vec<_>>()
    };
    assert_eq!(sent(&redirecting), [1, 1, 0]);
    assert_eq!(sent(&other), [0]);
}

#[test]
fn a_request_that_servers_echo_is_refused() {
    let tripwire = Tripwire::new();
    let address = tripwire.address().to_string();
    let header = format!("https://{address}/v1/=X-Key: {{env:TOKEN}}");
    let attempts =
        ["TRACE", "trace", "TRACK"].map(|method| format!("send {method} https {address} /other"));
    let finished = run(
        &["--allow-net", "--secret-header", &header],
        &attempts.join(" then "),
    );
    assert_lines(&finished, &["HttpRequestMethodInvalid at response"; 3]);
    tripwire.assert_untouched();
}

#[test]
fn it_grants_nothing_and_says_so() {
    let tripwire = Tripwire::new();
    let address = tripwire.address().to_string();
    let header = format!("https://{address}/v1/=X-Key: {{env:TOKEN}}");
    let attempt = format!("send GET https {address} /v1/x");
    let finished = run(&["--secret-header", &header], &attempt);
    assert_lines(&finished, &["HttpRequestDenied at response"]);
    let warning = format!(
        "sockbox: the secret header `x-key` is never sent: no rule grants a request to its origin (--allow-http '* \
         https://{address}/v1/*' would)\n"
    );
    let warns = |finished: &Finished| finished.stderr().contains(&warning);
    assert!(warns(&finished), "{}", finished.stderr());
    for flags in [
        [
            "--allow-http".to_owned(),
            format!("GET https://{address}/v2"),
        ],
        ["--allow-connect".to_owned(), address.clone()],
        ["--allow-connect".to_owned(), "127.0.0.0/8".to_owned()],
    ] {
        let flags = [&flags[0], &flags[1], "--secret-header", &header].map(|flag| flag as &str);
        let finished = run(&flags, "env");
        assert!(!warns(&finished), "{flags:?}: {}", finished.stderr());
    }
    tripwire.assert_untouched();
}

/// Run the component, which must not get to run, with a variable set to this value.
#[track_caller]
fn assert_refused(flags: &[&str], attempts: &str, variable: Option<&str>, expected: &str) {
    let tripwire = Tripwire::new();
    let attempts = format!("{attempts} then send GET http {} /", tripwire.address());
    let program = Foreign::Requests.run(&[&["--allow-net"], flags].concat(), &attempts);
    let finished = match variable {
        Some(value) => program.env("TOKEN", value).run(),
        None => program.run(),
    };
    finished.assert_failure(2, &[expected]).assert_stdout(b"");
    let stderr = finished.stderr();
    assert!(!stderr.contains("hunter2"), "{stderr}");
    tripwire.assert_untouched();
}

#[test]
fn a_value_that_cannot_be_sent_ends_the_run_before_it_begins() {
    let by_variable = "https://a.example/=X-Key: {env:TOKEN}";
    let control = "has a line break or another control character in it";
    for (value, problem) in [
        (None, "is not set"),
        (Some(""), "is empty"),
        (Some("  "), "is empty"),
        (Some("hunter2\n"), control),
        (Some("hunter2\r\nX-Other: hunter2"), control),
        (Some("hunter2\u{7f}"), control),
        (Some("hunter2 "), "begins or ends with a blank"),
        (Some(&*"hunter2".repeat(9400)), "has more than 65536 bytes"),
    ] {
        let expected = format!(
            "the environment variable `TOKEN`, which the secret header `x-key` takes, {problem}"
        );
        assert_refused(&["--secret-header", by_variable], "env", value, &expected);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let header = format!("https://a.example/=X-Key: {{file:{}}}", file.display());
    let refused = |problem: &str| {
        let expected = format!(
            "the file {}, which the secret header `x-key` takes, {problem}",
            file.display()
        );
        assert_refused(&["--secret-header", &header], "env", None, &expected);
    };
    refused("can't be read: No such file or directory");
    fs::write(&file, "hunter2\0").unwrap();
    refused(control);
    fs::write(&file, "hunter2".repeat(9400)).unwrap();
    refused("has more than 65536 bytes");
    fs::write(&file, "\n").unwrap();
    refused("is empty");
}

#[test]
fn what_would_show_the_value_to_the_component_is_refused() {
    let by_variable = ["--secret-header", "https://a.example/=X-Key: {env:TOKEN}"];
    let expected = |place: &str| {
        format!("the component would see the value of the secret header `x-key` in {place}")
    };
    for (flags, attempts, place) in [
        (
            &["--env", "TOKEN"][..],
            "env",
            "its environment variable `TOKEN`",
        ),
        (
            &["--env", "OTHER=x-hunter2-hunter2-x"],
            "env",
            "its environment variable `OTHER`",
        ),
        (
            &["--inherit-env"],
            "env",
            "its environment variable `TOKEN`",
        ),
        (
            &[],
            "send GET http a / header=a:hunter2-hunter2",
            "its argument 6",
        ),
    ] {
        let flags = [&by_variable, flags].concat();
        assert_refused(&flags, attempts, Some("hunter2-hunter2"), &expected(place));
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("given/below")).unwrap();
    fs::create_dir(at("apart")).unwrap();
    fs::write(at("given/below/key"), "hunter2-hunter2").unwrap();
    fs::write(at("apart/key"), "hunter2-hunter2").unwrap();
    std::os::unix::fs::symlink(at("given/below/key"), at("apart/link")).unwrap();
    fs::write(at("apart/linked"), "hunter2-hunter2").unwrap();
    fs::hard_link(at("apart/linked"), at("given/other")).unwrap();
    let header = |file: &Path| format!("https://a.example/=X-Key: {{file:{}}}", file.display());
    for (file, expected) in [
        (
            "given/below/key",
            "a component could read the file of the secret header `x-key` there",
        ),
        (
            "apart/link",
            "a component could read the file of the secret header `x-key` there",
        ),
        ("apart/linked", "has other names, and one may be there"),
    ] {
        let dir = format!("{}::/data:ro", at("given").display());
        let header = header(&at(file));
        let flags = ["--secret-header", &header, "--dir", &dir];
        assert_refused(&flags, "env", None, expected);
    }
    // The record is no file to read secrets from.
    let audit = at("apart/key");
    let header = header(&audit);
    let flags = [
        "--secret-header",
        &header,
        "--audit",
        audit.to_str().unwrap(),
    ];
    assert_refused(
        &flags,
        "env",
        None,
        "it is the same file as the file of a secret header",
    );
    assert_eq!(fs::read_to_string(&audit).unwrap(), "hunter2-hunter2");
    // What is another value is given.
    let flags = [&by_variable[..], &["--env", "TOKEN=mine", "--allow-net"]].concat();
    let finished = run(&flags, "env");
    assert_lines(&finished, &["ok TOKEN=mine"]);
}

#[test]
fn a_policy_file_has_them_and_other_commands_refuse_them() {
    let site = Site::new();
    let peer = site.peer(|_| OK.to_owned());
    let origin = format!("https://localhost:{}", peer.port());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    fs::write(folder.path().join("key"), "key-key-key-key\n").unwrap();
    let text = format!(
        "allow-http = [\"GET {origin}/*\"]\n[[secret-header]]\nurl = \"{origin}/v1/\"\nname = \
         \"Authorization\"\nvalue = \"Bearer {{env:TOKEN}}\"\n[[secret-header]]\nurl = \"{origin}\"\nname = \
         \"X-Key\"\nvalue = \"{{file:key}}\"\n"
    );
    fs::write(&file, text).unwrap();
    let policy = file.to_str().unwrap();
    let attempt = format!("send GET https localhost:{} /v1/x", peer.port());
    let finished = site.run(&["--policy", policy], &attempt);
    finished.assert_quiet_success();
    let head = peer.requests().remove(0);
    assert_eq!(values(&head, "x-key"), ["key-key-key-key"]);
    assert_eq!(values(&head, "authorization"), [format!("Bearer {SECRET}")]);

    let check = Program::sockbox(["policy", "check", policy]).run();
    check.assert_quiet_success();
    let stdout = check.stdout_text();
    let line = format!("  secret-header {origin}/v1/=authorization: Bearer {{env:TOKEN}}\n");
    assert!(stdout.contains(&line), "{stdout}");
    for command in [
        &["fetch", "--policy", policy, "http://127.0.0.1:1/"][..],
        &["serve", "--policy", policy, "--listen", "127.0.0.1:0"],
    ] {
        let finished = Program::sockbox(command).run();
        finished.assert_failure(
            2,
            &["`secret-header` has no effect on sockbox's own component"],
        );
    }
}
