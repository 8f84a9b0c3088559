//! Policy files: TOML, with the names that flags have.

mod values;

use self::values::{Text, limits};
use super::{
    Dir, EnvVar, ListenAs, Profile, ProxySettings, StaticHost, TlsFiles, secret_header, tls,
};
use crate::limits::Limit;
use crate::{
    Denied, Deny, Destination, Endpoint, HttpRule, Names, NoProxy, Policy, PrivateLoopback, Proxy,
    Range, Rule,
};
use serde::Deserialize;
use sockbox_printable::{Line, Lines};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The most bytes that a policy file may have: 1 MiB.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A policy file: settings for every run that uses it, and additional settings in profiles.
///
/// It is TOML. Its keys are flags without their dashes, and their values are what the flags take, in lists
/// where a flag may be repeated. Limits are in a table of their own, and so is each profile:
///
/// ```toml
/// allow-connect = ["example.com:80,443", "*.example.com:443"]
/// deny-connect = ["169.254.0.0/16"]
/// resolve = ["db.example:10.0.0.5"]
/// dir = ["pages::/data:ro"]
/// env = ["LANG=C", "HOME"]
///
/// [[secret-header]]
/// url = "https://api.example.com/v1/"
/// name = "Authorization"
/// value = "Bearer {env:TOKEN}"
///
/// [[client-cert]]
/// host = "intranet.example"
/// cert = "client.pem"
/// key = "client.key"
///
/// [limits]
/// max-memory = "64M"
/// max-wall-time = 30
///
/// [profile.server]
/// allow-listen = ["127.0.0.1:8080"]
/// allow-accept = ["10.0.0.0/8"]
/// ```
///
/// An unknown key or an invalid value is an error, because ignoring it could drop a denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    base: Profile,
    profiles: BTreeMap<String, Profile>,
}

impl PolicyFile {
    /// Read a file. Relative directories and files in it are below the folder that it is in.
    ///
    /// # Errors
    /// - [`PolicyFileError::Read`]: the file can't be read.
    /// - [`PolicyFileError::TooLarge`]: it has more than [`MAX_FILE_BYTES`].
    /// - [`PolicyFileError::Invalid`]: it isn't a policy file.
    pub fn read(file: impl AsRef<Path>) -> Result<PolicyFile, PolicyFileError> {
        let path = file.as_ref();
        let failed = |source| PolicyFileError::Read {
            file: path.to_owned(),
            source,
        };
        let file = fs::File::open(path).map_err(failed)?;
        let mut text = String::new();
        let mut bounded = io::Read::take(file, MAX_FILE_BYTES + 1);
        io::Read::read_to_string(&mut bounded, &mut text).map_err(failed)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(PolicyFileError::TooLarge {
                file: path.to_owned(),
            });
        }
        let parsed = PolicyFile::parse(&text).map_err(|error| match error {
            PolicyFileError::Invalid { problem, .. } => PolicyFileError::Invalid {
                file: Some(path.to_owned()),
                problem,
            },
            other => other,
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(parsed.below(folder))
    }

    /// Read a text.
    ///
    /// # Errors
    /// [`PolicyFileError::Invalid`]: it isn't a policy file.
    pub fn parse(text: &str) -> Result<PolicyFile, PolicyFileError> {
        let invalid = |problem: String| PolicyFileError::Invalid {
            file: None,
            problem,
        };
        let mut table: Table = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let mut profiles = BTreeMap::new();
        for (name, table) in std::mem::take(&mut table.profile) {
            if !table.profile.is_empty() {
                return Err(invalid(format!(
                    "the profile `{name}` contains profiles: profiles can't be nested"
                )));
            }
            let profile = table.into_profile().map_err(invalid)?;
            profiles.insert(name, profile);
        }
        Ok(PolicyFile {
            base: table.into_profile().map_err(invalid)?,
            profiles,
        })
    }

    fn below(mut self, folder: &Path) -> PolicyFile {
        for profile in self.profiles.values_mut().chain([&mut self.base]) {
            let dirs = std::mem::take(&mut profile.dirs);
            profile.dirs = dirs.into_iter().map(|dir| dir.below(folder)).collect();
            profile.tls = std::mem::take(&mut profile.tls).below(folder);
            let headers = std::mem::take(&mut profile.secret_headers);
            let headers = headers.into_iter().map(|it| it.below(folder));
            profile.secret_headers = headers.collect();
        }
        self
    }

    /// The settings of a run: those outside of profiles, and those of the profile with this name.
    ///
    /// # Errors
    /// [`PolicyFileError::NoProfile`].
    pub fn profile(&self, name: Option<&str>) -> Result<Profile, PolicyFileError> {
        let Some(name) = name else {
            return Ok(self.base.clone());
        };
        let profile = self.profiles.get(name);
        let profile = profile.ok_or_else(|| PolicyFileError::NoProfile {
            name: name.to_owned(),
            known: self.profiles.keys().cloned().collect(),
        })?;
        Ok(self.base.clone().and(profile.clone()))
    }

    /// The names of its profiles.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }
}

impl FromStr for PolicyFile {
    type Err = PolicyFileError;

