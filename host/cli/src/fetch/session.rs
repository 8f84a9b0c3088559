//! The sandbox that transfers run in.

use super::console::Console;
use super::plan::Plan;
use crate::args::Fetch;
use crate::exit::Failure;
use crate::watch::Watch;
use crate::watchdog::{self, Deadline};
use crate::{room, stderr};
use sockbox::policy::{AnsweredNames, Proxies};
use sockbox::profile::StaticHost;
use sockbox::{Error, Instance, Policy, Profile, Sandbox, TlsConfig, UrlError, origin_of};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use url::{Host, Url};

/// An instance, made when it is needed, and again when it can't be used any more.
pub struct Session {
    sandbox: Sandbox,
    profile: Profile,
    watch: Watch,
    tls: TlsConfig,
    proxies: Proxies,
    answered: AnsweredNames,
    instance: Option<Instance>,
    /// That of the instance.
    _deadline: Option<Deadline>,
    /// How long a run may take, if that is bounded.
    wall_time: Option<Duration>,
    /// When the instance's run began.
    begun: Instant,
}

impl Session {
    /// One that may fetch `urls`, and what else was granted.
    pub fn new<'a>(
        sandbox: &Sandbox,
        plan: &Plan,
        watch: &Watch,
        urls: impl IntoIterator<Item = &'a str>,
    ) -> Result<Session, Failure> {
        let args = &plan.args;
        let mut profile = plan.profile.clone();
        profile.policy = granted(args, profile.policy);
        for host in args.static_hosts().filter(|host| host.port.is_none()) {
            // It is one: the command line could not be parsed otherwise.
            if let Ok(name) = host.host.parse() {
                let host = StaticHost::new(name, host.addresses.iter().copied());
                profile.static_hosts.push(host);
            }
        }
        for url in urls {
            // Its transfer tells what is wrong with it.
            if let Ok(origin) = origin_of(url) {
                profile.policy = profile.policy.allow_origin(origin);
            }
        }
        // Where an option says that there are to be none, the attempt to connect tells of it.
        if !room::is_set(&profile) {
            room::for_sockets(&profile, 1, "fetching")?;
        }
        Ok(Session {
            sandbox: sandbox.clone(),
            watch: watch.clone(),
            tls: plan.tls.clone(),
            proxies: plan.proxies.clone(),
            answered: plan.answered.clone(),
            instance: None,
            _deadline: None,
            // What can't be read is refused when the first instance is made.
            wall_time: profile.limits().ok().and_then(|limits| limits.wall_time),
            profile,
            begun: Instant::now(),
        })
    }

    /// The instance, which keeps its connections from one transfer to the next.
    pub async fn instance(&mut self) -> Result<&mut Instance, Failure> {
        let instance = match self.instance.take() {
            Some(instance) => instance,
            None => {
                self.begun = Instant::now();
                self._deadline = self
                    .wall_time
                    .map(|limit| watchdog::deadline(limit, Error::WallTime { limit }.into()));
                self.build().await?
            }
        };
        Ok(self.instance.insert(instance))
    }

    async fn build(&self) -> Result<Instance, Failure> {
        let mut builder = self
            .watch
            .over(self.sandbox.instance().profile(&self.profile)?)
            .tls(self.tls.clone())
            .proxies(self.proxies.clone())
            .answered_names(self.answered.clone());
        if let Some(writer) = stderr::writer().filter(|_| self.watch.verbose) {
            builder = builder.stderr(writer.never_waiting());
        }
        Ok(builder.build().await?)
    }

    /// How long a run may take, if that is bounded.
    pub fn wall_time(&self) -> Option<Duration> {
        self.wall_time
    }

    /// How much time the run has left, if that is bounded. One that is begun next has all of it.
    pub fn time_left(&self) -> Option<Duration> {
        let elapsed = match self.instance {
            Some(_) => self.begun.elapsed(),
            None => Duration::ZERO,
        };
        Some(self.wall_time?.saturating_sub(elapsed))
    }

    /// Take note of how a transfer ended: not every failure leaves an instance that can go on.
    pub fn survived(&mut self, failure: &Failure, console: &Console) {
        let spoiled = match failure {
            Failure::MaxTime(_) => true,
            Failure::Sandbox(error) => matches!(
                error,
                Error::Abandoned
                    | Error::Trapped { .. }
                    | Error::WallTime { .. }
                    | Error::CpuTime { .. }
                    | Error::Exhausted { .. }
                    | Error::MemoryLimit { .. }
                    | Error::Internal { .. }
            ),
            _ => false,
        };
        if spoiled && self.instance.take().is_some() {
            console.note(format_args!("the sandbox is given up"));
        }
    }
}

