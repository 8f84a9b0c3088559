//! The errors of responses and of requests.

use std::error::Error;
use std::fmt;

/// Why a response is invalid.
///
/// The peer violates the protocol, exceeds a limit ([`is_limit`](Self::is_limit) tells which), or
/// sends nothing at all ([`EmptyResponse`](Self::EmptyResponse)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// The first bytes are not the start of a status line: another protocol, or HTTP/0.9.
    NotHttp,
    /// A version of HTTP that does not exist, or whose messages are not those of HTTP/1.
    UnsupportedVersion,
    /// The status line has no status code of three digits from 100 to 999.
    InvalidStatusLine,
    /// A line of the head or of the trailer section is broken.
    InvalidLine {
        /// Which of the two.
        section: Section,
        /// The line's number, from 1; the status line is the head's first.
        line: usize,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// Status 101, although the request did not ask for another protocol.
    SwitchingProtocols,
    /// A `Content-Length` that is not a number below 2^64, or a list that contains something else.
    InvalidContentLength {
        /// The field's value, escaped, and shortened if it is long.
        value: String,
    },
    /// Two `Content-Length`s contradict each other.
    ConflictingContentLengths {
        /// The first.
        first: u64,
        /// The first that differs from it.
        other: u64,
    },
    /// A `Transfer-Encoding` that the request did not ask for, and that is not supported.
    UnsupportedTransferCoding {
        /// The coding's name, escaped, and shortened if it is long.
        coding: String,
    },
    /// A chunk does not start with a size in hexadecimal digits, or something other than white
    /// space or an extension follows it on the line.
    InvalidChunkSize,
    /// A chunk's size is 2^64 bytes or more.
    ChunkSizeOverflow,
    /// A chunk's bytes are not followed by a line end: the chunk is longer than its size says.
    InvalidChunkEnd,
    /// The chunk size lines are too long in proportion to the chunks.
    ChunkOverheadTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The heads of the response are too large together.
    HeadTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A head has too many fields.
    TooManyHeaders {
        /// The limit, in fields.
        limit: usize,
    },
    /// Too many interim responses came before the response.
    TooManyInterimResponses {
        /// The limit, in responses.
        limit: usize,
    },
    /// The trailer section is too large.
    TrailersTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The trailer section has too many fields.
    TooManyTrailers {
        /// The limit, in fields.
        limit: usize,
    },
    /// The peer closed the connection before the first byte of its response; interim responses do
    /// not count.
    EmptyResponse,
    /// The peer closed the connection inside the head.
    IncompleteHead,
}

/// The two places where field lines are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Status line and header fields.
    Head,
    /// The fields after a chunked body.
    Trailers,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineFault {
    /// A CR without an LF: some readers take it for a line end (RFC 9112 section 2.2).
    BareCr,
    /// A NUL, which ends a text for some readers (RFC 9110 section 5.5).
    Nul,
    /// It continues a field, but there is no field before it (RFC 9112 section 2.2).
    NothingToContinue,
    /// No colon.
    NoColon,
    /// The name before the colon is empty, or has a character that no name may have.
    InvalidName,
    /// White space between the name and the colon of a field that determines where the body ends:
    /// some readers see the field, others do not (RFC 9112 section 5.1).
    SpaceBeforeColon,
}

/// The connection was closed before the body's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// How many bytes of the body had been passed on.
    pub received: u64,
    /// The size of the body, if the head gave it.
    pub expected: Option<u64>,
}

/// Why a request is invalid. Texts are escaped, and shortened if they are long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The method is not a token, or it is `CONNECT`, whose response would be a tunnel.
    Method {
        /// The method.
        method: String,
    },
    /// The target doesn't begin with a slash, or has a character that no target may have.
    Target {
        /// The target.
        target: String,
    },
    /// The value for `Host` is empty or has a character that no host and port may have.
    Host {
        /// The value.
        host: String,
    },
    /// `Host` is set more than once.
    DuplicateHost,
    /// `Host` is to be left out.
    NoHost,
    /// A field's name isn't a token.
    HeaderName {
        /// The name.
        name: String,
    },
    /// A field's value has a control character in it other than a tab.
    HeaderValue {
        /// The field's name.
        name: String,
    },
    /// The field controls the connection or the framing of the message, which the caller may not
    /// set.
    ReservedHeader {
        /// The field's name.
        name: String,
    },
}

impl ParseError {
    /// Whether the response exceeded one of the [`Limits`](super::Limits), so that a larger limit
    /// may let it pass, and did not violate the protocol.
    ///
    /// [`ChunkOverheadTooLarge`](Self::ChunkOverheadTooLarge) does not count: it is a violation of
    /// the protocol, which requires servers to keep extensions short.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::HeadTooLarge { .. }
                | Self::TooManyHeaders { .. }
                | Self::TooManyInterimResponses { .. }
                | Self::TrailersTooLarge { .. }
                | Self::TooManyTrailers { .. }
        )
    }
}

