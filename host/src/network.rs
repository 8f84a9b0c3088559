//! One run's access to the network: the policy, what it has been told, and what it refused.

use crate::audit::{AuditEvent, AuditSink, RunId, What};
use crate::bindings::types;
use crate::decider::{Decider, Decision, Question};
use crate::limits::{Limit, Limits};
use crate::policy::{Answers, Basis, DenialReason, Host, Name, Policy, Target, Verdict, is_any};
use crate::traffic::{Account, Accounts};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, ready};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi::sockets::SocketAddrUse;

/// How many refusals are remembered, in order to tell ours from the operating system's: the latest
/// 64. A component reports a refusal right after it met it.
const REMEMBERED_DENIALS: usize = 64;

/// Names that are not looked up, since the user said what they resolve to.
pub(crate) type Pins = BTreeMap<Name, Vec<IpAddr>>;

/// Decides what a run may do with the network.
pub(crate) struct Network {
    run: RunId,
    /// What was granted at the start.
    policy: Policy,
    granted: Mutex<Granted>,
    pins: Pins,
    decider: Option<Arc<dyn Decider>>,
    /// None where nobody wants to know, and once the run is over.
    audit: Mutex<Option<Arc<dyn AuditSink>>>,
    accounts: Option<Mutex<Accounts>>,
    /// The limits that have been reached, a bit for each.
    reached: AtomicU32,
    denials: Mutex<VecDeque<(Target, DenialReason)>>,
    /// How many more names may be looked up; none: any number.
    lookups_left: Option<AtomicU64>,
    pub(crate) lookups: Arc<Semaphore>,
    pub(crate) lookup_timeout: Duration,
}

/// What is granted now.
struct Granted {
    /// What was granted at the start, and what the redirect takes that is being followed.
    policy: Policy,
    /// What the names resolved to that were looked up.
    answers: Answers,
}

impl Network {
    pub(crate) fn new(
        run: RunId,
        policy: Policy,
        limits: &Limits,
        pins: Pins,
        decider: Option<Arc<dyn Decider>>,
        audit: Option<Arc<dyn AuditSink>>,
    ) -> Network {
        let mut answers = Answers::new();
        for (name, addresses) in &pins {
            answers.pin(name, addresses.iter().copied());
        }
        Network {
            run,
            granted: Mutex::new(Granted {
                policy: policy.clone(),
                answers,
            }),
            policy,
            pins,
            decider,
            accounts: audit.is_some().then(Mutex::default),
            audit: Mutex::new(audit),
            reached: AtomicU32::new(0),
            denials: Mutex::default(),
            lookups_left: limits.lookups.map(AtomicU64::new),
            lookups: Arc::new(Semaphore::new(
                limits.lookups_at_once.min(Semaphore::MAX_PERMITS),
            )),
            lookup_timeout: limits.lookup_timeout,
        }
    }

    /// For tests: one that has a policy, and else what there is by default.
    #[cfg(test)]
    pub(crate) fn of(policy: Policy) -> Network {
        let limits = Limits::default();
        Network::new(RunId(1), policy, &limits, Pins::new(), None, None)
    }

    /// Whose access it is.
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// Ask the policy, and record what it says.
    pub(crate) fn allows(&self, target: Target) -> bool {
        let verdict = self.judge(&target);
        self.decided(target, verdict)
    }

