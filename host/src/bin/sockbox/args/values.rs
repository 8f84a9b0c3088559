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

/// Addresses for a name at a port: `HOST:PORT:ADDRESS[,ADDRESS]...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    pub host: String,
    pub port: u16,
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

pub fn pin(text: &str) -> Result<Pin, String> {
    let wrong = || "expected HOST:PORT:ADDRESS, such as example.com:80:192.0.2.1".to_owned();
    // curl's `+` is about its cache of names, which nobody has here.
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = if text.starts_with('[') {
        text.find(']').ok_or_else(wrong)? + 1
    } else {
        text.find(':').ok_or_else(wrong)?
    };
    let (host, rest) = text.split_at(end);
    let (port, addresses) = rest
        .strip_prefix(':')
        .and_then(|rest| rest.split_once(':'))
        .ok_or_else(wrong)?;
    let addresses = addresses.split(',').map(|address| {
        let bare = address
            .strip_prefix('[')
            .and_then(|address| address.strip_suffix(']'));
        bare.unwrap_or(address).parse().map_err(|_| wrong())
    });
    let pin = Pin {
        host: host.to_owned(),
        port: port.parse().map_err(|_| wrong())?,
        addresses: addresses.collect::<Result<_, _>>()?,
    };
    if pin.host.is_empty() || pin.host == "*" {
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

/// Whom the page was found at.
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
            ("*:80:192.0.2.1", None),
            ("-a:80", None),
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
