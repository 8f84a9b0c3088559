//! Texts that are no rules: what is wrong with them, and the right form.

use crate::{Host, MAX_LABEL_BYTES, MAX_NAME_BYTES};

/// Why a text is not a valid rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// It isn't a host.
    #[error("`{text}` is neither a host name nor an address")]
    Host {
        /// What was given.
        text: String,
    },
    /// It has two dots in a row, or one at its start: what is between two dots of a name is never empty.
    #[error(
        "`{text}` has an empty label (two dots in a row, or a dot at the start): write `{instead}`"
    )]
    EmptyLabel {
        /// What was given.
        text: String,
        /// The right form.
        instead: String,
    },
    /// It is longer than a name can be: [`MAX_NAME_BYTES`], [`MAX_LABEL_BYTES`].
    #[error(
        "`{start}...` is too long for a host name: it has {bytes} bytes; a name has at most {MAX_NAME_BYTES} bytes, and each label at most {MAX_LABEL_BYTES}"
    )]
    TooLong {
        /// The first characters of what was given.
        start: String,
        /// How many bytes it has.
        bytes: usize,
    },
    /// It is an IPv6 address without brackets: its colons are ambiguous with the colon before a
    /// port.
    #[error("an IPv6 address is written in brackets: `{instead}`")]
    NoBrackets {
        /// The right form.
        instead: String,
    },
    /// It is not a range of addresses.
    #[error("`{text}` is not a range of addresses: they are written `10.0.0.0/8` and `[fd00::/8]`")]
    Range {
        /// What was given.
        text: String,
    },
    /// It is a range of addresses with bits that the range leaves open.
    #[error("`{text}` has bits set after its prefix: write `{instead}`")]
    HostBits {
        /// What was given.
        text: String,
        /// The right form.
        instead: String,
    },
    /// It is a range of IPv4-mapped IPv6 addresses, which are judged as the IPv4 addresses in them.
    #[error(
        "`{text}` is a range of IPv4-mapped addresses, which are judged as IPv4 addresses: write \
         `{instead}` if all of these are meant"
    )]
    MappedRange {
        /// What was given.
        text: String,
        /// The range of the IPv4 addresses.
        instead: String,
    },
    /// It is a pattern of another kind than `*.example.com`.
    #[error(
        "`{text}` is not a supported pattern: use `*.example.com` (every name below it) or a range of addresses"
    )]
    Wildcard {
        /// What was given.
        text: String,
    },
    /// They aren't ports.
    #[error(
        "`{text}` is neither a port from 1 to 65535 nor a range of them: they are written `443`, \
         `8000-8100` and `80,443`"
    )]
    Ports {
        /// What was given.
        text: String,
    },
    /// It is ports where a host is wanted.
    #[error(
        "`{text}` is a port without a host: write `example.com:{text}`; for several ports of one host, repeat the host: `example.com:80,example.com:443`"
    )]
    BarePorts {
        /// What was given.
        text: String,
    },
    /// It is a name where an address of this machine is wanted.
    #[error("`{text}` is not an address: write `127.0.0.1:8080` or `[::1]:8080`")]
    NotAnAddress {
        /// What was given.
        text: String,
    },
    /// It is an address where a name is wanted.
    #[error("`{text}` is an address, which needs no lookup: give a host name")]
    NotAName {
        /// What was given.
        text: String,
    },
    /// It is a name in a denial.
    #[error(
        "`{text}` is a name, and its addresses are not known in advance: deny the addresses instead, such as `192.0.2.1` or `10.0.0.0/8`, or deny resolving the name: deny-resolve"
    )]
    NameDenied {
        /// What was given.
        text: String,
    },
    /// It is a range of ports with its last one first.
    #[error("the ports `{text}` are in the wrong order: write `{instead}`")]
    UpsideDown {
        /// What was given.
        text: String,
        /// The right form.
        instead: String,
    },
    /// It is a URL where a host is wanted.
    #[error("a URL is not a host: write `{instead}`")]
    NotAUrl {
        /// The right form.
        instead: String,
    },
}

impl RuleError {
    /// The error for `*.NAME`, from the error for NAME.
    pub(crate) fn below(self) -> RuleError {
        match self {
            RuleError::EmptyLabel { text, instead } => match instead.parse() {
                Ok(Host::Name(parent)) => RuleError::EmptyLabel {
                    text: format!("*.{text}"),
                    instead: format!("*.{parent}"),
                },
                _ => RuleError::Wildcard {
                    text: format!("*.{text}"),
                },
            },
            other => other,
        }
    }
}
