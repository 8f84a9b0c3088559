//! Static host addresses, as `--resolve` takes them: `HOST:ADDRESS` and curl's `HOST:PORT:ADDRESS`.

use std::fmt;
use std::net::IpAddr;

/// The addresses of a host, which is then not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticHost {
    /// A name or an address, as in a URL. `*` is every host that has no entry of its own.
    pub host: String,
    /// The port that they are for. None: every port.
    pub port: Option<u16>,
    /// The addresses. Empty for `-HOST:PORT`, which takes back the entries before it.
    pub addresses: Vec<IpAddr>,
}

/// A text that is no static host address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidStaticHost {
    /// It has none of the forms.
    Form,
    /// An address has a zone, which this text contains. No socket of WASI can connect to a zone.
    Zone(String),
}

impl fmt::Display for InvalidStaticHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidStaticHost::Form => f.write_str(
                "expected HOST:ADDRESS, such as example.com:192.0.2.1, or HOST:PORT:ADDRESS, such as \
                 example.com:80:192.0.2.1",
            ),
            InvalidStaticHost::Zone(address) => write!(
                f,
                "{address} has a zone, and an address of a zone can't be connected to: expected another \
                 address of the host"
            ),
        }
    }
}

impl std::error::Error for InvalidStaticHost {}

/// Reads `HOST:ADDRESS[,ADDRESS]...`, `HOST:PORT:ADDRESS[,ADDRESS]...` or `-HOST:PORT`.
///
/// HOST may be `*`. An IPv6 address may be in brackets. A `+` before it is accepted and means nothing: in curl it is
/// about a cache of names, and there is none here.
///
/// # Errors
/// [`InvalidStaticHost`].
pub fn parse(text: &str) -> Result<StaticHost, InvalidStaticHost> {
    let Some(removed) = text.strip_prefix('-') else {
        return entry(text.strip_prefix('+').unwrap_or(text));
    };
    let invalid = InvalidStaticHost::Form;
    let (host, rest) = split(removed)?;
    match port(rest) {
        Some(port) => Ok(StaticHost {
            host: host.to_owned(),
            port: Some(port),
            addresses: Vec::new(),
        }),
        // Some resolvers know names that begin with `-`.
        None => entry(text).and_then(|entry| match entry.port {
            None => Ok(entry),
            Some(_) => Err(invalid),
        }),
    }
}

/// Splits the text after the host.
fn split(text: &str) -> Result<(&str, &str), InvalidStaticHost> {
    let invalid = InvalidStaticHost::Form;
    let end = match text.starts_with('[') {
        true => text.find(']').map(|end| end + 1),
        false => text.find(':'),
    };
    let (host, rest) = text.split_at(end.ok_or(invalid.clone())?);
    match rest.strip_prefix(':') {
        Some(rest) if !host.is_empty() => Ok((host, rest)),
        _ => Err(invalid),
    }
}

/// Reads a host with addresses.
fn entry(text: &str) -> Result<StaticHost, InvalidStaticHost> {
    let (host, rest) = split(text)?;
    // An IPv6 address without brackets may begin as a port does: `1::2`.
    let with_port = rest.split_once(':').and_then(|(number, rest)| {
        let port = port(number)?;
        Some(addresses(rest).map(|addresses| (Some(port), addresses)))
    });
    let (port, addresses) = match with_port {
        Some(Err(error)) => match addresses(rest) {
            Ok(addresses) => (None, addresses),
            Err(_) => return Err(error),
        },
        Some(Ok(found)) => found,
        None => (None, addresses(rest)?),
    };
    Ok(StaticHost {
        host: host.to_owned(),
        port,
        addresses,
    })
}

fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, InvalidStaticHost> {
    let address = |address: &str| {
        let bare = address
            .strip_prefix('[')
            .and_then(|address| address.strip_suffix(']'))
            .unwrap_or(address);
        match bare.parse() {
            Ok(address) => Ok(address),
            Err(_) if bare.contains('%') => Err(InvalidStaticHost::Zone(bare.to_owned())),
            Err(_) => Err(InvalidStaticHost::Form),
        }
    };
    text.split(',').map(address).collect()
}

