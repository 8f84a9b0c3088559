//! The small part of DER (X.690) that is parsed outside of the verifier.
//!
//! The server verifies the client certificate; this module only finds the key in it. Parsing is lenient:
//! what can't be parsed counts as absent.

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// The element with its tag and its length.
    pub(super) whole: &'a [u8],
}

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0]`, of what has elements in it.
pub(super) const CONTEXT_0: u8 = 0xa0;

/// The first element, and what is behind it.
pub(super) fn first(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        // More than 4 bytes of a length are more than any file has.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |all, &digit| all << 8 | u64::from(digit));
            (usize::try_from(length).ok()?, rest)
        }
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(length)?;
    let whole = &bytes[..bytes.len() - behind.len()];
    let element = Element {
        tag,
        content,
        whole,
    };
    Some((element, behind))
}

/// All elements, up to what can't be read.
pub(super) fn elements(mut bytes: &[u8]) -> impl Iterator<Item = Element<'_>> {
    std::iter::from_fn(move || {
        let (element, behind) = first(bytes)?;
        bytes = behind;
        Some(element)
    })
}

/// The first element, if it is of this kind.
pub(super) fn expect(bytes: &[u8], tag: u8) -> Option<Element<'_>> {
    first(bytes)
        .map(|(element, _)| element)
        .filter(|element| element.tag == tag)
}

/// A number of at most 8 bytes that isn't below 0.
pub(super) fn number(element: Element<'_>) -> Option<u64> {
    let digits = element.content;
    let is_number = element.tag == INTEGER && digits.first().is_some_and(|first| *first < 0x80);
    // A 0 is put before one whose first bit would say that it is below 0.
    let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
    (is_number && digits.len() <= 8).then(|| {
        digits
            .iter()
            .fold(0, |all, &digit| all << 8 | u64::from(digit))
    })
}

/// The bits of the public key in a certificate (RFC 5280 section 4.1) of any version.
pub(super) fn key_of_certificate(certificate: &[u8]) -> Option<&[u8]> {
    let certificate = expect(certificate, SEQUENCE)?;
    let signed = expect(certificate.content, SEQUENCE)?;
    let mut fields = elements(signed.content).peekable();
    // One of version 1 doesn't say so.
    fields.next_if(|field| field.tag == CONTEXT_0);
    fields.next_if(|field| field.tag == INTEGER)?;
    // The signature's algorithm, the issuer, the time of validity, the subject.
    for _ in 0..4 {
        fields.next_if(|field| field.tag == SEQUENCE)?;
    }
    key_of_info(fields.next()?.whole)
}

/// The bits of the key in a `SubjectPublicKeyInfo`.
pub(super) fn key_of_info(info: &[u8]) -> Option<&[u8]> {
    let info = expect(info, SEQUENCE)?;
    let mut fields = elements(info.content);
    fields
        .next()
        .filter(|algorithm| algorithm.tag == SEQUENCE)?;
    let key = fields.next().filter(|key| key.tag == BIT_STRING)?;
    // The number of bits that are left open, which is 0.
    key.content.strip_prefix(&[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_end_where_they_say() {
        for (bytes, expected) in [
            (&b""[..], None),
            (b"\x02", None),
            (b"\x02\x01", None),
            (b"\x02\x01\x05", Some((&b"\x05"[..], &b""[..]))),
            (b"\x02\x01\x05rest", Some((b"\x05", b"rest"))),
            (b"\x04\x81\x02abc", Some((b"ab", b"c"))),
            (b"\x04\x84\0\0\0\x01ab", Some((b"a", b"b"))),
            (b"\x04\x80ab\0\0", None),
            (b"\x04\x85\0\0\0\0\x01a", None),
            (b"\x04\x84\xff\xff\xff\xffa", None),
            (b"\x04\x82\x01", None),
        ] {
            let found = first(bytes).map(|(element, rest)| (element.content, rest));
            assert_eq!(found, expected, "{bytes:x?}");
        }
    }

    #[test]
    fn nothing_is_found_in_nonsense() {
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let der = made.cert.der();
        assert!(key_of_certificate(der).is_some());
        for end in 0..der.len() {
            assert_eq!(key_of_certificate(&der[..end]), None, "{end}");
        }
        for at in 0..der.len() {
            let mut other = der.to_vec();
            other[at] ^= 0xff;
            // Whatever it finds, it ends.
            let _ = key_of_certificate(&other);
        }
    }
}
