//! The proxies of a profile.

use crate::{NoProxy, Proxies, Proxy, ProxyError};

/// Which proxies a profile names. By default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxySettings {
    /// The proxy for all requests.
    pub proxy: Option<Proxy>,
    /// Whether variables of this process's environment name the proxies ([`Proxies::of_environment`]).
    pub of_environment: bool,
    /// The hosts that are reached without a proxy, beside those of the environment.
    pub no_proxy: NoProxy,
    /// Whether the proxy may resolve names ([`Proxies::resolve`]).
    pub resolve: bool,
}

impl ProxySettings {
    /// These settings, and `other`, whose proxy counts.
    pub(super) fn and(self, other: ProxySettings) -> ProxySettings {
        ProxySettings {
            proxy: other.proxy.or(self.proxy),
            of_environment: self.of_environment | other.of_environment,
            no_proxy: self.no_proxy.and(other.no_proxy),
            resolve: self.resolve | other.resolve,
        }
    }

    /// The proxies. One that is named counts for all requests, in place of those of the environment.
    ///
    /// # Errors
    /// [`ProxyVariableError`]: the environment is to name them, and a variable can't be used.
    pub fn proxies(&self) -> Result<Proxies, ProxyVariableError> {
        let mut proxies = match self.of_environment {
            false => Proxies::default(),
            true => Proxies::of_environment(|name| std::env::var_os(name))
                .map_err(|(variable, problem)| ProxyVariableError { variable, problem })?,
        };
        if let Some(proxy) = &self.proxy {
            proxies.http = Some(proxy.clone());
            proxies.https = Some(proxy.clone());
        }
        proxies.bypass = proxies.bypass.and(self.no_proxy.clone());
        proxies.resolve = self.resolve;
        Ok(proxies)
    }
}

/// A variable of the environment names no proxy that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable `{variable}` can't be used: {problem}")]
pub struct ProxyVariableError {
    variable: &'static str,
    problem: ProxyError,
}
