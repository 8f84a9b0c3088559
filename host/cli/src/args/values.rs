//! The forms that options' values are written in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A number of seconds; 0 means that there is no bound.
pub fn seconds(text: &str) -> Result<Duration, String> {
    sockbox::limits::seconds(text).map_err(expected)
}

/// A number of bytes: `1000`, `10k`, `2.5M`, `1G`, with units of 1024, as curl has them.
pub fn size(text: &str) -> Result<u64, String> {
    sockbox::limits::size(text).map_err(expected)
}

fn expected(what: String) -> String {
    format!("expected {what}")
}

/// A number of milliseconds.
pub fn milliseconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map(Duration::from_millis)
        .map_err(|_| "expected a number of milliseconds, such as 250".to_owned())
}

/// How many redirects are followed; -1 means that there is no bound.
pub fn redirects(text: &str) -> Result<u32, String> {
    if text == "-1" {
        return Ok(u32::MAX);
    }
    text.parse()
        .map_err(|_| "expected a number, or -1 for no bound".to_owned())
}

/// What `--resolve` says of a host at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// A name or an address, as a URL has it; `*` is every host that has no pin of its own.
    pub host: String,
    pub port: u16,
    /// None for `-HOST:PORT`: what was said of it before counts no more.
    pub addresses: Vec<IpAddr>,
}

impl Pin {
    /// What may be connected to because of it.
    pub fn targets(&self) -> impl Iterator<Item = SocketAddr> {
        let port = self.port;
        self.addresses
            .iter()
            .map(move |address| SocketAddr::new(*address, port))
    }
}

/// The pins that count, of those that were typed: the last of each host and port, unless that takes
/// them back.
pub fn last_pins(typed: &[Pin]) -> impl Iterator<Item = &Pin> {
    typed.iter().enumerate().filter_map(|(number, pin)| {
        let again =
            |later: &Pin| later.port == pin.port && later.host.eq_ignore_ascii_case(&pin.host);
        let counts = !pin.addresses.is_empty() && !typed[number + 1..].iter().any(again);
        counts.then_some(pin)
    })
}

