//! Field lines: `name: value`, as they stand in a head and in a trailer section.

use super::error::{LineFault, ParseError, Section};
use super::limits::Limits;

/// One header or trailer field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name as it was sent. The case of its letters has no meaning.
    pub name: String,
    /// The value without the white space around it: any bytes but CR, LF and NUL.
    ///
    /// Control characters are let through, as in curl (RFC 9110 section 5.5 allows it). Code that
    /// shows a value on a terminal has to escape them.
    pub value: Vec<u8>,
}

impl Header {
    /// Whether this is the field `name`, compared without regard to case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The fields that determine where the body ends.
const FRAMING_FIELDS: [&str; 2] = ["Content-Length", "Transfer-Encoding"];

/// Reads field lines until the blank line.
#[derive(Debug)]
pub(super) struct FieldSection {
    section: Section,
    max_fields: usize,
    lines: usize,
    fields: Vec<Header>,
}

/// The effect of a line on its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SectionStatus {
    /// Another line follows.
    Open,
    /// It is the blank line.
    Ended,
}

impl FieldSection {
    /// A reader for the fields of a head. Lines are counted from the one after the status line.
    pub(super) fn of_head(limits: &Limits) -> Self {
        Self::new(Section::Head, 1, limits)
    }

    /// A reader for the fields after a chunked body.
    pub(super) fn of_trailers(limits: &Limits) -> Self {
        Self::new(Section::Trailers, 0, limits)
    }

    fn new(section: Section, lines: usize, limits: &Limits) -> Self {
        Self {
            section,
            max_fields: limits.max_header_count,
            lines,
            fields: Vec::new(),
        }
    }

    /// Takes the next line, without its LF.
    pub(super) fn push(&mut self, line: &[u8]) -> Result<SectionStatus, ParseError> {
        self.lines += 1;
        let fault = |fault| ParseError::InvalidLine {
            section: self.section,
            line: self.lines,
            fault,
        };
        let line = line_content(line).map_err(fault)?;
        match line {
            [] => return Ok(SectionStatus::Ended),
            [b' ' | b'\t', ..] => match self.fields.last_mut() {
                Some(field) => unfold(&mut field.value, line),
                // RFC 9112 section 2.2: rejected, or ignored together with what follows.
                None => return Err(fault(LineFault::NothingToContinue)),
            },
            _ => {
                let field = parse_field(line).map_err(fault)?;
                if self.fields.len() >= self.max_fields {
                    return Err(self.too_many());
                }
                self.fields.push(field);
            }
        }
        Ok(SectionStatus::Open)
    }

    /// The fields so far, in their order.
    pub(super) fn into_fields(self) -> Vec<Header> {
        self.fields
    }

    fn too_many(&self) -> ParseError {
        let limit = self.max_fields;
        match self.section {
            Section::Head => ParseError::TooManyHeaders { limit },
            Section::Trailers => ParseError::TooManyTrailers { limit },
        }
    }
}

/// The content of a line, without the CR at its end.
///
/// RFC 9112 section 2.2 allows a recipient to accept a bare LF as a line end, and requires a bare
/// CR to be replaced or refused. RFC 9110 section 5.5 requires the same for a NUL.
pub(super) fn line_content(line: &[u8]) -> Result<&[u8], LineFault> {
    let content = line.strip_suffix(b"\r").unwrap_or(line);
    match content.iter().find(|byte| matches!(byte, b'\r' | b'\0')) {
        None => Ok(content),
        Some(b'\r') => Err(LineFault::BareCr),
        Some(_) => Err(LineFault::Nul),
    }
}

/// RFC 9112 section 5.1: `name ":" OWS value OWS`.
fn parse_field(line: &[u8]) -> Result<Header, LineFault> {
    let mut parts = line.splitn(2, |&byte| byte == b':');
    let name = parts.next().ok_or(LineFault::NoColon)?;
    let value = parts.next().ok_or(LineFault::NoColon)?;

    // A server has to refuse white space before the colon, and a proxy has to remove it from a
    // response. The RFC does not say what a user agent does. Node refuses the response. curl and Go
    // accept it as a field of another name, which then is neither a length nor a coding. This
    // parser reads what a proxy would have sent on, unless the field determines where the body
    // ends: then one of two readers would be wrong about the body, and it is unknown which.
    let trimmed = trim_ows(name);
    if !is_lenient_name(trimmed) {
        return Err(LineFault::InvalidName);
    }
    let field = Header {
        name: String::from_utf8_lossy(trimmed).into_owned(),
        value: trim_ows(value).to_owned(),
    };
    if trimmed.len() < name.len() && FRAMING_FIELDS.iter().any(|name| field.is(name)) {
        return Err(LineFault::SpaceBeforeColon);
    }
    Ok(field)
}

/// RFC 9112 section 5.2: a user agent replaces a line fold and the white space around it by spaces.
fn unfold(value: &mut Vec<u8>, line: &[u8]) {
    let continuation = trim_ows(line);
    if !value.is_empty() && !continuation.is_empty() {
        value.push(b' ');
    }
    value.extend_from_slice(continuation);
}

/// A token, or several with white space between them.
///
/// `Cache Control: no-cache` occurs in practice. No reader gives such a field a meaning, curl and
/// Go accept it, and it does no harm to the body.
fn is_lenient_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|&byte| is_token_byte(byte) || matches!(byte, b' ' | b'\t'))
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    ) || byte.is_ascii_alphanumeric()
}

/// RFC 9110 section 5.6.3: optional white space consists of spaces and tabs only.
pub(crate) fn trim_ows(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests;
