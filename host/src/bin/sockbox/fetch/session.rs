//! The sandbox that transfers run in.

use super::console::Console;
use super::plan::Plan;
use crate::args::Fetch;
use crate::exit::Failure;
use crate::{room, stderr};
use crate::watch::Watch;
use crate::watchdog::{self, Deadline};
use sockbox::policy::{AnsweredNames, RuleError};
use sockbox::{Error, Instance, Policy, Profile, Sandbox, TlsConfig};

/// An instance, made when it is needed, and again when it can't be used any more.
pub struct Session {
    sandbox: Sandbox,
    profile: Profile,
    watch: Watch,
    tls: TlsConfig,
    answered: AnsweredNames,
    instance: Option<Instance>,
    /// That of the instance.
    _deadline: Option<Deadline>,
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
        for url in urls {
            // Whoever fetches it learns what is wrong with it.
            if let Ok(wider) = profile.policy.clone().allow_url(url) {
                profile.policy = wider;
            }
        }
        // Who says that there are to be none is told so by the attempt to connect.
        if !room::is_set(&profile) {
            room::for_sockets(&profile, 1, "fetching")?;
        }
        Ok(Session {
            sandbox: sandbox.clone(),
            profile,
            watch: watch.clone(),
            tls: plan.tls.clone(),
            answered: plan.answered.clone(),
            instance: None,
            _deadline: None,
        })
    }

    /// The instance, which keeps its connections from one transfer to the next.
    pub async fn instance(&mut self) -> Result<&mut Instance, Failure> {
        let instance = match self.instance.take() {
            Some(instance) => instance,
            None => {
                let limits = self.profile.limits().ok();
                self._deadline = limits
                    .and_then(|limits| limits.wall_time)
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
            .answered_names(self.answered.clone());
        if let Some(writer) = stderr::writer().filter(|_| self.watch.verbose) {
            builder = builder.stderr(writer.never_waiting());
        }
        Ok(builder.build().await?)
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
    for target in args.resolve.iter().flat_map(|pin| pin.targets()) {
        policy = policy.allow_connect(target);
    }
    args.connect.add_to(policy)
}

/// Whether anything can be granted for a URL.
///
/// # Errors
/// It can't be read.
pub fn check(url: &str) -> Result<(), Failure> {
    match Policy::new().allow_url(url) {
        // One without a host is not of a kind that can be fetched: the component says so.
        Ok(_) | Err(RuleError::NoHost { .. }) => Ok(()),
        Err(error) => Err(Error::from(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_be_read_are_refused() {
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
            let code = check(url).err().map(|failure| failure.code());
            assert_eq!(code, expected, "{url}");
        }
    }
}
