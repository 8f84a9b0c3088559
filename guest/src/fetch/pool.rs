//! Connections that wait to be used again.

use super::connect::{Family, Pin};
use super::trace::Trace;
use crate::net::{Instant, Stream, TryRead};
use crate::url::{Host, Target};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// The most connections that wait. Each is a socket, and few pages come from more hosts than this.
const MAX_IDLE: usize = 8;

/// The longest that one waits. Most servers close theirs after 5 to 75 seconds, and a request that
/// meets one just then has to be sent twice.
const MAX_AGE: Duration = Duration::from_secs(60);

/// What a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub host: Host<String>,
    pub port: u16,
    /// Whether there is TLS on it.
    pub secure: bool,
}

impl From<&Target> for Origin {
    fn from(target: &Target) -> Self {
        Self {
            host: target.host.clone(),
            port: target.port,
            secure: target.secure,
        }
    }
}

/// How a connection came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub origin: Origin,
    /// Whether the address was pinned rather than looked up.
    pub pinned: bool,
}

/// Connections that wait to be used again, the newest last.
pub struct Pool<S>(Rc<RefCell<VecDeque<Idle<S>>>>);

struct Idle<S> {
    stream: Rc<S>,
    route: Route,
    since: Instant,
}

impl<S> Clone for Pool<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Default for Pool<S> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<S: Stream> Pool<S> {
    /// Keeps a connection on which nothing is under way.
    pub fn put(&self, stream: Rc<S>, route: Route, now: Instant) {
        let mut idle = self.0.borrow_mut();
        expire(&mut idle, now);
        if idle.len() >= MAX_IDLE {
            idle.pop_front();
        }
        idle.push_back(Idle {
            stream,
            route,
            since: now,
        });
    }

    /// Takes the newest connection to `origin` that the peer has left open and silent.
    ///
    /// One that leads to an address which a new connection could not lead to isn't used.
    pub fn take(
        &self,
        origin: &Origin,
        pins: &[Pin],
        family: Option<Family>,
        now: Instant,
        trace: &Trace,
    ) -> Option<(Rc<S>, Route)> {
        let mut all = self.0.borrow_mut();
        expire(&mut all, now);
        let pinned = Pin::addresses(pins, origin);
        let suits = |idle: &Idle<S>| {
            let ip = idle.stream.remote_addr().ip();
            idle.route.origin == *origin
                && family.is_none_or(|family| family.has(ip))
                && match &pinned {
                    Some(addresses) => addresses.contains(&ip),
                    None => !idle.route.pinned,
                }
        };
        while let Some(index) = all.iter().rposition(suits) {
            let Idle { stream, route, .. } = all.remove(index)?;
            let why = match stream.try_read(1) {
                Ok(TryRead::Nothing) => return Some((stream, route)),
                Ok(TryRead::End) => "the server has closed it",
                Ok(TryRead::Data(_)) => "the server sent something unasked",
                Err(_) => "it broke",
            };
            let remote = stream.remote_addr();
            trace.fact(format_args!(
                "the connection to {remote} can't be used again: {why}"
            ));
        }
        None
    }
}

/// The older ones come first.
fn expire<S>(idle: &mut VecDeque<Idle<S>>, now: Instant) {
    while idle
        .front()
        .is_some_and(|first| now.since(first.since) >= MAX_AGE)
    {
        idle.pop_front();
    }
}
