use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn domain(name: &str) -> Host<String> {
    Host::Domain(name.to_owned())
}

#[test]
fn splits_urls() {
    let cases: &[(&str, u16, &str, &str, &str)] = &[
        ("http://h", 80, "h", "/", "http://h/"),
        ("http://h/", 80, "h", "/", "http://h/"),
        ("HTTP://H/A", 80, "h", "/A", "http://h/A"),
        ("http://h:80/", 80, "h", "/", "http://h/"),
        ("http://h:/", 80, "h", "/", "http://h/"),
        ("http://h:0080/", 80, "h", "/", "http://h/"),
        ("http://h:443/", 443, "h:443", "/", "http://h:443/"),
        ("http://h:1/", 1, "h:1", "/", "http://h:1/"),
        ("http://h:65535/", 65535, "h:65535", "/", "http://h:65535/"),
        ("http://h?q", 80, "h", "/?q", "http://h/?q"),
        ("http://h/?", 80, "h", "/?", "http://h/?"),
        ("http://h/a?b=c&d", 80, "h", "/a?b=c&d", "http://h/a?b=c&d"),
        ("http://h/a?b?c/d", 80, "h", "/a?b?c/d", "http://h/a?b?c/d"),
        ("http://h#f", 80, "h", "/", "http://h/"),
        ("http://h/a#f?x", 80, "h", "/a", "http://h/a"),
        ("http://h/a?b#", 80, "h", "/a?b", "http://h/a?b"),
        ("http://h/a/../b/./c", 80, "h", "/b/c", "http://h/b/c"),
        ("http://h/../..", 80, "h", "/", "http://h/"),
        ("http://h/%2e%2E/a", 80, "h", "/a", "http://h/a"),
        ("http://h//a", 80, "h", "//a", "http://h//a"),
        ("http:h/a", 80, "h", "/a", "http://h/a"),
        ("http:/h/a", 80, "h", "/a", "http://h/a"),
        ("http:////h/a", 80, "h", "/a", "http://h/a"),
        (r"http:\\h\a", 80, "h", "/a", "http://h/a"),
        // Only characters that a target can't contain are encoded, and none is encoded twice.
        ("http://h/a b", 80, "h", "/a%20b", "http://h/a%20b"),
        ("http://h/a%20b", 80, "h", "/a%20b", "http://h/a%20b"),
        ("http://h/%", 80, "h", "/%", "http://h/%"),
        ("http://h/\u{e4}", 80, "h", "/%C3%A4", "http://h/%C3%A4"),
        (
            "http://h/?\u{e4} b",
            80,
            "h",
            "/?%C3%A4%20b",
            "http://h/?%C3%A4%20b",
        ),
        (
            "http://h/\"<>`{}",
            80,
            "h",
            "/%22%3C%3E%60%7B%7D",
            "http://h/%22%3C%3E%60%7B%7D",
        ),
        (
            "http://h/\0\x01\x7f",
            80,
            "h",
            "/%00%01%7F",
            "http://h/%00%01%7F",
        ),
        (
            "http://h/%0d%0aX: y",
            80,
            "h",
            "/%0d%0aX:%20y",
            "http://h/%0d%0aX:%20y",
        ),
        // White space around, line ends and tabs within.
        ("  http://h/  ", 80, "h", "/", "http://h/"),
        ("\t\r\n\x01http://h/\x1f\n", 80, "h", "/", "http://h/"),
        ("ht\ntp://h/a\r\nb\tc", 80, "h", "/abc", "http://h/abc"),
        (
            "http://h/ HTTP/1.1\r\nX: y",
            80,
            "h",
            "/%20HTTP/1.1X:%20y",
            "http://h/%20HTTP/1.1X:%20y",
        ),
        // Names.
        ("http://a_b.c-d.", 80, "a_b.c-d.", "/", "http://a_b.c-d./"),
        (
            "http://%65xample.com",
            80,
            "example.com",
            "/",
            "http://example.com/",
        ),
        (
            "http://m\u{fc}nchen.example/",
            80,
            "xn--mnchen-3ya.example",
            "/",
            "http://xn--mnchen-3ya.example/",
        ),
        (
            "http://\u{4f8b}\u{3048}.example",
            80,
            "xn--r8jz45g.example",
            "/",
            "http://xn--r8jz45g.example/",
        ),
        (
            "http://\u{ff25}xample\u{3002}com",
            80,
            "example.com",
            "/",
            "http://example.com/",
        ),
        (
            "https://example.com",
            443,
            "example.com",
            "/",
            "https://example.com/",
        ),
        (
            "https://example.com:443/",
            443,
            "example.com",
            "/",
            "https://example.com/",
        ),
        (
            "https://example.com:80/",
            80,
            "example.com:80",
            "/",
            "https://example.com:80/",
        ),
    ];
    for &(text, port, authority, path, url) in cases {
        let expected = Target {
            host: domain(authority.split(':').next().unwrap_or_default()),
            port,
            secure: text.starts_with("https"),
            authority: authority.into(),
            path: path.into(),
            url: url.into(),
            credentials: None,
        };
        assert_eq!(parse(text), Ok(expected), "{text:?}");
    }
}

