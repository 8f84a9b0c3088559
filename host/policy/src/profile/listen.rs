//! Where a component really listens when it asks for an address: `ASKED=REAL`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// An address that a component may ask to listen on, and the one that it gets.
///
/// # Examples
/// ```
/// use sockbox_policy::profile::ListenAs;
///
/// let map: ListenAs = "0.0.0.0:80=127.0.0.1:8080".parse()?;
/// assert_eq!(map.asked, "0.0.0.0:80".parse().unwrap());
/// assert_eq!(map.real, "127.0.0.1:8080".parse().unwrap());
/// # Ok::<(), sockbox_policy::profile::ListenAsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenAs {
    /// What the component asks for.
    pub asked: SocketAddr,
    /// Where it listens.
    pub real: SocketAddr,
}

impl FromStr for ListenAs {
    type Err = ListenAsError;

    /// Read `ADDRESS:PORT=ADDRESS:PORT`, both of one family.
    ///
    /// # Errors
    /// [`ListenAsError`].
    fn from_str(text: &str) -> Result<ListenAs, ListenAsError> {
        let error = || ListenAsError {
            text: text.to_owned(),
        };
        let (asked, real) = text.split_once('=').ok_or_else(error)?;
        let asked: SocketAddr = asked.parse().map_err(|_| error())?;
        let real: SocketAddr = real.parse().map_err(|_| error())?;
        // The family of a socket is fixed before its address. A port that the system chooses could not be
        // named in advance.
        if asked.is_ipv4() != real.is_ipv4() || asked.port() == 0 || real.port() == 0 {
            return Err(error());
        }
        Ok(ListenAs { asked, real })
    }
}

impl fmt::Display for ListenAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.asked, self.real)
    }
}

/// A text is not a mapping of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a mapping: expected ASKED=REAL, two addresses of one family with their ports, such as \
     0.0.0.0:80=127.0.0.1:8080"
)]
pub struct ListenAsError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_addresses_of_one_family() {
        for (text, expected) in [
            ("0.0.0.0:80=127.0.0.1:8080", true),
            ("[::]:80=[::1]:8080", true),
            ("127.0.0.1:80", false),
            ("127.0.0.1:80=", false),
            ("127.0.0.1=127.0.0.1:80", false),
            ("127.0.0.1:0=127.0.0.1:80", false),
            ("127.0.0.1:80=127.0.0.1:0", false),
            ("127.0.0.1:80=[::1]:80", false),
            ("localhost:80=127.0.0.1:80", false),
            ("", false),
        ] {
            let found = text.parse::<ListenAs>();
            assert_eq!(found.is_ok(), expected, "{text:?}");
            if let Ok(map) = found {
                assert_eq!(map.to_string(), text);
            }
        }
    }
}
