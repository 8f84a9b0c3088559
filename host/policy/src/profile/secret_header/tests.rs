use super::*;
use std::error::Error as _;
use std::fs;

const URL: &str = "https://a.example/v1/";

fn parse(text: &str) -> Result<SecretHeaderSource, String> {
    text.parse()
        .map_err(|error: SecretHeaderError| error.to_string())
}

#[test]
fn every_form_is_read() {
    for (text, expected) in [
        (
            "https://A.example/v1/=Authorization: Bearer {env:TOKEN}",
            "https://a.example/v1/=authorization: Bearer {env:TOKEN}",
        ),
        (
            "https://a.example=X-Key:{file:/run/secrets/key}",
            "https://a.example/=x-key: {file:/run/secrets/key}",
        ),
        (
            "https://a.example:8443/x=y=Cookie: a={env:A}; b={file:b}",
            "https://a.example:8443/x=y=cookie: a={env:A}; b={file:b}",
        ),
        (
            "http://127.0.0.1:8080/= X-Key :  {env:A} ",
            "http://127.0.0.1:8080/=x-key: {env:A}",
        ),
        (
            "https://[::1]:8443/=X-Key: {env:A}",
            "https://[::1]:8443/=x-key: {env:A}",
        ),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), expected);
        assert_eq!(parse(expected).unwrap().to_string(), expected);
    }
}

#[test]
fn what_is_no_secret_header_is_refused_without_its_value() {
    for (text, expected) in [
        ("", "is written URL=NAME: VALUE"),
        ("https://a.example/", "is written URL=NAME: VALUE"),
        (
            "https://a.example/=Authorization hunter2",
            "is written URL=NAME: VALUE",
        ),
        (
            "Authorization: Bearer {env:A}",
            "is written URL=NAME: VALUE",
        ),
        (
            "a.example/=X-Key: hunter2{env:A}",
            "`X-Key` can't be used: a URL begins with",
        ),
        (
            "https://u:hunter2@a.example/=X-Key: {env:A}",
            "can't have a user's name",
        ),
        (
            "https://*.a.example/=X-Key: hunter2{env:A}",
            "the URL of the secret header `X-Key`",
        ),
        (
            "https://a.example/v1/*=X-Key: {env:A}",
            "write `/v1/` for all paths below it",
        ),
        (
            "https://a.example/?x=X-Key: {env:A}",
            "leave out what is behind `?`",
        ),
        (
            "http://a.example/=X-Key: hunter2{env:A}",
            "which is not encrypted: write https",
        ),
        (
            "https://a.example/=X Key: hunter2{env:A}",
            "`X Key` is not the name of a header",
        ),
        (
            "https://a.example/=: hunter2{env:A}",
            "`` is not the name of a header",
        ),
        (
            "https://a.example/=Host: hunter2{env:A}",
            "`Host` can't be a secret header",
        ),
        (
            "https://a.example/=content-LENGTH: {env:A}",
            "`content-LENGTH` can't be",
        ),
        (
            "https://a.example/=Content_Length: {env:A}",
            "`Content_Length` can't be",
        ),
        (
            "https://a.example/=Transfer-Encoding: {env:A}",
            "`Transfer-Encoding` can't be",
        ),
        (
            "https://a.example/=Connection: {env:A}",
            "`Connection` can't be",
        ),
        (
            "https://a.example/=Proxy-Authorization: {env:A}",
            "`Proxy-Authorization` can't be",
        ),
        ("https://a.example/=Trailer: {env:A}", "`Trailer` can't be"),
        (
            "https://a.example/=X-Key: hunter2",
            "names neither a variable nor a file",
        ),
        (
            "https://a.example/=X-Key:",
            "names neither a variable nor a file",
        ),
        ("https://a.example/=X-Key: hunter2 {TOKEN}", "has a brace"),
        ("https://a.example/=X-Key: hunter2 {env:}", "has a brace"),
        ("https://a.example/=X-Key: hunter2 {env:A=b}", "has a brace"),
        ("https://a.example/=X-Key: hunter2 {file:}", "has a brace"),
        ("https://a.example/=X-Key: hunter2 {env:A", "has a brace"),
        ("https://a.example/=X-Key: hunter2 env:A}", "has a brace"),
        ("https://a.example/=X-Key: hunter2 {{env:A}}", "has a brace"),
        (
            "https://a.example/=X-Key: hunter2 {cmd:id}{env:A}",
            "has a brace",
        ),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{text}: {error}");
    }
}

/// The header of a file with these bytes, or the error.
fn of_file(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, bytes).unwrap();
    let source = parse(&format!("{URL}=X-Key: a{{file:{}}}b", file.display())).unwrap();
    match source.read() {
        Ok(header) => Ok(header.expose().as_bytes().to_vec()),
        Err(error) => {
            let error = error.to_string();
            let named = format!(
                "the file {}, which the secret header `x-key` takes, ",
                file.display()
            );
            Err(error.strip_prefix(&named).expect(&error).to_owned())
        }
    }
}

