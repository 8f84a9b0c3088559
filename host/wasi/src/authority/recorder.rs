//! Bounds the number of audit events of one run.
//!
//! A component may repeat a request a million times per second, and a refused peer may send as many
//! datagrams. Repeated events are therefore counted, and so are events above a maximum of different ones.
//! Events of the component and events of its peers have separate maximums, so a peer can't displace the
//! component's events.
//!
//! The runs of a server share one recorder, so that the maximums hold for all of them together. An event has the number of
//! the run in which it happened first, and a count has the number of the recorder's own run.

use sockbox_policy::Target;
use sockbox_policy::audit::{AuditEvent, AuditSink, EventKind, RunId};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long repetitions of an event are counted before it is recorded again: 60 seconds.
pub const REPEAT_WINDOW: Duration = Duration::from_secs(60);

/// How many different events of a component, and how many of its peers, are recorded in a
/// [`REPEAT_WINDOW`]: 5,000 each.
///
/// With the counts that follow that is 5 MB a minute at most. A server that accepts up to 80 clients a
/// second has each of them recorded.
pub const MAX_DIFFERENT_EVENTS: usize = 5_000;

/// How many bytes of memory the different events of a component, and those of its peers, may take in a
/// [`REPEAT_WINDOW`]: 8 MiB each. Further events are counted.
///
/// That is room for [`MAX_DIFFERENT_EVENTS`] about addresses and names. The URL of an HTTP request and
/// the text of a decider can be much longer.
pub const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;

/// Where the events of one run are recorded.
pub(crate) struct Recorder {
    run: RunId,
    sink: Arc<dyn AuditSink>,
    /// When the window began, once there was anything.
    since: Option<Instant>,
    component: Side,
    peers: Side,
}

impl Recorder {
    pub(crate) fn new(run: RunId, sink: Arc<dyn AuditSink>) -> Recorder {
        Recorder {
            run,
            sink,
            since: None,
            component: Side::default(),
            peers: Side::default(),
        }
    }

    /// Record something that happened at `now`, or count it.
    pub(crate) fn record(&mut self, run: RunId, what: EventKind, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= REPEAT_WINDOW {
            self.tell_counts();
            self.since = Some(now);
        }
        let side = match &what {
            EventKind::Decision { target, .. } if is_peers(target) => &mut self.peers,
            EventKind::Handled(_) => &mut self.peers,
            EventKind::Decision { .. }
            | EventKind::Resolved { .. }
            | EventKind::LeftToProxy { .. }
            | EventKind::Tunnel(_)
            | EventKind::Limit { .. }
            | EventKind::Http(_)
            | EventKind::HttpRefused(_) => &mut self.component,
            _ => return self.tell(run, what),
        };
        if let Some(what) = side.note(what) {
            self.tell(run, what);
        }
    }

    /// Record the counts so far, and start a new window.
    pub(crate) fn tell_counts(&mut self) {
        let counts = [&mut self.component, &mut self.peers].map(Side::close);
        for what in counts.into_iter().flatten() {
            self.tell(self.run, what);
        }
    }

    fn tell(&self, run: RunId, what: EventKind) {
        self.sink.record(&AuditEvent::now(run, what));
    }
}

/// Whether a peer causes the event, and not the component.
fn is_peers(target: &Target) -> bool {
    matches!(target, Target::Accept(_) | Target::UdpReceive(_))
}

/// The events of one side in a window.
#[derive(Default)]
struct Side {
    /// Recorded events: the position of each, and how often it has happened again.
    seen: HashMap<Kind, (usize, u64)>,
    /// The memory of these events.
    bytes: usize,
    /// Events that were not recorded: the first of each operation and outcome, and their number.
    omitted: Vec<(EventKind, u64)>,
}

impl Side {
    /// Count an event. Returns it if it is to be recorded now.
    fn note(&mut self, what: EventKind) -> Option<EventKind> {
        let kind = Kind(what);
        if let Some((_, again)) = self.seen.get_mut(&kind) {
            *again += 1;
            return None;
        }
        let place = self.seen.len();
        let bytes = self.bytes + kind.0.held_bytes();
        if place < MAX_DIFFERENT_EVENTS && bytes <= MAX_EVENT_BYTES {
            self.bytes = bytes;
            let what = kind.0.clone();
            self.seen.insert(kind, (place, 0));
            return Some(what);
        }
        let Kind(what) = kind;
        match self
            .omitted
            .iter_mut()
            .find(|(like, _)| are_alike(like, &what))
        {
            Some((_, count)) => *count += 1,
            None => self.omitted.push((what, 1)),
        }
        None
    }

