//! Property tests: no spelling of a URL evades a rule.

use super::{HttpRule, HttpTarget, HttpUrl};
use proptest::prelude::*;

/// Pieces of paths. Many of them are read differently by different servers.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "/", "//", "\\", ".", "..", "%2e", "%2E%2e", "%2f", "%5c", "%252e", "%252f", "%25252e",
        ";", ";x", "%3b", "a", "A", "%61", "%2561", "b", "v1", "admin", "%", "%25", "*", "%2A",
        "ü", "%c3%bc", "'", ":", "@",
    ])
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn url(path: &str) -> Option<HttpUrl> {
    HttpUrl::read("http", "a.example", path)
        .ok()
        .map(|(url, _)| url)
}

fn get(url: HttpUrl) -> HttpTarget {
    HttpTarget::new("GET".parse().unwrap(), url)
}

/// The segments that the most tolerant server reads. It decodes the path until nothing is left to decode. Then it reads
/// a backslash as a slash, and drops the parameters of each segment.
fn obliging(path: &str) -> Vec<String> {
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let mut decoded = Vec::new();
        let mut index = 0;
        while index < bytes.len() {
            let digits = bytes.get(index + 1..index + 3);
            let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            let byte = digits
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                .filter(|_| bytes[index] == b'%');
            match byte {
                Some(byte) => {
                    decoded.push(byte);
                    index += 3;
                }
                None => {
                    decoded.push(bytes[index]);
                    index += 1;
                }
            }
        }
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut segments = Vec::new();
    for segment in text.split('/') {
        let segment = segment.split(';').next().unwrap_or_default();
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment.to_owned()),
        }
    }
    segments
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Reading a URL in its form again gives the same URL.
    #[test]
    fn the_form_is_final(path in path()) {
        if let Some(url) = url(&path) {
            let again = HttpUrl::read("http", "a.example", url.path()).unwrap().0;
            prop_assert_eq!(&again, &url);
            prop_assert_eq!(&url.to_string().parse::<HttpUrl>().unwrap(), &url);
            let sent = url.path();
            prop_assert!(sent.starts_with('/') && !sent.contains("//"));
            prop_assert!(sent.split('/').all(|segment| segment != "." && segment != ".."));
            let plain = |byte: u8| byte.is_ascii_graphic() && !b"\\'\"<>{}|^`#?".contains(&byte);
            prop_assert!(sent.bytes().all(plain), "{sent}");
        }
    }

    /// A path that a rule with a prefix grants is below the prefix, for the strictest and for the most tolerant server.
    #[test]
    fn nothing_leaves_a_granted_prefix(path in path()) {
        let rule: HttpRule = "GET http://a.example/v1/a/*".parse().unwrap();
        if let Some(url) = url(&path)
            && rule.grants(&get(url.clone()))
        {
            prop_assert!(url.path().starts_with("/v1/a/"), "{}", url.path());
            let segments = obliging(url.path());
            prop_assert!(segments.starts_with(&["v1".to_owned(), "a".to_owned()]), "{segments:?}");
        }
    }

    /// A path that the strictest or the most tolerant server reads as a denied path is denied.
    #[test]
    fn nothing_reaches_a_denied_path(path in path()) {
        let rule: HttpRule = "* http://a.example/admin/*".parse().unwrap();
        if let Some(url) = url(&path)
            && !rule.denies(&get(url.clone()))
        {
            let segments = obliging(url.path());
            prop_assert_ne!(segments.first().map(String::as_str), Some("admin"), "{}", url.path());
            prop_assert!(!url.path().starts_with("/admin/"));
        }
    }

    /// The rule that a refusal names grants that request and no other path. Its text parses to the same rule.
    #[test]
    fn the_least_rule_is_enough(path in path(), other in path()) {
        if let (Some(url), Some(other)) = (url(&path), url(&other)) {
            let rule = HttpRule::exactly(["GET".parse().unwrap()], &url);
            let target = get(url.clone());
            prop_assert!(rule.grants(&target));
            prop_assert_eq!(&rule.to_string().parse::<HttpRule>().unwrap(), &rule);
            prop_assert!(!rule.to_string().contains(['\'', '"', '\\']));
            prop_assert_eq!(rule.grants(&get(other.clone())), other == url);
        }
    }

    /// No text makes the parsers panic.
    #[test]
    fn any_text_is_read_or_refused(scheme in ".*", authority in ".*", path in ".*") {
        let _ = HttpUrl::read(&scheme, &authority, &path);
        let _ = HttpUrl::read("http", &authority, &path);
        let _ = HttpUrl::read("http", "a.example", &path);
        let _ = format!("{scheme} http://{authority}{path}").parse::<HttpRule>();
    }
}
