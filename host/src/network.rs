//! One run's access to the network: the policy, what it has been told, and what it refused.

use crate::audit::{AuditEvent, AuditSink, RunId};
use crate::bindings::types;
use crate::limits::Limits;
use crate::policy::{Answers, DenialReason, Host, Name, Policy, Target, Verdict};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use wasmtime_wasi::sockets::SocketAddrUse;

/// How many refusals are remembered, in order to tell ours from the operating system's: the latest
/// 64. A component reports a refusal right after it met it.
const REMEMBERED_DENIALS: usize = 64;

/// Decides what a run may do with the network.
pub(crate) struct Network {
    run: RunId,
    /// What was granted at the start.
    policy: Policy,
    granted: Mutex<Granted>,
    audit: Option<Arc<dyn AuditSink>>,
    denials: Mutex<VecDeque<(Target, DenialReason)>>,
    pub(crate) lookups: Arc<Semaphore>,
    pub(crate) lookup_timeout: Duration,
}

/// What is granted now.
struct Granted {
    /// What was granted at the start, and what the redirect takes that is being followed.
    policy: Policy,
    /// What the names resolved to that it grants.
    answers: Answers,
}

impl Network {
    pub(crate) fn new(
        run: RunId,
        policy: Policy,
        limits: &Limits,
        audit: Option<Arc<dyn AuditSink>>,
    ) -> Network {
        Network {
            run,
            granted: Mutex::new(Granted {
                policy: policy.clone(),
                answers: Answers::new(),
            }),
            policy,
            audit,
            denials: Mutex::default(),
            lookups: Arc::new(Semaphore::new(
                limits.lookups_at_once.min(Semaphore::MAX_PERMITS),
            )),
            lookup_timeout: limits.lookup_timeout,
        }
    }

    /// Ask the policy, and record what it says.
    pub(crate) fn allows(&self, target: Target) -> bool {
        let verdict = {
            let granted = locked(&self.granted);
            granted.policy.judge(&target, &granted.answers)
        };
        let allowed = verdict.is_allowed();
        self.record(target, verdict);
        allowed
    }

    fn record(&self, target: Target, verdict: Verdict) {
        let allowed = verdict.is_allowed();
        tracing::debug!(run = %self.run, %target, allowed, "network");
        if let Verdict::Denied { reason } = verdict {
            let mut denials = locked(&self.denials);
            if denials.len() == REMEMBERED_DENIALS {
                denials.pop_front();
            }
            denials.push_back((target.clone(), reason));
        }
        if let Some(audit) = &self.audit {
            audit.record(&AuditEvent::now(self.run, target, verdict));
        }
    }

    /// Grant what following a redirect to `url` takes, as far as the policy says, in place of what
    /// the redirect before it took.
    ///
    /// # Errors
    /// It leads to an address that a redirect may not lead to.
    pub(crate) fn redirected(&self, url: &str) -> Result<(), (Target, DenialReason)> {
        self.replace(self.policy.redirected_to(url));
        let Some(address) = address_of(url) else {
            return Ok(());
        };
        // Refused here, since not every way to write such an address gets as far as a socket.
        let target = Target::Connect(address);
        let verdict = {
            let granted = locked(&self.granted);
            granted.policy.judge(&target, &granted.answers)
        };
        match verdict {
            Verdict::Denied {
                reason: reason @ DenialReason::NotPublic { .. },
            } => {
                self.record(target.clone(), verdict);
                Err((target, reason))
            }
            _ => Ok(()),
        }
    }

    /// Take back what a redirect was granted: nobody follows it any more.
    pub(crate) fn not_redirected(&self) {
        self.replace(self.policy.clone());
    }

    fn replace(&self, policy: Policy) {
        let mut granted = locked(&self.granted);
        if granted.policy != policy {
            granted.answers.retain(|name| policy.grants_lookup(name));
            granted.policy = policy;
        }
    }