    /// The counts, in the order of the first occurrences.
    fn close(&mut self) -> Vec<EventKind> {
        let Side { seen, omitted, .. } = std::mem::take(self);
        let mut again: Vec<_> = seen
            .into_iter()
            .filter(|(_, (_, count))| *count > 0)
            .collect();
        again.sort_by_key(|(_, (place, _))| *place);
        let again = again
            .into_iter()
            .map(|(kind, (_, count))| EventKind::Repeated {
                what: Box::new(kind.0),
                count,
            });
        let omitted = omitted.into_iter().map(|(what, count)| EventKind::Omitted {
            like: Box::new(what),
            count,
        });
        again.chain(omitted).collect()
    }
}

/// Whether two events are the same operation with the same outcome. There are at most some hundred of these: a server
/// chooses the status of a response, so only its first digit counts.
fn are_alike(one: &EventKind, other: &EventKind) -> bool {
    match (one, other) {
        (
            EventKind::Decision { target, verdict },
            EventKind::Decision {
                target: to,
                verdict: outcome,
            },
        ) => target.operation() == to.operation() && verdict.is_allowed() == outcome.is_allowed(),
        (EventKind::Resolved { .. }, EventKind::Resolved { .. })
        | (EventKind::LeftToProxy { .. }, EventKind::LeftToProxy { .. }) => true,
        (EventKind::Tunnel(one), EventKind::Tunnel(other)) => {
            first_digit(one.status) == first_digit(other.status)
                && one.error.is_some() == other.error.is_some()
        }
        (EventKind::Limit { limit, .. }, EventKind::Limit { limit: other, .. }) => limit == other,
        (EventKind::Http(one), EventKind::Http(other)) => {
            first_digit(one.status) == first_digit(other.status) && one.error == other.error
        }
        (EventKind::HttpRefused(one), EventKind::HttpRefused(other)) => one.error == other.error,
        (EventKind::Handled(one), EventKind::Handled(other)) => {
            first_digit(one.status) == first_digit(other.status)
        }
        _ => false,
    }
}

/// The class of a status (RFC 9110 section 15). A peer can choose among many statuses, and among few classes.
fn first_digit(status: Option<u16>) -> Option<u16> {
    status.map(|status| status / 100)
}

/// An event, compared for repetition. A refused peer may use another port for each attempt, so only its
/// address is compared.
struct Kind(EventKind);

impl Kind {
    /// The address of a peer that was refused.
    fn refused_peer(&self) -> Option<IpAddr> {
        match &self.0 {
            EventKind::Decision {
                target: Target::Accept(address) | Target::UdpReceive(address),
                verdict,
            } if !verdict.is_allowed() => Some(address.ip()),
            _ => None,
        }
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Kind) -> bool {
        if let (
            Some(one),
            Some(two),
            EventKind::Decision { target, verdict },
            EventKind::Decision {
                target: to,
                verdict: outcome,
            },
        ) = (self.refused_peer(), other.refused_peer(), &self.0, &other.0)
        {
            return one == two && target.operation() == to.operation() && verdict == outcome;
        }
        self.0 == other.0
    }
}

impl Eq for Kind {}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match (self.refused_peer(), &self.0) {
            (Some(address), _) => address.hash(state),
            (None, EventKind::Decision { target, .. }) => target.hash(state),
            (None, EventKind::Resolved { name, .. } | EventKind::LeftToProxy { name, .. }) => {
                name.hash(state);
            }
            (None, EventKind::Tunnel(tunnel)) => tunnel.hash(state),
            (None, EventKind::Limit { limit, target }) => (limit, target).hash(state),
            (None, EventKind::Http(exchange)) => exchange.request.hash(state),
            (None, EventKind::HttpRefused(refused)) => refused.hash(state),
            // Requests of one connection differ in little but this.
            (None, EventKind::Handled(handled)) => (handled.client, handled.time).hash(state),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockbox_policy::audit::{HttpExchange, HttpRefused};
    use sockbox_policy::{HttpTarget, Limit, Policy, ResolvedNames};
    use std::net::SocketAddr;
    use std::sync::Mutex;

