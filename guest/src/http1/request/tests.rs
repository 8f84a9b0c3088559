use super::super::testing::Random;
use super::*;
use InvalidRequest::*;

const GET: RequestHead<'_> = RequestHead {
    method: "GET",
    target: "/",
    host: "h",
    user_agent: "sockbox/0",
    accept_encoding: None,
    headers: &[],
    omit: &[],
    body: RequestFraming::None,
    expect_continue: false,
    close: false,
};

fn header(name: &str, value: impl Into<Vec<u8>>) -> Header {
    Header {
        name: name.into(),
        value: value.into(),
    }
}

fn encode(head: &RequestHead<'_>) -> Result<String, InvalidRequest> {
    let bytes = head.encode()?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The head of a `GET` with the caller's fields.
fn with_headers(headers: &[Header]) -> Result<String, InvalidRequest> {
    encode(&RequestHead { headers, ..GET })
}

#[test]
fn request_lines() {
    for (method, target) in [
        ("GET", "/"),
        ("HEAD", "/a/b?c=d&e"),
        ("get", "//"),
        ("M-SEARCH", "/%20"),
        ("x!#$%&'*+-.^_`|~9", "/!$&'()*+,;=:@[]|\\^`{}\"<>?"),
    ] {
        let head = encode(&RequestHead {
            method,
            target,
            ..GET
        });
        let expected = format!(
            "{method} {target} HTTP/1.1\r\nHost: h\r\nUser-Agent: sockbox/0\r\nAccept: */*\r\n\r\n"
        );
        assert_eq!(head, Ok(expected), "{method} {target}");
    }
}

#[test]
fn bodies() {
    for (body, field) in [
        (RequestFraming::None, ""),
        (RequestFraming::Length(0), "Content-Length: 0\r\n"),
        (
            RequestFraming::Length(u64::MAX),
            "Content-Length: 18446744073709551615\r\n",
        ),
        (RequestFraming::Chunked, "Transfer-Encoding: chunked\r\n"),
    ] {
        let head = encode(&RequestHead {
            method: "POST",
            body,
            ..GET
        });
        let expected = format!(
            "POST / HTTP/1.1\r\nHost: h\r\nUser-Agent: sockbox/0\r\nAccept: */*\r\n\
             {field}\r\n"
        );
        assert_eq!(head, Ok(expected), "{body:?}");
    }
}

#[test]
fn the_callers_fields_replace_ours_and_follow_them() {
    type Fields<'a> = &'a [(&'a str, &'a [u8])];
    let cases: &[(Fields<'_>, &str)] = &[
        (&[], "Host: h\r\nUser-Agent: sockbox/0\r\nAccept: */*\r\n"),
        (
            &[("A", b"1"), ("B", b""), ("a", b"2")],
            "Host: h\r\nUser-Agent: sockbox/0\r\nAccept: */*\r\nA: 1\r\nB:\r\na: 2\r\n",
        ),
        (
            &[("A", b"1"), ("hOST", b"other:1")],
            "Host: other:1\r\nUser-Agent: sockbox/0\r\nAccept: */*\r\nA: 1\r\n",
        ),
        (
            &[("Host", b" [::1]:8 ")],
            "Host: [::1]:8\r\nUser-Agent: sockbox/0\r\nAccept: */*\r\n",
        ),
        (
            &[("A", b"1"), ("user-agent", b"x")],
            "Host: h\r\nAccept: */*\r\nA: 1\r\nuser-agent: x\r\n",
        ),
        (
            &[("User-Agent", b"")],
            "Host: h\r\nAccept: */*\r\nUser-Agent:\r\n",
        ),
        (
            &[("Accept", b"text/html"), ("Accept", b"*/*;q=0.1")],
            "Host: h\r\nUser-Agent: sockbox/0\r\nAccept: text/html\r\nAccept: */*;q=0.1\r\n",
        ),
        (
            &[("A", b" \t x\ty \t"), ("B", b" ")],
            "Host: h\r\nUser-Agent: sockbox/0\r\nAccept: */*\r\nA: x\ty\r\nB:\r\n",
        ),
        (
            &[("A", "\u{e4}\u{2713}".as_bytes()), ("B", b"a: b\\r\\n")],
            "Host: h\r\nUser-Agent: sockbox/0\r\nAccept: */*\r\nA: \u{e4}\u{2713}\r\nB: a: b\\r\\n\r\n",
        ),
    ];
    for (fields, expected) in cases {
        let headers: Vec<_> = fields.iter().map(|(n, v)| header(n, *v)).collect();
        let expected = format!("GET / HTTP/1.1\r\n{expected}\r\n");
        assert_eq!(with_headers(&headers), Ok(expected), "{fields:?}");
    }
}

#[test]
fn fields_of_our_own_can_be_left_out() {
    let defaults = "User-Agent: sockbox/0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n";
    let cases: &[(&[&str], &[&str], &str)] = &[
        (&[], &[], defaults),
        (&["X", "Content-Length", ""], &[], defaults),
        (
            &["user-AGENT"],
            &[],
            "Accept: */*\r\nAccept-Encoding: gzip\r\n",
        ),
        (&["Accept", "Accept-Encoding", "User-Agent"], &[], ""),
        (
            &["Accept"],
            &["accept"],
            "User-Agent: sockbox/0\r\nAccept-Encoding: gzip\r\naccept: v\r\n",
        ),
        (
            &[],
            &["ACCEPT-ENCODING"],
            "User-Agent: sockbox/0\r\nAccept: */*\r\nACCEPT-ENCODING: v\r\n",
        ),
        (&["X"], &["X"], &format!("{defaults}X: v\r\n")),
    ];
    for (omit, set, expected) in cases {
        let omit: Vec<_> = omit.iter().map(|name| (*name).to_owned()).collect();
        let headers: Vec<_> = set.iter().map(|name| header(name, "v")).collect();
        let head = encode(&RequestHead {
            accept_encoding: Some("gzip"),
            headers: &headers,
            omit: &omit,
            ..GET
        });
        let expected = format!("GET / HTTP/1.1\r\nHost: h\r\n{expected}\r\n");
        assert_eq!(head, Ok(expected), "{omit:?} {set:?}");
    }
    for omit in ["Host", "hOST"] {
        for headers in [&[][..], &[header("Host", "h")]] {
            let head = encode(&RequestHead {
                headers,
                omit: &[omit.to_owned()],
                ..GET
            });
            assert_eq!(head, Err(NoHost), "{omit} {headers:?}");
        }
    }
}

#[test]
fn the_head_announces_the_connection_and_the_body() {
    let cases = [
        (false, false, RequestFraming::None, ""),
        (true, false, RequestFraming::None, "Connection: close\r\n"),
        (
            true,
            true,
            RequestFraming::Length(7),
            "Connection: close\r\nContent-Length: 7\r\nExpect: 100-continue\r\n",
        ),
        (
            false,
            true,
            RequestFraming::Chunked,
            "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
        ),
    ];
    for (close, expect_continue, body, expected) in cases {
        let head = encode(&RequestHead {
            body,
            expect_continue,
            close,
            ..GET
        });
        let expected = format!(
            "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: sockbox/0\r\nAccept: */*\r\n{expected}\r\n"
        );
        assert_eq!(head, Ok(expected), "{close} {expect_continue} {body:?}");
    }
}

#[test]
fn bytes_beyond_ascii_are_sent_as_they_are() {
    let headers = [header("A", *b"\x80\xe4\xff")];
    let head = RequestHead {
        headers: &headers,
        ..GET
    };
    let bytes = head.encode().expect("valid");
    assert!(bytes.windows(8).any(|w| w == b"A: \x80\xe4\xff\r\n"));
}

#[test]
fn refuses_methods() {
    for method in [
        "",
        " ",
        "GET ",
        " GET",
        "G T",
        "GET\r\n",
        "GET / HTTP/1.1\r\nX:",
        "GET\t",
        "GET\0",
        "G:T",
        "G/T",
        "(GET)",
        "G,T",
        "\u{47}\u{cb}T",
        "CONNECT",
    ] {
        let expected = Method {
            method: excerpt(method.as_bytes()),
        };
        let head = RequestHead { method, ..GET };
        assert_eq!(encode(&head), Err(expected), "{method:?}");
    }
}

#[test]
fn refuses_targets() {
    for target in [
        "",
        "*",
        "a",
        "?q",
        "http://h/",
        "h:80",
        " /",
        "/ ",
        "/a b",
        "/a\tb",
        "/ HTTP/1.1\r\nX: y",
        "/\r",
        "/\n",
        "/\r\n",
        "/\0",
        "/\x7f",
        "/\u{e4}",
        "/\u{a0}",
        "/#f",
    ] {
        let expected = Target {
            target: excerpt(target.as_bytes()),
        };
        let head = RequestHead { target, ..GET };
        assert_eq!(encode(&head), Err(expected), "{target:?}");
    }
}

#[test]
fn refuses_hosts() {
    for host in [
        "",
        " ",
        "h h",
        "h\r\nX: y",
        "h\r",
        "h\n",
        "h\0",
        "h\t1",
        "h/",
        "h?q",
        "h#f",
        "u@h",
        "h\\",
        "h\u{e4}",
        "h\x7f",
        "\"h\"",
        "<h>",
        "{h}",
        "h|",
    ] {
        let expected = Host {
            host: excerpt(host.trim_matches([' ', '\t']).as_bytes()),
        };
        let head = RequestHead { host, ..GET };
        if host.trim() == host {
            assert_eq!(encode(&head), Err(expected.clone()), "{host:?}");
        }
        let headers = [header("Host", host)];
        assert_eq!(with_headers(&headers), Err(expected), "{host:?}");
    }
    for names in [["Host", "Host"], ["host", "HOST"]] {
        let headers = names.map(|name| header(name, "h"));
        assert_eq!(with_headers(&headers), Err(DuplicateHost), "{names:?}");
    }
}

#[test]
fn refuses_header_names() {
    for name in [
        "",
        " ",
        "A ",
        " A",
        "A B",
        "A:",
        ":",
        "A: b\r\nC",
        "A\r",
        "A\n",
        "A\0",
        "A\t",
        "A\x7f",
        "A\u{e4}",
        "(A)",
        "A/B",
        "A,B",
        "\"A\"",
        "A;",
        "A=B",
        "A@B",
        "[A]",
        "{A}",
        "A\\B",
        "<A>",
        "A?",
    ] {
        let expected = HeaderName {
            name: excerpt(name.as_bytes()),
        };
        let headers = [header("X", "y"), header(name, "v")];
        assert_eq!(with_headers(&headers), Err(expected), "{name:?}");
    }
}

#[test]
fn refuses_header_values() {
    for value in [
        "\r",
        "\n",
        "\r\n",
        "a\r\nX: y",
        "a\r\n b",
        "a\nX: y",
        "a\rX: y",
        "a\r\n\r\nGET / HTTP/1.1",
        "\0",
        "a\0b",
        "\x01",
        "\x0b",
        "\x0c",
        "\x1b[31m",
        "\x1f",
        "\x7f",
    ] {
        for name in ["X", "User-Agent", "Accept"] {
            let headers = [header(name, value)];
            let expected = HeaderValue { name: name.into() };
            assert_eq!(with_headers(&headers), Err(expected), "{name} {value:?}");
        }
        let head = RequestHead {
            user_agent: value,
            ..GET
        };
        let expected = HeaderValue {
            name: "User-Agent".into(),
        };
        assert_eq!(encode(&head), Err(expected), "{value:?}");
        let head = RequestHead {
            accept_encoding: Some(value),
            ..GET
        };
        let expected = HeaderValue {
            name: "Accept-Encoding".into(),
        };
        assert_eq!(encode(&head), Err(expected), "{value:?}");
    }
}

#[test]
fn refuses_what_is_not_the_callers_to_set() {
    for name in [
        "Connection",
        "connection",
        "Content-Length",
        "CONTENT-LENGTH",
        "Transfer-Encoding",
        "TE",
        "te",
        "Expect",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Connection",
    ] {
        let expected = ReservedHeader { name: name.into() };
        assert_eq!(with_headers(&[header(name, "x")]), Err(expected), "{name}");
    }
}

/// For any input, the output has exactly the expected lines.
#[test]
fn nothing_adds_a_line() {
    const PARTS: [&str; 22] = [
        "\r\n", "\n", "\r", "\0", " ", "\t", ":", "/", "GET", "HTTP/1.1", "Host", "A", "x", "1",
        "\u{e4}", "\u{10a}", "\u{2028}", "\u{85}", "%0d%0a", "#", "[", "]",
    ];
    let mut random = Random::new(2);
    let mut accepted = 0;
    for round in 0..20_000 {
        let mut text = |prefix: &str| {
            let count = random.below(2) * random.below(4);
            (0..count).fold(prefix.to_owned(), |text, _| {
                text + *random.pick::<&str>(&PARTS)
            })
        };
        let (method, target, host, user_agent) = (text("M"), text("/"), text("h"), text("u"));
        let headers = [header(&text("A"), text("")), header(&text("B"), text("v"))];
        let head = RequestHead {
            method: &method,
            target: &target,
            host: &host,
            user_agent: &user_agent,
            accept_encoding: Some(&user_agent),
            headers: &headers,
            omit: &[],
            body: RequestFraming::Length(5),
            expect_continue: true,
            close: true,
        };
        let Ok(bytes) = head.encode() else { continue };
        accepted += 1;
        let shown = bytes.escape_ascii();
        let lines: Vec<_> = bytes.split(|&byte| byte == b'\n').collect();
        // The request line, nine fields, the blank line, and nothing after the last LF.
        assert_eq!(lines.len(), 1 + 9 + 1 + 1, "{round}: {shown}");
        for line in lines.iter().take(11) {
            let (last, rest) = line.split_last().expect("a CR");
            assert_eq!(*last, b'\r', "{round}: {shown}");
            assert!(
                !rest.iter().any(|b| matches!(b, b'\r' | b'\0')),
                "{round}: {shown}"
            );
        }
        let spaces = lines[0].iter().filter(|&&byte| byte == b' ').count();
        assert_eq!(spaces, 2, "{round}: {shown}");
    }
    assert!(accepted > 1000, "{accepted} of them were valid");
}
