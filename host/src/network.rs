//! One run's access to the network: the policy, what it has been told, and what it refused.

use crate::audit::{AuditSink, Recorder, RunId, What};
use crate::bindings::types;
use crate::decider::{Decider, Decision, Question};
use crate::error::Error;
use crate::limits::{Limit, Limits};
use crate::local_networks;
use crate::policy::{
    AnsweredNames, Answers, Basis, DenialReason, Host, LocalNetworks, Name, Policy, Target,
    Verdict, is_any,
};
use crate::traffic::{Account, Accounts};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, ready};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
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
    audit: Mutex<Option<Recorder>>,
    accounts: Option<Mutex<Accounts>>,
    /// Whether its accounts tell what went through its connections.
    counts_bytes: AtomicBool,
    /// The limits that have been reached, a bit for each.
    reached: AtomicU32,
    denials: Mutex<VecDeque<Refusal>>,
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
    /// When it was read which networks are this machine's own, which `answers` has; none: never.
    local_read: Option<Instant>,
}

impl Granted {
    /// See to it that `answers` know which networks are this machine's own, where that decides anything.
    fn refresh(&mut self, now: Instant, has_decider: bool) {
        let stale = |read: Instant| now.duration_since(read) >= local_networks::FRESH_FOR;
        if self.local_read.is_none_or(stale) && (has_decider || self.policy.asks_what_is_public()) {
            self.answers.set_local_networks(LocalNetworks::current());
            self.local_read = Some(now);
        }
    }
}