    /// Whether a component may use an address in this way.
    pub(crate) fn allows_address(&self, address: SocketAddr, use_: SocketAddrUse) -> bool {
        self.allows(match use_ {
            // Asked before an unbound socket connects, when the target isn't known yet, and as well
            // when a component binds to no address in particular. Either opens nothing: connecting
            // and listening are asked about with the address that counts.
            SocketAddrUse::TcpBind if is_any(address) => return true,
            SocketAddrUse::TcpConnect => Target::Connect(address),
            SocketAddrUse::TcpBind => Target::Bind(address),
            SocketAddrUse::TcpListen => Target::Listen(address),
            SocketAddrUse::TcpAccept => Target::Accept(address),
            SocketAddrUse::UdpBind => Target::UdpBind(address),
            SocketAddrUse::UdpSend => Target::UdpSend(address),
            SocketAddrUse::UdpReceive => Target::UdpReceive(address),
        })
    }

    /// Remember what `name`, whose lookup was allowed, resolved to, and say which of it may be told.
    ///
    /// None: nothing of it, which is recorded as a refusal.
    pub(crate) fn resolved(&self, name: &Name, addresses: Vec<IpAddr>) -> Option<Vec<IpAddr>> {
        let usable = {
            let mut granted = locked(&self.granted);
            let usable = granted.policy.usable(name, addresses);
            if let Ok(usable) = &usable
                && granted.policy.needs_answers()
            {
                granted.answers.insert(name, usable.iter().copied());
            }
            usable
        };
        match usable {
            Ok(usable) => Some(usable),
            Err(reason) => {
                self.record(Target::Resolve(name.clone()), Verdict::Denied { reason });
                None
            }
        }
    }

    /// Find the decision behind a refusal that the component reports.
    ///
    /// None means that it was not ours: the operating system refused.
    pub(crate) fn denial(&self, reported: &types::Target) -> Option<(Target, DenialReason)> {
        let denials = locked(&self.denials);
        let mut latest = denials.iter().rev();
        let found = match reported {
            types::Target::Lookup(name) => {
                let Ok(Host::Name(name)) = name.parse() else {
                    return None;
                };
                latest.find(|(target, _)| *target == Target::Resolve(name.clone()))
            }
            types::Target::Connect(address) => {
                let address = SocketAddr::from(*address);
                latest.find(|(target, _)| *target == Target::Connect(address))
            }
            types::Target::Listen(address) => {
                let address = SocketAddr::from(*address);
                latest.find(|(target, _)| match target {
                    Target::Bind(denied) => *denied == address,
                    // With port 0 the component reports what it asked for, and we were asked about
                    // what the system chose.
                    Target::Listen(denied) => {
                        denied.ip() == address.ip()
                            && (denied.port() == address.port() || address.port() == 0)
                    }
                    _ => false,
                })
            }
        };
        found.map(|(target, reason)| match reported {
            // In the caller's words: `listen` covers the bind, and port 0 is what was asked for.
            types::Target::Listen(address) => (Target::Listen((*address).into()), *reason),
            types::Target::Lookup(_) | types::Target::Connect(_) => (target.clone(), *reason),
        })
    }
}

/// The address that a URL names, where it names one and not a name.
fn address_of(url: &str) -> Option<SocketAddr> {
    let url = url::Url::parse(url).ok()?;
    match url.host_str()?.parse() {
        Ok(Host::Address(ip)) => Some(SocketAddr::new(ip, url.port_or_known_default()?)),
        _ => None,
    }
}

