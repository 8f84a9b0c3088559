use super::*;

const BASE: &str = "http://host.example/dir/sub/page?query";

fn head(status: u16, locations: &[&[u8]]) -> ResponseHead {
    ResponseHead {
        minor_version: 1,
        status,
        reason: String::new(),
        headers: locations
            .iter()
            .map(|location| header("location", location))
            .collect(),
        raw: Vec::new(),
    }
}

fn header(name: &str, value: &[u8]) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_vec(),
    }
}

/// Where `location` leads from [`BASE`], and whether that is another origin.
fn lead(location: &[u8]) -> Result<(String, bool), String> {
    match Redirect::of("GET", BASE, false, &head(302, &[location])) {
        Ok(Some(redirect)) => Ok((redirect.url, redirect.cross_origin)),
        Ok(None) => Err("none".to_owned()),
        Err(FetchError::Protocol(why)) => Err(why),
        Err(other) => Err(format!("unexpected: {other:?}")),
    }
}

#[test]
fn locations_lead_where_the_url_standard_says() {
    let same: &[(&[u8], &str)] = &[
        (b"/x", "/x"),
        (b"x", "/dir/sub/x"),
        (b"./x", "/dir/sub/x"),
        (b"../x", "/dir/x"),
        (b"../../../x", "/x"),
        (b"?q", "/dir/sub/page?q"),
        (b"#f", "/dir/sub/page?query"),
        (b"/x#f", "/x"),
        (b"/a?b#c d", "/a?b"),
        (b"/a b", "/a%20b"),
        (b"x y", "/dir/sub/x%20y"),
        (b":x", "/dir/sub/:x"),
        (b";x", "/dir/sub/;x"),
        (b"<x>", "/dir/sub/%3Cx%3E"),
        (b"/a//b", "/a//b"),
        (b"/a/./b/../c", "/a/c"),
        (b"/../../x", "/x"),
        (b"/%2e%2e/x", "/x"),
        (b"/%zz%", "/%zz%"),
        (b"/a|b", "/a|b"),
        (b"/a{b}\"", "/a%7Bb%7D%22"),
        (b"/a\\b", "/a/b"),
        (b"\\x", "/x"),
        // Bytes of any encoding.
        ("/\u{e4}".as_bytes(), "/%C3%A4"),
        (b"/\xe4", "/%E4"),
        (b"/x?\xe4", "/x?%E4"),
        (b"/\xff\xfe", "/%FF%FE"),
        // Ways to write the current URL.
        (b"//host.example/x", "/x"),
        (b"//host.example:80/x", "/x"),
        (b"http://host.example", "/"),
        (b"HTTP://HOST.EXAMPLE/x", "/x"),
        (b"http://host.example:80/x", "/x"),
        (b"http://host.example:/x", "/x"),
        (b"http:/x", "/x"),
        (b"http:x", "/dir/sub/x"),
        (b"http:\\\\host.example/x", "/x"),
        (b"http:///host.example/x", "/x"),
        (b"http://host%2Eexample/x", "/x"),
    ];
    for (location, path) in same {
        let expected = (format!("http://host.example{path}"), false);
        assert_eq!(lead(location), Ok(expected), "{}", location.escape_ascii());
    }
    let other: &[(&[u8], &str)] = &[
        (b"//other.example/x", "http://other.example/x"),
        (b"///other.example/x", "http://other.example/x"),
        (b"\\\\other.example\\x", "http://other.example/x"),
        (b"http://host.example:81/x", "http://host.example:81/x"),
        (b"http://host.example./x", "http://host.example./x"),
        (b"https://host.example/x", "https://host.example/x"),
        (b"https://host.example:80/", "https://host.example:80/"),
        (b"http://127.1/x", "http://127.0.0.1/x"),
        (b"http://[::1]:81/", "http://[::1]:81/"),
        (b"http://u:p@other.example/", "http://u:p@other.example/"),
        (
            "http://m\u{fc}nchen.example/".as_bytes(),
            "http://xn--mnchen-3ya.example/",
        ),
        (b"ftp://other.example/x", "ftp://other.example/x"),
        (b"mailto:a@b", "mailto:a@b"),
        (b"a:b", "a:b"),
        (b"javascript:1", "javascript:1"),
        (b"data:text/html,x#y", "data:text/html,x"),
        (b"file:///etc/passwd", "file:///etc/passwd"),
    ];
    for (location, url) in other {
        let expected = ((*url).to_owned(), true);
        assert_eq!(lead(location), Ok(expected), "{}", location.escape_ascii());
    }
}

#[test]
fn credentials_in_a_location_do_not_make_another_origin() {
    let expected = ("http://u:p@host.example/x".to_owned(), false);
    assert_eq!(lead(b"http://u:p@host.example/x"), Ok(expected));
}

