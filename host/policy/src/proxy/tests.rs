use super::*;

fn origin(text: &str) -> Origin {
    let url = url(text);
    Origin::new(url.host().clone(), url.port())
}

fn url(text: &str) -> HttpUrl {
    text.parse().unwrap()
}

#[test]
fn every_form_is_read() {
    for (text, expected, authorization) in [
        ("http://proxy.example:3128", "proxy.example:3128", None),
        ("HTTP://Proxy.example:3128/", "proxy.example:3128", None),
        ("proxy.example", "proxy.example:1080", None),
        ("10.0.0.1:8080", "10.0.0.1:8080", None),
        ("http://[::1]:8080", "[::1]:8080", None),
        ("http://u:p@a:1", "a:1", Some("Basic dTpw")),
        ("u@a:1", "a:1", Some("Basic dTo=")),
        ("http://u:p%40:%2f@a:1", "a:1", Some("Basic dTpwQDov")),
        ("http://u:p@q@a:1", "a:1", Some("Basic dTpwQHE=")),
    ] {
        let proxy: Proxy = text.parse().unwrap();
        assert_eq!(proxy.to_string(), expected, "{text}");
        let found = proxy.authorization().map(|it| it.to_str().unwrap());
        assert_eq!(found, authorization, "{text}");
        assert!(!format!("{proxy:?}").contains("Basic"));
    }
}

#[test]
fn credentials_that_are_typed_are_sent_as_they_are() {
    let proxy: Proxy = "http://old:pw@a:1".parse().unwrap();
    for (typed, expected) in [
        ("u:p", Some("Basic dTpw")),
        ("u:p%40:@", Some("Basic dTpwJTQwOkA=")),
        ("u", Some("Basic dTo=")),
        (":p", Some("Basic OnA=")),
        ("u\n:p", None),
        ("u:p\r", None),
    ] {
        let found = proxy.clone().with_credentials(typed);
        let found = found.map(|it| it.authorization().unwrap().to_str().unwrap().to_owned());
        let expected = expected.map(str::to_owned).ok_or(ProxyError::Credentials);
        assert_eq!(found, expected, "{typed:?}");
    }
}

#[test]
fn what_is_no_proxy_is_refused_without_its_credentials() {
    for (text, expected) in [
        ("https://u:hunter2@a:1", "and not with `https`"),
        ("socks5://u:hunter2@a:1", "and not with `socks5`"),
        ("http://u:hunter2@", "the proxy's host can't be used"),
        ("http://u:hunter2@a b:1", "the proxy's host can't be used"),
        ("http://u:hunter2@a:0", "the proxy's port"),
        ("http://u:hunter2@a:x", "the proxy's port"),
        ("http://u:hunter2@a:1/path", "the proxy's port"),
        ("http://u:hunter2%@a:1", "the proxy's user or password"),
        ("http://u:hunter2%0a@a:1", "the proxy's user or password"),
        ("http://u%3a:hunter2@a:1", "the proxy's user or password"),
    ] {
        let error = text.parse::<Proxy>().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{text}: {error}");
    }
    for (bytes, expected) in [
        (MAX_PROXY_BYTES, Some(ProxyError::Port)),
        (MAX_PROXY_BYTES + 1, Some(ProxyError::TooLong)),
    ] {
        assert_eq!("a".repeat(bytes).parse::<Proxy>().err(), expected);
    }
}