#[test]
fn hosts_that_are_addresses_are_addresses() {
    let v4 = |a, b, c, d| Host::Ipv4(Ipv4Addr::new(a, b, c, d));
    let cases: &[(&str, Host<String>, &str)] = &[
        ("http://127.0.0.1", v4(127, 0, 0, 1), "127.0.0.1"),
        ("http://127.0.0.1.", v4(127, 0, 0, 1), "127.0.0.1"),
        ("http://127.1:8", v4(127, 0, 0, 1), "127.0.0.1:8"),
        ("http://2130706433", v4(127, 0, 0, 1), "127.0.0.1"),
        ("http://0x7f.1", v4(127, 0, 0, 1), "127.0.0.1"),
        ("http://0X7F000001", v4(127, 0, 0, 1), "127.0.0.1"),
        ("http://0177.0.0.01", v4(127, 0, 0, 1), "127.0.0.1"),
        ("http://0", v4(0, 0, 0, 0), "0.0.0.0"),
        ("http://%31%32%37.0.0.1", v4(127, 0, 0, 1), "127.0.0.1"),
        ("http://\u{ff11}.1.1.1", v4(1, 1, 1, 1), "1.1.1.1"),
        ("http://[::1]", Host::Ipv6(Ipv6Addr::LOCALHOST), "[::1]"),
        ("http://[::1]:80", Host::Ipv6(Ipv6Addr::LOCALHOST), "[::1]"),
        (
            "http://[0:0::0:1]:81",
            Host::Ipv6(Ipv6Addr::LOCALHOST),
            "[::1]:81",
        ),
        (
            "http://[::ffff:127.0.0.1]",
            Host::Ipv6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
            "[::ffff:7f00:1]",
        ),
    ];
    for (text, host, authority) in cases {
        let target = parse(text);
        assert_eq!(target.as_ref().map(|t| &t.host), Ok(host), "{text}");
        assert_eq!(
            target.as_ref().map(|t| t.authority.as_str()),
            Ok(*authority),
            "{text}"
        );
    }
}

