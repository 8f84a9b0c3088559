//! Client certificates for one host each, as `sockbox run` takes them.

use super::tls::{Cert, os_string};
use crate::exit::Failure;
use sockbox::policy::Host;
use sockbox::profile::ClientCert;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// The text of `--cert`. It is parsed later, because clap shows a text that it can't parse, and this one may have a
/// password in it.
#[derive(Clone)]
pub struct HostCert(OsString);

impl HostCert {
    pub fn new(text: OsString) -> HostCert {
        HostCert(text)
    }
}

impl fmt::Debug for HostCert {
    /// Without the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCert").finish_non_exhaustive()
    }
}

/// The client certificates of these options.
///
/// # Errors
/// A value has no host, or there are two for one host, or a key without a certificate. The message shows no password.
pub fn read(certs: &[HostCert], keys: &[OsString]) -> Result<Vec<ClientCert>, Failure> {
    let mut read: Vec<ClientCert> = Vec::new();
    for HostCert(text) in certs {
        let (host, file) = split(text, "--cert", "HOST=FILE[:PASSWORD]")?;
        if read.iter().any(|it| it.host == host) {
            return Err(wrong(format!("--cert: there are two for {host}")));
        }
        let cert = Cert::read(&file);
        let mut own = ClientCert::new(host, cert.file);
        own.password = cert.password;
        read.push(own);
    }
    for text in keys {
        let (host, file) = split(text, "--key", "HOST=FILE")?;
        match read.iter_mut().find(|it| it.host == host) {
            Some(own) if own.key.is_none() => own.key = Some(file.into()),
            Some(_) => return Err(wrong(format!("--key: there are two for {host}"))),
            None => return Err(wrong(format!("--key: there is no --cert for {host}"))),
        }
    }
    Ok(read)
}

/// Split a value at its first `=`.
fn split(text: &OsStr, option: &str, form: &str) -> Result<(Host, OsString), Failure> {
    let bytes = text.as_encoded_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=');
    let (host, file) = match at {
        Some(at) if at + 1 < bytes.len() => (&bytes[..at], &bytes[at + 1..]),
        _ => {
            return Err(wrong(format!(
                "{option}: the value has no host and file: write {form}, as in api.example.com=me.pem"
            )));
        }
    };
    let host = String::from_utf8_lossy(host)
        .parse()
        .map_err(|error| wrong(format!("{option}: {error}")))?;
    Ok((host, os_string(file.to_vec())))
}

fn wrong(problem: String) -> Failure {
    Failure::Usage { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(certs: &[&str], keys: &[&str]) -> Result<Vec<String>, String> {
        let certs: Vec<HostCert> = certs.iter().map(|it| HostCert::new(it.into())).collect();
        let keys: Vec<OsString> = keys.iter().map(OsString::from).collect();
        let shown = |cert: &ClientCert| {
            let password = cert.password.as_deref().map(String::from_utf8_lossy);
            format!("{cert} {}", password.unwrap_or_default())
        };
        match read(&certs, &keys) {
            Ok(read) => Ok(read.iter().map(shown).collect()),
            Err(failure) => Err(failure.message(false).unwrap()),
        }
    }

    #[test]
    fn each_host_has_its_own() {
        let found = tried(
            &["A.example=me.pem:secret", "[::1]=a=b\\:c.pem"],
            &["2130706433.=x", "a.example.=me.key"][1..],
        );
        let expected = ["a.example: me.pem, key me.key secret", "[::1]: a=b:c.pem "];
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn what_is_none_is_refused_without_its_password() {
        for (certs, keys, expected) in [
            (
                &["me.pem:secret"][..],
                &[][..],
                "--cert: the value has no host and file: write HOST=FILE[:PASSWORD]",
            ),
            (
                &["a.example="],
                &[],
                "--cert: the value has no host and file",
            ),
            (
                &["=me.pem:secret"],
                &[],
                "--cert: `` is neither a host name",
            ),
            (&["*.a=me.pem:secret"], &[], "--cert: `*.a` is"),
            (&["a/b=me.pem:secret"], &[], "--cert: `a/b` is"),
            (
                &["a=1:secret", "A=2:secret"],
                &[],
                "--cert: there are two for a",
            ),
            (&["a=1"], &["b=2"], "--key: there is no --cert for b"),
            (&["a=1"], &["a=2", "a=3"], "--key: there are two for a"),
            (
                &["a=1"],
                &["2"],
                "--key: the value has no host and file: write HOST=FILE,",
            ),
        ] {
            let error = tried(certs, keys).unwrap_err();
            assert!(error.starts_with(expected), "{certs:?} {keys:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let shown = format!("{:?}", HostCert::new("a=b:secret".into()));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
