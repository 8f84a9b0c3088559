//! Tests of rules about HTTP requests.

use super::*;
use crate::HttpTarget;

fn target(text: &str) -> HttpTarget {
    let (method, url) = text.split_once(' ').unwrap();
    HttpTarget::new(method.parse().unwrap(), url.parse().unwrap())
}

fn rule(text: &str) -> HttpRule {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_rule_grants_what_it_says() {
    for (own, asked, expected) in [
        ("GET https://a.example/", "GET https://a.example", true),
        ("GET https://a.example/", "HEAD https://a.example/", false),
        ("GET https://a.example/", "get https://a.example/", false),
        ("* https://a.example/", "DELETE https://a.example/", true),
        (
            "GET,HEAD https://a.example/",
            "HEAD https://a.example/",
            true,
        ),
        ("GET https://a.example/", "GET http://a.example/", false),
        (
            "GET https://a.example/",
            "GET https://a.example:444/",
            false,
        ),
        ("GET https://a.example:443/", "GET https://a.example/", true),
        ("GET https://A.example./", "GET https://a.EXAMPLE/", true),
        ("GET https://a.example/", "GET https://b.a.example/", false),
        ("GET https://*.a.example/", "GET https://b.a.example/", true),
        ("GET https://*.a.example/", "GET https://a.example/", false),
        (
            "GET https://*.a.example/",
            "GET https://nota.example/",
            false,
        ),
        ("GET http://127.0.0.1/", "GET http://2130706433/", true),
        (
            "GET http://127.0.0.1/",
            "GET http://[::ffff:127.0.0.1]/",
            true,
        ),
        (
            "GET http://127.0.0.1/",
            "GET http://[64:ff9b::127.0.0.1]/",
            false,
        ),
        ("GET http://a/v1", "GET http://a/v1", true),
        ("GET http://a/v1", "GET http://a/v1?x=y", true),
        ("GET http://a/v1", "GET http://a/v1/", false),
        ("GET http://a/v1", "GET http://a/v2/../v1", true),
        ("GET http://a/v1/*", "GET http://a/v1/", true),
        ("GET http://a/v1/*", "GET http://a/v1/x/y", true),
        ("GET http://a/v1/*", "GET http://a/v1", false),
        ("GET http://a/v1/*", "GET http://a/v10/x", false),
        ("GET http://a/v1/*", "GET http://a/V1/x", false),
        ("GET http://a/v1/*", "GET http://a//v1//x", true),
        ("GET http://a/v1/*", "GET http://a/%761/x", true),
        ("GET http://a/v1/*", "GET http://a/v1/../v2", false),
        ("GET http://a/v1/*", "GET http://a/v1/%2e%2e/v2", false),
        ("GET http://a/v1/*", "GET http://a/v1/..%2Fv2", false),
        ("GET http://a/v1/*", "GET http://a/v1/..\\v2", false),
        ("GET http://a/v1/*", "GET http://a/v1/..%5cv2", false),
        ("GET http://a/v1/*", "GET http://a/v1/%252e%252e/v2", false),
        ("GET http://a/v1/*", "GET http://a/v1/..;/v2", false),
        ("GET http://a/v1/*", "GET http://a/v1/x%2Fy", true),
        ("GET http://a/v1/*", "GET http://a/v1%2Fx", false),
        ("GET http://a/v1/*", "GET http://a/v1/x;y", true),
        (
            "GET http://a/v1/a/*",
            "GET http://a/v1/a/..%2Fz;p%2F..%2Fa%2Fq",
            false,
        ),
        (
            "GET http://a/v1/a/*",
            "GET http://a/v1/a/..%3Bx%2F..%2Fa%2Fq",
            false,
        ),
        ("GET http://a/v1/a/*", "GET http://a/v1/a/x%2Fy;p%2Fz", true),
        (
            "GET http://a/v1/*",
            "GET http://a/v1/x%3Fy%2F..%2F..",
            false,
        ),
        ("GET http://a/v1/*", "GET http://a/v1/x%3Fy%23z", true),
        ("GET http://a/*", "GET http://a/..%2F..%2Fetc", true),
        ("GET http://a/p/b%2Fc", "GET http://a/p/b%2fc", true),
        ("GET http://a/p/b%2Fc", "GET http://a/p/b/c", false),
        ("GET http://a/p/b%2Fc/*", "GET http://a/p/b%2Fc/d", true),
        ("GET http://a/p/b%2Fc/*", "GET http://a/p/b/c/d", false),
        // A server reads the rule's path as it reads the request's.
        ("GET http://a/p;v/*", "GET http://a/p;v/d;w", true),
        (
            "GET http://a/p;v/*",
            "GET http://a/p;v/..%2F..%2Fp%2Fd",
            false,
        ),
        ("GET http://a/p/b%3Fc/*", "GET http://a/p/b%3Fc/d", true),
        (
            "GET http://a/p/%3Fc/*",
            "GET http://a/p/%3Fc/..%2F..%2Fd",
            false,
        ),
        ("GET http://a/x%2A", "GET http://a/x*", true),
        ("GET http://a/x/%2A", "GET http://a/x/y", false),
    ] {
        let target = target(asked);
        let granted = rule(own).grants(&Asked::of(&target));
        assert_eq!(granted, expected, "{own}: {asked}");
    }
}

#[test]
fn a_denial_covers_every_spelling() {
    for (own, asked, expected) in [
        ("DELETE http://a/*", "DELETE http://a/x", true),
        ("DELETE http://a/*", "delete http://a/x", true),
        ("DELETE http://a/*", "GET http://a/x", false),
        ("* http://a/admin", "GET http://a/admin", true),
        ("* http://a/admin", "GET http://a/admin/", true),
        ("* http://a/admin", "GET http://a/ADMIN", true),
        ("* http://a/admin", "GET http://a/admin/x", false),
        ("* http://a/admin/*", "GET http://a/admin", true),
        ("* http://a/admin/*", "GET http://a/admin/x", true),
        ("* http://a/admin/*", "GET http://a/admin%2Fx", true),
        ("* http://a/admin/*", "GET http://a/%2561dmin/x", true),
        ("* http://a/admin/*", "GET http://a/x/..%5cadmin/y", true),
        ("* http://a/admin/*", "GET http://a/x/..;/admin/y", true),
        ("* http://a/admin/*", "GET http://a/admin;v=1/y", true),
        (
            "* http://a/admin/*",
            "GET http://a/admin%2Fz;p%2F..%2F..%2Fok",
            true,
        ),
        ("* http://a/admin/*", "GET http://a/admin%3Fx", true),
        ("* http://a/admin/*", "GET http://a/administer%3Fx", false),
        ("* http://a/admin/*", "GET http://a/x;y%2Fz", false),
        ("* http://a/admin%3F/*", "GET http://a/administer", false),
        ("* http://a/admin/*", "GET http://a/administer", false),
        ("* http://a/admin%2F/*", "GET http://a/admin/x", true),
        ("* http://*.a/*", "GET http://b.a/", true),
        (
            "* http://169.254.169.254/*",
            "GET http://169.254.169.254/",
            true,
        ),
        (
            "* http://169.254.169.254/*",
            "GET http://[64:ff9b::a9fe:a9fe]/",
            true,
        ),
        (
            "* http://169.254.169.254/*",
            "GET http://[2002:a9fe:a9fe::1]/",
            true,
        ),
        (
            "* http://[64:ff9b::a9fe:a9fe]/*",
            "GET http://169.254.169.254/",
            false,
        ),
        (
            "* http://169.254.169.254/*",
            "GET http://[64:ff9b::a9fe:a9fd]/",
            false,
        ),
        ("* http://a/*", "GET https://a/", false),
    ] {
        let target = target(asked);
        let denied = rule(own).denies(&Asked::of(&target));
        assert_eq!(denied, expected, "{own}: {asked}");
    }
}

#[test]
fn a_rule_is_written_as_it_is_read() {
    for (text, expected) in [
        ("GET  https://a.example", "GET https://a.example/"),
        ("GET,GET,HEAD http://a:80/x", "GET,HEAD http://a/x"),
        (
            "* https://*.A.example:8443/*",
            "* https://*.a.example:8443/*",
        ),
        ("PUT http://a/%2A", "PUT http://a/%2A"),
        ("PUT http://a/x'y", "PUT http://a/x%27y"),
    ] {
        let rule = rule(text);
        assert_eq!(rule.to_string(), expected);
        assert_eq!(expected.parse(), Ok(rule));
    }
}

#[test]
fn what_is_no_rule_is_refused() {
    for (text, expected) in [
        ("", "is not methods and a URL"),
        ("https://a.example/", "is not methods and a URL"),
        ("GET", "is not methods and a URL"),
        ("GET a.example", "a URL begins with `http://`"),
        ("GET ftp://a.example/", "a URL begins with `http://`"),
        ("GET,* https://a/", "`*` is not an HTTP method"),
        ("GET, https://a/", "`` is not an HTTP method"),
        ("CONNECT https://a/", "`CONNECT` is not an HTTP method"),
        ("GET https://u@a/", "a user's name"),
        ("GET https://a:0/", "a port is a number"),
        ("GET https://a:*/", "a port is a number"),
        ("GET https://a/x*", "has a `*` in its path"),
        ("GET https://a/*/x", "has a `*` in its path"),
        ("GET https://a*", "is not a supported pattern"),
        ("GET https://a?x", "leave out what is behind `?`"),
        ("GET https://a/#x", "leave out what is behind `#`"),
        ("GET https://a/ /b", "spaces"),
        ("GET https://10.0.0.0/8", ""),
        ("GET https:///x", "is neither a host name"),
    ] {
        match text.parse::<HttpRule>() {
            // A path, not a range.
            Ok(rule) => assert_eq!((expected, rule.to_string().as_str()), ("", text)),
            Err(error) => {
                assert!(!expected.is_empty(), "{text}");
                assert!(error.to_string().contains(expected), "{text}: {error}");
            }
        }
    }
    let many = |count| {
        let methods: Vec<String> = (0..count).map(|n| format!("M{n}")).collect();
        methods.join(",")
    };
    for (count, expected) in [(MAX_HTTP_METHODS, true), (MAX_HTTP_METHODS + 1, false)] {
        let rule = format!("{} https://a/", many(count)).parse::<HttpRule>();
        assert_eq!(rule.is_ok(), expected, "{count}");
    }
}
