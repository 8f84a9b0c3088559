//! Field lines: `name: value`, as they stand in a head and in a trailer section.

use super::error::{LineFault, ParseError, Section};
use super::limits::Limits;

/// One header or trailer field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name as it was sent. Letters keep their case, which carries no meaning.
    pub name: String,
    /// The value without the white space around it: any bytes but CR, LF and NUL.
    ///
    /// Control characters are let through as curl does (RFC 9110 section 5.5 allows it); whoever
    /// shows a value on a terminal has to escape them.
    pub value: Vec<u8>,
}

impl Header {
    /// Whether this is the field `name`, whatever the case of its letters.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The fields that say where the body ends.
const FRAMING_FIELDS: [&str; 2] = ["Content-Length", "Transfer-Encoding"];

/// Reads field lines until the blank one.
#[derive(Debug)]
pub(super) struct FieldSection {
    section: Section,
    max_fields: usize,
    lines: usize,
    fields: Vec<Header>,
}

/// What a line meant for its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SectionStatus {
    /// Another line follows.
    Open,
    /// It was the blank line.
    Ended,
}

impl FieldSection {
    /// The fields of a head. Lines are counted from the one behind the status line.
    pub(super) fn of_head(limits: &Limits) -> Self {
        Self::new(Section::Head, 1, limits)
    }

    /// The fields behind a chunked body.
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

    /// Take in the next line, which comes without its LF.
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
                // RFC 9112 section 2.2: to be rejected, or to be ignored together with what follows.
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

/// What a line says, without the CR at its end.
///
/// RFC 9112 section 2.2 lets a recipient take a bare LF for a line's end, and wants a bare CR
/// to be replaced or refused. RFC 9110 section 5.5 wants the same for a NUL.
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

    // A server has to refuse white space before the colon, a proxy to remove it from a response;
    // nothing is said about a user agent. Node refuses the response. curl and Go accept it, and see
    // a field by another name, so that it neither is a length nor a coding to them. We
    // read what a proxy would have sent on, unless this would decide where the body ends: then
    // one of two readers is wrong about the page, and there is no telling which.
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

/// RFC 9112 section 5.2: a user agent replaces a line fold, with the white space around it,
/// by spaces.
fn unfold(value: &mut Vec<u8>, line: &[u8]) {
    let continuation = trim_ows(line);
    if !value.is_empty() && !continuation.is_empty() {
        value.push(b' ');
    }
    value.extend_from_slice(continuation);
}

/// A token, or several with white space between them.
///
/// `Cache Control: no-cache` is found in the wild. No reader takes it for a field that means
/// anything, curl and Go let it pass, and a page is no worse for it.
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

/// RFC 9110 section 5.6.3: optional white space is made of spaces and tabs, of nothing else.
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
