//! Raw responses, and how sockbox, curl, Go and Node read them.
//!
//! `responses.txt` lists them, each with its outcome here and in curl, Go's net/http and Node's
//! http, which were given the same bytes.

use super::body::get;
use super::*;

const TABLE: &str = include_str!("responses.txt");

/// One response.
struct Case<'a> {
    name: &'a str,
    bytes: Vec<u8>,
    sockbox: &'a str,
    curl: &'a str,
    go: &'a str,
    node: &'a str,
}

fn cases() -> Vec<Case<'static>> {
    let records = TABLE
        .split("\n\n")
        .filter(|record| !record.starts_with('#'));
    records.map(case).collect()
}

/// A name, and indented lines: the bytes, and the outcome of each client.
fn case(record: &str) -> Case<'_> {
    let mut lines = record.trim_end().lines();
    let mut next = |label: &str| {
        let line = lines.next().unwrap_or_default();
        line.strip_prefix(label)
            .unwrap_or_else(|| panic!("{label:?} is missing: {record}"))
    };
    Case {
        name: next(""),
        bytes: match next("  ") {
            "(nothing)" => Vec::new(),
            text => unescape(text),
        },
        sockbox: next("  sockbox  "),
        curl: next("  curl     "),
        go: next("  Go       "),
        node: next("  Node     "),
    }
}

/// The opposite of `escape_ascii`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'x') => {
                    let digits = [rest.next(), rest.next()].map(Option::unwrap_or_default);
                    let digits = String::from_utf8_lossy(&digits).into_owned();
                    u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
                }
                other => other.expect("something escaped"),
            },
            byte => byte,
        });
    }
    bytes
}

/// The outcome of a response as the table writes it: the status and the body, or the exit code of
/// the command.
fn outcome(packets: &[Vec<u8>]) -> String {
    let error = match get(packets, &Options::default()) {
        Ok((status, body)) => return format!("{status} \"{}\"", body.escape_ascii()),
        Err(error) => error,
    };
    let code = match error {
        FetchError::Protocol(_) => 8,
        FetchError::IncompleteBody { .. } => 18,
        FetchError::EmptyResponse => 52,
        FetchError::LimitExceeded(_) => 63,
        other => panic!("{other:?}"),
    };
    format!("refused, {code}")
}

#[test]
fn each_response_comes_to_the_same_however_it_is_split() {
    for Case {
        name,
        bytes,
        sockbox,
        ..
    } in cases()
    {
        assert_eq!(outcome(std::slice::from_ref(&bytes)), sockbox, "{name}");
        let single: Vec<Vec<u8>> = bytes.iter().map(|byte| vec![*byte]).collect();
        assert_eq!(outcome(&single), sockbox, "{name}, byte by byte");
        for cut in 1..bytes.len() {
            let (front, back) = bytes.split_at(cut);
            let packets = [front.to_vec(), back.to_vec()];
            assert_eq!(outcome(&packets), sockbox, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn where_curl_go_and_node_agree_so_do_we() {
    let common = |outcome: &str| match outcome.starts_with("refused") {
        true => "refused".to_owned(),
        false => outcome.to_owned(),
    };
    let mut agreed = 0;
    for Case {
        name,
        sockbox,
        curl,
        go,
        node,
        ..
    } in cases()
    {
        let [sockbox, curl, go, node] = [sockbox, curl, go, node].map(common);
        if curl != go || go != node {
            continue;
        }
        agreed += 1;
        assert_eq!(sockbox, curl, "{name}");
    }
    assert!(agreed >= 130, "they agree on {agreed} only");
}

#[test]
fn the_table_is_long_and_has_nothing_twice() {
    let cases = cases();
    assert!(cases.len() >= 150, "{}", cases.len());
    for (index, case) in cases.iter().enumerate() {
        for other in &cases[..index] {
            assert!(case.name != other.name, "{}", case.name);
            assert!(
                case.bytes != other.bytes,
                "{} and {}",
                case.name,
                other.name
            );
        }
    }
}
