//! The settings of a run, from options or a policy file.

mod dir;
mod env;
mod file;
mod listen;
mod proxy;
mod secret_header;
mod static_host;
mod tls;

pub use dir::{Dir, DirError};
pub use env::{EnvError, EnvVar};
pub use file::{MAX_FILE_BYTES, PolicyFile, PolicyFileError};
pub use listen::{ListenAs, ListenAsError};
pub use proxy::{ProxySettings, ProxyVariableError};
pub use secret_header::SecretHeaderSource;
pub use static_host::{StaticHost, StaticHostError};
pub use tls::{ClientCert, TlsFiles};

use crate::Policy;
use crate::limits::{Limit, LimitError, Limits};

/// The settings of a run besides its component: grants and denials, static host addresses, limits,
/// directories and environment. The default grants nothing.
///
/// One is read from a [`PolicyFile`]; several are put together with [`Profile::and`].
///
/// # Examples
/// ```
/// use sockbox_policy::profile::PolicyFile;
///
/// let file = PolicyFile::parse(
///     r#"
///         allow-connect = ["example.com:443"]
///
///         [limits]
///         max-memory = "64M"
///
///         [profile.local]
///         allow-connect = ["localhost:8080"]
///         env = ["DEBUG=1"]
///     "#,
/// )?;
/// let profile = file.profile(Some("local"))?;
/// assert_eq!(profile.policy.rules().len(), 2);
/// assert_eq!(profile.limits()?.memory_bytes, 64 * 1024 * 1024);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// What it may do with the network.
    pub policy: Policy,
    /// Names that are not looked up.
    pub static_hosts: Vec<StaticHost>,
    /// Addresses that it may ask to listen on, and where it really does.
    pub listen_as: Vec<ListenAs>,
    /// Limits that are not the default ones, in the form that [`Limits::set`] reads; of several for one
    /// limit the last counts.
    pub limits: Vec<(Limit, String)>,
    /// Directories that it sees.
    pub dirs: Vec<Dir>,
    /// Environment variables; of several with one name the last counts.
    pub env: Vec<EnvVar>,
    /// Whether it gets all environment variables of this process, before those in `env`.
    pub inherit_env: bool,
    /// Headers that the host adds to its HTTP requests, and that it never sees.
    pub secret_headers: Vec<SecretHeaderSource>,
    /// The certificates that it trusts, and those that it shows.
    pub tls: TlsFiles,
    /// The proxies of its HTTP requests.
    pub proxy: ProxySettings,
}

impl Profile {
    /// Nothing.
    pub fn new() -> Profile {
        Profile::default()
    }

    /// This and what `other` says, which counts where there can be but one.
    #[must_use]
    pub fn and(mut self, other: Profile) -> Profile {
        self.policy = self.policy.and(other.policy);
        self.static_hosts.extend(other.static_hosts);
        self.listen_as.extend(other.listen_as);
        self.limits.extend(other.limits);
        self.dirs.extend(other.dirs);
        self.env.extend(other.env);
        self.inherit_env |= other.inherit_env;
        self.secret_headers.extend(other.secret_headers);
        self.tls.extend(other.tls);
        self.proxy = self.proxy.and(other.proxy);
        self
    }

    /// The limits: the default ones, but for those that it sets.
    ///
    /// # Errors
    /// One is set to what it can't be.
    pub fn limits(&self) -> Result<Limits, LimitError> {
        let mut limits = Limits::default();
        for (limit, value) in &self.limits {
            limits.set(*limit, value)?;
        }
        Ok(limits)
    }
}
