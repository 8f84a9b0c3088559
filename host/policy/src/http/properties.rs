//! Property tests: no spelling of a URL evades a rule.

use super::readings::readings;
use super::{Asked, HttpRule, HttpTarget, HttpUrl};
use proptest::prelude::*;

/// Pieces of paths. Many of them are read differently by different servers.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "/", "//", "\\", ".", "..", "%2e", "%2E%2e", "%2f", "%5c", "%252e", "%252f", "%25252e",
        ";", ";x", "%3b", "%3f", "%23", "%253f", "a", "A", "%61", "%2561", "b", "v1", "admin", "%",
        "%25", "*", "%2A", "ü", "%c3%bc", "'", ":", "@",
    ])
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// A path that begins with a granted prefix.
fn granted_path() -> impl Strategy<Value = String> {
    path().prop_map(|path| format!("/v1/a{path}"))
}

fn url(path: &str) -> Option<HttpUrl> {
    HttpUrl::read("http", "a.example", path)
        .ok()
        .map(|(url, _)| url)
}

fn get(url: HttpUrl) -> HttpTarget {
    HttpTarget::new("GET".parse().unwrap(), url)
}

fn is_granted(rule: &HttpRule, url: &HttpUrl) -> bool {
    rule.grants(&Asked::of(&get(url.clone())))
}

/// What a server, or a proxy before it, may do with the bytes of a path.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Decode,
    /// As nginx does behind a proxy, or Apache with `AllowEncodedSlashes NoDecode`.
    DecodeButSlashes,
    BackslashesAreSlashes,
    ResolveDots,
    MergeSlashes,
    DropParameters,
    DropQuery,
    DropFragment,
}

fn habit() -> impl Strategy<Value = Habit> {
    prop::sample::select(vec![
        Habit::Decode,
        Habit::DecodeButSlashes,
        Habit::BackslashesAreSlashes,
        Habit::ResolveDots,
        Habit::MergeSlashes,
        Habit::DropParameters,
        Habit::DropQuery,
        Habit::DropFragment,
    ])
}

/// The path that a server with these habits uses. It drops dot segments and empty segments at the end, as a file system
/// does.
fn served(path: &str, habits: &[Habit]) -> Vec<u8> {
    let mut bytes = path.as_bytes().to_vec();
    for habit in habits {
        bytes = match habit {
            Habit::Decode => decoded(&bytes, |_| true),
            Habit::DecodeButSlashes => decoded(&bytes, |byte| byte != b'/'),
            Habit::BackslashesAreSlashes => {
                let slash = |byte| if byte == b'\\' { b'/' } else { byte };
                bytes.into_iter().map(slash).collect()
            }
            Habit::ResolveDots => without_dots(&bytes),
            Habit::MergeSlashes => {
                bytes.dedup_by(|one, other| (*one, *other) == (b'/', b'/'));
                bytes
            }
            Habit::DropParameters => {
                let segments = bytes.split(|byte| *byte == b'/');
                let before = |segment: &[u8]| until(segment, b';');
                segments.map(before).collect::<Vec<_>>().join(&b'/')
            }
            Habit::DropQuery => until(&bytes, b'?'),
            Habit::DropFragment => until(&bytes, b'#'),
        };
    }
    bytes.dedup_by(|one, other| (*one, *other) == (b'/', b'/'));
    without_dots(&bytes)
}

fn decoded(bytes: &[u8], is_decoded: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut index = 0;
    while index < bytes.len() {
        let digits = bytes.get(index + 1..index + 3);
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|byte| bytes[index] == b'%' && is_decoded(*byte));
        decoded.push(byte.unwrap_or(bytes[index]));
        index += if byte.is_some() { 3 } else { 1 };
    }
    decoded
}