    fn from_str(text: &str) -> Result<PolicyFile, PolicyFileError> {
        PolicyFile::parse(text)
    }
}

/// Why a policy file can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// The file can't be read.
    #[error("could not read the policy {}", Line(file.display()))]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is too large.
    #[error("the policy {} has more than {MAX_FILE_BYTES} bytes", Line(file.display()))]
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// It isn't understood.
    #[error("invalid policy{}: {}", In(file), Lines(problem.trim_end()))]
    Invalid {
        /// The file, where it came from one.
        file: Option<PathBuf>,
        /// What isn't, and where.
        problem: String,
    },
    /// It has no such profile.
    #[error("the policy has no profile `{}`: {}", Line(name), Known(known))]
    NoProfile {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
}

struct In<'a>(&'a Option<PathBuf>);

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(file) => write!(f, " in {}", Line(file.display())),
            None => Ok(()),
        }
    }
}

struct Known<'a>(&'a [String]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("it has none"),
            names => write!(f, "it has {}", Line(names.join(", "))),
        }
    }
}

/// The file as it is written, and each profile in it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    allow_net: bool,
    allow_private: bool,
    no_private_loopback: bool,
    allow_connect: Vec<Text<Destination>>,
    deny_connect: Vec<Text<Denied>>,
    allow_listen: Vec<Text<Endpoint>>,
    allow_accept: Vec<Text<Range>>,
    deny_accept: Vec<Text<Range>>,
    allow_resolve: Vec<Text<Names>>,
    deny_resolve: Vec<Text<Names>>,
    allow_udp_send: Vec<Text<Destination>>,
    allow_udp_bind: Vec<Text<Endpoint>>,
    allow_http: Vec<Text<HttpRule>>,
    deny_http: Vec<Text<HttpRule>>,
    resolve: Vec<Text<StaticHost>>,
    listen_as: Vec<Text<ListenAs>>,
    dir: Vec<Text<Dir>>,
    env: Vec<Text<EnvVar>>,
    inherit_env: bool,
    secret_header: Vec<secret_header::Written>,
    cacert: Option<PathBuf>,
    capath: Option<PathBuf>,
    client_cert: Vec<tls::Written>,
    proxy: Option<String>,
    proxy_env: bool,
    noproxy: Vec<Text<NoProxy>>,
    allow_proxy_resolve: bool,
    #[serde(deserialize_with = "limits")]
    limits: Vec<(Limit, String)>,
    profile: BTreeMap<String, Table>,
}

impl Table {
    fn into_profile(self) -> Result<Profile, String> {
        let mut policy = Policy::new();
        if self.allow_net {
            policy = policy.grant(Rule::Everything);
        }
        if self.allow_private {
            policy = policy.allow_private();
        }
        let connect = inner(self.allow_connect).map(|to| Rule::Connect { to });
        let listen = inner(self.allow_listen).map(|on| Rule::Listen { on });
        let accept = inner(self.allow_accept).map(|from| Rule::Accept { from });
        let resolve = inner(self.allow_resolve).map(|names| Rule::Resolve { names });
        let udp_send = inner(self.allow_udp_send).map(|to| Rule::UdpSend { to });
        let udp_bind = inner(self.allow_udp_bind).map(|on| Rule::UdpBind { on });
        let rules = connect.chain(listen).chain(accept);
        let http = inner(self.allow_http).map(|requests| Rule::Http { requests });
        let rules = rules.chain(resolve).chain(udp_send).chain(udp_bind);
        let rules = rules.chain(http);
        policy = rules.fold(policy, Policy::grant);
        let connect = inner(self.deny_connect).map(|to| Deny::Connect { to });
        let accept = inner(self.deny_accept).map(|from| Deny::Accept { from });
        let resolve = inner(self.deny_resolve).map(|names| Deny::Resolve { names });
        let http = inner(self.deny_http).map(|requests| Deny::Http { requests });
        let denials = connect.chain(accept).chain(resolve).chain(http);
        policy = denials.fold(policy, Policy::deny);
        if self.no_private_loopback {
            policy = policy.private_loopback(PrivateLoopback::Off);
        }
        // Not read with the rest: an error there shows the line, and a secret may stand in it by mistake.
        let headers = self.secret_header.iter().map(secret_header::Written::read);
        let headers: Result<_, _> = headers.collect();
        let proxy = self.proxy.as_deref().map(str::parse::<Proxy>).transpose();
        let certificates = self.client_cert.into_iter().map(tls::Written::read);
        let certificates: Result<_, _> = certificates.collect();
        Ok(Profile {
            policy,
            static_hosts: inner(self.resolve).collect(),
            listen_as: inner(self.listen_as).collect(),
            limits: self.limits,
            dirs: inner(self.dir).collect(),
            env: inner(self.env).collect(),
            inherit_env: self.inherit_env,
            secret_headers: headers.map_err(|error| error.to_string())?,
            tls: TlsFiles {
                cacert: self.cacert.into_iter().collect(),
                capath: self.capath.into_iter().collect(),
                client_certs: certificates.map_err(|error| format!("client-cert: {error}"))?,
            },
            proxy: ProxySettings {
                proxy: proxy.map_err(|error| format!("proxy: {error}"))?,
                of_environment: self.proxy_env,
                no_proxy: inner(self.noproxy).fold(NoProxy::default(), NoProxy::and),
                resolve: self.allow_proxy_resolve,
            },
        })
    }
}

fn inner<T>(texts: Vec<Text<T>>) -> impl Iterator<Item = T> {
    texts.into_iter().map(|Text(value)| value)
}

#[cfg(test)]
mod tests;