/// Something that was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) target: Target,
    /// The name that its address was resolved from, where it was.
    pub(crate) name: Option<Name>,
    pub(crate) reason: DenialReason,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let Refusal {
            target,
            name,
            reason,
        } = refusal;
        Error::Denied {
            target,
            name,
            reason,
        }
    }
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
                local_read: None,
            }),
            policy,
            pins,
            decider,
            accounts: audit.is_some().then(Mutex::default),
            counts_bytes: AtomicBool::new(true),
            audit: Mutex::new(audit.map(|sink| Recorder::new(run, sink))),
            reached: AtomicU32::new(0),
            denials: Mutex::default(),
            lookups_left: limits.lookups.map(AtomicU64::new),
            lookups: Arc::new(Semaphore::new(
                limits.lookups_at_once.min(Semaphore::MAX_PERMITS),
            )),
            lookup_timeout: limits.lookup_timeout,
        }
    }

    /// Share with other runs from which names' servers a response has come.
    pub(crate) fn sharing(self, answered: AnsweredNames) -> Network {
        locked(&self.granted).answers.share(answered);
        self
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
        let question = self.question(&target, name.clone());
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

    /// What the decider is asked about `target`, whose address `name` resolved to.
    fn question(&self, target: &Target, name: Option<Name>) -> Question {
        let granted = locked(&self.granted);
        let address = target.address().map(|address| address.ip());
        let special = address.and_then(|ip| granted.answers.special(ip));
        // A name stands for the addresses that a rule with it would reach, and for no others.
        let stands = |name: &Name| {
            granted.answers.is_pinned(name)
                || address.is_none_or(|ip| granted.policy.reaches(name, ip, &granted.answers))
        };
        let (name, led_by) = match name {
            Some(name) if stands(&name) => (Some(name), None),
            other => (None, other),
        };
        Question {
            run: self.run,
            target: target.clone(),
            name,
            special,
            led_by,
        }
    }

    fn judge(&self, target: &Target) -> Verdict {
        let mut granted = locked(&self.granted);
        let now = Instant::now();
        granted.answers.expire(now);
        if let Target::Connect(_) | Target::UdpSend(_) | Target::UdpReceive(_) = target {
            granted.refresh(now, self.has_decider());
        }
        granted.policy.judge(target, &granted.answers)
    }

    fn decided(&self, target: Target, verdict: Verdict) -> bool {
        let allowed = verdict.is_allowed();
        tracing::debug!(run = %self.run, %target, allowed, "network");
        if let Verdict::Denied { reason, name } = &verdict {
            let mut denials = locked(&self.denials);
            if denials.len() == REMEMBERED_DENIALS {
                denials.pop_front();
            }
            denials.push_back(Refusal {
                target: target.clone(),
                name: name.clone(),
                reason: reason.clone(),
            });
        }
        self.record(|| What::Decision { target, verdict });
        allowed
    }

    /// Record something, if anybody wants it.
    pub(crate) fn record(&self, what: impl FnOnce() -> What) {
        // Held meanwhile, so that nothing comes behind the end.
        if let Some(audit) = &mut *locked(&self.audit) {
            audit.record(what(), Instant::now());
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

    /// What goes through its connections can't be counted, which is told at the end.
    pub(crate) fn counts_no_bytes(&self) {
        self.counts_bytes.store(false, Ordering::Relaxed);
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
        if let Some(audit) = &mut *locked(&self.audit) {
            audit.tell_counts();
        }
        for traffic in totals.into_iter().flatten() {
            self.record(|| What::Traffic(traffic));
        }
        if !self.counts_bytes.load(Ordering::Relaxed) {
            self.record(|| What::NotCounted);
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
    pub(crate) fn redirected(&self, url: &str) -> Result<(), Refusal> {
        self.replace(self.policy.redirected_to(url));
        let (host, port) = match host_of(url) {
            Some((Host::Name(name), _)) => {
                self.hold(name);
                return Ok(());
            }
            Some((Host::Address(ip), port)) => (ip, port),
            None => return Ok(()),
        };
        let address = SocketAddr::new(host, port);
        // Refused here, since not every way to write such an address gets as far as a socket.
        let target = Target::Connect(address);
        let verdict = self.judge(&target);
        match &verdict {
            Verdict::Denied {
                reason: reason @ (DenialReason::NotPublic { .. } | DenialReason::Rule { .. }),
                name,
            } => {
                let refusal = Refusal {
                    target: target.clone(),
                    name: name.clone(),
                    reason: reason.clone(),
                };
                self.decided(target, verdict);
                Err(refusal)
            }
            _ => Ok(()),
        }
    }

    /// A server says that `name` is to be looked up now: one that the user typed reaches no address that
    /// isn't public, and that it didn't have before.
    fn hold(&self, name: Name) {
        if self.policy.is_typed(&name) {
            let mut granted = locked(&self.granted);
            granted.refresh(Instant::now(), self.has_decider());
            granted.answers.hold(name);
        }
    }

    /// A response has come from the server at `from`, which was asked for `url`.
    pub(crate) fn answered(&self, url: &str, from: IpAddr) {
        if !self.policy.has_typed_names() {
            return;
        }
        if let Some((Host::Name(name), _)) = host_of(url)
            && self.policy.is_typed(&name)
        {
            let mut granted = locked(&self.granted);
            granted.answers.settle(&name, from);
        }
    }

    /// Take back what a redirect was granted: nobody follows it any more.
    pub(crate) fn not_redirected(&self) {
        self.replace(self.policy.clone());
    }

    fn replace(&self, policy: Policy) {
        let mut granted = locked(&self.granted);
        granted.answers.release();
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
            let now = Instant::now();
            granted.refresh(now, self.has_decider());
            // What no rule grants the decider has allowed: the lookup alone, as `allow-resolve` does.
            // Connecting to what it answers is asked about once more, with the address.
            let usable = match self.has_decider() && !granted.policy.grants_lookup(name) {
                true => Ok(addresses),
                false => granted.policy.usable(name, addresses, &granted.answers),
            };
            if let Ok(usable) = &usable {
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
    pub(crate) fn denial(&self, reported: &types::Target) -> Option<Refusal> {
        let denials = locked(&self.denials);
        let mut latest = denials.iter().rev();
        let mut found = match reported {
            types::Target::Lookup(name) => {
                let Ok(Host::Name(name)) = name.parse() else {
                    return None;
                };
                latest.find(|denied| denied.target == Target::Resolve(name.clone()))
            }
            types::Target::Connect(address) => {
                let address = SocketAddr::from(*address);
                latest.find(|denied| denied.target == Target::Connect(address))
            }
            types::Target::Listen(address) => {
                let address = SocketAddr::from(*address);
                latest.find(|denied| match &denied.target {
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
        }
        .cloned()?;
        // In the caller's words: `listen` covers the bind, and port 0 is what was asked for.
        if let types::Target::Listen(address) = reported {
            found.target = Target::Listen((*address).into());
        }
        Some(found)
    }
}

fn bit(limit: Limit) -> u32 {
    1 << limit as u32
}

/// The host that a URL names, and the port there.
fn host_of(url: &str) -> Option<(Host, u16)> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str()?.parse().ok()?;
    Some((host, url.port_or_known_default()?))
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
    use crate::audit::AuditEvent;

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
            let found = network.denial(&reported).map(|denied| denied.target);
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

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// One that may fetch these URLs, and follow redirects.
    fn following(urls: &[&str]) -> Network {
        let policy = urls
            .iter()
            .fold(Policy::new(), |policy, url| policy.allow_url(url).unwrap());
        Network::of(policy.allow_redirects())
    }

    #[test]
    fn a_typed_name_does_not_move_inside_once_its_server_has_answered() {
        let url = "http://evil.example/";
        for (first, from) in [
            (&["1.2.3.4"][..], "1.2.3.4"),
            // It was both from the start; but it is the outside that answered.
            (&["127.0.0.1", "1.2.3.4"], "1.2.3.4"),
        ] {
            let network = following(&[url]);
            let evil = name("evil.example");
            let connects = |text| network.allows(Target::Connect(address(text)));
            let first = addresses(first);
            assert_eq!(network.resolved(&evil, first.clone()), Some(first));
            assert!(connects("1.2.3.4:80"));
            network.answered(url, from.parse().unwrap());
            for step in ["http://evil.example:6379/", "http://evil.example/", "again"] {
                match step {
                    // A retry, or the same URL once more: no redirect is followed.
                    "again" => network.not_redirected(),
                    url => network.redirected(url).unwrap(),
                }
                assert!(network.allows(Target::Resolve(evil.clone())), "{step}");
                assert_eq!(network.resolved(&evil, addresses(&["127.0.0.1"])), None);
                for refused in ["127.0.0.1:6379", "127.0.0.1:80"] {
                    assert!(!connects(refused), "{step}: {refused}");
                }
                // It may move among public addresses.
                let told = network.resolved(&evil, addresses(&["127.0.0.1", "5.6.7.8"]));
                assert_eq!(told, Some(addresses(&["5.6.7.8"])), "{step}");
                assert!(connects("5.6.7.8:80"), "{step}");
            }
            let refusal = network.denial(&types::Target::Lookup("evil.example".to_owned()));
            assert_eq!(
                Error::from(refusal.unwrap()).to_string(),
                "not allowed to look up evil.example: once its server has answered, a name that was \
                 typed may move among public addresses only, and evil.example is at 127.0.0.1 now, which \
                 is loopback (127.0.0.0/8) (--allow-private would allow it)"
            );
        }
    }

    #[test]
    fn a_typed_name_stays_where_it_was_before_its_server_answered() {
        let url = "http://inside.example/";
        let network = following(&[url]);
        let inside = name("inside.example");
        let connects = |text: &str| network.allows(Target::Connect(address(text)));
        // No response has come of the first: an attempt that failed.
        network.resolved(&inside, addresses(&["10.0.0.1"])).unwrap();
        network.resolved(&inside, addresses(&["10.0.0.2"])).unwrap();
        network.answered(url, "10.0.0.2".parse().unwrap());
        network.redirected("http://inside.example:81/").unwrap();
        for known in ["10.0.0.1", "10.0.0.2"] {
            network.resolved(&inside, addresses(&[known])).unwrap();
            assert!(connects(&format!("{known}:81")), "{known}");
            assert!(!connects(&format!("{known}:82")), "{known}");
        }
        assert_eq!(network.resolved(&inside, addresses(&["10.0.0.3"])), None);
    }

    #[test]
    fn a_server_makes_no_other_typed_name_mean_the_inside() {
        let urls = ["http://evil.example/", "http://also.evil.example/"];
        let network = following(&urls);
        let (evil, other) = (name("evil.example"), name("also.evil.example"));
        network.resolved(&evil, addresses(&["1.2.3.4"])).unwrap();
        network.answered(urls[0], "1.2.3.4".parse().unwrap());
        network
            .redirected("http://also.evil.example:6379/")
            .unwrap();
        assert_eq!(network.resolved(&other, addresses(&["127.0.0.1"])), None);
        // When it is its turn it is the user who asks for it.
        network.not_redirected();
        network.resolved(&other, addresses(&["127.0.0.1"])).unwrap();
        assert!(network.allows(Target::Connect(address("127.0.0.1:80"))));
        // A redirect there reaches what the user's own request did.
        network.redirected("http://also.evil.example:81/").unwrap();
        network.resolved(&other, addresses(&["127.0.0.1"])).unwrap();
        assert_eq!(network.resolved(&other, addresses(&["127.0.0.2"])), None);
    }

    #[test]
    fn neither_a_redirect_nor_a_name_leads_into_a_network_of_ones_own() {
        let policy = Policy::new()
            .allow_url("http://typed.example/")
            .unwrap()
            .allow_connect_to("named.example:80")
            .unwrap()
            .allow_redirects();
        let network = Network::of(policy);
        let local = crate::policy::LocalNetworks::new()
            .address("1.2.3.4".parse().unwrap())
            .network("[2a00:1::/64]".parse().unwrap());
        // As if it had just been read.
        {
            let mut granted = locked(&network.granted);
            granted.answers.set_local_networks(local);
            granted.local_read = Instant::now().checked_add(Duration::from_secs(3600));
        }
        for host in ["1.2.3.4", "[2a00:1::7]", "[64:ff9b::1.2.3.4]", "16909060"] {
            let refused = network.redirected(&format!("http://{host}:81/"));
            let reason = refused.unwrap_err().reason;
            assert!(matches!(reason, DenialReason::NotPublic { .. }), "{reason}");
        }
        network.redirected("http://1.2.3.5:81/").unwrap();
        network.redirected("http://other.example/").unwrap();
        for own in ["1.2.3.4", "2a00:1::7"] {
            for asked in ["other.example", "named.example"] {
                assert_eq!(
                    network.resolved(&name(asked), addresses(&[own])),
                    None,
                    "{asked}"
                );
            }
            // The user typed this one, and no server has said anything yet.
            let typed = name("typed.example");
            network.resolved(&typed, addresses(&[own])).unwrap();
        }
        let refusal = network.denial(&types::Target::Lookup("named.example".to_owned()));
        assert_eq!(
            Error::from(refusal.unwrap()).to_string(),
            "not allowed to look up named.example: a granted name reaches public addresses only, and \
             named.example is at 2a00:1::7, which is in a network of this machine's own (2a00:1::/64) \
             (--allow-private would allow it)"
        );
    }

    #[tokio::test]
    async fn a_decider_is_given_a_name_only_where_the_name_may_stand_for_the_address() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let decider = {
            let asked = asked.clone();
            // One that knows names, and nothing of addresses.
            move |question: Question| {
                let allowed = question.name.is_some();
                locked(&asked).push(question);
                let reason = "by name".to_owned();
                std::future::ready(match allowed {
                    true => Decision::Allow { reason },
                    false => Decision::Deny { reason },
                })
            }
        };
        let pinned = name("pinned.example");
        let network = Arc::new(Network::new(
            RunId(1),
            Policy::new(),
            &Limits::default(),
            Pins::from([(pinned, addresses(&["10.0.0.9"]))]),
            Some(Arc::new(decider)),
            None,
        ));
        for (of, answer) in [
            (
                "evil.example",
                &["1.2.3.4", "127.0.0.1", "169.254.169.254"][..],
            ),
            ("app.localhost", &["127.0.0.2", "5.6.7.8"]),
        ] {
            let answer = addresses(answer);
            assert_eq!(network.resolved(&name(of), answer.clone()), Some(answer));
        }
        for (to, given, led_by) in [
            ("1.2.3.4:80", Some("evil.example"), None),
            ("127.0.0.1:80", None, Some("evil.example")),
            ("169.254.169.254:80", None, Some("evil.example")),
            ("127.0.0.2:80", Some("app.localhost"), None),
            ("5.6.7.8:80", None, Some("app.localhost")),
            ("10.0.0.9:80", Some("pinned.example"), None),
            ("10.0.0.8:80", None, None),
        ] {
            for target in [Target::Connect(address(to)), Target::UdpSend(address(to))] {
                let allowed = network.ask(target.clone()).await;
                assert_eq!(allowed, given.is_some(), "{target}");
                let question = locked(&asked).pop().unwrap();
                assert_eq!(question.target, target);
                assert_eq!(question.name, given.map(name), "{target}");
                assert_eq!(question.led_by, led_by.map(name), "{target}");
                let special = crate::policy::SpecialPurpose::of(address(to).ip());
                assert_eq!(question.special, special, "{target}");
            }
        }
    }

    #[test]
    fn a_refusal_has_one_text() {
        let texts = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let texts = texts.clone();
            move |event: &AuditEvent| {
                if event.is_denial() {
                    let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
                    let flag = json["flag"].as_str().unwrap().to_owned();
                    locked(&texts).push((event.to_string(), flag));
                }
            }
        };
        let policy = Policy::new().allow_resolve("a.example").unwrap();
        let network = Network::new(
            RunId(1),
            policy,
            &Limits::default(),
            Pins::new(),
            None,
            Some(Arc::new(sink)),
        );
        network
            .resolved(&name("a.example"), addresses(&["1.2.3.4"]))
            .unwrap();
        let wit = |text| types::Target::Connect(address(text).into());
        let listen = |text| types::Target::Listen(address(text).into());
        for (target, reported, flag) in [
            (
                Target::Connect(address("1.2.3.4:80")),
                wit("1.2.3.4:80"),
                "--allow-connect a.example:80",
            ),
            (
                Target::Connect(address("1.2.3.5:80")),
                wit("1.2.3.5:80"),
                "--allow-connect 1.2.3.5:80",
            ),
            (
                Target::Resolve(name("b.example")),
                types::Target::Lookup("B.example.".to_owned()),
                "--allow-resolve b.example",
            ),
            (
                Target::Bind(address("127.0.0.1:0")),
                listen("127.0.0.1:0"),
                "--allow-listen 127.0.0.1:0",
            ),
            // The system's choice, which differs from one run to the next.
            (
                Target::Listen(address("0.0.0.0:40123")),
                listen("0.0.0.0:0"),
                "--allow-listen 0.0.0.0:0",
            ),
        ] {
            assert!(!network.allows(target));
            let error = Error::from(network.denial(&reported).unwrap()).to_string();
            let (line, audited) = locked(&texts).pop().unwrap();
            assert_eq!(audited, flag);
            assert!(error.ends_with(&format!(" ({flag} would)")), "{error}");
            assert!(line.ends_with(&format!(" ({flag} would)")), "{line}");
            if let types::Target::Connect(_) | types::Target::Lookup(_) = reported {
                let told = error.strip_prefix("not allowed to ");
                assert_eq!(told, line.strip_prefix("denied: "));
            }
        }
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
            let refused = network.redirected(url).err().map(|refused| refused.target);
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
