//! How TLS is spoken, as it was typed.

use super::console::Console;
use crate::args::{Fetch, TlsMax};
use crate::environment;
use crate::exit::Failure;
use crate::stderr;
use sockbox::profile::{ClientCert, TlsFiles};
use sockbox::{TlsConfig, TlsHandshake, TlsVersion};
use url::Url;

/// Where curl looks for trusted certificates, if none are typed.
const BUNDLE: &str = "CURL_CA_BUNDLE";

/// What the options and the policy file say. Begins to read what is trusted, where it will be needed.
///
/// # Errors
/// A file can't be read, or has not in it what it should.
pub fn config(args: &Fetch, mut files: TlsFiles, console: &Console) -> Result<TlsConfig, Failure> {
    let typed = &args.tls;
    let mut config = TlsConfig::new();
    if typed.insecure {
        files.cacert.clear();
        files.capath.clear();
        config = config.dangerously_trust_anybody();
        console.alarm(format_args!(
            "-k: no certificate is checked: whoever is in between can read what is sent, and answer"
        ));
    } else {
        // Unlike what is typed, it is in the environment also where no secure page is fetched.
        if let Some(file) = environment::variable(BUNDLE) {
            config = config.system_file(file);
        }
        if let Some(file) = &typed.cacert {
            config = config.trust_file(file)?;
        }
        if let Some(folder) = &typed.capath {
            config = config.trust_folder(folder)?;
        }
    }
    let urls: Vec<String> = args
        .urls
        .0
        .iter()
        .map(|url| sockbox_grammar::values::url(url))
        .collect();
    if let Some(certificate) = &typed.cert {
        let hosts: Vec<String> = urls.iter().filter_map(|url| host(url)).collect();
        // What is typed for a host comes before what the file says.
        let is_typed =
            |own: &ClientCert| hosts.iter().any(|it| it.parse().as_ref() == Ok(&own.host));
        files.client_certs.retain(|own| !is_typed(own));
        let (file, key) = (&certificate.file, typed.key.as_deref());
        config = match &certificate.password {
            None => config.client_certificate(file, key)?,
            Some(password) => config.client_certificate_with_password(file, key, password)?,
        };
        config = config.client_certificate_for(hosts);
    }
    config = config.files(&files)?;
    if typed.tls_v1_3 {
        config = config.min_version(TlsVersion::V1_3);
    }
    if typed.tls_max == Some(TlsMax::V1_2) {
        config = config.max_version(TlsVersion::V1_2);
    }
    if args.verbose {
        config = config.observe(tell);
    }
    let is_secure = |url: &String| {
        url.get(..6)
            .is_some_and(|it| it.eq_ignore_ascii_case("https:"))
    };
    if urls.iter().any(is_secure) {
        config.prepare();
    }
    Ok(config)
}

fn host(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_owned)
}

/// What was agreed upon, line by line.
fn tell(handshake: &TlsHandshake) {
    let TlsHandshake {
        version,
        cipher_suite,
        ..
    } = handshake;
    let how = match (&handshake.key_exchange, handshake.resumed) {
        (_, true) => ", going on with an earlier session".to_owned(),
        (Some(group), false) => format!(", {group}"),
        (None, false) => String::new(),
    };
    stderr::line(format_args!("* {version}, {cipher_suite}{how}"));
    for (number, certificate) in handshake.certificates.iter().enumerate() {
        stderr::line(format_args!("* certificate {number}: {certificate}"));
        let (begins, ends) = (certificate.begins(), certificate.ends());
        stderr::line(format_args!("*   valid from {begins} to {ends}"));
        if number == 0 {
            let names = certificate.names.join(", ");
            stderr::line(format_args!("*   for {names}"));
        }
    }
    let server = &handshake.server;
    match handshake.verified {
        true => stderr::line(format_args!(
            "* the certificate proves that this is {server}"
        )),
        false => stderr::line(format_args!(
            "* the certificate was NOT checked: nobody knows whether this is {server}"
        )),
    }
}