#[test]
fn a_file_is_read_without_the_line_break_at_its_end() {
    let longest = vec![b'x'; MAX_SECRET_BYTES - 2];
    let whole = [b"a", longest.as_slice(), b"b"].concat();
    let control = "has a line break or another control character in it";
    for (bytes, expected) in [
        (&b"hunter2"[..], Ok(&b"ahunter2b"[..])),
        (b"hunter2\n", Ok(b"ahunter2b")),
        (b"hunter2\r\n", Ok(b"ahunter2b")),
        (b"hun ter\t2", Ok(b"ahun ter\t2b")),
        (b"p\xc3\xa4ss", Ok(b"ap\xc3\xa4ssb")),
        (&longest, Ok(&whole)),
        (&[&longest, &b"\r\n"[..]].concat(), Ok(&whole)),
        (b"", Err("is empty")),
        (b"\n", Err("is empty")),
        (b" \t\n", Err("is empty")),
        (b"hunter2\n\n", Err(control)),
        (b"hunter2\r", Err(control)),
        (b"hun\r\nX-Other: ter2", Err(control)),
        (b"hun\0ter2", Err(control)),
        (b"hun\x7fter2", Err(control)),
        (b" hunter2", Err("begins or ends with a blank")),
        (b"hunter2\t\n", Err("begins or ends with a blank")),
        (
            &[b'x'; MAX_SECRET_BYTES + 1],
            Err("has more than 65536 bytes"),
        ),
        (
            &[b'x'; 2 * MAX_SECRET_BYTES],
            Err("has more than 65536 bytes"),
        ),
    ] {
        let found = of_file(bytes);
        let shown = bytes.escape_ascii().to_string();
        match expected {
            Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{shown}"),
            Err(expected) => assert_eq!(found, Err(expected.to_owned()), "{shown}"),
        }
    }
}

#[test]
fn the_whole_value_has_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, vec![b'x'; MAX_SECRET_BYTES]).unwrap();
    let file = file.display();
    let whole: SecretHeaderSource = format!("{URL}=X-Key: {{file:{file}}}").parse().unwrap();
    assert_eq!(whole.read().unwrap().expose().len(), MAX_SECRET_BYTES);
    let more: SecretHeaderSource = format!("{URL}=X-Key: {{file:{file}}}y").parse().unwrap();
    assert_eq!(
        more.read().unwrap_err().to_string(),
        "the value of the secret header `x-key` has more than 65536 bytes"
    );
}

#[test]
fn what_is_not_there_is_named() {
    let source = parse(&format!(
        "{URL}=X-Key: {{env:SOCKBOX_TESTS_NEVER_SET_THIS}}"
    ))
    .unwrap();
    assert_eq!(
        source.read().unwrap_err().to_string(),
        "the environment variable `SOCKBOX_TESTS_NEVER_SET_THIS`, which the secret header `x-key` takes, is not set"
    );
    let source = parse(&format!("{URL}=X-Key: {{file:nowhere/at all}}")).unwrap();
    let error = source.below(Path::new("/nonexistent")).read().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the file /nonexistent/nowhere/at all, which the secret header `x-key` takes, can't be read"
    );
    assert!(error.source().is_some());
    let folder = tempfile::tempdir().unwrap();
    let source = parse(&format!(
        "{URL}=X-Key: {{file:{}}}",
        folder.path().display()
    ))
    .unwrap();
    assert!(matches!(source.read(), Err(SecretHeaderError::Read { .. })));
}

#[test]
fn a_secret_is_shown_nowhere() {
    let header = SecretHeader::new(URL.parse().unwrap(), "X-Key", "a hunter2 b").unwrap();
    for shown in [
        format!("{header:?}"),
        format!("{header:#?}"),
        format!("{:?}", header.expose()),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for (text, expected) in [
        (&b"a hunter2 b"[..], true),
        (b"TOKEN=a hunter2 b;", true),
        (b"hunter2", false),
        (b"", false),
    ] {
        assert_eq!(header.is_in(text), expected);
    }
    let short = SecretHeader::new(URL.parse().unwrap(), "X-Key", "1").unwrap();
    assert!(short.is_in(b"1") && !short.is_in(b"10"));
}

#[test]
fn the_longest_path_wins_and_then_the_last() {
    let header = |url: &str, name: &str, value: &str| {
        SecretHeader::new(url.parse().unwrap(), name, value).unwrap()
    };
    let headers = [
        header("https://a.example/v1/admin/", "X-Key", "deep"),
        header("https://a.example/", "X-Key", "first"),
        header("https://a.example/", "x-key", "wide"),
        header("https://a.example/v1/", "Cookie", "c"),
        header("https://b.example/", "X-Key", "other"),
    ];
    for (url, expected) in [
        ("https://a.example/", &["wide"][..]),
        ("https://a.example/v1/x", &["wide", "c"]),
        ("https://a.example/v1/admin/x", &["deep", "c"]),
        ("https://a.example/v1/admin/..%2Fx", &["wide", "c"]),
        ("https://c.example/", &[]),
        ("http://a.example/", &[]),
    ] {
        let chosen = SecretHeader::for_url(&headers, &url.parse().unwrap());
        let values: Vec<_> = chosen
            .iter()
            .map(|it| it.expose().to_str().unwrap())
            .collect();
        assert_eq!(values, expected, "{url}");
    }
}