impl Error for ParseError {}
impl Error for Incomplete {}
impl Error for InvalidRequest {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp => f.write_str("the response does not start with an HTTP/1 status line"),
            Self::UnsupportedVersion => f.write_str("the response has an unsupported HTTP version"),
            Self::InvalidStatusLine => f.write_str("the status line has no valid status code"),
            Self::InvalidLine {
                section,
                line,
                fault,
            } => write!(f, "line {line} of the {section} {fault}"),
            Self::SwitchingProtocols => {
                f.write_str("the server switched to another protocol without being asked")
            }
            Self::InvalidContentLength { value } => {
                write!(f, "the Content-Length is not a valid length: \"{value}\"")
            }
            Self::ConflictingContentLengths { first, other } => {
                write!(
                    f,
                    "the response has two different Content-Lengths: {first} and {other}"
                )
            }
            Self::UnsupportedTransferCoding { coding } => {
                write!(f, "the transfer coding isn't supported: \"{coding}\"")
            }
            Self::InvalidChunkSize => f.write_str("a chunk has an invalid size"),
            Self::ChunkSizeOverflow => f.write_str("a chunk's size is 2^64 bytes or more"),
            Self::InvalidChunkEnd => f.write_str("a chunk doesn't end where its size says"),
            Self::ChunkOverheadTooLarge { limit } => write!(
                f,
                "the chunks' size lines are more than {limit} bytes larger than the chunks"
            ),
            Self::HeadTooLarge { limit } => write!(f, "the head has more than {limit} bytes"),
            Self::TooManyHeaders { limit } => {
                write!(f, "the head has more than {limit} header fields")
            }
            Self::TooManyInterimResponses { limit } => {
                write!(f, "more than {limit} interim responses came")
            }
            Self::TrailersTooLarge { limit } => {
                write!(f, "the trailers have more than {limit} bytes")
            }
            Self::TooManyTrailers { limit } => {
                write!(f, "there are more than {limit} trailer fields")
            }
            Self::EmptyResponse => {
                f.write_str("the server closed the connection without a response")
            }
            Self::IncompleteHead => {
                f.write_str("the server closed the connection before the head's end")
            }
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "head",
            Self::Trailers => "trailers",
        })
    }
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareCr => "has a CR without an LF",
            Self::Nul => "has a NUL",
            Self::NothingToContinue => "begins with white space and has no field to continue",
            Self::NoColon => "has no colon",
            Self::InvalidName => "has an invalid field name",
            Self::SpaceBeforeColon => "has white space before the colon of a length or coding",
        })
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, expected } = self;
        write!(
            f,
            "the connection was closed after {received} bytes of the body"
        )?;
        match expected {
            Some(expected) => write!(f, ", of {expected}"),
            None => f.write_str(", before its end"),
        }
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method { method } => write!(f, "invalid request method: \"{method}\""),
            Self::Target { target } => write!(f, "invalid request target: \"{target}\""),
            Self::Host { host } => write!(f, "the Host header is invalid: \"{host}\""),
            Self::NoHost => f.write_str("the Host header can't be left out"),
            Self::DuplicateHost => f.write_str("the request has more than one Host header"),
            Self::HeaderName { name } => write!(f, "invalid header name: \"{name}\""),
            Self::HeaderValue { name } => write!(
                f,
                "the value of the header {name} contains a control character"
            ),
            Self::ReservedHeader { name } => {
                write!(f, "the header {name} can't be set: the client sets it")
            }
        }
    }
}

/// The start of a text, escaped so that a message can contain it whatever its bytes.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const MAX: usize = 60;
    match bytes.get(..MAX) {
        Some(beginning) if bytes.len() > MAX => format!("{}...", beginning.escape_ascii()),
        _ => bytes.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_printable() {
        let cases: [(&[u8], &str); 4] = [
            (b"", ""),
            (b"a\r\n\x1b[31m\xff\"", "a\\r\\n\\x1b[31m\\xff\\\""),
            (&[b'x'; 60], &"x".repeat(60)),
            (&[b'x'; 61], &("x".repeat(60) + "...")),
        ];
        for (input, expected) in cases {
            assert_eq!(excerpt(input), expected, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn messages_read_well() {
        let cases: [(&dyn fmt::Display, &str); 5] = [
            (
                &ParseError::InvalidLine {
                    section: Section::Head,
                    line: 3,
                    fault: LineFault::NoColon,
                },
                "line 3 of the head has no colon",
            ),
            (
                &ParseError::HeadTooLarge { limit: 262_144 },
                "the head has more than 262144 bytes",
            ),
            (
                &Incomplete {
                    received: 5,
                    expected: Some(6),
                },
                "the connection was closed after 5 bytes of the body, of 6",
            ),
            (
                &Incomplete {
                    received: 5,
                    expected: None,
                },
                "the connection was closed after 5 bytes of the body, before its end",
            ),
            (
                &InvalidRequest::ReservedHeader {
                    name: "Connection".into(),
                },
                "the header Connection can't be set: the client sets it",
            ),
        ];
        for (error, expected) in cases {
            assert_eq!(error.to_string(), expected);
        }
    }
}
