//! The pool of idle connections.

use super::address::{Family, StaticHost};
use super::origin::Origin;
use super::trace::Trace;
use crate::net::{Instant, Stream, TryRead};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// The most idle connections. Each holds a socket, and few programs fetch from more hosts than
/// this.
const MAX_IDLE: usize = 8;

/// The longest time that a connection stays idle. Most servers close idle connections after 5 to 75
/// seconds, and a request that meets the closure has to be sent twice.
const MAX_AGE: Duration = Duration::from_secs(60);

/// How a connection was established.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub origin: Origin,
    /// Whether the address is that of a static host, and not one that was resolved.
    pub from_static_host: bool,
}

/// Idle connections, the newest last.
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
    /// Adds a connection on which no exchange is under way.
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

    /// Takes the newest connection to `origin` that the peer has left open and on which it has sent
    /// nothing.
    ///
    /// A connection to an address that a new connection could not use is skipped.
    pub fn take(
        &self,
        origin: &Origin,
        static_hosts: &[StaticHost],
        family: Option<Family>,
        now: Instant,
        trace: &Trace,
    ) -> Option<(Rc<S>, Route)> {
        let mut all = self.0.borrow_mut();
        expire(&mut all, now);
        let from_static_host = StaticHost::addresses(static_hosts, origin);
        let suits = |idle: &Idle<S>| {
            let ip = idle.stream.remote_addr().ip();
            idle.route.origin == *origin
                && family.is_none_or(|family| family.has(ip))
                && match &from_static_host {
                    Some(addresses) => addresses.contains(&ip),
                    None => !idle.route.from_static_host,
                }
        };
        while let Some(index) = all.iter().rposition(suits) {
            let Idle { stream, route, .. } = all.remove(index)?;
            let why = match stream.try_read(1) {
                Ok(TryRead::Nothing) => return Some((stream, route)),
                Ok(TryRead::End) => "the server has closed it",
                Ok(TryRead::Data(_)) => "the server sent bytes without a request",
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

/// Drops the connections that are too old. The oldest come first.
fn expire<S>(idle: &mut VecDeque<Idle<S>>, now: Instant) {
    while idle
        .front()
        .is_some_and(|first| now.since(first.since) >= MAX_AGE)
    {
        idle.pop_front();
    }
}
