//! What wasmtime's `wasi:http` refuses by itself is in the record as well.

use sockbox_tests::{Finished, Foreign, Tripwire};
use std::fs;

/// The run of a component with a record, and of each `http-refused` in it the method, the URL, the header and the error.
fn refused(component: Foreign, attempts: &str) -> (Finished, Vec<[String; 4]>) {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let flags = ["--allow-net", "--audit", audit.to_str().unwrap()];
    let finished = component.run(&flags, attempts).run();
    let record = fs::read_to_string(&audit).unwrap();
    assert!(!record.contains("secret"), "{record}");
    let events = record
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let events = events.filter(|event| event["event"] == "http-refused");
    let told = events
        .map(|event| {
            ["method", "url", "header", "error"]
                .map(|field| event[field].as_str().unwrap_or("-").to_owned())
        })
        .collect();
    (finished, told)
}

#[test]
fn on_wasi_0_2() {
    let tripwire = Tripwire::new();
    let address = tripwire.address().to_string();
    let url = format!("http://{address}/a");
    for (attempt, printed, expected) in [
        (
            format!("ftp {address} /a?secret"),
            "HttpProtocolError at ",
            [
                "GET",
                &format!("ftp://{address}/a"),
                "-",
                "HTTP-protocol-error",
            ],
        ),
        (
            "http - /a".to_owned(),
            "HttpRequestUriInvalid at ",
            ["GET", "http:///a", "-", "HTTP-request-URI-invalid"],
        ),
        (
            "h^p a /a".to_owned(),
            "invalid at scheme",
            ["GET", "h^p://", "-", "HTTP-request-URI-invalid"],
        ),
        (
            "http me:secret@[::1 /a".to_owned(),
            "invalid at authority",
            ["GET", "http://[::1", "-", "HTTP-request-URI-invalid"],
        ),
        (
            format!("http {address} /a<?secret"),
            "invalid at path",
            ["GET", &format!("{url}<"), "-", "HTTP-request-URI-invalid"],
        ),
        (
            format!("http {address} /a header=Connection:secret"),
            "HeaderError::Forbidden at header",
            ["-", "-", "Connection", "forbidden"],
        ),
        (
            format!("http {address} /a header=x(:secret"),
            "HeaderError::InvalidSyntax at header",
            ["-", "-", "x(", "invalid-syntax"],
        ),
        (
            format!("http {address} /a header=x:%0d%0asecret"),
            "HeaderError::InvalidSyntax at header",
            ["-", "-", "x", "invalid-syntax"],
        ),
    ] {
        let (finished, told) = refused(Foreign::Requests, &format!("send GET {attempt}"));
        let stdout = finished.stdout_text();
        assert!(stdout.starts_with(printed), "{attempt}: {stdout}");
        assert_eq!(told, [expected.map(str::to_owned)], "{attempt}");
    }
    let (_, told) = refused(Foreign::Requests, &format!("send G(T http {address} /a"));
    let expected = ["G(T", "-", "-", "HTTP-request-method-invalid"];
    assert_eq!(told, [expected.map(str::to_owned)]);
    tripwire.assert_untouched();
}

#[test]
fn on_wasi_0_3() {
    let tripwire = Tripwire::new();
    let address = tripwire.address().to_string();
    for (attempt, printed, expected) in [
        (
            format!("GET ftp://{address}/a?secret"),
            "HttpProtocolError at request",
            [
                "GET",
                &format!("ftp://{address}/a"),
                "-",
                "HTTP-protocol-error",
            ],
        ),
        (
            format!("CONNECT http://{address}/a"),
            "HttpRequestMethodInvalid at request",
            [
                "CONNECT",
                &format!("http://{address}/a"),
                "-",
                "HTTP-request-method-invalid",
            ],
        ),
        (
            format!("G(T http://{address}/a"),
            "bad-argument at method",
            ["G(T", "-", "-", "HTTP-request-method-invalid"],
        ),
        (
            format!("GET h^p://{address}/a"),
            "bad-argument at scheme",
            ["GET", "h^p://", "-", "HTTP-request-URI-invalid"],
        ),
        (
            "GET http://[::1/a".to_owned(),
            "bad-argument at authority",
            ["GET", "http://[::1", "-", "HTTP-request-URI-invalid"],
        ),
        (
            format!("GET http://{address}/a<?secret"),
            "bad-argument at path",
            [
                "GET",
                &format!("http://{address}/a<"),
                "-",
                "HTTP-request-URI-invalid",
            ],
        ),
    ] {
        let (finished, told) = refused(Foreign::RequestsOn0_3, &attempt);
        let stdout = finished.stdout_text();
        assert!(stdout.starts_with(printed), "{attempt}: {stdout}");
        assert_eq!(told, [expected.map(str::to_owned)], "{attempt}");
    }
    tripwire.assert_untouched();
}
