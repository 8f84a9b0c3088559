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
    policy: Policy,
    audit: Option<Arc<dyn AuditSink>>,
    answers: Mutex<Answers>,
    denials: Mutex<VecDeque<(Target, DenialReason)>>,
    pub(crate) lookups: Arc<Semaphore>,
    pub(crate) lookup_timeout: Duration,
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
            policy,
            audit,
            answers: Mutex::default(),
            denials: Mutex::default(),
            lookups: Arc::new(Semaphore::new(
                limits.lookups_at_once.min(Semaphore::MAX_PERMITS),
            )),
            lookup_timeout: limits.lookup_timeout,
        }
    }

    /// Ask the policy, and record what it says.
    pub(crate) fn allows(&self, target: Target) -> bool {
        let verdict = self.policy.judge(&target, &locked(&self.answers));
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
        allowed
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

    /// Remember what `name`, whose lookup was allowed, resolved to.
    pub(crate) fn resolved(&self, name: &Name, addresses: &[IpAddr]) {
        if self.policy.needs_answers() {
            locked(&self.answers).insert(name, addresses.iter().copied());
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