#[test]
fn hosts_without_a_proxy() {
    let list = "example.com .dot.example, *.star.example,port.example:8080,10.0.0.0/8,192.0.2.1,[2001:db8::1],fd00::/8";
    let list: NoProxy = list.parse().unwrap();
    for (asked, expected) in [
        ("http://example.com/", true),
        ("https://a.EXAMPLE.com./", true),
        ("http://notexample.com/", false),
        ("http://example.com.evil/", false),
        ("http://dot.example/", true),
        ("http://a.dot.example/", true),
        ("http://star.example/", true),
        ("http://port.example:8080/", true),
        ("http://port.example/", false),
        ("http://10.2.3.4/", true),
        ("http://0xa020304/", true),
        ("http://11.0.0.1/", false),
        ("http://192.0.2.1:81/", true),
        ("http://[2001:db8::1]/", true),
        ("http://[2001:db8::2]/", false),
        ("http://[fd00::5]/", true),
    ] {
        assert_eq!(list.covers(&origin(asked)), expected, "{asked}");
    }
    let text = "example.com,dot.example,star.example,port.example:8080,10.0.0.0/8,192.0.2.1,2001:db8::1,fd00::/8";
    assert_eq!(list.to_string(), text);
    assert_eq!(text.parse(), Ok(list));
    let all: NoProxy = "*".parse().unwrap();
    assert!(all.covers(&origin("http://a.example/")));
    assert!(!NoProxy::default().covers(&origin("http://a.example/")));
    for (text, expected) in [
        ("a b/c", "`b/c` is neither"),
        ("a:x", "`a:x` is neither"),
        ("a..b", "`a..b` is"),
    ] {
        let error = text.parse::<NoProxy>().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!("a,".repeat(1024).parse::<NoProxy>().is_ok());
    assert_eq!(
        "a,".repeat(1025).parse::<NoProxy>(),
        Err(NoProxyError::TooMany)
    );
}

#[test]
fn what_is_local_goes_through_no_proxy() {
    let proxies = Proxies::all("proxy.example:3128".parse().unwrap());
    for (asked, expected) in [
        ("http://a.example/", true),
        ("https://10.0.0.1/", true),
        ("http://localhost/", false),
        ("https://a.localhost:8443/", false),
        ("http://127.1.2.3/", false),
        ("http://[::1]/", false),
        ("http://[::ffff:127.0.0.1]/", false),
        ("http://2130706433/", false),
    ] {
        assert_eq!(proxies.for_url(&url(asked)).is_some(), expected, "{asked}");
    }
}

#[test]
fn variables_count_as_with_curl() {
    let of = |set: &[(&str, &str)]| {
        let found = Proxies::of_environment(|name| {
            let found = set.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| value.into())
        });
        let shown = |proxy: Option<Proxy>| proxy.map_or("-".to_owned(), |it| it.to_string());
        match found {
            Ok(proxies) => format!("{} {}", shown(proxies.http), shown(proxies.https)),
            Err((name, error)) => format!("{name}: {error}"),
        }
    };
    for (set, expected) in [
        (&[][..], "- -"),
        (&[("http_proxy", "a:1")], "a:1 -"),
        (&[("HTTP_PROXY", "a:1")], "- -"),
        (&[("HTTPS_PROXY", "a:1")], "- a:1"),
        (&[("https_proxy", "b:1"), ("HTTPS_PROXY", "a:1")], "- b:1"),
        (&[("ALL_PROXY", "a:1")], "a:1 a:1"),
        (&[("all_proxy", "a:1"), ("https_proxy", "b:1")], "a:1 b:1"),
        (&[("ALL_PROXY", "a:1"), ("https_proxy", "")], "a:1 a:1"),
        (
            &[("HTTPS_PROXY", "https://u:p@a:1")],
            "HTTPS_PROXY: a proxy is reached with http, and not with `https`: write http://proxy.example:3128",
        ),
        (
            &[("NO_PROXY", "a/b")],
            "NO_PROXY: `a/b` is neither a host nor a range: write `example.com,10.0.0.0/8`, or `*` for every host",
        ),
    ] {
        assert_eq!(of(set), expected, "{set:?}");
    }
    let none = Proxies::of_environment(|name| match name {
        "ALL_PROXY" => Some("a:1".into()),
        "no_proxy" => Some("a.example".into()),
        _ => None,
    });
    let none = none.unwrap();
    assert!(none.for_url(&url("http://a.example/")).is_none());
    assert!(none.for_url(&url("http://b.example/")).is_some());
}
