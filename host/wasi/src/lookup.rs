//! `wasi:sockets/ip-name-lookup` with a policy and a timeout. It remembers the answers.

use crate::authority::Authority;
use crate::bindings::ip_name_lookup;
use crate::local_networks::local_networks;
use sockbox_policy::Limit;
use sockbox_policy::{Host, Name, Target};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::vec;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network as NetworkHandle, Pollable, subscribe};

/// What the interface needs of a store.
pub(crate) struct LookupView<'a> {
    pub(crate) authority: &'a Arc<Authority>,
    pub(crate) table: &'a mut ResourceTable,
}

/// Tells the linker of [`LookupView`].
pub(crate) struct HasLookup;

impl HasData for HasLookup {
    type Data<'a> = LookupView<'a>;
}

/// A lookup, and then its answer: the host's side of `resolve-address-stream`.
///
/// It is polled by the component's calls and has no task of its own. A task that is aborted stays in the runtime's
/// queue until the runtime has a turn, and a component that never waits leaves it none: it could fill the memory
/// with lookups that it drops.
///
/// If it is dropped early, only a thread remains, which waits for the system's resolver. The resolver can't be
/// interrupted; the number of these threads is bounded.
pub struct Lookup(State);

enum State {
    UnderWay(Pin<Box<dyn Future<Output = Answer> + Send>>),
    Done(Result<vec::IntoIter<IpAddr>, ErrorCode>),
}

type Answer = Result<Vec<IpAddr>, ErrorCode>;

impl Lookup {
    fn done(answer: Answer) -> Lookup {
        Lookup(State::Done(answer.map(Vec::into_iter)))
    }

    /// Begin it, without waiting for the component to ask for the answer.
    fn begin(answer: impl Future<Output = Answer> + Send + 'static) -> Lookup {
        let mut lookup = Lookup(State::UnderWay(Box::pin(answer)));
        let _ = lookup.poll(&mut Context::from_waker(Waker::noop()));
        lookup
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<&mut Result<vec::IntoIter<IpAddr>, ErrorCode>> {
        if let State::UnderWay(answer) = &mut self.0 {
            match answer.as_mut().poll(cx) {
                Poll::Ready(answer) => *self = Lookup::done(answer),
                Poll::Pending => return Poll::Pending,
            }
        }
        match &mut self.0 {
            State::Done(answer) => Poll::Ready(answer),
            State::UnderWay(_) => Poll::Pending,
        }
    }
}

#[async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        poll_fn(|cx| self.poll(cx).map(|_| ())).await;
    }
}

impl ip_name_lookup::Host for LookupView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<NetworkHandle>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<Lookup>, ErrorCode>> {
        // Owning the handle is the permission to resolve names.
        self.table.get(&network)?;
        let lookup = match name.parse() {
            Err(_) => return Ok(Err(ErrorCode::InvalidArgument)),
            // Returning an address literal reveals nothing and needs no resolver. Using the address
            // is judged later.
            Ok(Host::Address(address)) => Lookup::done(Ok(vec![address])),
            Ok(Host::Name(name)) => {
                let authority = self.authority.clone();
                let target = Target::Resolve(name.clone());
                // A denial by rules is returned at once, as components expect.
                let by_rules = !authority.has_decider();
                if by_rules && !authority.allows(target.clone()) {
                    return Ok(Err(ErrorCode::AccessDenied));
                }
                Lookup::begin(async move {
                    if !by_rules && !authority.ask(target).await {
                        return Err(ErrorCode::AccessDenied);
                    }
                    answer(&authority, &name).await
                })
            }
        };
        Ok(Ok(self.table.push(lookup)?))
    }
}