#[test]
fn credentials_are_taken_out_and_decoded() {
    type Pair<'a> = (&'a [u8], &'a [u8]);
    let cases: &[(&str, Option<Pair<'_>>)] = &[
        ("http://h/", None),
        ("http://@h/", None),
        ("http://:@h/", None),
        ("http://u@h/", Some((b"u", b""))),
        ("http://u:@h/", Some((b"u", b""))),
        ("http://u:p@h/", Some((b"u", b"p"))),
        ("http://:p@h/", Some((b"", b"p"))),
        ("http://u:p:q@h/", Some((b"u", b"p:q"))),
        ("http://a@b:c@d@h/", Some((b"a@b", b"c@d"))),
        ("http://u%3a%40:%2f%FF%00@h/", Some((b"u:@", b"/\xff\0"))),
        ("http://u%:%4@h/", Some((b"u%", b"%4"))),
        ("http://%2%31%zz:%%31@h/", Some((b"%21%zz", b"%1"))),
        (
            "http://\u{e4}:\r\n\u{2713}@h/",
            Some((b"\xc3\xa4", b"\xe2\x9c\x93")),
        ),
    ];
    for (text, expected) in cases {
        let expected = expected.map(|(username, password)| Credentials {
            username: username.to_vec(),
            password: password.to_vec(),
        });
        let target = parse(text);
        assert_eq!(
            target.as_ref().map(|t| &t.credentials),
            Ok(&expected),
            "{text}"
        );
        assert_eq!(
            target.as_ref().map(|t| t.url.as_str()),
            Ok("http://h/"),
            "{text}"
        );
        assert_eq!(
            target.as_ref().map(|t| t.authority.as_str()),
            Ok("h"),
            "{text}"
        );
    }
}

#[test]
fn passwords_are_not_shown() {
    let shown = format!("{:?}", parse("http://user:secret@h/"));
    assert!(
        shown.contains("user") && !shown.contains("secret"),
        "{shown}"
    );
    let shown = format!("{:?}", parse("http://user:secret@h:99999/"));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn other_schemes_are_reported_apart_from_invalid_urls() {
    for (text, scheme) in [
        ("ftp://h/", "ftp"),
        ("ws://h/", "ws"),
        ("file:///etc/passwd", "file"),
        ("data:,x", "data"),
        ("javascript:alert(1)", "javascript"),
        ("mailto:a@b", "mailto"),
        ("localhost:8080/x", "localhost"),
        ("http+unix://h/", "http+unix"),
        ("httpx://h/", "httpx"),
    ] {
        let expected = UrlError::UnsupportedScheme(scheme.into());
        assert_eq!(parse(text), Err(expected), "{text}");
    }
}

#[test]
fn refuses() {
    const NO_SCHEME: &str = "no scheme: it must begin with http://";
    const NO_HOST: &str = "no host";
    const PORT: &str = "invalid port number";
    const V4: &str = "invalid IPv4 address";
    const V6: &str = "invalid IPv6 address";
    const NAME: &str = "the host is not a valid name";
    for (text, reason) in [
        ("", NO_SCHEME),
        (" ", NO_SCHEME),
        ("/", NO_SCHEME),
        ("//h/", NO_SCHEME),
        ("h", NO_SCHEME),
        ("example.com/a", NO_SCHEME),
        ("127.0.0.1:80", NO_SCHEME),
        ("[::1]", NO_SCHEME),
        ("://h", NO_SCHEME),
        ("1http://h", NO_SCHEME),
        ("ht tp://h", NO_SCHEME),
        ("http//h", NO_SCHEME),
        ("http:", NO_HOST),
        ("http://", NO_HOST),
        ("http:///", NO_HOST),
        ("http://?q", NO_HOST),
        ("http://#f", NO_HOST),
        ("http://:80/", NO_HOST),
        ("http://u@/", NO_HOST),
        ("http://u:p@:80/", NO_HOST),
        ("http://h:99999/", PORT),
        ("http://h:65536/", PORT),
        ("http://h:-1/", PORT),
        ("http://h:+1/", PORT),
        ("http://h:a/", PORT),
        ("http://h:8a/", PORT),
        ("http://h:8 0/", PORT),
        ("http://h:80:80/", PORT),
        ("http://[::1]x/", V6),
        ("http://h:0/", "port 0 can't be connected to"),
        ("http://h:000/", "port 0 can't be connected to"),
        ("http://256.0.0.1/", V4),
        ("http://1.2.3.4.5/", V4),
        ("http://4294967296/", V4),
        ("http://0x100000000/", V4),
        ("http://1.2.3.08/", V4),
        ("http://a.1/", V4),
        ("http://[::1/", V6),
        ("http://[]/", V6),
        ("http://[:]/", V6),
        ("http://[1::2::3]/", V6),
        ("http://[127.0.0.1]/", V6),
        ("http://[g::]/", V6),
        ("http://a b/", NAME),
        ("http://a%20b/", NAME),
        ("http://a<b/", NAME),
        ("http://a>b/", NAME),
        ("http://a^b/", NAME),
        ("http://a|b/", NAME),
        ("http://a%b/", NAME),
        ("http://a\"b/", NAME),
        ("http://a`b/", NAME),
        ("http://a{b/", NAME),
        ("http://a}b/", NAME),
        ("http://a%22b/", NAME),
        ("http://a%00b/", NAME),
        ("http://a%0d%0ab/", NAME),
        ("http://a%2fb/", NAME),
        ("http://a%40b/", NAME),
        ("http://a%3a80/", NAME),
        ("http://a]b/", NAME),
        ("http://a\0b/", NAME),
        ("http://a\x7fb/", NAME),
        ("http://%ff/", NAME),
        ("http://xn--/", NAME),
        ("http://\u{ad}/", NO_HOST),
        ("http://a\u{2100}b/", NAME),
    ] {
        assert_eq!(
            parse(text),
            Err(UrlError::Invalid(reason.into())),
            "{text:?}"
        );
    }
}

#[test]
fn messages_read_well() {
    for (error, expected) in [
        (UrlError::Invalid("no host".into()), "no host"),
        (
            UrlError::UnsupportedScheme("ftp".into()),
            "the scheme ftp isn't supported",
        ),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_zone_is_refused_with_a_reason() {
    for (url, zone) in [
        ("http://[fe80::1%25eth0]/", true),
        ("http://me:secret@[fe80::1%eth0]:8080/a", true),
        ("http://[fe80::1", false),
        ("http://[fe80:::1]/[%25]", false),
    ] {
        let Err(UrlError::Invalid(why)) = parse(url) else {
            panic!("{url} is read");
        };
        assert_eq!(why == ZONE, zone, "{url}: {why}");
    }
}