/// Those of `typed` that count: the last of each host and port, unless that takes the entries back.
pub fn last(typed: &[StaticHost]) -> impl Iterator<Item = &StaticHost> {
    typed.iter().enumerate().filter_map(|(number, entry)| {
        let again = |later: &StaticHost| {
            later.port == entry.port && later.host.eq_ignore_ascii_case(&entry.host)
        };
        let counts = !entry.addresses.is_empty() && !typed[number + 1..].iter().any(again);
        counts.then_some(entry)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let one = &["192.0.2.1"][..];
        for (text, expected) in [
            ("a:192.0.2.1", Some(("a", None, one))),
            ("a.example:::1", Some(("a.example", None, &["::1"]))),
            ("a.example:[::1]", Some(("a.example", None, &["::1"]))),
            ("a:1:2:3:4:5:6:7:8", Some(("a", None, &["1:2:3:4:5:6:7:8"]))),
            ("a:80::1", Some(("a", None, &["80::1"]))),
            ("a:80:192.0.2.1", Some(("a", Some(80), one))),
            ("a:80:::1", Some(("a", Some(80), &["::1"]))),
            ("+a:80:192.0.2.1", Some(("a", Some(80), one))),
            (
                "a.example:8080:192.0.2.1,[2001:db8::1],2001:db8::2",
                Some((
                    "a.example",
                    Some(8080),
                    &["192.0.2.1", "2001:db8::1", "2001:db8::2"],
                )),
            ),
            ("[::1]:80:192.0.2.1", Some(("[::1]", Some(80), one))),
            ("*:80:192.0.2.1", Some(("*", Some(80), one))),
            ("+*:80:[::1]", Some(("*", Some(80), &["::1"]))),
            ("*:192.0.2.1", Some(("*", None, one))),
            ("-a:80", Some(("a", Some(80), &[]))),
            ("-*:80", Some(("*", Some(80), &[]))),
            ("-[::1]:80", Some(("[::1]", Some(80), &[]))),
            ("-+a:80", Some(("+a", Some(80), &[]))),
            ("-a:192.0.2.1", Some(("-a", None, one))),
            ("", None),
            ("a", None),
            ("a:", None),
            ("a:80", None),
            ("a:80:", None),
            ("a:192.0.2.1,", None),
            (":192.0.2.1", None),
            (":80:192.0.2.1", None),
            ("-a:80:192.0.2.1", None),
            ("-a", None),
            ("-:80", None),
            ("*:*:192.0.2.1", None),
            ("a:+80:192.0.2.1", None),
            ("[::1:80:192.0.2.1", None),
            ("[::1]80:192.0.2.1", None),
            ("a:65536:192.0.2.1", None),
            ("a:80:other.example", None),
            ("a:other.example", None),
            ("a:80:192.0.2.1,", None),
        ] {
            let expected = expected.map(|(host, port, addresses)| StaticHost {
                host: host.to_owned(),
                port,
                addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
            });
            assert_eq!(parse(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_last_entry_of_a_host_and_port_counts() {
        for (typed, expected) in [
            (
                &["a:80:192.0.2.1", "A:80:192.0.2.2"][..],
                &["192.0.2.2"][..],
            ),
            (&["a:192.0.2.1", "a:192.0.2.2"], &["192.0.2.2"]),
            (
                &["a:192.0.2.1", "a:80:192.0.2.2"],
                &["192.0.2.1", "192.0.2.2"],
            ),
            (&["a:80:192.0.2.1", "-a:80"], &[]),
            (&["-a:80", "a:80:192.0.2.1"], &["192.0.2.1"]),
            (
                &["a:80:192.0.2.1", "-a:81", "-b:80", "-*:80"],
                &["192.0.2.1"],
            ),
            (&["*:80:192.0.2.1", "-*:80"], &[]),
            (&["*:80:192.0.2.1", "-a:80"], &["192.0.2.1"]),
            (
                &["a:80:192.0.2.1", "-a:80", "a:80:192.0.2.3"],
                &["192.0.2.3"],
            ),
        ] {
            let typed: Vec<_> = typed.iter().map(|text| parse(text).unwrap()).collect();
            let found = last(&typed).flat_map(|entry| &entry.addresses);
            let found: Vec<String> = found.map(IpAddr::to_string).collect();
            assert_eq!(found, expected, "{typed:?}");
        }
    }

    #[test]
    fn a_zone_is_refused_with_a_reason() {
        for text in [
            "a:80:[fe80::1%eth0]",
            "a:80:fe80::1%eth0",
            "a:[fe80::1%eth0]",
        ] {
            let why = parse(text).unwrap_err();
            assert_eq!(
                why,
                InvalidStaticHost::Zone("fe80::1%eth0".to_owned()),
                "{text}"
            );
        }
    }
}
