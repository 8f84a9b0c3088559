//! One run's authority: the only place that decides what the run may do.
//!
//! | file | what it has |
//! |---|---|
//! | `mod` | the question and its answer: [`Authority::ask`] |
//! | `decider` | asking the embedder what no rule decides |
//! | `at_proxy` | a name that a proxy resolves, and the address that stands for it |
//! | `resolved` | what names resolved to in this run, and which of it the component may be told |
//! | `redirects` | what following a redirect is granted, and what a server can't make a name mean |
//! | `http` | where a request that is allowed may be sent |
//! | `quotas` | limits that are reached and left, and lookups that are left |
//! | `incidents` | what went wrong, for errors and hints |
//! | `recorder`, `traffic` | the audit record: decisions, and what was exchanged with which target |

mod at_proxy;
mod decider;
mod http;
mod incidents;
mod quotas;
mod recorder;
mod redirects;
mod resolved;
mod traffic;

#[cfg(test)]
mod tests;

pub use decider::{Decider, Decision, Question};
pub use incidents::{Incident, Incidents, Mark, Refusal};
pub use recorder::{MAX_DIFFERENT_EVENTS, MAX_EVENT_BYTES, REPEAT_WINDOW};
pub use traffic::ConnectionTraffic;
pub(crate) use traffic::{Account, Open};

