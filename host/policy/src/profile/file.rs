//! Policy files: TOML, with the names that flags have.

use super::{
    Dir, EnvVar, ListenAs, Profile, ProxySettings, StaticHost, TlsFiles, secret_header, tls,
};
use crate::limits::{Limit, Limits};
use crate::{
    Denied, Deny, Destination, Endpoint, HttpRule, Names, NoProxy, Policy, PrivateLoopback, Proxy,
    Range, Rule,
};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use sockbox_printable::{Line, Lines};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::marker::PhantomData;
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

/// What is read from a string.
struct Text<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parse<T>(PhantomData<T>);

        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parse<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<T>, E> {
                text.parse().map(Text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Parse(PhantomData))
    }
}

/// A table of limits, each of which is a string or a number.
fn limits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Limit, String)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Text(String),
        Whole(i64),
        Fraction(f64),
    }

    let table = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let limits = table.into_iter().map(|(key, value)| {
        let limit: Limit = key.parse().map_err(de::Error::custom)?;
        let value = match value {
            Value::Text(text) => text,
            Value::Whole(number) => number.to_string(),
            Value::Fraction(number) => number.to_string(),
        };
        let set = Limits::default().set(limit, &value);
        set.map_err(de::Error::custom)?;
        Ok((limit, value))
    });
    limits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const FILE: &str = r#"
        allow-connect = ["example.com:80,443", "*.example.com"]
        deny-connect = ["10.0.0.0/8"]
        allow-listen = ["127.0.0.1:0"]
        allow-accept = ["127.0.0.0/8"]
        deny-accept = ["127.0.0.2"]
        allow-resolve = ["*.example"]
        deny-resolve = ["admin.example", "*.admin.example"]
        allow-udp-send = ["1.1.1.1:53"]
        allow-udp-bind = ["127.0.0.1:53"]
        allow-http = ["GET,HEAD https://api.example.com/v1/*"]
        deny-http = ["* https://api.example.com/v1/admin/*"]
        resolve = ["example.com:192.0.2.1"]
        listen-as = ["0.0.0.0:80=127.0.0.1:8080"]
        dir = ["data:ro", "/tmp::/t"]
        env = ["A=b", "HOME"]
        secret-header = ["https://a.example/=X-Key: {file:key}"]
        cacert = "ca.pem"
        proxy = "http://u:p@proxy.example:3128"
        noproxy = ["a.example,10.0.0.0/8"]

        [[client-cert]]
        host = "A.example"
        cert = "me.pem"

        [limits]
        max-memory = "16M"
        max-sockets = 7
        max-wall-time = 2.5

        [profile.more]
        allow-net = true
        allow-private = true
        no-private-loopback = true
        inherit-env = true

        [profile.more.limits]
        max-sockets = 8

        [[profile.more.secret-header]]
        url = "https://a.example/v1/"
        name = "Authorization"
        value = "Bearer {env:TOKEN}"

        [profile.tls]
        cacert = "other.pem"
        capath = "cas"
        proxy = "other.example"
        noproxy = ["b.example"]
        allow-proxy-resolve = true

        [[profile.tls.client-cert]]
        host = "[::1]"
        cert = "other.pem"
        key = "/other.key"
    "#;

    #[test]
    fn everything_that_flags_say_can_be_said() {
        let file = PolicyFile::parse(FILE).unwrap();
        let base = file.profile(None).unwrap();
        let rules: Vec<_> = base.policy.rules().iter().map(Rule::to_string).collect();
        assert_eq!(
            rules,
            [
                "allow-connect example.com:80,443",
                "allow-connect *.example.com:*",
                "allow-listen 127.0.0.1:0",
                "allow-accept 127.0.0.0/8",
                "allow-resolve *.example",
                "allow-udp-send 1.1.1.1:53",
                "allow-udp-bind 127.0.0.1:53",
                "allow-http GET,HEAD https://api.example.com/v1/*",
            ]
        );
        let denials: Vec<_> = base.policy.denials().iter().map(Deny::to_string).collect();
        assert_eq!(
            denials,
            [
                "deny-connect 10.0.0.0/8:*",
                "deny-accept 127.0.0.2/32",
                "deny-resolve admin.example",
                "deny-resolve *.admin.example",
                "deny-http * https://api.example.com/v1/admin/*",
            ]
        );
        assert_eq!(
            base.policy.which_private_loopback(),
            PrivateLoopback::Ungranted
        );
        assert_eq!(
            base.static_hosts,
            ["example.com:192.0.2.1".parse().unwrap()]
        );
        assert_eq!(
            base.listen_as,
            ["0.0.0.0:80=127.0.0.1:8080".parse().unwrap()]
        );
        assert_eq!(base.dirs.len(), 2);
        assert_eq!(base.env.len(), 2);
        assert!(!base.inherit_env && !base.policy.allows_private());
        let limits = base.limits().unwrap();
        assert_eq!((limits.memory_bytes, limits.sockets), (16 << 20, 7));
        assert_eq!(limits.wall_time, Some(Duration::from_millis(2500)));

        let headers = |profile: &Profile| {
            let headers = profile.secret_headers.iter().map(ToString::to_string);
            headers.collect::<Vec<_>>()
        };
        let key = "https://a.example/=x-key: {file:key}";
        let token = "https://a.example/v1/=authorization: Bearer {env:TOKEN}";
        assert_eq!(headers(&base), [key]);
        let proxy = &base.proxy;
        assert_eq!(proxy.proxy, "u:p@proxy.example:3128".parse().ok());
        assert!(!proxy.of_environment && !proxy.resolve);
        let tls = file.profile(Some("tls")).unwrap();
        let proxies = tls.proxy.proxies().unwrap();
        assert_eq!(proxies.https, "other.example".parse().ok());
        assert_eq!(
            proxies.bypass,
            "a.example,10.0.0.0/8,b.example".parse().unwrap()
        );
        assert!(proxies.resolve);
        let tls = tls.tls;
        assert_eq!(tls.cacert, ["ca.pem", "other.pem"].map(PathBuf::from));
        assert_eq!(tls.capath, [PathBuf::from("cas")]);
        let certificates = tls.client_certs.iter().map(ToString::to_string);
        assert_eq!(
            certificates.collect::<Vec<_>>(),
            ["a.example: me.pem", "[::1]: other.pem, key /other.key"]
        );

        let more = file.profile(Some("more")).unwrap();
        assert_eq!(headers(&more), [key, token]);
        assert!(more.policy.rules().contains(&Rule::Everything));
        assert_eq!(more.policy.denials(), base.policy.denials());
        assert!(more.inherit_env && more.policy.allows_private());
        assert_eq!(more.policy.which_private_loopback(), PrivateLoopback::Off);
        assert_eq!(more.limits().unwrap().sockets, 8);
        assert_eq!(more.limits().unwrap().memory_bytes, 16 << 20);
        assert_eq!(file.names().collect::<Vec<_>>(), ["more", "tls"]);
        assert_eq!(
            file.profile(Some("less")).unwrap_err().to_string(),
            "the policy has no profile `less`: it has more, tls"
        );
    }

    #[test]
    fn an_empty_file_gives_nothing() {
        let file = PolicyFile::parse("").unwrap();
        assert_eq!(file.profile(None).unwrap(), Profile::new());
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_line() {
        for (text, expected) in [
            (
                "allow-conect = []",
                &["line 1", "unknown field `allow-conect`"][..],
            ),
            (
                "\nallow-connect = [\"10.0.0.1/8\"]",
                &["line 2", "write `10.0.0.0/8`"],
            ),
            ("allow-connect = \"example.com\"", &["line 1", "string"]),
            ("allow-connect = [80]", &["line 1", "expected a string"]),
            ("deny-connect = [\"example.com\"]", &["line 1", "is a name"]),
            (
                "allow-http = [\"https://a.example/\"]",
                &["line 1", "is not methods and a URL"],
            ),
            ("allow-net = \"yes\"", &["line 1", "expected a boolean"]),
            ("cacert = [\"a\"]", &["line 1", "expected path string"]),
            (
                "[[client-cert]]\nhost = \"a\"",
                &["line 1", "missing field `cert`"],
            ),
            (
                "[[client-cert]]\nhost = \"*.a\"\ncert = \"b\"",
                &["client-cert: `*.a` is"],
            ),
            ("[limits]\nmax-socket = 1", &["`max-socket` is not a limit"]),
            (
                "[limits]\nmax-sockets = -1",
                &["`max-sockets` can't be `-1`"],
            ),
            (
                "[limits]\nmax-memory = \"x\"",
                &["`max-memory` can't be `x`"],
            ),
            ("[limits]\nmax-memory = true", &["line 2"]),
            ("[profile.a.profile.b]", &["`a` contains profiles"]),
            (
                "[profile.a]\nallow-nett = true",
                &["line 2", "unknown field"],
            ),
            ("x", &["line 1"]),
            (
                "allow-net = true\nallow-net = true",
                &["line 2", "duplicate key"],
            ),
        ] {
            let error = PolicyFile::parse(text).unwrap_err().to_string();
            for word in expected {
                assert!(error.contains(word), "{text:?}: {error}");
            }
        }
    }

    #[test]
    fn an_invalid_secret_is_told_without_its_value() {
        for (text, expected) in [
            (
                "proxy = \"https://u:hunter2@a\"",
                "proxy: a proxy is reached with http, and not with `https`",
            ),
            (
                "secret-header = [\"https://a.example/=X-Key: hunter2\"]",
                "the value of the secret header `X-Key` names neither a variable nor a file",
            ),
            (
                "[[secret-header]]\nurl = \"https://a.example/\"\nname = \"X-Key\"\nvalue = \"hunter2 {x}\"",
                "the value of the secret header `X-Key` has a brace",
            ),
            (
                "[[profile.a.secret-header]]\nurl = \"http://a.example/\"\nname = \"X-Key\"\nvalue = \"hunter2\"",
                "is for http://a.example/, which is not encrypted",
            ),
            (
                "[[secret-header]]\nurl = \"https://a.example/\"\nname = \"X-Key\"",
                "missing field `value`",
            ),
            (
                "[[secret-header]]\nheader = \"X-Key\"",
                "unknown field `header`",
            ),
            ("secret-header = [1]", "a string, or a table with `url`"),
        ] {
            let error = PolicyFile::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
            assert!(!error.contains("hunter2"), "{text:?}: {error}");
        }
    }

    #[test]
    fn directories_are_beside_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        let text = "dir = [\"data\", \"/tmp\"]\n\
                    cacert = \"ca.pem\"\n\
                    client-cert = [{ host = \"a\", cert = \"me.pem\", key = \"me.key\" }]\n\
                    secret-header = [\"https://a.example/=X-Key: {file:key}{file:/b}\"]";
        fs::write(&path, text).unwrap();
        let profile = PolicyFile::read(&path).unwrap().profile(None).unwrap();
        assert_eq!(profile.dirs[0].host, folder.path().join("data"));
        assert_eq!(profile.dirs[0].guest, "data");
        assert_eq!(profile.dirs[1].host, Path::new("/tmp"));
        assert_eq!(profile.tls.cacert, [folder.path().join("ca.pem")]);
        let keys: Vec<_> = profile.tls.keys().collect();
        assert_eq!(keys, [folder.path().join("me.key")]);
        assert_eq!(
            profile.tls.client_certs[0].certificate,
            folder.path().join("me.pem")
        );
        let files: Vec<_> = profile.secret_headers[0].sources().cloned().collect();
        let key = folder.path().join("key");
        let expected = [key, "/b".into()].map(crate::SecretSource::File);
        assert_eq!(files, expected);

        let missing = folder.path().join("missing.toml");
        let error = PolicyFile::read(missing).unwrap_err();
        assert!(matches!(error, PolicyFileError::Read { .. }), "{error}");
        fs::write(&path, "#".repeat(MAX_FILE_BYTES as usize + 1)).unwrap();
        let error = PolicyFile::read(&path).unwrap_err();
        assert!(matches!(error, PolicyFileError::TooLarge { .. }), "{error}");
        fs::write(&path, "nonsense").unwrap();
        let error = PolicyFile::read(&path).unwrap_err().to_string();
        assert!(
            error.starts_with("invalid policy in ") && error.contains("policy.toml"),
            "{error}"
        );
    }
}
