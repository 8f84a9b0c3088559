//! PEM (RFC 7468), with the deviations that occur in real files.
//!
//! OpenSSL's forms are read as well: certificates with notes on what they are trusted for, and keys with
//! headers. A block is found by its marks, so a byte-order mark before it, or a missing line end after
//! it, does not matter.

use super::der;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most bytes that are read of a file: 16 MiB. All authorities that Mozilla knows take a quarter of one.
pub(super) const MAX_FILE: u64 = 16 << 20;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// What OpenSSL calls certificates, beside RFC 7468's word.
const CERTIFICATES: [&str; 3] = ["CERTIFICATE", "X509 CERTIFICATE", TRUSTED];
/// A certificate with trust settings after it.
const TRUSTED: &str = "TRUSTED CERTIFICATE";

/// What stands between two marks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    /// What the marks say that it is.
    pub(super) label: &'a str,
    /// Whether headers before it say that it is encrypted, as OpenSSL's old format has it.
    pub(super) is_encrypted: bool,
    /// What it has in it; of what is encrypted, nothing that could be read. The error is for people.
    pub(super) der: Result<Vec<u8>, String>,
}

/// The blocks of a text, in order.
pub(super) fn blocks(text: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let begin = find(rest, BEGIN)? + BEGIN.len();
            let label_end = begin + find(&rest[begin..], DASHES)?;
            let label = &rest[begin..label_end];
            let body = label_end + DASHES.len();
            let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || b" -#".contains(byte);
            let is_label = !label.is_empty() && label.iter().all(is_label);
            let Some(label) = str::from_utf8(label).ok().filter(|_| is_label) else {
                rest = &rest[begin..];
                continue;
            };
            // The next mark has to be its end.
            let dashes = find(&rest[body..], DASHES).map(|at| body + at);
            let end_mark = [END, label.as_bytes(), DASHES].concat();
            let block = match dashes {
                Some(at) if rest[at..].starts_with(&end_mark) => {
                    let found = read(label, &rest[body..at]);
                    rest = &rest[at + end_mark.len()..];
                    found
                }
                _ => {
                    rest = &rest[body..];
                    Block {
                        label,
                        is_encrypted: false,
                        der: Err(format!("the line `-----END {label}-----` is missing")),
                    }
                }
            };
            return Some(block);
        }
    })
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    let mut from = 0;
    // Most bytes are no dash.
    while let Some(at) = text[from..].iter().position(|byte| *byte == part[0]) {
        from += at;
        if text[from..].starts_with(part) {
            return Some(from);
        }
        from += 1;
    }
    None
}

fn read<'a>(label: &'a str, body: &[u8]) -> Block<'a> {
    // Headers (RFC 1421) have colons, which base64 doesn't, and end with an empty line.
    let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut headers = Vec::new();
    let mut encoded = Vec::with_capacity(body.len());
    if body.contains(&b':') {
        headers.extend(
            lines
                .by_ref()
                .skip_while(|line| line.is_empty())
                .take_while(|line| !line.is_empty()),
        );
    }
    for line in lines {
        encoded.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
    }
    let is_encrypted = headers.iter().any(|line| {
        line.to_ascii_lowercase().starts_with(b"proc-type:") && line.ends_with(b"ENCRYPTED")
    });
    let der = match is_encrypted {
        true => Err("it is encrypted".to_owned()),
        false => BASE64_STANDARD
            .decode(&encoded)
            .map_err(|_| format!("the content of the block {label} is not base64")),
    };
    Block {
        label,
        is_encrypted,
        der,
    }
}

/// A certificate in PEM.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) certificate: CertificateDer<'static>,
    /// Whether notes beside it say that it isn't trusted to vouch for servers.
    pub(super) is_distrusted: bool,
}

/// The certificates of a text, in order. The errors are for people.
pub(super) fn certificates(text: &[u8]) -> impl Iterator<Item = Result<Found, String>> {
    blocks(text)
        .filter(|block| CERTIFICATES.contains(&block.label))
        .map(|block| {
            let der = block.der?;
            if block.label != TRUSTED {
                return Ok(Found {
                    certificate: der.into(),
                    is_distrusted: false,
                });
            }
            let (certificate, notes) =
                der::first(&der).ok_or_else(|| "it is not a certificate".to_owned())?;
            Ok(Found {
                certificate: certificate.whole.to_vec().into(),
                is_distrusted: !vouches_for_servers(notes),
            })
        })
}

