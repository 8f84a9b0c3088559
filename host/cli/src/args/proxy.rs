//! The proxies, as `sockbox run` takes them.

use crate::exit::Failure;
use sockbox::policy::NoProxy;
use sockbox::profile::ProxySettings;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

const PROXY: &str = "Proxy";

/// How the component's HTTP requests get to their servers.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ProxyArgs {
    /// Send the HTTP requests of wasi:http through this proxy, with CONNECT: http://[USER:PASSWORD@]HOST[:PORT].
    /// Requests to loopback addresses go through none
    #[arg(long, value_name = "URL", help_heading = PROXY)]
    pub proxy: Option<ProxyText>,

    /// Use the proxies that the environment names: http_proxy, https_proxy or HTTPS_PROXY, all_proxy or ALL_PROXY, no_proxy
    /// or NO_PROXY. Without this option the environment does not count
    #[arg(long, help_heading = PROXY)]
    pub proxy_env: bool,

    /// Use no proxy for these hosts: names, with all names below them, addresses, ranges, or * for every host
    #[arg(long, value_name = "HOST,...", help_heading = PROXY)]
    pub noproxy: Vec<NoProxy>,

    /// Let the proxy resolve names. A granted name then stands for any address that the proxy finds, also a private one.
    /// Without this option sockbox resolves names, judges the addresses, and asks the proxy for an address
    #[arg(long, help_heading = PROXY)]
    pub allow_proxy_resolve: bool,
}

impl ProxyArgs {
    /// Add these options to the settings of a policy file.
    ///
    /// # Errors
    /// The URL of the proxy is not valid. The message does not show it.
    pub fn add_to(&self, settings: &mut ProxySettings) -> Result<(), Failure> {
        if let Some(ProxyText(text)) = &self.proxy {
            let proxy = text.parse().map_err(|error| Failure::Usage {
                problem: format!("--proxy: {error}"),
            })?;
            settings.proxy = Some(proxy);
        }
        settings.of_environment |= self.proxy_env;
        settings.resolve |= self.allow_proxy_resolve;
        for hosts in &self.noproxy {
            settings.no_proxy = std::mem::take(&mut settings.no_proxy).and(hosts.clone());
        }
        Ok(())
    }
}

/// The text of `--proxy`. It is parsed later, because clap shows a text that it can't parse, and this one may have a
/// password in it.
#[derive(Clone)]
pub struct ProxyText(String);

impl FromStr for ProxyText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<ProxyText, Infallible> {
        Ok(ProxyText(text.to_owned()))
    }
}

impl fmt::Debug for ProxyText {
    /// Without the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyText").finish_non_exhaustive()
    }
}