fn without_dots(bytes: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut is_directory = false;
    for segment in bytes.split(|byte| *byte == b'/').skip(1) {
        is_directory = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    if is_directory || segments.is_empty() {
        segments.push(b"");
    }
    let mut path = Vec::new();
    for segment in segments {
        path.push(b'/');
        path.extend(segment);
    }
    path
}

fn until(bytes: &[u8], end: u8) -> Vec<u8> {
    let before = bytes.split(|byte| *byte == end).next();
    before.unwrap_or_default().to_vec()
}

/// The bytes as the path of a URL. An escape stays one.
fn written(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        let digits = bytes.get(index + 1..index + 3).unwrap_or_default();
        let is_escape = digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
        let is_digit = (index.saturating_sub(2)..index).any(|at| {
            bytes[at] == b'%'
                && bytes[at + 1..].len() >= 2
                && bytes[at + 1..at + 3].iter().all(u8::is_ascii_hexdigit)
        });
        match byte {
            b'%' if is_escape => text.push('%'),
            byte if is_digit => text.push(byte.to_ascii_uppercase().into()),
            byte if byte.is_ascii_alphanumeric() || b"-._~*!$&()+,;=:@/".contains(byte) => {
                text.push((*byte).into());
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Servers that do all of it, in several orders. Each repeats its habits until nothing changes.
const OBLIGING: [&[Habit]; 5] = [
    &[
        Habit::Decode,
        Habit::BackslashesAreSlashes,
        Habit::DropParameters,
    ],
    &[
        Habit::DropParameters,
        Habit::Decode,
        Habit::BackslashesAreSlashes,
    ],
    &[
        Habit::DecodeButSlashes,
        Habit::DropParameters,
        Habit::Decode,
    ],
    &[
        Habit::Decode,
        Habit::BackslashesAreSlashes,
        Habit::ResolveDots,
        Habit::DropParameters,
    ],
    &[
        Habit::Decode,
        Habit::DropQuery,
        Habit::BackslashesAreSlashes,
    ],
];

/// The segments of the path that an [`OBLIGING`] server uses.
fn obliging(path: &str, habits: &[Habit]) -> Vec<String> {
    let repeated = habits.repeat(8);
    let used = served(path, &repeated);
    let used = String::from_utf8_lossy(&used).into_owned();
    let segments = used.split('/').filter(|segment| !segment.is_empty());
    segments.map(str::to_owned).collect()
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

    /// Whatever a server does with a path, and in which order: the path that it uses is one of the readings.
    #[test]
    fn what_a_server_uses_is_a_reading(
        path in path(),
        habits in prop::collection::vec(habit(), 0..8),
    ) {
        if let Some(url) = url(&path) {
            let used = written(&served(url.path(), &habits));
            let readings = readings([url.path()]).unwrap();
            let is_known = readings.iter().any(|[reading]| *reading == used);
            prop_assert!(is_known, "{} {used} {readings:?}", url.path());
        }
    }

    /// A path that a rule with a prefix grants is below the prefix for every server.
    #[test]
    fn nothing_leaves_a_granted_prefix(
        path in granted_path(),
        habits in prop::collection::vec(habit(), 0..8),
    ) {
        let rule: HttpRule = "GET http://a.example/v1/a/*".parse().unwrap();
        if let Some(url) = url(&path)
            && is_granted(&rule, &url)
        {
            prop_assert!(url.path().starts_with("/v1/a/"), "{}", url.path());
            let used = served(url.path(), &habits);
            prop_assert!(used.starts_with(b"/v1/a/"), "{} {}", url.path(), written(&used));
            for habits in OBLIGING {
                let segments = obliging(url.path(), habits);
                let granted = ["v1".to_owned(), "a".to_owned()];
                prop_assert!(segments.starts_with(&granted), "{} {segments:?}", url.path());
            }
        }
    }

    /// A path that some server reads as a denied path is denied.
    #[test]
    fn nothing_reaches_a_denied_path(
        path in path(),
        habits in prop::collection::vec(habit(), 0..8),
    ) {
        let rule: HttpRule = "* http://a.example/admin/*".parse().unwrap();
        if let Some(url) = url(&path)
            && !rule.denies(&Asked::of(&get(url.clone())))
        {
            prop_assert!(!url.path().starts_with("/admin/"));
            let used = served(url.path(), &habits);
            prop_assert!(!used.starts_with(b"/admin/"), "{} {}", url.path(), written(&used));
            for habits in OBLIGING {
                let segments = obliging(url.path(), habits);
                let first = segments.first().map(String::as_str);
                prop_assert_ne!(first, Some("admin"), "{}", url.path());
            }
        }
    }

    /// The rule that a refusal names grants that request and no other path. Its text parses to the same rule.
    #[test]
    fn the_least_rule_is_enough(path in path(), other in path()) {
        if let (Some(url), Some(other)) = (url(&path), url(&other)) {
            let rule = HttpRule::exactly(["GET".parse().unwrap()], &url);
            prop_assert!(is_granted(&rule, &url));
            prop_assert_eq!(&rule.to_string().parse::<HttpRule>().unwrap(), &rule);
            prop_assert!(!rule.to_string().contains(['\'', '"', '\\']));
            prop_assert_eq!(is_granted(&rule, &other), other == url);
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