    const RUN: RunId = RunId::new(1);

    type Told = Arc<Mutex<Vec<String>>>;

    fn recorder() -> (Recorder, Told) {
        let told = Told::default();
        let sink = told.clone();
        let sink = move |event: &AuditEvent| sink.lock().unwrap().push(event.to_string());
        (Recorder::new(RUN, Arc::new(sink)), told)
    }

    fn decision(policy: &Policy, target: Target) -> EventKind {
        let verdict = policy.judge(&target, &ResolvedNames::new());
        EventKind::Decision { target, verdict }
    }

    fn denied(target: Target) -> EventKind {
        decision(&Policy::new(), target)
    }

    fn address(n: usize, port: usize) -> SocketAddr {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + u32::try_from(n).unwrap());
        SocketAddr::from((ip, u16::try_from(port % 65_536).unwrap()))
    }

    #[test]
    fn what_happens_again_is_counted_and_told_when_the_window_is_over() {
        let (mut recorder, told) = recorder();
        let start = Instant::now();
        let again = || denied(Target::Connect(address(1, 80)));
        let first = "denied: connect to 10.0.0.1:80: no rule grants it (allow-connect \
                     10.0.0.1:80 would)";
        for _ in 0..1_000_000 {
            recorder.record(RUN, again(), start);
        }
        assert_eq!(*told.lock().unwrap(), [first]);
        recorder.record(RUN, again(), start + REPEAT_WINDOW);
        let counted = format!("repeated 999999 times: {first}");
        let expected = [first.to_owned(), counted, first.to_owned()];
        assert_eq!(*told.lock().unwrap(), expected);
        // It happened once: there is no repetition to record.
        recorder.tell_counts();
        assert_eq!(told.lock().unwrap().len(), 3);
    }

    #[test]
    fn a_refused_peer_is_known_by_its_address_and_an_accepted_one_by_its_port_too() {
        let (mut recorder, told) = recorder();
        let now = Instant::now();
        for port in 1..=1000 {
            recorder.record(RUN, denied(Target::UdpReceive(address(1, port))), now);
            recorder.record(RUN, denied(Target::Accept(address(1, port))), now);
        }
        assert_eq!(told.lock().unwrap().len(), 2);
        for port in 1..=1000 {
            let what = decision(&Policy::everything(), Target::Accept(address(1, port)));
            recorder.record(RUN, what, now);
        }
        assert_eq!(told.lock().unwrap().len(), 1002);
    }

    #[test]
    fn runs_that_share_a_recorder_share_its_counts() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        let sink = move |event: &AuditEvent| sink.lock().unwrap().push(event.run.get());
        let mut recorder = Recorder::new(RUN, Arc::new(sink));
        let now = Instant::now();
        for run in 2..=1000 {
            recorder.record(
                RunId::new(run),
                denied(Target::Connect(address(1, 80))),
                now,
            );
        }
        recorder.record(RunId::new(7), denied(Target::Connect(address(2, 80))), now);
        recorder.tell_counts();
        assert_eq!(*told.lock().unwrap(), [2, 7, 1]);
    }

    #[test]
    fn what_is_decided_otherwise_is_another_event() {
        let (mut recorder, told) = recorder();
        let now = Instant::now();
        let target = || Target::Connect(address(1, 80));
        for _ in 0..2 {
            recorder.record(RUN, denied(target()), now);
            recorder.record(RUN, decision(&Policy::everything(), target()), now);
            recorder.record(
                RUN,
                EventKind::Limit {
                    limit: Limit::Sockets,
                    target: None,
                },
                now,
            );
        }
        assert_eq!(told.lock().unwrap().len(), 3);
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_and_takes_nothing_from_what_the_component_does() {
        for (count, omitted) in [
            (MAX_DIFFERENT_EVENTS, 0),
            (MAX_DIFFERENT_EVENTS + 1, 1),
            (MAX_DIFFERENT_EVENTS + 100_000, 100_000),
        ] {
            let (mut recorder, told) = recorder();
            let now = Instant::now();
            for n in 0..count {
                recorder.record(RUN, denied(Target::UdpReceive(address(n, n))), now);
            }
            assert_eq!(told.lock().unwrap().len(), MAX_DIFFERENT_EVENTS);
            recorder.record(RUN, denied(Target::Connect(address(1, 80))), now);
            assert_eq!(told.lock().unwrap().len(), MAX_DIFFERENT_EVENTS + 1);
            assert!(recorder.peers.seen.len() <= MAX_DIFFERENT_EVENTS);
            recorder.tell_counts();
            let told = told.lock().unwrap();
            let last = &told[MAX_DIFFERENT_EVENTS + 1..];
            if omitted == 0 {
                assert_eq!(last, [""; 0]);
                continue;
            }
            assert_eq!(last.len(), 1);
            let start =
                format!("{omitted} more events were not recorded one by one; the first of them: ");
            assert!(last[0].starts_with(&start), "{last:?}");
        }
    }

    #[test]
    fn the_component_itself_is_bounded_by_operation_and_outcome() {
        let (mut recorder, told) = recorder();
        let now = Instant::now();
        for n in 0..MAX_DIFFERENT_EVENTS + 10 {
            recorder.record(RUN, denied(Target::Connect(address(n, 1))), now);
            recorder.record(RUN, denied(Target::Bind(address(n, 1))), now);
        }
        assert_eq!(told.lock().unwrap().len(), MAX_DIFFERENT_EVENTS);
        recorder.tell_counts();
        assert_eq!(told.lock().unwrap().len(), MAX_DIFFERENT_EVENTS + 2);
    }

    fn request(n: usize) -> HttpTarget {
        let url = format!("http://a.example/{n}-{}", "a".repeat(8000));
        HttpTarget::new("GET".parse().unwrap(), url.parse().unwrap())
    }

    #[test]
    fn long_events_are_bounded_by_their_bytes() {
        let (mut recorder, told) = recorder();
        let now = Instant::now();
        for n in 0..MAX_DIFFERENT_EVENTS {
            recorder.record(RUN, denied(Target::Http(request(n))), now);
        }
        let side = &recorder.component;
        let held: usize = side.seen.keys().map(|kind| kind.0.held_bytes()).sum();
        assert_eq!(held, side.bytes);
        assert!(
            (MAX_EVENT_BYTES - 10_000..=MAX_EVENT_BYTES).contains(&held),
            "{held}"
        );
        let recorded = told.lock().unwrap().len();
        assert_eq!(recorded, side.seen.len());
        // The same events again are counted, and take no memory.
        recorder.record(RUN, denied(Target::Http(request(0))), now);
        assert_eq!(recorder.component.seen.len(), recorded);
        recorder.tell_counts();
        let told = told.lock().unwrap();
        assert_eq!(told.len(), recorded + 2);
        assert!(told[recorded].starts_with("repeated 1 time: denied: send GET "));
        let omitted = MAX_DIFFERENT_EVENTS - recorded;
        let start = format!("{omitted} more events were not recorded one by one; ");
        assert!(told[recorded + 1].starts_with(&start));
    }

    #[test]
    fn a_server_does_not_choose_how_many_kinds_are_kept() {
        let (mut recorder, _) = recorder();
        let now = Instant::now();
        recorder.component.bytes = MAX_EVENT_BYTES;
        recorder.record(RUN, denied(Target::Http(request(1))), now);
        for status in 100..1000 {
            let mut exchange = HttpExchange::new(request(1));
            exchange.status = Some(status);
            recorder.record(RUN, EventKind::Http(exchange), now);
        }
        for path in ["/%00", "/%zz"] {
            let error = "HTTP-request-URI-invalid";
            let refused = HttpRefused::new("GET", "http", "a.example", path, error);
            recorder.record(RUN, EventKind::HttpRefused(refused), now);
        }
        // One kind for the denial, 9 for the statuses, one for the refused URLs.
        let counts: Vec<u64> = recorder.component.omitted.iter().map(|it| it.1).collect();
        let expected = [1, 100, 100, 100, 100, 100, 100, 100, 100, 100, 2];
        assert_eq!(counts, expected);
    }

    #[test]
    fn events_about_addresses_and_names_are_bounded_by_their_number_alone() {
        let (mut recorder, told) = recorder();
        let now = Instant::now();
        let label = "a".repeat(60);
        for n in 0..MAX_DIFFERENT_EVENTS {
            let name = format!("{label}.{label}.{label}.{n}.example");
            recorder.record(RUN, denied(Target::Resolve(name.parse().unwrap())), now);
        }
        assert_eq!(told.lock().unwrap().len(), MAX_DIFFERENT_EVENTS);
    }
}
