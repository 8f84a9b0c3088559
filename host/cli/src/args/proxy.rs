//! The proxies, as `sockbox run` and `sockbox fetch` take them.

use crate::exit::Failure;
use sockbox::origin_of;
use sockbox::policy::{HttpScheme, NoProxy, Proxies, Proxy, ProxyError};
use sockbox::profile::ProxySettings;
use std::convert::Infallible;
use std::ffi::OsString;
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

/// How the requests of `sockbox fetch` get to their servers, with curl's options.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct FetchProxyArgs {
    /// Send all requests through this HTTP proxy, with CONNECT: [http://][USER:PASSWORD@]HOST[:PORT]. An empty one means none,
    /// whatever the environment says. Requests to loopback addresses go through none
    #[arg(short = 'x', long, value_name = "URL", help_heading = PROXY)]
    pub proxy: Option<ProxyText>,

    /// Send these credentials to a proxy whose URL has none
    #[arg(short = 'U', long, value_name = "USER:PASSWORD", allow_hyphen_values = true, help_heading = PROXY)]
    pub proxy_user: Option<ProxyText>,

    /// Use no proxy for these hosts, in place of no_proxy: names, with all names below them, addresses, ranges, or * for every
    /// host
    #[arg(long, value_name = "HOST,...", help_heading = PROXY)]
    pub noproxy: Option<NoProxy>,

    /// Accepted for compatibility with curl: http URLs are always tunnelled, too
    #[arg(short = 'p', long, help_heading = PROXY)]
    pub proxytunnel: bool,

    /// Let the proxy resolve names. A granted name then stands for any address that the proxy finds, also a private one.
    /// Without this option sockbox resolves names, judges the addresses, and asks the proxy for an address
    #[arg(long, help_heading = PROXY)]
    pub allow_proxy_resolve: bool,
}

impl FetchProxyArgs {
    /// The proxies for these URLs, and for what they redirect to if `follows`: from these options, or else from the policy file,
    /// or else from the environment.
    ///
    /// # Errors
    /// What names a proxy that is needed can't be used. The message shows no credentials.
    pub fn proxies(
        &self,
        settings: &ProxySettings,
        urls: &[String],
        follows: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Proxies, Failure> {
        let wrong = |option: &str, error: ProxyError| Failure::Usage {
            problem: format!("{option}: {error}"),
        };
        let unusable = |(name, error): (&'static str, ProxyError)| Failure::Usage {
            problem: format!("the environment variable `{name}` can't be used: {error}"),
        };
        let mut proxies = Proxies::default();
        proxies.resolve = self.allow_proxy_resolve || settings.resolve;
        proxies.bypass = match &self.noproxy {
            Some(hosts) => hosts.clone(),
            None => {
                let hosts = NoProxy::of_environment(&variable).map_err(unusable)?;
                hosts.and(settings.no_proxy.clone())
            }
        };
        let typed = match &self.proxy {
            Some(ProxyText(text)) if text.is_empty() => return Ok(proxies),
            Some(ProxyText(text)) => Some(text.parse().map_err(|error| wrong("--proxy", error))?),
            None => settings.proxy.clone(),
        };
        // A variable that no request needs may say anything.
        let needs = |scheme: &str| {
            let mut origins = urls
                .iter()
                .filter(|url| url.starts_with(scheme))
                .filter_map(|url| origin_of(url).ok());
            follows || origins.any(|origin| proxies.covers(&origin))
        };
        let of_scheme = |name: &str, scheme| match &typed {
            Some(proxy) => Ok(Some(Proxy::clone(proxy))),
            None if needs(name) => Proxy::of_environment(scheme, &variable).map_err(unusable),
            None => Ok(None),
        };
        let found = [
            of_scheme("http:", HttpScheme::Http)?,
            of_scheme("https:", HttpScheme::Https)?,
        ];
        let with_user = |proxy: Option<Proxy>| match (proxy, &self.proxy_user) {
            // As with curl, the credentials of the URL win.
            (Some(proxy), Some(ProxyText(user))) if proxy.authorization().is_none() => proxy
                .with_credentials(user)
                .map(Some)
                .map_err(|error| wrong("--proxy-user", error)),
            (proxy, _) => Ok(proxy),
        };
        let [http, https] = found;
        proxies.http = with_user(http)?;
        proxies.https = with_user(https)?;
        Ok(proxies)
    }

    /// Look for what can't be meant.
    ///
    /// # Errors
    /// The message.
    pub fn check(&self) -> Result<(), &'static str> {
        match &self.proxy_user {
            Some(ProxyText(user)) if !user.contains(':') => {
                Err("--proxy-user: expected USER:PASSWORD, with a colon between them")
            }
            _ => Ok(()),
        }
    }
}

/// The text of `--proxy`. It is parsed later, because clap shows a text that it can't parse, and this one may have a
/// password in it.
#[derive(Clone)]
pub struct ProxyText(pub String);

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