impl ip_name_lookup::HostResolveAddressStream for LookupView<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<Lookup>,
    ) -> wasmtime::Result<Result<Option<IpAddress>, ErrorCode>> {
        let lookup = self.table.get_mut(&stream)?;
        Ok(match lookup.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Err(ErrorCode::WouldBlock),
            Poll::Ready(Ok(addresses)) => Ok(addresses.next().map(IpAddress::from)),
            Poll::Ready(Err(error)) => Err(*error),
        })
    }

    fn subscribe(&mut self, stream: Resource<Lookup>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: Resource<Lookup>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

/// The answer to the component for `name`, whose lookup was allowed.
pub(crate) async fn answer(authority: &Authority, name: &Name) -> Answer {
    if let Some(addresses) = authority.static_addresses(name) {
        return Ok(addresses.to_vec());
    }
    if let Some(placeholder) = authority.placeholder_of(name) {
        return Ok(vec![placeholder]);
    }
    let addresses = look_up(authority, name).await.map_err(Unresolved::code)?;
    authority
        .resolved(name, addresses)
        .ok_or(ErrorCode::AccessDenied)
}

/// The addresses of `localhost` and every name below it: this machine's loopback addresses, without asking
/// a resolver (RFC 6761 section 6.3). The IPv4 address comes first, because most servers listen there and
/// some programs try only the first address. The IPv6 address follows, if the machine has one.
fn loopback() -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
    let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
    if local_networks().has_address(v6) {
        addresses.push(v6);
    }
    addresses
}

/// Why a lookup has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// The resolver did not answer in time.
    TimedOut,
    /// The lookup failed with this code.
    Failed(ErrorCode),
}

impl Unresolved {
    /// The error code that a component gets.
    pub(crate) fn code(self) -> ErrorCode {
        match self {
            Unresolved::TimedOut => ErrorCode::TemporaryResolverFailure,
            Unresolved::Failed(code) => code,
        }
    }
}

/// Count a lookup of the component, and [resolve] the name.
pub(crate) async fn look_up(authority: &Authority, name: &Name) -> Result<Vec<IpAddr>, Unresolved> {
    if !authority.counts_lookup() {
        authority.reached(Limit::Resolutions, Some(Target::Resolve(name.clone())));
        return Err(Unresolved::Failed(ErrorCode::TemporaryResolverFailure));
    }
    resolve(authority, name).await
}

/// Ask the system's resolver; but not about `localhost`.
pub(crate) async fn resolve(authority: &Authority, name: &Name) -> Result<Vec<IpAddr>, Unresolved> {
    let question = (name.as_str().to_owned(), 0);
    let is_localhost = name.is_localhost();
    let reached = |limit| authority.reached(limit, Some(Target::Resolve(name.clone())));
    let asked = async {
        let turns = authority.quotas.lookups.clone();
        let turn = match turns.clone().try_acquire_owned() {
            Ok(turn) => {
                authority.has_room(Limit::ResolutionsAtOnce);
                turn
            }
            Err(_) => {
                reached(Limit::ResolutionsAtOnce);
                turns.acquire_owned().await.map_err(io::Error::other)?
            }
        };
        tokio::task::spawn_blocking(move || {
            // The thread holds the permit, not the waiting task, because the threads are counted.
            let _turn = turn;
            if is_localhost {
                return Ok(loopback());
            }
            let addresses = question.to_socket_addrs()?;
            Ok(addresses.map(|it| it.ip().to_canonical()).collect())
        })
        .await
        .map_err(io::Error::other)?
    };
    match tokio::time::timeout(authority.quotas.resolve_timeout, asked).await {
        Err(_) => {
            reached(Limit::ResolveTimeout);
            Err(Unresolved::TimedOut)
        }
        Ok(Err(error)) => Err(Unresolved::Failed(classify(&error))),
        Ok(Ok(addresses)) if addresses.is_empty() => {
            Err(Unresolved::Failed(ErrorCode::NameUnresolvable))
        }
        Ok(Ok(addresses)) => {
            authority.has_room(Limit::ResolveTimeout);
            Ok(addresses)
        }
    }
}

/// What a failed lookup means.
///
/// The standard library keeps no code of `getaddrinfo`'s, only the text that the C library has for
/// it. Texts that aren't known here mean the usual: there is no such name.
fn classify(error: &io::Error) -> ErrorCode {
    let text = error.to_string();
    let says = |known: &[&str]| known.iter().any(|known| text.contains(known));
    if says(&["Temporary failure", "Try again", "temporarily"]) {
        ErrorCode::TemporaryResolverFailure
    } else if says(&["Non-recoverable", "Unrecoverable", "non-recoverable"]) {
        ErrorCode::PermanentResolverFailure
    } else if error.raw_os_error().is_some() {
        // A failure of the machine (no memory, no descriptors), not of the name.
        ErrorCode::from(error)
    } else {
        ErrorCode::NameUnresolvable
    }
}

#[cfg(test)]
mod tests;
