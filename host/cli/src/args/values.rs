//! The forms that options' values are written in.

use sockbox::policy::Name;
use sockbox_grammar::static_host::StaticHost;
use sockbox_grammar::values;
use std::time::Duration;

/// A number of seconds; 0 means that there is no bound.
pub fn seconds(text: &str) -> Result<Duration, String> {
    values::seconds(text).map_err(expected)
}

/// A number of bytes: `1000`, `10k`, `2.5M`, `1G`, with units of 1024, as curl has them.
pub fn size(text: &str) -> Result<u64, String> {
    values::size(text).map_err(expected)
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
    values::redirects(text).map_err(expected)
}

/// What `--resolve` says of a host.
pub fn static_host(text: &str) -> Result<StaticHost, String> {
    let host = sockbox_grammar::static_host::parse(text).map_err(|error| error.to_string())?;
    if host.port.is_none() {
        // Without a port it is the host's name that has these addresses, and not the host of a URL.
        let name = host.host.parse::<Name>();
        name.map_err(|error| format!("{error}: expected a name, or HOST:PORT:ADDRESS"))?;
    }
    Ok(host)
}

/// A user's name and password.
pub fn credentials(text: &str) -> Result<String, String> {
    values::credentials(text).map_err(expected)
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
    fn without_a_port_a_static_host_has_a_name() {
        for text in [
            "a:192.0.2.1",
            "a:80:192.0.2.1",
            "*:80:192.0.2.1",
            "[::1]:80:192.0.2.1",
            "-a:80",
        ] {
            assert!(static_host(text).is_ok(), "{text:?}");
        }
        for text in [
            "*:192.0.2.1",
            "[::1]:192.0.2.1",
            "127.0.0.1:192.0.2.1",
            "a b:192.0.2.1",
        ] {
            let why = static_host(text).unwrap_err();
            assert!(
                why.ends_with("expected a name, or HOST:PORT:ADDRESS"),
                "{why}"
            );
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