/// Whether the notes of OpenSSL's `X509_CERT_AUX` let a certificate vouch for servers: they list what it is
/// trusted for, and what it isn't. Those that can't be read don't.
fn vouches_for_servers(notes: &[u8]) -> bool {
    // serverAuth (1.3.6.1.5.5.7.3.1) and anyExtendedKeyUsage (2.5.29.37.0).
    const SERVERS: [&[u8]; 2] = [b"\x2b\x06\x01\x05\x05\x07\x03\x01", b"\x55\x1d\x25\x00"];
    if notes.is_empty() {
        return true;
    }
    let Some(notes) = der::expect(notes, der::SEQUENCE) else {
        return false;
    };
    let names_servers = |list: der::Element<'_>| {
        der::elements(list.content)
            .any(|use_| use_.tag == der::OBJECT_IDENTIFIER && SERVERS.contains(&use_.content))
    };
    der::elements(notes.content).all(|note| match note.tag {
        der::SEQUENCE => names_servers(note),
        der::CONTEXT_0 => !names_servers(note),
        _ => true,
    })
}

/// Read a file of PEM.
///
/// # Errors
/// It can't be read, or is larger than [`MAX_FILE`].
pub(super) fn read_file(file: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(file)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut text)?;
    match text.len() as u64 {
        0..=MAX_FILE => Ok(text),
        _ => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the file is larger than 16 MiB, the limit for PEM files",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<(String, Result<Vec<u8>, String>)> {
        blocks(text.as_bytes())
            .map(|block| (block.label.to_owned(), block.der))
            .collect()
    }

    #[test]
    fn blocks_are_found_however_they_stand() {
        let block = "-----BEGIN A-----\nYWJj\n-----END A-----";
        let abc = || ("A".to_owned(), Ok(b"abc".to_vec()));
        for (text, expected) in [
            (String::new(), vec![]),
            ("nothing\n".to_owned(), vec![]),
            (block.to_owned(), vec![abc()]),
            (format!("\u{feff}{block}\n"), vec![abc()]),
            (format!("{block}{block}"), vec![abc(), abc()]),
            (
                format!("words\n{block}\nwords\n{block}"),
                vec![abc(), abc()],
            ),
            (block.replace('\n', "\r\n"), vec![abc()]),
            (block.replace('\n', "\r"), vec![abc()]),
            (block.replace('\n', ""), vec![abc()]),
            (block.replace('\n', "\n\n"), vec![abc()]),
            (block.replace("YWJj", "Y W\nJ\tj"), vec![abc()]),
            (block.replace("YWJj\n", "A: b\n c\n\nYWJj\n"), vec![abc()]),
            (format!("-----BEGIN \u{1b}-----\n{block}"), vec![abc()]),
            (format!("-----BEGIN {block}"), vec![abc()]),
        ] {
            assert_eq!(labels(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_block_is_told() {
        for (text, expected) in [
            ("-----BEGIN A-----\n!\n-----END A-----", "is not base64"),
            ("-----BEGIN A-----\nYWJj=\n-----END A-----", "is not base64"),
            ("-----BEGIN A-----\nYWJj", "`-----END A-----` is missing"),
            ("-----BEGIN A-----\nYWJj\n-----END B-----", "is missing"),
            (
                "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X\n\n!\n-----END A-----",
                "encrypted",
            ),
        ] {
            let found = labels(text);
            let [(_, Err(why))] = found.as_slice() else {
                panic!("{text}: {found:?}");
            };
            assert!(why.contains(expected), "{text}: {why}");
        }
        // The next block is another's.
        let unfinished = "-----BEGIN A-----\nYWJj\n-----BEGIN A-----\nYWJj\n-----END A-----";
        let found: Vec<bool> = labels(unfinished).iter().map(|it| it.1.is_ok()).collect();
        assert_eq!(found, [false, true]);
    }

    #[test]
    fn notes_say_what_a_certificate_is_trusted_for() {
        let servers = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01".to_vec();
        let clients = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02".to_vec();
        let any = b"\x06\x04\x55\x1d\x25\x00".to_vec();
        let element = |tag: u8, content: &[u8]| {
            let length = u8::try_from(content.len()).unwrap();
            [&[tag, length], content].concat()
        };
        let notes = |lists: &[(u8, &[u8])]| {
            let lists: Vec<u8> = lists
                .iter()
                .flat_map(|(tag, list)| element(*tag, list))
                .collect();
            element(der::SEQUENCE, &lists)
        };
        let both = [servers.clone(), clients.clone()].concat();
        for (notes, expected) in [
            (vec![], true),
            (notes(&[]), true),
            (notes(&[(0x0c, b"alias")]), true),
            (notes(&[(der::SEQUENCE, &servers)]), true),
            (notes(&[(der::SEQUENCE, &both)]), true),
            (notes(&[(der::SEQUENCE, &any)]), true),
            (notes(&[(der::SEQUENCE, &clients)]), false),
            (notes(&[(der::CONTEXT_0, &servers)]), false),
            (notes(&[(der::CONTEXT_0, &any)]), false),
            (notes(&[(der::CONTEXT_0, &clients)]), true),
            (
                notes(&[(der::SEQUENCE, &servers), (der::CONTEXT_0, &servers)]),
                false,
            ),
            (b"nonsense".to_vec(), false),
        ] {
            assert_eq!(vouches_for_servers(&notes), expected, "{notes:x?}");
        }
    }
}