use crate::grant::{Grant, StaticHosts};
use crate::replacement::Replacement;
use at_proxy::AtProxy;
use quotas::Quotas;
use recorder::Recorder;
use resolved::Granted;
use sockbox_policy::audit::{AuditSink, EventKind, HandledRequest, RunId};
use sockbox_policy::{DenialReason, GrantedBy, Name, Target, Verdict, is_unbound};
use std::future::{Future, poll_fn, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use traffic::Accounts;
use wasmtime_wasi::sockets::SocketAddrUse;

/// Decides what a run may do with the network, and records what it decided.
pub struct Authority {
    run: RunId,
    granted: Mutex<Granted>,
    static_hosts: StaticHosts,
    decider: Option<Arc<dyn Decider>>,
    record: Record,
    /// Whether the end of this run is the end of the record.
    ends_record: bool,
    incidents: Mutex<Incidents>,
    /// The name that a proxy resolves at present.
    at_proxy: Mutex<Option<AtProxy>>,
    pub(crate) quotas: Quotas,
}

/// Where a run is recorded. Runs of one server share it.
#[derive(Clone)]
struct Record {
    /// None where there is no audit, and once the run that it belongs to is over.
    audit: Arc<Mutex<Option<Recorder>>>,
    accounts: Option<Arc<Mutex<Accounts>>>,
}

impl Record {
    fn new(run: RunId, sink: Option<Arc<dyn AuditSink>>) -> Record {
        Record {
            accounts: sink.is_some().then(Arc::default),
            audit: Arc::new(Mutex::new(sink.map(|sink| Recorder::new(run, sink)))),
        }
    }
}

impl Authority {
    /// The authority of the run with this number, which is given what `grant` says.
    pub fn new(run: RunId, grant: &Grant) -> Authority {
        Authority::recorded(run, grant, Record::new(run, grant.audit.clone()), true)
    }

    /// The authority of a run that is part of this one's, such as that of a request to a server. It decides for itself,
    /// and its events and its traffic are in the record of this run. It is over before this run is.
    #[must_use]
    pub fn part(&self, run: RunId, grant: &Grant) -> Authority {
        Authority::recorded(run, grant, self.record.clone(), false)
    }

    fn recorded(run: RunId, grant: &Grant, record: Record, ends_record: bool) -> Authority {
        Authority {
            run,
            granted: Mutex::new(Granted::new(grant)),
            static_hosts: grant.static_hosts.clone(),
            decider: grant.decider.clone(),
            record,
            ends_record,
            incidents: Mutex::default(),
            at_proxy: Mutex::default(),
            quotas: Quotas::new(&grant.limits),
        }
    }

    /// What is granted now.
    fn granted(&self) -> MutexGuard<'_, Granted> {
        let mut granted = locked(&self.granted);
        granted.update();
        granted
    }

    /// How a new policy comes, as if none had come yet. None: the policy can't be replaced.
    pub(crate) fn replacement(&self) -> Option<Replacement> {
        let mut replacement = locked(&self.granted).replacement.clone()?;
        if replacement.borrow().is_some() {
            replacement.mark_changed();
        }
        Some(replacement)
    }

    /// Whether the policy can be replaced.
    pub(crate) fn is_replaceable(&self) -> bool {
        locked(&self.granted).replacement.is_some()
    }

    /// The run that this authority belongs to.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Ask the policy, and record what it says.
    pub fn allows(&self, target: Target) -> bool {
        let verdict = self.judge(&target);
        self.decided(target, verdict)
    }

    /// Ask the policy, and then the decider, if there is one and no rule decides. The verdict is
    /// recorded.
    ///
    /// A verdict that is known at once needs no task.
    pub fn ask(
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
        // No task: see `Lookup`. The mutex makes a future that need not be Sync a part of one that is.
        let answer = Mutex::new(decider.decide(question));
        let authority = self.clone();
        Box::pin(async move {
            let verdict = match poll_fn(|cx| locked(&answer).as_mut().poll(cx)).await {
                Decision::Allow { reason } => Verdict::Allowed {
                    by: GrantedBy::Decider { reason },
                    name,
                },
                Decision::Deny { reason } => Verdict::Denied {
                    reason: DenialReason::Decider { reason },
                    name,
                },
            };
            authority.decided(target, verdict)
        })
    }

    /// Whether there is a decider.
    pub fn has_decider(&self) -> bool {
        self.decider.is_some()
    }

    /// What the decider is asked about `target`, whose address `name` resolved to.
    fn question(&self, target: &Target, name: Option<Name>) -> Question {
        let granted = self.granted();
        let address = target.address().map(|address| address.ip());
        let special = address.and_then(|ip| granted.names.special(ip));
        // A name counts only for the addresses that a rule with it would reach.
        let stands = |name: &Name| {
            (granted.names.is_static(name) && !granted.policy.denies_lookup(name))
                || address.is_none_or(|ip| granted.policy.reaches(name, ip, &granted.names))
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

    /// Ask whether something may be done inside the run's own loopback, and record the answer. None: it is not a
    /// matter of that loopback.
    pub(crate) fn allows_private(&self, target: Target) -> Option<bool> {
        let verdict = self.granted().policy.judge_private(&target)?;
        Some(self.decided(target, verdict))
    }

    /// Whether a rule may grant connecting to `address`, which is a loopback address.
    pub(crate) fn may_reach_loopback(&self, address: SocketAddr) -> bool {
        self.granted().policy.may_reach_loopback(address)
    }

    /// Whether a rule may grant sending datagrams to `address`, which is a loopback address.
    pub(crate) fn may_send_to_loopback(&self, address: SocketAddr) -> bool {
        self.granted().policy.may_send_to_loopback(address)
    }

    /// Record that no rule grants `target`, which was found out in another way than by asking.
    pub(crate) fn refuse(&self, target: Target) {
        let verdict = Verdict::Denied {
            reason: DenialReason::NoRule,
            name: None,
        };
        self.decided(target, verdict);
    }

    fn judge(&self, target: &Target) -> Verdict {
        let mut granted = self.granted();
        let now = Instant::now();
        granted.names.expire(now);
        if let Target::Connect(_) | Target::UdpSend(_) | Target::UdpReceive(_) | Target::Http(_) =
            target
        {
            granted.refresh(now, self.has_decider());
        }
        granted.policy.judge(target, &granted.names)
    }

    fn decided(&self, target: Target, verdict: Verdict) -> bool {
        let allowed = verdict.is_allowed();
        tracing::debug!(run = %self.run, %target, allowed, "decision");
        if let Verdict::Denied { reason, name } = &verdict {
            self.note(Incident::Denied(Refusal {
                target: target.clone(),
                name: name.clone(),
                reason: reason.clone(),
            }));
        }
        self.record(|| EventKind::Decision { target, verdict });
        allowed
    }

    /// Whether a component may use an address in this way.
    pub fn allows_address(&self, address: SocketAddr, use_: SocketAddrUse) -> bool {
        target(address, use_).is_none_or(|target| self.allows(target))
    }

    /// As [`Authority::allows_address`], but also asks the decider, if there is one.
    pub fn ask_address(
        self: &Arc<Self>,
        address: SocketAddr,
        use_: SocketAddrUse,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + Sync>> {
        match target(address, use_) {
            None => Box::pin(ready(true)),
            Some(target) => self.ask(target),
        }
    }

    /// Record an event, if there is an audit sink.
    pub(crate) fn record(&self, what: impl FnOnce() -> EventKind) {
        // The lock is held while recording, so that no event follows `Ended`.
        if let Some(audit) = &mut *locked(&self.record.audit) {
            audit.record(self.run, what(), Instant::now());
        }
    }

    /// Record that a request of an HTTP client, which the run with this number has handled, has ended. That run is this
    /// one, or a [part](Authority::part) of it.
    pub fn handled(&self, run: RunId, request: impl FnOnce() -> HandledRequest) {
        if let Some(audit) = &mut *locked(&self.record.audit) {
            audit.record(run, EventKind::Handled(request()), Instant::now());
        }
    }

    /// The traffic account of a target, if there is an audit sink.
    pub(crate) fn account(&self, target: Target) -> Option<Arc<Account>> {
        let accounts = self.record.accounts.as_ref()?;
        let name = match &target {
            Target::Connect(address) | Target::UdpSend(address) => self.name_of(address.ip()),
            _ => None,
        };
        Some(locked(accounts).of(target, name))
    }

    /// Count the traffic of a connection that a client has opened to `listen`. None: there is no audit sink.
    pub fn open_connection(&self, listen: SocketAddr) -> Option<ConnectionTraffic> {
        let account = self.account(Target::Listen(listen))?;
        Some(ConnectionTraffic::new(account))
    }

    /// Whether traffic accounts are kept.
    pub(crate) fn keeps_accounts(&self) -> bool {
        self.record.accounts.is_some()
    }

    /// The run is over: record what it came to. Later events are not recorded. Dropping a [`SockboxCtx`](crate::SockboxCtx)
    /// does this for its own run.
    pub fn end(&self) {
        if !self.ends_record {
            return;
        }
        let totals = self
            .record
            .accounts
            .as_ref()
            .map(|accounts| locked(accounts).close());
        if let Some(audit) = &mut *locked(&self.record.audit) {
            audit.tell_counts();
        }
        for traffic in totals.into_iter().flatten() {
            self.record(|| EventKind::Traffic(traffic));
        }
        self.record(|| EventKind::Ended);
        *locked(&self.record.audit) = None;
    }
}

/// The target that a use of an address is judged as. None: it needs no grant.
fn target(address: SocketAddr, use_: SocketAddrUse) -> Option<Target> {
    Some(match use_ {
        // wasmtime-wasi asks this before an unbound socket connects, and when a component binds to
        // the unspecified address and port 0. Neither opens anything: connecting and listening are
        // judged separately, with the actual address.
        SocketAddrUse::TcpBind if is_unbound(address) => return None,
        SocketAddrUse::TcpConnect => Target::Connect(address),
        SocketAddrUse::TcpBind => Target::Bind(address),
        SocketAddrUse::TcpListen => Target::Listen(address),
        SocketAddrUse::TcpAccept => Target::Accept(address),
        SocketAddrUse::UdpBind => Target::UdpBind(address),
        SocketAddrUse::UdpSend => Target::UdpSend(address),
        SocketAddrUse::UdpReceive => Target::UdpReceive(address),
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The value is consistent at every moment, so a panic while the lock was held did no harm.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