#[test]
fn locations_that_lead_nowhere_are_refused() {
    for (location, why) in [
        (&b"http://"[..], "no host"),
        (b"http://:81/x", "no host"),
        (b"//", "no host"),
        (b"http://[::1/x", "invalid IPv6 address"),
        (b"http://host.example:99999/x", "invalid port number"),
        (b"http://host.example:0/x", "port 0 can't be connected to"),
        (b"http://a b/", "the host is not a valid name"),
        (b"http://\xff/", "the host is not a valid name"),
        (b"//\"", "the host is not a valid name"),
        (b"http://1.2.3.4.5/", "invalid IPv4 address"),
        (b"/a\tb", "it contains a control character"),
        (b"/a\x01b", "it contains a control character"),
        (b"/a\x7fb", "it contains a control character"),
        (b"/a\rb", "it contains a control character"),
    ] {
        let shown = location.escape_ascii();
        let expected = format!("the Location is not a valid URL: \"{shown}\": {why}");
        assert_eq!(lead(location), Err(expected), "{shown}");
    }
}

#[test]
fn one_location_counts() {
    let of = |locations: &[&[u8]]| Redirect::of("GET", BASE, false, &head(302, locations));
    let none: [&[&[u8]]; 3] = [&[], &[b""], &[b"", b""]];
    for locations in none {
        assert_eq!(of(locations), Ok(None), "{locations:?}");
    }
    let one = of(&[b"/x"]);
    assert!(matches!(one, Ok(Some(_))));
    assert_eq!(of(&[b"/x", b"/x", b"/x"]), one);
    for locations in [&[&b"/x"[..], b"/y"], &[b"/x", b""], &[b"", b"/x"]] {
        let refused = of(locations);
        assert!(
            matches!(&refused, Err(FetchError::Protocol(why)) if why.contains("two different Locations")),
            "{locations:?}: {refused:?}"
        );
    }
}

#[test]
fn methods_and_bodies_change_as_the_status_says() {
    let keep = |method| Some((method, true));
    let drop = |method| Some((method, false));
    let cases = [
        (301, "POST", drop("GET")),
        (302, "POST", drop("GET")),
        (303, "POST", drop("GET")),
        (307, "POST", keep("POST")),
        (308, "POST", keep("POST")),
        (301, "PUT", keep("PUT")),
        (302, "DELETE", keep("DELETE")),
        (303, "PUT", drop("GET")),
        (303, "GET", drop("GET")),
        (303, "HEAD", drop("HEAD")),
        (301, "HEAD", keep("HEAD")),
        (307, "HEAD", keep("HEAD")),
        (301, "post", keep("post")),
        (303, "post", drop("GET")),
        (308, "PATCH", keep("PATCH")),
        (200, "POST", None),
        (201, "POST", None),
        (300, "POST", None),
        (304, "POST", None),
        (305, "POST", None),
        (306, "POST", None),
        (309, "POST", None),
        (399, "POST", None),
        (404, "POST", None),
    ];
    for (status, method, expected) in cases {
        for has_body in [true, false] {
            let redirect = Redirect::of(method, BASE, has_body, &head(status, &[b"/x"]));
            let redirect = redirect.unwrap_or_else(|error| panic!("{status} {method}: {error}"));
            let got = redirect.as_ref().map(|r| (r.method.as_str(), r.sends_body));
            let expected = expected.map(|(method, sends)| (method, sends && has_body));
            assert_eq!(got, expected, "{status} {method} {has_body}");
        }
    }
}

#[test]
fn a_location_counts_only_where_the_status_says_so() {
    let broken = Redirect::of("GET", BASE, false, &head(200, &[b"http://", b"x"]));
    assert_eq!(broken, Ok(None));
}

#[test]
fn fields_that_are_not_for_there_are_dropped() {
    const ALL: [&str; 10] = [
        "Accept",
        "authorization",
        "Cookie",
        "Proxy-Authorization",
        "HOST",
        "content-TYPE",
        "Content-Encoding",
        "Digest",
        "Last-Modified",
        "X-Content-Type",
    ];
    let cases: [(bool, bool, bool, &[&str]); 5] = [
        (false, true, true, &ALL),
        (false, false, false, &ALL),
        (
            true,
            true,
            true,
            &[
                "Accept",
                "content-TYPE",
                "Content-Encoding",
                "Digest",
                "Last-Modified",
                "X-Content-Type",
            ],
        ),
        (
            false,
            true,
            false,
            &[
                "Accept",
                "authorization",
                "Cookie",
                "Proxy-Authorization",
                "HOST",
                "X-Content-Type",
            ],
        ),
        (true, true, false, &["Accept", "X-Content-Type"]),
    ];
    for (cross_origin, had_body, sends_body, expected) in cases {
        let redirect = Redirect {
            url: String::new(),
            method: String::new(),
            sends_body,
            cross_origin,
            downgrade: false,
        };
        let mut headers: Vec<Header> = ALL.iter().map(|name| header(name, b"x")).collect();
        redirect.strip(&mut headers, had_body);
        let left: Vec<&str> = headers.iter().map(|header| header.name.as_str()).collect();
        assert_eq!(left, expected, "{redirect:?}, {had_body}");
    }
}