    /// Ask the policy; and the decider, if there is one and no rule decides. What is said is recorded.
    ///
    /// What can be told at once is told without a task of its own.
    pub(crate) fn ask(
        self: &Arc<Self>,
        target: Target,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + Sync>> {
        let verdict = self.judge(&target);
        let (decider, name) = match (&self.decider, &verdict) {
            (
                Some(decider),
                Verdict::Denied {
                    reason: DenialReason::NoRule,
                    name,
                },
            ) => (decider, name.clone()),
            _ => return Box::pin(ready(self.decided(target, verdict))),
        };
        let question = Question {
            run: self.run,
            target: target.clone(),
            name: name.clone(),
        };
        // A task of its own: its future can be waited for from anywhere, and ends with who waits.
        let answer = spawn(decider.decide(question));
        let network = self.clone();
        Box::pin(async move {
            let verdict = match answer.await {
                Decision::Allow { reason } => Verdict::Allowed {
                    by: Basis::Decider { reason },
                    name,
                },
                Decision::Deny { reason } => Verdict::Denied {
                    reason: DenialReason::Decider { reason },
                    name,
                },
            };
            network.decided(target, verdict)
        })
    }

    /// Whether somebody else than the rules may have a word.
    pub(crate) fn has_decider(&self) -> bool {
        self.decider.is_some()
    }

    fn judge(&self, target: &Target) -> Verdict {
        let mut granted = locked(&self.granted);
        granted.answers.expire(Instant::now());
        granted.policy.judge(target, &granted.answers)
    }

    fn decided(&self, target: Target, verdict: Verdict) -> bool {
        let allowed = verdict.is_allowed();
        tracing::debug!(run = %self.run, %target, allowed, "network");
        if let Verdict::Denied { reason, .. } = &verdict {
            let mut denials = locked(&self.denials);
            if denials.len() == REMEMBERED_DENIALS {
                denials.pop_front();
            }
            denials.push_back((target.clone(), reason.clone()));
        }
        self.record(|| What::Decision { target, verdict });
        allowed
    }

    /// Record something, if anybody wants it.
    pub(crate) fn record(&self, what: impl FnOnce() -> What) {
        // Held meanwhile, so that nothing comes behind the end.
        if let Some(audit) = &*locked(&self.audit) {
            audit.record(&AuditEvent::now(self.run, what()));
        }
    }

    /// A limit has been reached. That is recorded once, until there was [room](Self::has_room): a
    /// component may run into it again as often as it can.
    pub(crate) fn reached(&self, limit: Limit, target: Option<Target>) {
        if self.reached.fetch_or(bit(limit), Ordering::Relaxed) & bit(limit) == 0 {
            tracing::debug!(run = %self.run, %limit, "limit reached");
            self.record(|| What::Limit { limit, target });
        }
    }

    /// A limit that comes and goes left room for one more.
    pub(crate) fn has_room(&self, limit: Limit) {
        if self.has_reached(limit) {
            self.reached.fetch_and(!bit(limit), Ordering::Relaxed);
        }
    }

    /// Whether a limit has been reached, and there was no room since.
    pub(crate) fn has_reached(&self, limit: Limit) -> bool {
        self.reached.load(Ordering::Relaxed) & bit(limit) != 0
    }

    /// Whether one more name may be looked up, which is counted.
    pub(crate) fn counts_lookup(&self) -> bool {
        let Some(left) = &self.lookups_left else {
            return true;
        };
        let one_less = |left: u64| left.checked_sub(1);
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
    }

    /// The account of what is exchanged with a target, where anybody wants to know.
    pub(crate) fn account(&self, target: Target) -> Option<Arc<Account>> {
        let accounts = self.accounts.as_ref()?;
        let name = match &target {
            Target::Connect(address) | Target::UdpSend(address) => self.name_of(address.ip()),
            _ => None,
        };
        Some(locked(accounts).of(target, name))
    }

    /// Whether anybody wants to know what is exchanged with whom.
    pub(crate) fn keeps_accounts(&self) -> bool {
        self.accounts.is_some()
    }

    /// The name that resolved to an address, the latest one if there are several.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<Name> {
        locked(&self.granted)
            .answers
            .latest_name_of(address)
            .cloned()
    }

    /// The run is over: record what it came to.
    pub(crate) fn end(&self) {
        let totals = self
            .accounts
            .as_ref()
            .map(|accounts| locked(accounts).close());
        for traffic in totals.into_iter().flatten() {
            self.record(|| What::Traffic(traffic));
        }
        self.record(|| What::Ended);
        *locked(&self.audit) = None;
    }

