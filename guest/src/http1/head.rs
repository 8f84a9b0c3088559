//! The head of a response: status line and header fields.

use super::error::{ParseError, Section};
use super::field::{FieldSection, Header, SectionStatus, line_content, trim_ows};
use super::limits::Limits;

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The minor version of HTTP/1 that the message is read as: 0 or 1.
    pub minor_version: u8,
    /// The status code, from 100 to 999.
    pub status: u16,
    /// The reason phrase without the white space around it, often empty. Bytes that are not UTF-8
    /// are replaced; [`raw`](Self::raw) contains them.
    pub reason: String,
    /// The header fields in the order received, including repeated ones.
    pub headers: Vec<Header>,
    /// The head as it was received, from the status line to the blank line, both included.
    pub raw: Vec<u8>,
}

impl ResponseHead {
    /// Whether this is an interim response, which another head follows (RFC 9110 section 15.2).
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }

    /// The values of all fields `name`, in the order received.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |header| header.is(name))
            .map(|header| header.value.as_slice())
    }
}

/// Reads the heads of one response: any number of interim ones, and the final one.
///
/// It reads each byte once, and refuses bytes that can't become a head as early as possible.
///
/// ```
/// use sockbox_guest::http1::{HeadParser, Limits};
///
/// let mut parser = HeadParser::new(&Limits::default());
/// assert_eq!(parser.parse(b"HTTP/1.1 200 OK\r\nServ")?, None);
/// let received = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhello";
/// let (head, length) = parser.parse(received)?.expect("the head is whole");
/// assert_eq!(head.status, 200);
/// assert_eq!(&received[length..], b"hello");
/// # Ok::<(), sockbox_guest::http1::ParseError>(())
/// ```
#[derive(Debug)]
pub struct HeadParser {
    limits: Limits,
    interim_responses: usize,
    /// The size of the heads that were read completely.
    spent: usize,
    current: PartialHead,
    failed: Option<ParseError>,
}

/// How far the current head has been read. Offsets count from its first byte.
#[derive(Debug)]
struct PartialHead {
    start: Option<StatusLine>,
    fields: FieldSection,
    /// The start of the first incomplete line.
    line: usize,
    /// The first byte that was not yet searched for an LF.
    unseen: usize,
}

#[derive(Debug)]
struct StatusLine {
    minor_version: u8,
    status: u16,
    reason: String,
}

impl HeadParser {
    /// A parser for the heads of one response.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            interim_responses: 0,
            spent: 0,
            current: PartialHead::new(limits),
            failed: None,
        }
    }

    /// Reads a head from `received`: all bytes so far that belong to it, and possibly more.
    ///
    /// `None` means that the head is incomplete. Otherwise the result is the head and the number of
    /// its bytes. If it is [interim](ResponseHead::is_interim), the next call reads the head that
    /// follows, from the bytes after this one.
    ///
    /// # Errors
    /// - [`ParseError::NotHttp`], [`UnsupportedVersion`](ParseError::UnsupportedVersion),
    ///   [`InvalidStatusLine`](ParseError::InvalidStatusLine),
    ///   [`InvalidLine`](ParseError::InvalidLine): it is no head.
    /// - [`ParseError::SwitchingProtocols`]: the request did not ask for another protocol.
    /// - [`ParseError::HeadTooLarge`], [`TooManyHeaders`](ParseError::TooManyHeaders),
    ///   [`TooManyInterimResponses`](ParseError::TooManyInterimResponses): a limit.
    ///
    /// An error is final: the same one comes at every further call.
    pub fn parse(&mut self, received: &[u8]) -> Result<Option<(ResponseHead, usize)>, ParseError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let parsed = self.parse_next(received);
        self.failed = parsed.as_ref().err().cloned();
        parsed
    }

    /// The error when the connection is closed. It takes the same bytes as the last call of
    /// [`parse`](Self::parse), which did not return a head.
    pub fn end_of_input(&self, received: &[u8]) -> ParseError {
        match &self.failed {
            Some(error) => error.clone(),
            None if received.is_empty() => ParseError::EmptyResponse,
            None => ParseError::IncompleteHead,
        }
    }

    fn parse_next(&mut self, received: &[u8]) -> Result<Option<(ResponseHead, usize)>, ParseError> {
        let room = self.limits.max_head_size.saturating_sub(self.spent);
        let window = received.get(..room).unwrap_or(received);
        let Some(status_line) = self.current.read(window)? else {
            return if window.len() < room {
                Ok(None)
            } else {
                Err(ParseError::HeadTooLarge {
                    limit: self.limits.max_head_size,
                })
            };
        };
        let current = std::mem::replace(&mut self.current, PartialHead::new(&self.limits));
        let length = current.unseen;
        let head = ResponseHead {
            minor_version: status_line.minor_version,
            status: status_line.status,
            reason: status_line.reason,
            headers: current.fields.into_fields(),
            raw: received.get(..length).unwrap_or_default().to_owned(),
        };
        self.spent = self.spent.saturating_add(length);
        if head.is_interim() {
            self.count_interim(head.status)?;
        }
        Ok(Some((head, length)))
    }

    fn count_interim(&mut self, status: u16) -> Result<(), ParseError> {
        if status == 101 {
            // RFC 9110 section 7.8: a server may switch only to a protocol that the client asked
            // for, and this client never does.
            return Err(ParseError::SwitchingProtocols);
        }
        if self.interim_responses >= self.limits.max_interim_responses {
            return Err(ParseError::TooManyInterimResponses {
                limit: self.limits.max_interim_responses,
            });
        }
        self.interim_responses += 1;
        Ok(())
    }
}

