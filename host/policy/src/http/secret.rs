//! Headers that the host adds to a component's requests, with values that the component never sees.

use super::{HttpPrefix, HttpPrefixError, HttpTarget, HttpUrl};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use sockbox_printable::Line;
use std::fmt;
use std::io;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The most bytes that the value of a secret header may have, and each variable or file that it is made of: 64 KiB.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;

/// From this length on a secret is also found inside a longer text: 8 bytes. A shorter one occurs in many texts by
/// chance.
const FOUND_INSIDE: usize = 8;

/// Headers that belong to the connection, or that say how a message is framed. HTTP itself sets them.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A header that the host adds to each request which an [`HttpPrefix`] covers. The component that sends the request never
/// sees the value, and can't replace it.
///
/// It grants nothing: a rule has to grant the request. It is sent over `https`; over `http` only to a loopback address.
/// The value is not in [`Debug`](fmt::Debug), and its memory is overwritten when the last clone is dropped.
///
/// # Examples
/// ```
/// use sockbox_policy::SecretHeader;
///
/// let prefix = "https://api.example.com/v1/".parse()?;
/// let header = SecretHeader::new(prefix, "Authorization", "Bearer 0123456789abcdef")?;
/// assert!(!format!("{header:?}").contains("0123456789abcdef"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SecretHeader {
    prefix: HttpPrefix,
    name: HeaderName,
    value: HeaderValue,
    secrets: Vec<Secret>,
}

/// The secret part of a value: all of it, or what came from one variable or file.
#[derive(Clone)]
pub(crate) struct Secret {
    pub(crate) bytes: Bytes,
    pub(crate) source: Option<SecretSource>,
}

impl Secret {
    /// Check a secret, and keep it in memory that is overwritten when the last clone is dropped.
    pub(crate) fn new(
        name: &HeaderName,
        bytes: Zeroizing<Vec<u8>>,
        source: Option<SecretSource>,
    ) -> Result<Secret, SecretHeaderError> {
        let name = name.to_string();
        match (problem(&bytes), source) {
            (Some(problem), Some(from)) => Err(SecretHeaderError::Source {
                name,
                from,
                problem,
            }),
            (Some(problem), None) => Err(SecretHeaderError::Value { name, problem }),
            (None, source) => Ok(Secret {
                bytes: Bytes::from_owner(bytes),
                source,
            }),
        }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        match self.bytes.len() {
            FOUND_INSIDE.. => text
                .windows(self.bytes.len())
                .any(|window| window == self.bytes),
            _ => text == self.bytes,
        }
    }
}

impl SecretHeader {
    /// A header with this name and value for the requests that `prefix` covers.
    ///
    /// # Errors
    /// - [`SecretHeaderError::Name`], [`SecretHeaderError::Reserved`]: the name is not one of a header, or of one that
    ///   HTTP itself sets, such as `Host`.
    /// - [`SecretHeaderError::NotConfidential`]: the scheme is `http`, and the host is not a loopback address.
    /// - [`SecretHeaderError::Value`]: the value can't be sent, or has more than [`MAX_SECRET_BYTES`].
    pub fn new(
        prefix: HttpPrefix,
        name: &str,
        value: impl Into<Vec<u8>>,
    ) -> Result<SecretHeader, SecretHeaderError> {
        let value = Zeroizing::new(value.into());
        let name = header_name(&prefix, name)?;
        let secret = Secret::new(&name, value, None)?;
        let value = secret.bytes.clone();
        SecretHeader::of(prefix, name, value, vec![secret])
    }

    /// The header with a value that contains these secrets.
    pub(crate) fn of(
        prefix: HttpPrefix,
        name: HeaderName,
        value: Bytes,
        secrets: Vec<Secret>,
    ) -> Result<SecretHeader, SecretHeaderError> {
        let wrong = |problem| SecretHeaderError::Value {
            name: name.to_string(),
            problem,
        };
        if let Some(problem) = problem(&value) {
            return Err(wrong(problem));
        }
        let value = HeaderValue::from_maybe_shared(value);
        let mut value = value.map_err(|_| wrong(SecretProblem::Character))?;
        value.set_sensitive(true);
        Ok(SecretHeader {
            prefix,
            name,
            value,
            secrets,
        })
    }

    /// The requests that the header is for.
    pub fn prefix(&self) -> &HttpPrefix {
        &self.prefix
    }

    /// The header's name.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The secret value. It is marked as sensitive, so its [`Debug`](fmt::Debug) doesn't show it.
    pub fn expose(&self) -> &HeaderValue {
        &self.value
    }

    /// The variables and files that the value was made of.
    pub fn sources(&self) -> impl Iterator<Item = &SecretSource> {
        self.secrets.iter().filter_map(|it| it.source.as_ref())
    }

    /// Whether a text has the secret in it. A secret of less than 8 bytes has to be the whole text.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.secrets.iter().any(|secret| secret.is_in(text))
    }

    /// Whether a server answers this request with the request itself, as `TRACE` asks it to (RFC 9110 section 9.3.8),
    /// and `TRACK` asks some servers. The component would read the secret in the response.
    pub fn is_echoed_by(&self, target: &HttpTarget) -> bool {
        let method = target.method.as_str();
        self.prefix.has_origin_of(&target.url)
            && ["TRACE", "TRACK"]
                .iter()
                .any(|echo| method.eq_ignore_ascii_case(echo))
    }

    /// Of these headers, those to add to a request with this URL: of several with one name the one with the longest path,
    /// and of equal ones the last.
    pub fn for_url<'a>(headers: &'a [SecretHeader], url: &HttpUrl) -> Vec<&'a SecretHeader> {
        let mut chosen: Vec<&SecretHeader> = Vec::new();
        let length = |header: &SecretHeader| header.prefix.url().path().len();
        for header in headers.iter().filter(|it| it.prefix.covers(url)) {
            match chosen.iter_mut().find(|it| it.name == header.name) {
                None => chosen.push(header),
                Some(other) if length(other) <= length(header) => *other = header,
                Some(_) => {}
            }
        }
        chosen
    }
}