    /// The addresses that the user said a name resolves to.
    pub(crate) fn pinned(&self, name: &Name) -> Option<&[IpAddr]> {
        self.pins.get(name).map(Vec::as_slice)
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
        let verdict = self.judge(&target);
        match &verdict {
            Verdict::Denied {
                reason: reason @ (DenialReason::NotPublic { .. } | DenialReason::Rule { .. }),
                ..
            } => {
                let reason = reason.clone();
                self.decided(target.clone(), verdict);
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
            let pins = &self.pins;
            granted
                .answers
                .retain(|name| policy.grants_lookup(name) || pins.contains_key(name));
            granted.policy = policy;
        }
    }

    /// Whether a component may use an address in this way.
    pub(crate) fn allows_address(&self, address: SocketAddr, use_: SocketAddrUse) -> bool {
        target(address, use_).is_none_or(|target| self.allows(target))
    }

    /// The same, with the decider asked where there is one.
    pub(crate) fn ask_address(
        self: &Arc<Self>,
        address: SocketAddr,
        use_: SocketAddrUse,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + Sync>> {
        match target(address, use_) {
            None => Box::pin(ready(true)),
            Some(target) => self.ask(target),
        }
    }

    /// Remember what `name`, whose lookup was allowed, resolved to, and say which of it may be told.
    ///
    /// None: nothing of it, which is recorded as a refusal.
    pub(crate) fn resolved(&self, name: &Name, addresses: Vec<IpAddr>) -> Option<Vec<IpAddr>> {
        let all = addresses.clone();
        let usable = {
            let mut granted = locked(&self.granted);
            // What no rule grants was the decider's to allow, who decides about connecting too.
            let usable = match self.has_decider() && !granted.policy.grants_lookup(name) {
                true => Ok(addresses),
                false => granted.policy.usable(name, addresses),
            };
            if let Ok(usable) = &usable {
                let now = Instant::now();
                granted.answers.insert(name, usable.iter().copied(), now);
            }
            usable
        };
        match usable {
            Ok(usable) => {
                self.record(|| What::Resolved {
                    name: name.clone(),
                    withheld: without(all, &usable),
                    addresses: usable.clone(),
                });
                Some(usable)
            }
            Err(reason) => {
                self.record(|| What::Resolved {
                    name: name.clone(),
                    withheld: all,
                    addresses: Vec::new(),
                });
                let verdict = Verdict::Denied { reason, name: None };
                self.decided(Target::Resolve(name.clone()), verdict);
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
            types::Target::Listen(address) => (Target::Listen((*address).into()), reason.clone()),
            types::Target::Lookup(_) | types::Target::Connect(_) => {
                (target.clone(), reason.clone())
            }
        })
    }
}

fn bit(limit: Limit) -> u32 {
    1 << limit as u32
}

/// The address that a URL names, where it names one and not a name.
fn address_of(url: &str) -> Option<SocketAddr> {
    let url = url::Url::parse(url).ok()?;
    match url.host_str()?.parse() {
        Ok(Host::Address(ip)) => Some(SocketAddr::new(ip, url.port_or_known_default()?)),
        _ => None,
    }
}

/// What a use of an address asks of the policy. None: nothing.
fn target(address: SocketAddr, use_: SocketAddrUse) -> Option<Target> {
    Some(match use_ {
        // Asked before an unbound socket connects, when the target isn't known yet, and as well
        // when a component binds to no address in particular. Either opens nothing: connecting
        // and listening are asked about with the address that counts.
        SocketAddrUse::TcpBind if is_any(address) => return None,
        SocketAddrUse::TcpConnect => Target::Connect(address),
        SocketAddrUse::TcpBind => Target::Bind(address),
        SocketAddrUse::TcpListen => Target::Listen(address),
        SocketAddrUse::TcpAccept => Target::Accept(address),
        SocketAddrUse::UdpBind => Target::UdpBind(address),
        SocketAddrUse::UdpSend => Target::UdpSend(address),
        SocketAddrUse::UdpReceive => Target::UdpReceive(address),
    })
}

/// What is in `all` and not in `some`.
fn without(mut all: Vec<IpAddr>, some: &[IpAddr]) -> Vec<IpAddr> {
    all.retain(|address| !some.contains(address));
    all
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

    #[test]
    fn a_reported_refusal_is_traced_to_our_decision() {
        let network = Network::of(Policy::new());
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
        let network = Network::of(Policy::new().allow_listen(address("127.0.0.1:80")));
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
        let network = Network::of(
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
        let network = Network::of(Policy::new().allow_redirects());
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
        let network = Network::of(typed.clone().allow_redirects());
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
        let network = Network::of(typed);
        assert_eq!(network.redirected("http://127.0.0.1/"), Ok(()));
    }

    #[test]
    fn only_the_latest_refusals_are_kept() {
        let network = Network::of(Policy::new());
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
                let (target, verdict) = event.decision().unwrap();
                locked(&seen).push((target.clone(), verdict.is_allowed()));
            }
        };
        let network = Network::new(
            RunId(7),
            Policy::new().allow_connect(address("192.0.2.1:80")),
            &Limits::default(),
            Pins::new(),
            None,
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

    /// A network that records, and what it has recorded.
    fn recording(limits: &Limits) -> (Network, Arc<Mutex<Vec<String>>>) {
        let record = Arc::new(Mutex::new(Vec::new()));
        let sink = record.clone();
        let sink = move |event: &AuditEvent| sink.lock().unwrap().push(event.to_string());
        let policy = Policy::everything();
        let sink: Arc<dyn AuditSink> = Arc::new(sink);
        let network = Network::new(RunId(1), policy, limits, Pins::new(), None, Some(sink));
        (network, record)
    }

    #[test]
    fn a_limit_is_told_when_it_is_reached_and_not_each_time() {
        let (network, record) = recording(&Limits::default());
        for _ in 0..3 {
            network.reached(Limit::Sockets, None);
            network.reached(Limit::Lookups, None);
        }
        assert!(network.has_reached(Limit::Sockets));
        assert!(!network.has_reached(Limit::Handles));
        network.has_room(Limit::Sockets);
        assert!(!network.has_reached(Limit::Sockets));
        let target = Target::Connect(address("192.0.2.1:80"));
        network.reached(Limit::Sockets, Some(target));
        network.reached(Limit::Lookups, None);
        assert_eq!(
            *locked(&record),
            [
                "limit: no more sockets (--max-sockets bounds them)",
                "limit: no more lookups (--max-lookups bounds them)",
                "limit: no more sockets for this: connect to 192.0.2.1:80 (--max-sockets bounds \
                 them)",
            ]
        );
    }

    #[test]
    fn every_limit_has_a_bit_of_its_own() {
        let bits = Limit::all().fold(0, |bits, limit| {
            assert_eq!(bits & bit(limit), 0, "{limit:?}");
            bits | bit(limit)
        });
        assert_eq!(bits.count_ones() as usize, Limit::all().count());
    }

    #[test]
    fn lookups_are_counted() {
        for (limit, expected) in [
            (None, [true, true, true]),
            (Some(0), [false, false, false]),
            (Some(2), [true, true, false]),
        ] {
            let (network, _) = recording(&Limits::default().lookups(limit));
            let counted = [(); 3].map(|()| network.counts_lookup());
            assert_eq!(counted, expected, "{limit:?}");
        }
    }

    #[test]
    fn nothing_comes_behind_the_end() {
        let (network, record) = recording(&Limits::default());
        let named = address("192.0.2.1:80");
        network.resolved(&"example.com".parse().unwrap(), vec![named.ip()]);
        let account = network.account(Target::Connect(named)).unwrap();
        account.add_received(5);
        network.account(Target::Listen(named)).unwrap().add_sent(6);
        locked(&record).clear();
        network.end();
        network.end();
        network.reached(Limit::Memory, None);
        network.allows(Target::Connect(named));
        assert_eq!(
            *locked(&record),
            [
                "total: connect to 192.0.2.1:80 (example.com): 0 connections, 5 bytes received, 0 \
                 sent, 0.000 s",
                "total: listen on 192.0.2.1:80: 0 connections, 0 bytes received, 6 sent, 0.000 s",
                "ended",
            ]
        );
    }

    #[test]
    fn accounts_are_kept_only_where_somebody_wants_to_know() {
        let network = Network::of(Policy::new());
        assert!(!network.keeps_accounts());
        let target = Target::Connect(address("192.0.2.1:80"));
        assert!(network.account(target).is_none());
    }
}
