//! Certificates made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::fs;
use std::path::PathBuf;

/// An authority that programs trust only if they are told to. Its files are removed when it is
/// dropped.
pub struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with those that lead to its authority, and its key, as PEM files in the authority's
/// folder.
#[derive(Clone)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What a certificate is made of.
pub use rcgen::{CertificateParams as Params, date_time_ymd as day};

impl Authority {
    /// One whose name is `CN=Test Authority`.
    pub fn new() -> Self {
        Self::named("Test Authority")
    }

    pub fn named(name: &str) -> Self {
        let params = authority(name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let dir = tempfile::tempdir().expect("a folder for certificates");
        let authority = Self { dir, issuer };
        fs::write(authority.file(), authority.issuer.pem()).expect("a file");
        authority
    }

    /// Its certificate, a PEM file.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("authority.pem")
    }

    /// The folder of all its files.
    pub fn folder(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Its certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A server's certificate for these names and addresses, valid now.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.server_with(names, |_| ())
    }

    /// As [`Authority::server`], changed before it is signed.
    pub fn server_with(&self, names: &[&str], change: impl FnOnce(&mut Params)) -> Identity {
        let mut params = server(names);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let signed = params
            .signed_by(&key, &*self.issuer)
            .expect("a certificate");
        self.save(&key, &[signed.pem()])
    }

    /// A server's certificate that was signed by one which the authority has signed. Without `whole` that
    /// one isn't in the file.
    pub fn server_behind(&self, names: &[&str], whole: bool) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let between = CertifiedIssuer::signed_by(authority("Between"), key, &self.issuer);
        let between = between.expect("an authority between");
        let key = KeyPair::generate().expect("a key");
        let signed = server(names).signed_by(&key, &*between);
        let pem = signed.expect("a certificate").pem();
        match whole {
            true => self.save(&key, &[pem, between.pem()]),
            false => self.save(&key, &[pem]),
        }
    }

    /// A server's self-signed certificate.
    pub fn self_signed(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let signed = server(names).self_signed(&key).expect("a certificate");
        self.save(&key, &[signed.pem()])
    }

    /// A certificate as `openssl req -x509` makes it: self-signed, and marked as an authority's.
    pub fn self_made(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = server(names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.extended_key_usages.clear();
        let signed = params.self_signed(&key).expect("a certificate");
        self.save(&key, &[signed.pem()])
    }

    /// A client's certificate.
    pub fn client(&self, name: &str) -> Identity {
        let mut params = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let signed = params
            .signed_by(&key, &*self.issuer)
            .expect("a certificate");
        self.save(&key, &[signed.pem()])
    }

    fn save(&self, key: &KeyPair, chain: &[String]) -> Identity {
        let number = fs::read_dir(self.dir.path()).expect("the folder").count();
        let identity = Identity {
            certificate: self.dir.path().join(format!("{number}.pem")),
            key: self.dir.path().join(format!("{number}.key")),
        };
        fs::write(&identity.certificate, chain.concat()).expect("a file");
        fs::write(&identity.key, key.serialize_pem()).expect("a file");
        identity
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Identity {
    /// What rustls wants of it.
    pub fn load(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_file_iter(&self.certificate).expect("a file");
        let chain = chain.map(|it| it.expect("a certificate")).collect();
        let key = PrivateKeyDer::from_pem_file(&self.key).expect("a key");
        (chain, key)
    }
}

fn named(name: &str) -> Params {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> Params {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server(names: &[&str]) -> Params {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let first = names.first().map_or("unnamed", String::as_str).to_owned();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = named(&first).distinguished_name;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}