impl PartialHead {
    fn new(limits: &Limits) -> Self {
        Self {
            start: None,
            fields: FieldSection::of_head(limits),
            line: 0,
            unseen: 0,
        }
    }

    /// Reads the lines that are complete. After the blank line it returns the status line, and
    /// `unseen` is the length of the head.
    fn read(&mut self, received: &[u8]) -> Result<Option<StatusLine>, ParseError> {
        if self.start.is_none() {
            check_start(received)?;
        }
        loop {
            let unseen = received.get(self.unseen..).unwrap_or_default();
            let Some(offset) = unseen.iter().position(|&byte| byte == b'\n') else {
                self.unseen = self.unseen.max(received.len());
                return Ok(None);
            };
            let end = self.unseen + offset;
            let line = received.get(self.line..end).unwrap_or_default();
            self.line = end + 1;
            self.unseen = end + 1;
            if self.start.is_none() {
                self.start = Some(StatusLine::parse(line)?);
            } else if self.fields.push(line)? == SectionStatus::Ended {
                return Ok(self.start.take());
            }
        }
    }
}

impl StatusLine {
    /// Reads a complete line that has passed [`check_start`].
    fn parse(line: &[u8]) -> Result<Self, ParseError> {
        let line = line_content(line).map_err(|fault| ParseError::InvalidLine {
            section: Section::Head,
            line: 1,
            fault,
        })?;
        let (minor_version, status, reason) =
            parse_start(line)?.ok_or(ParseError::InvalidStatusLine)?;
        Ok(Self {
            minor_version,
            status,
            reason: String::from_utf8_lossy(trim_ows(reason)).into_owned(),
        })
    }
}

/// Refuses bytes that no status line starts with, without waiting for the end of the line: a peer
/// that speaks another protocol may be waiting for this client.
///
/// It checks only the bytes up to the status code and the one after it, so checking again after
/// each byte is cheap.
fn check_start(received: &[u8]) -> Result<(), ParseError> {
    const LENGTH: usize = b"HTTP/1.1 200 ".len();
    parse_start(received.get(..LENGTH).unwrap_or(received)).map(|_| ())
}

/// The minor version, the status code, and the reason phrase as received; `None` if the line is
/// incomplete.
type Start<'a> = Option<(u8, u16, &'a [u8])>;

/// RFC 9112 section 4: `HTTP-version SP status-code SP [ reason-phrase ]`.
///
/// The error does not depend on how much of the line follows the wrong byte.
fn parse_start(line: &[u8]) -> Result<Start<'_>, ParseError> {
    // RFC 9112 section 2.3: the name is case-sensitive. Only servers skip empty lines before it
    // (section 2.2); curl and Go refuse them.
    const NAME: &[u8] = b"HTTP/";
    let (name, rest) = line.split_at_checked(NAME.len()).unwrap_or((line, &[]));
    if !NAME.starts_with(name) {
        return Err(ParseError::NotHttp);
    }
    let (version, rest) = rest.split_at_checked(3).unwrap_or((rest, &[]));
    let minor_version = match version {
        [] | [b'1' | b'2'] | [b'1' | b'2', b'.'] => return Ok(None),
        // RFC 9110 section 2.5: an unknown minor version is read as the highest known one.
        [b'1', b'.', minor @ b'0'..=b'9'] => (minor - b'0').min(1),
        // Scripts that repeat the protocol of a gateway write this before an HTTP/1 message. curl,
        // Go and Node accept it.
        [b'2', b'.', b'0'] => 1,
        [b'0'..=b'9', ..] => return Err(ParseError::UnsupportedVersion),
        _ => return Err(ParseError::NotHttp),
    };
    let mut rest = match rest {
        [] => return Ok(None),
        [b' ', rest @ ..] => rest,
        [b'0'..=b'9', ..] => return Err(ParseError::UnsupportedVersion),
        _ => return Err(ParseError::InvalidStatusLine),
    };
    // RFC 9112 section 4 allows a recipient to accept any run of white space for one space. curl
    // and Go do so here, and nowhere else on the line.
    while let [b' ', more @ ..] = rest {
        rest = more;
    }
    let (code, rest) = rest.split_at_checked(3).unwrap_or((rest, &[]));
    if code.first() == Some(&b'0') || !code.iter().all(u8::is_ascii_digit) {
        return Err(ParseError::InvalidStatusLine);
    }
    if code.len() < 3 {
        return Ok(None);
    }
    let status = code
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match rest {
        // Many servers omit the space together with the reason.
        [] | [b'\r' | b'\n', ..] => Ok(Some((minor_version, status, &[]))),
        [b' ', reason @ ..] => Ok(Some((minor_version, status, reason))),
        _ => Err(ParseError::InvalidStatusLine),
    }
}

#[cfg(test)]
mod tests;
