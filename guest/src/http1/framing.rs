//! Where a response's body ends.

use super::error::{ParseError, excerpt};
use super::field::trim_ows;
use super::head::ResponseHead;

/// How the end of a response's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body.
    Empty,
    /// After this many bytes.
    Length(u64),
    /// With the last chunk and the trailer section after it.
    Chunked,
    /// When the peer closes the connection.
    UntilClose,
}

impl BodyFraming {
    /// The framing of the body that follows `head`, the response to a request with `method`.
    ///
    /// # Errors
    /// - [`ParseError::UnsupportedTransferCoding`]: the body has a coding that the request did not ask for.
    /// - [`ParseError::InvalidContentLength`],
    ///   [`ConflictingContentLengths`](ParseError::ConflictingContentLengths): the end
    ///   of the body is unknown.
    pub fn of(method: &str, head: &ResponseHead) -> Result<Self, ParseError> {
        // The rules of RFC 9112 section 6.3, in their order. The second is about CONNECT, which
        // this client never sends, and the seventh about requests.

        // Rule 1 applies whatever the fields are. Methods are case-sensitive (RFC 9110 section
        // 9.1).
        if method == "HEAD" || head.is_interim() || matches!(head.status, 204 | 304) {
            return Ok(Self::Empty);
        }
        // Rules 3 and 4: a coding overrides a length, even a broken one.
        if let Some(framing) = Self::of_transfer_codings(head)? {
            return Ok(framing);
        }
        // Rules 5 and 6: a length, which must be a valid one.
        if let Some(length) = head.content_length()? {
            return Ok(Self::Length(length));
        }
        // Rule 8.
        Ok(Self::UntilClose)
    }

    /// `None` if there is no `Transfer-Encoding`.
    ///
    /// Section 6.1 calls the framing of an HTTP/1.0 message with this field faulty. curl, Node and
    /// this client read it nevertheless, because a server that sends chunks means chunks. The
    /// connection must not be reused afterwards.
    fn of_transfer_codings(head: &ResponseHead) -> Result<Option<Self>, ParseError> {
        let mut framing = None;
        for value in head.values("Transfer-Encoding") {
            framing.get_or_insert(Self::UntilClose);
            for coding in value.split(|&byte| byte == b',').map(trim_ows) {
                if coding.eq_ignore_ascii_case(b"chunked") {
                    // Two of them mean that the field was sent twice, not that the body was chunked
                    // twice: section 6.1 forbids that, and curl and Node decode it once.
                    framing = Some(Self::Chunked);
                } else if !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity") {
                    // Any other coding, before or after `chunked`, would leave its bytes in the
                    // body. This client sends no TE, so a server may not use one (RFC 9110 section
                    // 10.1.4). `identity` was a name for no coding (RFC 2616 section 3.6).
                    return Err(ParseError::UnsupportedTransferCoding {
                        coding: excerpt(coding),
                    });
                }
            }
        }
        Ok(framing)
    }
}

impl ResponseHead {
    /// The number in the `Content-Length` fields, if there is one. It is the size of this
    /// response's body only if [`BodyFraming`] says so: the response to a `HEAD` gives the size of
    /// another body.
    ///
    /// # Errors
    /// [`ParseError::InvalidContentLength`],
    /// [`ConflictingContentLengths`](ParseError::ConflictingContentLengths).
    pub fn content_length(&self) -> Result<Option<u64>, ParseError> {
        let mut length = None;
        for value in self.values("Content-Length") {
            // RFC 9112 section 6.3, rule 5: a list that repeats one number may be taken for that
            // number. It comes from fields that an intermediary has joined.
            for item in value.split(|&byte| byte == b',') {
                let number = parse_decimal(trim_ows(item)).ok_or_else(|| {
                    ParseError::InvalidContentLength {
                        value: excerpt(value),
                    }
                })?;
                match length {
                    Some(first) if first != number => {
                        return Err(ParseError::ConflictingContentLengths {
                            first,
                            other: number,
                        });
                    }
                    _ => length = Some(number),
                }
            }
        }
        Ok(length)
    }
}

/// RFC 9110 section 8.6: `1*DIGIT`, so no sign, which `str::parse` would accept.
fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests;