/// What the options grant, whatever is fetched.
fn granted(args: &Fetch, mut policy: Policy) -> Policy {
    if args.location {
        policy = policy.allow_redirects();
    }
    for host in args.static_hosts() {
        if let Some(port) = host.port {
            let targets = host.addresses.iter().map(|ip| SocketAddr::new(*ip, port));
            policy = targets.fold(policy, Policy::allow_connect);
        }
    }
    args.connect.add_to(policy)
}

/// Whether anything can be granted for a URL.
///
/// # Errors
/// It can't be read, or its host is an address that `-4` or `-6` excludes.
pub fn check(url: &str, args: &Fetch) -> Result<(), Failure> {
    match origin_of(url) {
        // One without a host is not of a kind that can be fetched: the component says so.
        Ok(_) | Err(UrlError::NoHost { .. }) => other_family(url, args).map_or(Ok(()), Err),
        Err(UrlError::Invalid { url, .. }) if has_zone(&url) => {
            Err(Failure::Sandbox(Error::InvalidUrl {
                url,
                reason:
                    "an IPv6 address in a URL has no zone (%25eth0): leave it out, or name another \
                     address of the host"
                        .to_owned(),
            }))
        }
        Err(error) => Err(Error::from(error).into()),
    }
}

/// What is wrong with a URL whose host is an address, if it is one of a family that may not be used.
fn other_family(url: &str, args: &Fetch) -> Option<Failure> {
    let url = Url::parse(url).ok()?;
    let (address, option) = match url.host()? {
        Host::Ipv4(address) if args.ipv6 => (address.to_string(), "-6"),
        Host::Ipv6(address) if args.ipv4 => (address.to_string(), "-4"),
        _ => return None,
    };
    // A static address may take its place.
    let is_static = args.static_hosts().next().is_some();
    (!is_static).then_some(Failure::OtherFamily { address, option })
}

/// Whether the URL's host is an IPv6 address with a zone behind it (RFC 6874), which the URL standard
/// hasn't.
fn has_zone(url: &str) -> bool {
    let behind_scheme = url.split_once("//").map_or(url, |(_, rest)| rest);
    let authority = behind_scheme.split(['/', '?', '#']).next();
    authority
        .and_then(|authority| authority.rsplit_once('[')?.1.split_once(']'))
        .is_some_and(|(address, _)| address.contains('%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_be_read_are_refused() {
        let args = Fetch::typed("a");
        for (url, expected) in [
            ("http://a/", None),
            ("http://[::1]:81/a b", None),
            ("mailto:a", None),
            ("https://a/", None),
            ("http://", Some(3)),
            ("http://a b/", Some(3)),
            ("http://a:65536/", Some(3)),
            ("nonsense", Some(3)),
        ] {
            let code = check(url, &args).err().map(|failure| failure.code());
            assert_eq!(code, expected, "{url}");
        }
    }

    #[test]
    fn a_zone_is_refused_with_a_reason() {
        let args = Fetch::typed("a");
        for (url, zone) in [
            ("http://[fe80::1%25eth0]/", true),
            ("http://me:secret@[fe80::1%eth0]:80/", true),
            ("http://[fe80:::1]/%25", false),
        ] {
            let failure = check(url, &args).unwrap_err();
            assert_eq!(failure.code(), 3, "{url}");
            let message = failure.message(false).unwrap();
            assert_eq!(message.contains("has no zone"), zone, "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn an_address_of_the_other_family_is_refused_with_a_reason() {
        for (words, url, expected) in [
            ("-6 a", "http://127.0.0.1/", Some(("127.0.0.1", "-6"))),
            ("-4 a", "http://[::1]:80/", Some(("::1", "-4"))),
            ("-4 a", "http://127.0.0.1/", None),
            ("-6 a", "http://[::1]/", None),
            ("-6 a", "http://a.example/", None),
            ("-6 --resolve 127.0.0.1:80:::1 a", "http://127.0.0.1/", None),
            ("a", "http://127.0.0.1/", None),
        ] {
            let found = check(url, &Fetch::typed(words)).err().map(|failure| {
                assert_eq!(failure.code(), 6);
                failure.message(false).unwrap()
            });
            let expected = expected.map(|(address, option)| {
                format!("{address} is an address of the IP version that {option} excludes")
            });
            assert_eq!(found, expected, "{words} {url}");
        }
    }
}
