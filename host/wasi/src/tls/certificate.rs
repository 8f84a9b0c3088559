//! The fields of a certificate, for messages.
//!
//! No decision depends on these fields. If a certificate can't be parsed, messages lack its names;
//! whether it is accepted is decided elsewhere.

use rustls::pki_types::CertificateDer;
use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// The fields of a certificate, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// The subject, in the form of RFC 4514.
    pub subject: String,
    /// The issuer, in the form of RFC 4514.
    pub issuer: String,
    /// When it begins to be valid.
    pub not_before: SystemTime,
    /// When it ceases to be valid.
    pub not_after: SystemTime,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    dates: [String; 2],
}

impl Certificate {
    /// Read it, if it can be read.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
        let read = x509_cert::Certificate::from_der(der).ok()?.tbs_certificate;
        let names = match read.get::<SubjectAltName>() {
            Ok(Some((_, SubjectAltName(names)))) => names.iter().filter_map(name).collect(),
            Ok(None) | Err(_) => Vec::new(),
        };
        let date = |time: &Time| (time.to_system_time(), time.to_string());
        let (not_before, begins) = date(&read.validity.not_before);
        let (not_after, ends) = date(&read.validity.not_after);
        Some(Certificate {
            subject: printable(&read.subject.to_string()),
            issuer: printable(&read.issuer.to_string()),
            not_before,
            not_after,
            names,
            dates: [begins, ends],
        })
    }

    /// Whether its subject and its issuer are the same.
    pub fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }

    /// [`Certificate::not_before`], as in `2026-11-25T20:00:00Z`.
    pub fn begins(&self) -> &str {
        &self.dates[0]
    }

    /// [`Certificate::not_after`], in the same way.
    pub fn ends(&self) -> &str {
        &self.dates[1]
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subject {}, issuer {}", self.subject, self.issuer)
    }
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(printable(name.as_str())),
        GeneralName::IpAddress(address) => match *address.as_bytes() {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
            ref bytes => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
        },
        _ => None,
    }
}

/// Escaped for a terminal, because an attacker can write any text into a certificate. The verifier does
/// not use these texts.
fn printable(text: &str) -> String {
    match sockbox_printable::line(text) {
        text if text.is_empty() => "(empty name)".to_owned(),
        text => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn what_a_certificate_says_is_read() {
        let names = ["a.example".to_owned(), "::1".to_owned(), "127.0.0.1".into()];
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 2);
        params.not_after = rcgen::date_time_ymd(2055, 3, 4);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "evil\u{1b}[2J");
        name.push(DnType::OrganizationName, "Some, Inc.");
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = Certificate::read(made.der()).unwrap();
        assert_eq!(read.subject, "O=Some\\, Inc.,CN=evil\\1b[2J");
        assert!(read.is_self_signed());
        assert_eq!(read.names, names);
        assert_eq!(read.begins(), "2020-01-02T00:00:00Z");
        assert_eq!(read.ends(), "2055-03-04T00:00:00Z");
        assert!(read.not_before < read.not_after);
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        for der in [&b""[..], b"0\x03\x02\x01\x01", b"nonsense"] {
            assert_eq!(Certificate::read(&der.into()), None);
        }
    }
}