impl fmt::Debug for SecretHeader {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretHeader")
            .field("prefix", &self.prefix)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretSource {
    /// The environment variable of this name, of the process that hosts the component.
    Env(String),
    /// This file.
    File(PathBuf),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(name) => write!(f, "the environment variable `{}`", Line(name)),
            SecretSource::File(file) => write!(f, "the file {}", Line(file.display())),
        }
    }
}

/// The name of a header that may be added to the requests which `prefix` covers.
pub(crate) fn header_name(
    prefix: &HttpPrefix,
    name: &str,
) -> Result<HeaderName, SecretHeaderError> {
    let parsed = HeaderName::from_bytes(name.as_bytes());
    let parsed = parsed.map_err(|_| SecretHeaderError::Name {
        name: sockbox_printable::line(name).chars().take(100).collect(),
    })?;
    // Some servers take `_` for `-` in names.
    let plain = parsed.as_str().replace('_', "-");
    if RESERVED.contains(&plain.as_str()) || plain.starts_with("proxy-") {
        return Err(SecretHeaderError::Reserved {
            name: name.to_owned(),
        });
    }
    if !prefix.is_confidential() {
        return Err(SecretHeaderError::NotConfidential {
            name: name.to_owned(),
            prefix: prefix.clone(),
        });
    }
    Ok(parsed)
}

fn problem(value: &[u8]) -> Option<SecretProblem> {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if value.trim_ascii().is_empty() {
        Some(SecretProblem::Empty)
    } else if value.len() > MAX_SECRET_BYTES {
        Some(SecretProblem::TooLong)
    } else if value
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        Some(SecretProblem::Character)
    } else if is_blank(value.first()) || is_blank(value.last()) {
        Some(SecretProblem::Blank)
    } else {
        None
    }
}

/// Why there is no secret header. No message contains a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretHeaderError {
    /// The text is not a secret header.
    #[error(
        "a secret header is written URL=NAME: VALUE, as in `https://api.example.com/v1/=Authorization: Bearer \
         {{env:TOKEN}}`"
    )]
    Form,
    /// The URL is not valid.
    #[error("the URL of the secret header `{name}` can't be used: {problem}")]
    Prefix {
        /// The header's name.
        name: String,
        /// What is wrong with it.
        problem: HttpPrefixError,
    },
    /// The name is not valid.
    #[error("`{name}` is not the name of a header")]
    Name {
        /// What was given.
        name: String,
    },
    /// HTTP itself sets the header.
    #[error("`{name}` can't be a secret header: HTTP itself sets it")]
    Reserved {
        /// The header's name.
        name: String,
    },
    /// The requests are not encrypted.
    #[error(
        "the secret header `{name}` is for {prefix}, which is not encrypted: write https (http is for loopback \
         addresses only)"
    )]
    NotConfidential {
        /// The header's name.
        name: String,
        /// The requests.
        prefix: HttpPrefix,
    },
    /// The value names no variable and no file.
    #[error(
        "the value of the secret header `{name}` names neither a variable nor a file, and what is typed can be read by \
         others: write {{env:NAME}} or {{file:PATH}} in it"
    )]
    NoSource {
        /// The header's name.
        name: String,
    },
    /// The value has a brace that begins or ends nothing.
    #[error(
        "the value of the secret header `{name}` has a brace that belongs to no {{env:NAME}} and no {{file:PATH}}"
    )]
    Brace {
        /// The header's name.
        name: String,
    },
    /// The variable is not set.
    #[error("{from}, which the secret header `{name}` takes, is not set")]
    NotSet {
        /// The header's name.
        name: String,
        /// The variable.
        from: SecretSource,
    },
    /// The file can't be read.
    #[error("{from}, which the secret header `{name}` takes, can't be read")]
    Read {
        /// The header's name.
        name: String,
        /// The file.
        from: SecretSource,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The content of the variable or the file can't be sent.
    #[error("{from}, which the secret header `{name}` takes, {problem}")]
    Source {
        /// The header's name.
        name: String,
        /// The variable or the file.
        from: SecretSource,
        /// What is wrong with it.
        problem: SecretProblem,
    },
    /// The whole value can't be sent.
    #[error("the value of the secret header `{name}` {problem}")]
    Value {
        /// The header's name.
        name: String,
        /// What is wrong with it.
        problem: SecretProblem,
    },
}

/// What is wrong with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretProblem {
    /// It is empty, or has blanks only.
    #[error("is empty")]
    Empty,
    /// It is longer than [`MAX_SECRET_BYTES`].
    #[error("has more than {MAX_SECRET_BYTES} bytes")]
    TooLong,
    /// It has a line break, a NUL or another control character.
    #[error("has a line break or another control character in it")]
    Character,
    /// It begins or ends with a blank, which HTTP drops.
    #[error("begins or ends with a blank")]
    Blank,
}