/// Whether an address leaves both the address and the port to the system.
fn is_any(address: SocketAddr) -> bool {
    address.port() == 0 && address.ip().to_canonical().is_unspecified()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these hold is valid at every moment, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn network(policy: Policy) -> Network {
        Network::new(RunId(1), policy, &Limits::default(), None)
    }

    #[test]
    fn a_reported_refusal_is_traced_to_our_decision() {
        let network = network(Policy::new());
        let Ok(Host::Name(name)) = "example.com".parse() else {
            panic!("a name")
        };
        assert!(!network.allows(Target::Resolve(name.clone())));
        assert!(!network.allows(Target::Connect(address("192.0.2.1:80"))));
        assert!(!network.allows(Target::Bind(address("127.0.0.1:80"))));
        assert!(!network.allows(Target::Listen(address("127.0.0.1:40000"))));

        let wit = |text| address(text).into();
        for (reported, expected) in [
            (
                types::Target::Lookup("EXAMPLE.com".to_owned()),
                Some(Target::Resolve(name)),
            ),
            (types::Target::Lookup("other.example".to_owned()), None),
            (
                types::Target::Connect(wit("192.0.2.1:80")),
                Some(Target::Connect(address("192.0.2.1:80"))),
            ),
            (
                types::Target::Listen(wit("127.0.0.1:80")),
                Some(Target::Listen(address("127.0.0.1:80"))),
            ),
            (
                types::Target::Listen(wit("127.0.0.1:0")),
                Some(Target::Listen(address("127.0.0.1:0"))),
            ),
            (types::Target::Connect(wit("192.0.2.1:81")), None),
            (types::Target::Listen(wit("127.0.0.1:81")), None),
        ] {
            let found = network.denial(&reported).map(|(target, _)| target);
            assert_eq!(found, expected, "{reported:?}");
        }
    }

    #[test]
    fn a_refusal_by_the_system_is_not_ours() {
        let network = network(Policy::new().allow_listen(address("127.0.0.1:80")));
        assert!(network.allows(Target::Bind(address("127.0.0.1:80"))));
        let reported = types::Target::Listen(address("127.0.0.1:80").into());
        assert_eq!(network.denial(&reported), None);
    }

    #[test]
    fn a_redirect_is_granted_until_the_next_one() {
        let name = |text: &str| match text.parse() {
            Ok(Host::Name(name)) => name,
            other => panic!("{text:?} is {other:?}"),
        };
        let (one, two) = (name("one.example"), name("two.example"));
        let network = network(
            Policy::new()
                .allow_url("http://typed.example/")
                .unwrap()
                .allow_redirects(),
        );
        let connects = |text| network.allows(Target::Connect(address(text)));
        let resolves = |name: &Name| network.allows(Target::Resolve(name.clone()));
        let typed = name("typed.example");
        let found = |text: &str| vec![text.parse::<IpAddr>().unwrap()];
        assert!(resolves(&typed));
        network.resolved(&typed, found("10.0.0.1")).unwrap();
        assert!(!resolves(&one));

        network.redirected("http://one.example:81/").unwrap();
        assert!(resolves(&one) && !resolves(&two));
        assert_eq!(network.resolved(&one, found("10.0.0.1")), None);
        assert_eq!(network.resolved(&two, found("1.1.1.2")), None);
        network.resolved(&one, found("1.1.1.1")).unwrap();
        for (asked, expected) in [
            ("1.1.1.1:81", true),
            ("1.1.1.1:80", false),
            ("1.1.1.2:81", false),
            ("10.0.0.1:81", false),
            ("10.0.0.1:80", true),
        ] {
            assert_eq!(connects(asked), expected, "{asked}");
        }

        // Another redirect takes its place, and what it resolved to is forgotten.
        network.redirected("http://two.example:81/").unwrap();
        assert!(resolves(&two) && !resolves(&one));
        assert!(!connects("1.1.1.1:81"));
        network.redirected("http://one.example:81/").unwrap();
        assert!(!connects("1.1.1.1:81"));
        // What was resolved for the user's own host is not.
        assert!(connects("10.0.0.1:80"));
        // The same one again is no other.
        network.resolved(&one, found("1.1.1.1")).unwrap();
        network.redirected("http://one.example:81/other").unwrap();
        assert!(connects("1.1.1.1:81"));

        network.not_redirected();
        assert!(!resolves(&one) && resolves(&typed));
        assert!(!connects("1.1.1.1:81"));
        assert_eq!(network.resolved(&one, found("1.1.1.1")), None);
    }

    #[test]
    fn an_answer_that_changes_opens_no_other_door() {
        let network = network(Policy::new().allow_redirects());
        network.redirected("http://turning.example/").unwrap();
        let Ok(Host::Name(name)) = "turning.example".parse() else {
            panic!("a name")
        };
        let parsed = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        for (answer, told) in [
            (&["1.1.1.1"][..], Some(&["1.1.1.1"][..])),
            (&["127.0.0.1"], None),
            (&["127.0.0.1", "1.1.1.2"], Some(&["1.1.1.2"])),
            (&["::ffff:169.254.169.254", "fd00:ec2::254"], None),
        ] {
            network.redirected("http://turning.example/again").unwrap();
            assert!(network.allows(Target::Resolve(name.clone())));
            let found = network.resolved(&name, parsed(answer));
            assert_eq!(found, told.map(parsed), "{answer:?}");
            for address in parsed(answer) {
                let allowed = network.allows(Target::Connect(SocketAddr::new(address, 80)));
                let expected = told.is_some_and(|told| parsed(told).contains(&address));
                assert_eq!(allowed, expected, "{address}");
            }
        }
    }

    #[test]
    fn a_redirect_to_an_address_is_refused_at_once() {
        let typed = Policy::new().allow_url("http://typed.example/").unwrap();
        let network = network(typed.clone().allow_redirects());
        let Ok(Host::Name(name)) = "typed.example".parse() else {
            panic!("a name")
        };
        let found = vec!["10.0.0.1".parse().unwrap()];
        network.resolved(&name, found).unwrap();
        for (url, expected) in [
            ("http://1.1.1.1/", None),
            ("http://127.0.0.1:81/", Some("127.0.0.1:81")),
            ("http://0x7f000001/", Some("127.0.0.1:80")),
            ("http://[::ffff:127.0.0.1]/", Some("127.0.0.1:80")),
            ("https://[fe80::1]/", Some("[fe80::1]:443")),
            ("http://0/", Some("0.0.0.0:80")),
            ("http://localhost/", None),
            // What the user's host is at is granted already, and nothing more of it.
            ("http://10.0.0.1/", None),
            ("http://10.0.0.1:81/", Some("10.0.0.1:81")),
        ] {
            let refused = network.redirected(url).err().map(|(target, _)| target);
            let expected = expected.map(|text| Target::Connect(address(text)));
            assert_eq!(refused, expected, "{url}");
        }
        // Without redirects it is for the component to try, and for the policy to refuse then.
        let network = self::network(typed);
        assert_eq!(network.redirected("http://127.0.0.1/"), Ok(()));
    }

    #[test]
    fn only_the_latest_refusals_are_kept() {
        let network = network(Policy::new());
        for port in 1..=(REMEMBERED_DENIALS as u16 + 1) {
            network.allows(Target::Connect(SocketAddr::from(([192, 0, 2, 1], port))));
        }
        for (port, known) in [(1, false), (2, true), (65, true)] {
            let reported = SocketAddr::from(([192, 0, 2, 1], port)).into();
            let found = network.denial(&types::Target::Connect(reported));
            assert_eq!(found.is_some(), known, "{port}");
        }
    }

    #[test]
    fn every_decision_is_recorded() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let seen = seen.clone();
            move |event: &AuditEvent| {
                locked(&seen).push((event.target.clone(), event.verdict.is_allowed()));
            }
        };
        let network = Network::new(
            RunId(7),
            Policy::new().allow_connect(address("192.0.2.1:80")),
            &Limits::default(),
            Some(Arc::new(sink)),
        );
        for (text, use_, expected) in [
            ("0.0.0.0:0", SocketAddrUse::TcpBind, true),
            ("[::]:0", SocketAddrUse::TcpBind, true),
            ("0.0.0.0:80", SocketAddrUse::TcpBind, false),
            ("127.0.0.1:0", SocketAddrUse::TcpBind, false),
            ("192.0.2.1:80", SocketAddrUse::TcpConnect, true),
            ("192.0.2.1:81", SocketAddrUse::TcpConnect, false),
            ("0.0.0.0:81", SocketAddrUse::TcpListen, false),
            ("192.0.2.1:9", SocketAddrUse::TcpAccept, false),
            ("0.0.0.0:0", SocketAddrUse::UdpBind, false),
            ("192.0.2.1:80", SocketAddrUse::UdpSend, false),
            ("192.0.2.1:80", SocketAddrUse::UdpReceive, false),
        ] {
            assert_eq!(
                network.allows_address(address(text), use_),
                expected,
                "{text} {use_:?}"
            );
        }
        let seen: Vec<_> = locked(&seen)
            .iter()
            .map(|(target, allowed)| format!("{target}: {allowed}"))
            .collect();
        assert_eq!(
            seen,
            [
                "bind to 0.0.0.0:80: false",
                "bind to 127.0.0.1:0: false",
                "connect to 192.0.2.1:80: true",
                "connect to 192.0.2.1:81: false",
                "listen on 0.0.0.0:81: false",
                "accept 192.0.2.1:9: false",
                "bind a UDP socket to 0.0.0.0:0: false",
                "send a datagram to 192.0.2.1:80: false",
                "receive a datagram from 192.0.2.1:80: false",
            ]
        );
    }
}