/// Read `HOST:PORT:ADDRESS[,ADDRESS]...`, `*:PORT:ADDRESS...`, or `-HOST:PORT`, as curl has them.
pub fn pin(text: &str) -> Result<Pin, String> {
    let wrong = || {
        "expected HOST:PORT:ADDRESS, such as example.com:80:192.0.2.1, where HOST may be `*` for every \
         host, or -HOST:PORT to take it back"
            .to_owned()
    };
    let (removed, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        // curl's `+` is about its cache of names, which does not exist here.
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = if text.starts_with('[') {
        text.find(']').ok_or_else(wrong)? + 1
    } else {
        text.find(':').ok_or_else(wrong)?
    };
    let (host, rest) = text.split_at(end);
    let rest = rest.strip_prefix(':').ok_or_else(wrong)?;
    let (port, addresses) = match removed {
        true => (rest, Vec::new()),
        false => {
            let (port, addresses) = rest.split_once(':').ok_or_else(wrong)?;
            let addresses = addresses.split(',').map(|address| {
                let bare = address
                    .strip_prefix('[')
                    .and_then(|address| address.strip_suffix(']'));
                let address = bare.unwrap_or(address);
                if address.contains('%') {
                    return Err(format!(
                        "{address} has a zone, and an address of a zone can't be connected to: \
                         expected another address of the host"
                    ));
                }
                address.parse().map_err(|_| wrong())
            });
            (port, addresses.collect::<Result<_, _>>()?)
        }
    };
    let pin = Pin {
        host: host.to_owned(),
        port: port.parse().map_err(|_| wrong())?,
        addresses,
    };
    if pin.host.is_empty() {
        return Err(wrong());
    }
    Ok(pin)
}

/// A user's name and password.
pub fn credentials(text: &str) -> Result<String, String> {
    if text.contains(':') {
        Ok(text.to_owned())
    } else {
        // curl asks for the password; a secret that is typed needs more care than a prompt.
        Err("expected USER:PASSWORD".to_owned())
    }
}

/// Where to go on: curl's automatic kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume;

pub fn resume(text: &str) -> Result<Resume, String> {
    if text == "-" {
        Ok(Resume)
    } else {
        // What is at some offset can't be compared with what is in the file.
        Err("expected `-`: where to go on is seen from the file".to_owned())
    }
}

/// The URL that the page was found at.
pub fn referer(text: &str) -> Result<String, String> {
    if text.ends_with(";auto") {
        Err("expected a URL: `;auto` is not known here".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [("250", Some(250)), ("0.5", None), ("-1", None)] {
            let found = milliseconds(text).ok().map(|time| time.as_millis());
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_of_redirects() {
        for (text, expected) in [
            ("0", Some(0)),
            ("30", Some(30)),
            ("-1", Some(u32::MAX)),
            ("-2", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(redirects(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn pins() {
        for (text, expected) in [
            ("a:80:192.0.2.1", Some(("a", 80, vec!["192.0.2.1"]))),
            ("+a:80:192.0.2.1", Some(("a", 80, vec!["192.0.2.1"]))),
            (
                "a.example:8080:192.0.2.1,[2001:db8::1],2001:db8::2",
                Some((
                    "a.example",
                    8080,
                    vec!["192.0.2.1", "2001:db8::1", "2001:db8::2"],
                )),
            ),
            ("[::1]:80:192.0.2.1", Some(("[::1]", 80, vec!["192.0.2.1"]))),
            ("", None),
            ("a", None),
            ("a:80", None),
            ("a:80:", None),
            (":80:192.0.2.1", None),
            ("*:80:192.0.2.1", Some(("*", 80, vec!["192.0.2.1"]))),
            ("+*:80:[::1]", Some(("*", 80, vec!["::1"]))),
            ("-a:80", Some(("a", 80, vec![]))),
            ("-*:80", Some(("*", 80, vec![]))),
            ("-[::1]:80", Some(("[::1]", 80, vec![]))),
            ("-a:80:192.0.2.1", None),
            ("-a", None),
            ("-:80", None),
            ("-+a:80", Some(("+a", 80, vec![]))),
            ("*:*:192.0.2.1", None),
            ("a:80:fe80::1%eth0", None),
            ("a:80:[fe80::1%25eth0]", None),
            ("[::1:80:192.0.2.1", None),
            ("[::1]80:192.0.2.1", None),
            ("a:65536:192.0.2.1", None),
            ("a:80:other.example", None),
            ("a:80:192.0.2.1,", None),
        ] {
            let expected = expected.map(|(host, port, addresses)| Pin {
                host: host.to_owned(),
                port,
                addresses: addresses
                    .iter()
                    .map(|address| address.parse().unwrap())
                    .collect(),
            });
            assert_eq!(pin(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_last_pin_of_a_host_and_port_counts() {
        for (typed, expected) in [
            (
                &["a:80:192.0.2.1", "A:80:192.0.2.2"][..],
                &["192.0.2.2"][..],
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
            let typed: Vec<Pin> = typed.iter().map(|text| pin(text).unwrap()).collect();
            let found = last_pins(&typed).flat_map(|pin| &pin.addresses);
            let found: Vec<String> = found.map(IpAddr::to_string).collect();
            assert_eq!(found, expected, "{typed:?}");
        }
    }

    #[test]
    fn a_zone_is_refused_with_a_reason() {
        let why = pin("a:80:[fe80::1%eth0]").unwrap_err();
        assert!(why.contains("fe80::1%eth0 has a zone"), "{why}");
    }

    #[test]
    fn what_can_be_resumed_and_said() {
        assert_eq!(resume("-"), Ok(Resume));
        for text in ["", "0", "100", "--"] {
            assert!(resume(text).is_err(), "{text:?}");
        }
        assert!(credentials("me").is_err());
        assert_eq!(credentials("me:"), Ok("me:".to_owned()));
        assert!(referer("http://a/;auto").is_err());
        assert_eq!(referer("http://a/"), Ok("http://a/".to_owned()));
    }
}
