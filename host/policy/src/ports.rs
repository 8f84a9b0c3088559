//! Ports, as people write them: `443`, `8000-8100`, `80,443`.

use crate::RuleError;
use std::fmt;
use std::str::FromStr;

/// Some ports: single ones and ranges of them, or every port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    /// None: every port. Both ends are included.
    ranges: Option<Vec<(u16, u16)>>,
}

impl Ports {
    /// Every port.
    pub const ANY: Ports = Ports { ranges: None };

    /// This port alone.
    pub fn one(port: u16) -> Ports {
        Ports {
            ranges: Some(vec![(port, port)]),
        }
    }

    /// The ports from `first` to `last`, both included; none if `last` comes before `first`.
    pub fn range(first: u16, last: u16) -> Option<Ports> {
        (first <= last).then(|| Ports {
            ranges: Some(vec![(first, last)]),
        })
    }

    /// These ports.
    pub(crate) fn list(ports: impl IntoIterator<Item = u16>) -> Ports {
        Ports {
            ranges: Some(ports.into_iter().map(|port| (port, port)).collect()),
        }
    }

    /// The port, if it is just one.
    pub fn single(&self) -> Option<u16> {
        match self.ranges.as_deref() {
            Some([(first, last)]) if first == last => Some(*first),
            _ => None,
        }
    }

    /// Whether `port` is one of them.
    pub fn contains(&self, port: u16) -> bool {
        match &self.ranges {
            None => true,
            Some(ranges) => ranges
                .iter()
                .any(|(first, last)| *first <= port && port <= *last),
        }
    }

    /// Whether all of `ports` are among them.
    pub(crate) fn contains_all(&self, ports: &Ports) -> bool {
        let every = [(0, u16::MAX)];
        let ranges = ports.ranges.as_deref().unwrap_or(&every);
        let mut all = ranges.iter().flat_map(|(first, last)| *first..=*last);
        self.ranges.is_none() || all.all(|port| self.contains(port))
    }

    /// Whether a text has the shape of one port or of a range, whichever way round: what stands between
    /// two commas in `80,443,8000-8100`.
    pub fn is_one_or_a_range(text: &str) -> bool {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        first.parse::<u16>().is_ok() && last.parse::<u16>().is_ok()
    }

    /// Parse ports of this machine. Port 0 is valid, and means a port that the system chooses.
    pub(crate) fn with_zero(text: &str) -> Result<Ports, RuleError> {
        parse(text, 0)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ranges) = &self.ranges else {
            return f.write_str("*");
        };
        for (index, (first, last)) in ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{first}")?;
            if first != last {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Ports {
    type Err = RuleError;

    /// Read `443`, `8000-8100`, a list of these with commas between, or `*`.
    ///
    /// # Errors
    /// [`RuleError::Ports`], [`RuleError::UpsideDown`].
    fn from_str(text: &str) -> Result<Ports, RuleError> {
        parse(text, 1)
    }
}

fn parse(text: &str, lowest: u16) -> Result<Ports, RuleError> {
    if text == "*" {
        return Ok(Ports::ANY);
    }
    let ranges = text.split(',').map(|range| parse_range(range, lowest));
    Ok(Ports {
        ranges: Some(ranges.collect::<Result<_, _>>()?),
    })
}

fn parse_range(text: &str, lowest: u16) -> Result<(u16, u16), RuleError> {
    let error = || RuleError::Ports {
        text: text.to_owned(),
    };
    let port = |text: &str| {
        // `parse` would take a sign as well.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let port = text.parse().ok().filter(|port| *port >= lowest);
        port.filter(|_| digits).ok_or_else(error)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(RuleError::UpsideDown {
            text: text.to_owned(),
            instead: format!("{last}-{first}"),
        });
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_both_ends() {
        let range = Ports::range(8000, 8100).unwrap();
        let list: Ports = "80,443,8000-8100".parse().unwrap();
        for (ports, port, expected) in [
            (&Ports::one(80), 79, false),
            (&Ports::one(80), 80, true),
            (&Ports::one(80), 81, false),
            (&range, 7999, false),
            (&range, 8000, true),
            (&range, 8050, true),
            (&range, 8100, true),
            (&range, 8101, false),
            (&list, 80, true),
            (&list, 81, false),
            (&list, 443, true),
            (&list, 8001, true),
            (&Ports::ANY, 0, true),
            (&Ports::ANY, u16::MAX, true),
        ] {
            assert_eq!(ports.contains(port), expected, "{port} in {ports}");
        }
        assert_eq!(Ports::range(80, 80), Some(Ports::one(80)));
        assert_eq!(Ports::range(81, 80), None);
        assert_eq!(range.to_string(), "8000-8100");
        assert_eq!(list.to_string(), "80,443,8000-8100");
    }

    #[test]
    fn the_systems_choice_is_a_port_of_this_machine_alone() {
        assert_eq!(Ports::with_zero("0"), Ok(Ports::one(0)));
        assert_eq!(Ports::with_zero("*"), Ok(Ports::ANY));
        for text in ["", "-1", "+0", "65536", "0-"] {
            assert!(Ports::with_zero(text).is_err(), "{text:?}");
        }
        assert!("0".parse::<Ports>().is_err());
    }
}
