//! What can be typed about TLS.

use clap::builder::{OsStringValueParser, TypedValueParser};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

const TLS: &str = "TLS";

/// Which certificates are trusted, and which is shown.
#[derive(Debug, clap::Args)]
pub struct Tls {
    /// Trust the certificates in this PEM file, in place of the system's authorities
    #[arg(long, value_name = "FILE", help_heading = TLS)]
    pub cacert: Option<PathBuf>,

    /// Trust the certificates in the PEM files of this folder, in place of the system's authorities
    #[arg(long, value_name = "DIR", help_heading = TLS)]
    pub capath: Option<PathBuf>,

    /// Check no certificate: others on the network can read what is sent, and answer
    #[arg(short = 'k', long, help_heading = TLS)]
    pub insecure: bool,

    /// Show this certificate (PEM) to the hosts of the URLs, if they ask for one; behind a colon, the password
    /// of its key. A colon in the file's name is written `\:`
    #[arg(
        short = 'E',
        long,
        value_name = "FILE[:PASSWORD]",
        value_parser = OsStringValueParser::new().map(|text| Cert::read(&text)),
        help_heading = TLS
    )]
    pub cert: Option<Cert>,

    /// The private key (PEM) of --cert, if it isn't in the same file
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = TLS)]
    pub key: Option<PathBuf>,

    /// Speak TLS 1.2 or later, which is the default
    #[arg(long = "tlsv1.2", overrides_with = "tls_v1_3", help_heading = TLS)]
    pub tls_v1_2: bool,

    /// Speak TLS 1.3 or later
    #[arg(long = "tlsv1.3", help_heading = TLS)]
    pub tls_v1_3: bool,

    /// Speak no later version than this
    #[arg(long, value_name = "VERSION", value_enum, help_heading = TLS)]
    pub tls_max: Option<TlsMax>,
}

/// The latest version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TlsMax {
    #[value(name = "1.2")]
    V1_2,
    #[value(name = "1.3")]
    V1_3,
}

/// What `--cert` names.
#[derive(Clone, PartialEq, Eq)]
pub struct Cert {
    pub file: PathBuf,
    /// None if there is none behind the colon, either.
    pub password: Option<Vec<u8>>,
}

impl Cert {
    /// Read it as curl does: the first colon ends the file's name, in which `\:` is a colon and `\\` a backslash;
    /// the password is what is behind it, as it is.
    pub(super) fn read(text: &OsStr) -> Cert {
        let mut name = Vec::new();
        let mut rest = text.as_encoded_bytes();
        let mut password = None;
        while let Some((&first, behind)) = rest.split_first() {
            rest = match (first, behind) {
                (b'\\', [escaped @ (b'\\' | b':'), behind @ ..]) => {
                    name.push(*escaped);
                    behind
                }
                (b':', behind) => {
                    password = Some(behind.to_vec()).filter(|password| !password.is_empty());
                    break;
                }
                _ => {
                    name.push(first);
                    behind
                }
            };
        }
        Cert {
            file: os_string(name).into(),
            password,
        }
    }
}

/// A part of what was typed.
#[cfg(unix)]
pub(super) fn os_string(bytes: Vec<u8>) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(bytes)
}

/// A part of what was typed, which is Unicode there.
#[cfg(not(unix))]
pub(super) fn os_string(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

impl fmt::Debug for Cert {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cert")
            .field("file", &self.file)
            .field("password", &self.password.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_ends_the_files_name() {
        for (text, file, password) in [
            ("a.pem", "a.pem", None),
            ("a.pem:", "a.pem", None),
            ("a.pem:secret", "a.pem", Some("secret")),
            ("a.pem:se:cr\\:et\\", "a.pem", Some("se:cr\\:et\\")),
            ("a\\:b.pem", "a:b.pem", None),
            ("a\\:b.pem:c", "a:b.pem", Some("c")),
            ("a\\\\:c", "a\\", Some("c")),
            ("a\\b", "a\\b", None),
            ("a\\", "a\\", None),
            (":c", "", Some("c")),
            ("", "", None),
        ] {
            let expected = Cert {
                file: file.into(),
                password: password.map(|it| it.as_bytes().to_vec()),
            };
            assert_eq!(Cert::read(OsStr::new(text)), expected, "{text}");
        }
        let shown = format!("{:?}", Cert::read(OsStr::new("a:secret")));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
