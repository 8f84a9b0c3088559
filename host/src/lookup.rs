//! `wasi:sockets/ip-name-lookup` with a policy, a timeout and a memory.

use crate::bindings::ip_name_lookup;
use crate::limits::Limit;
use crate::network::Network;
use crate::policy::{Host, LocalNetworks, Name, Target};
use std::future::poll_fn;
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
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

/// What the interface needs of a store.
pub(crate) struct LookupView<'a> {
    pub(crate) network: &'a Arc<Network>,
    pub(crate) table: &'a mut ResourceTable,
}

/// Tells the linker of [`LookupView`].
pub(crate) struct HasLookup;

impl HasData for HasLookup {
    type Data<'a> = LookupView<'a>;
}

/// A lookup, and then its answer: the host's side of `resolve-address-stream`.
///
/// Dropped while it is under way, nobody waits for it any more. The system's resolver can't be
/// interrupted, so its thread stays busy until it has an answer; how many there are is bounded.
pub struct Lookup(State);

enum State {
    UnderWay(AbortOnDropJoinHandle<Answer>),
    Done(Result<vec::IntoIter<IpAddr>, ErrorCode>),
}

type Answer = Result<Vec<IpAddr>, ErrorCode>;

impl Lookup {
    fn done(answer: Answer) -> Lookup {
        Lookup(State::Done(answer.map(Vec::into_iter)))
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<&mut Result<vec::IntoIter<IpAddr>, ErrorCode>> {
        if let State::UnderWay(task) = &mut self.0 {
            match Pin::new(task).poll(cx) {
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
        // The handle stands for the permission to ask at all.
        self.table.get(&network)?;
        let lookup = match name.parse() {
            Err(_) => return Ok(Err(ErrorCode::InvalidArgument)),
            // To repeat an address reveals nothing and asks nobody; using it is asked about later.
            Ok(Host::Address(address)) => Lookup::done(Ok(vec![address])),
            Ok(Host::Name(name)) => {
                let network = self.network.clone();
                let target = Target::Resolve(name.clone());
                // Refused right here where that can be, which is what a component expects.
                let by_rules = !network.has_decider();
                if by_rules && !network.allows(target.clone()) {
                    return Ok(Err(ErrorCode::AccessDenied));
                }
                Lookup(State::UnderWay(spawn(async move {
                    if !by_rules && !network.ask(target).await {
                        return Err(ErrorCode::AccessDenied);
                    }
                    answer(&network, &name).await
                })))
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

/// What a component is told of `name`, whose lookup was allowed.
async fn answer(network: &Network, name: &Name) -> Answer {
    if let Some(addresses) = network.pinned(name) {
        return Ok(addresses.to_vec());
    }
    let addresses = look_up(network, name).await?;
    network
        .resolved(name, addresses)
        .ok_or(ErrorCode::AccessDenied)
}

/// What `localhost` and every name below it means, which is for no resolver to say (RFC 6761 section 6.3):
/// this machine's loopback addresses. The one of IPv4 comes first, since that is where most servers listen
/// and some programs try the first address only; the one of IPv6 follows, where there is one.
fn loopback() -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
    let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
    if LocalNetworks::current().has_address(v6) {
        addresses.push(v6);
    }
    addresses
}

/// Ask the system's resolver; but not about `localhost`.
async fn look_up(network: &Network, name: &Name) -> Answer {
    let question = (name.as_str().to_owned(), 0);
    let is_localhost = name.is_localhost();
    let reached = |limit| network.reached(limit, Some(Target::Resolve(name.clone())));
    if !network.counts_lookup() {
        reached(Limit::Lookups);
        return Err(ErrorCode::TemporaryResolverFailure);
    }
    let asked = async {
        let turns = network.lookups.clone();
        let turn = match turns.clone().try_acquire_owned() {
            Ok(turn) => {
                network.has_room(Limit::LookupsAtOnce);
                turn
            }
            Err(_) => {
                reached(Limit::LookupsAtOnce);
                turns.acquire_owned().await.map_err(io::Error::other)?
            }
        };
        tokio::task::spawn_blocking(move || {
            // Kept by the thread, not by whoever waits for it: it is the threads that are counted.
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
    match tokio::time::timeout(network.lookup_timeout, asked).await {
        Err(_) => {
            reached(Limit::LookupTimeout);
            Err(ErrorCode::TemporaryResolverFailure)
        }
        Ok(Err(error)) => Err(classify(&error)),
        Ok(Ok(addresses)) if addresses.is_empty() => Err(ErrorCode::NameUnresolvable),
        Ok(Ok(addresses)) => {
            network.has_room(Limit::LookupTimeout);
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
        // The machine's trouble (no memory, no descriptors) rather than the name's.
        ErrorCode::from(error)
    } else {
        ErrorCode::NameUnresolvable
    }
}

#[cfg(test)]
mod tests {
    use super::ip_name_lookup::{Host as _, HostResolveAddressStream as _};
    use super::*;
    use crate::audit::RunId;
    use crate::bindings::types;
    use crate::limits::Limits;
    use crate::network::Pins;
    use crate::policy::Policy;
    use std::net::SocketAddr;
    use std::time::Duration;

    /// Look `name` up as a component does, and give what it would get.
    async fn ask(policy: Policy, limits: &Limits, name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
        ask_of(&network(policy, limits), name).await
    }

    fn network(policy: Policy, limits: &Limits) -> Arc<Network> {
        Arc::new(Network::new(
            RunId(1),
            policy,
            limits,
            Pins::new(),
            None,
            None,
        ))
    }

    async fn ask_of(network: &Arc<Network>, name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
        let mut table = ResourceTable::new();
        // wasmtime-wasi's handle can only be had from its own implementation.
        let mut wasi = wasmtime_wasi::WasiCtxBuilder::new().build();
        let handle = {
            use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
            use wasmtime_wasi::sockets::WasiSocketsView as _;
            struct View<'a>(&'a mut wasmtime_wasi::WasiCtx, &'a mut ResourceTable);
            impl wasmtime_wasi::WasiView for View<'_> {
                fn ctx(&mut self) -> wasmtime_wasi::WasiCtxView<'_> {
                    wasmtime_wasi::WasiCtxView {
                        ctx: self.0,
                        table: self.1,
                    }
                }
            }
            let mut view = View(&mut wasi, &mut table);
            view.sockets().instance_network().unwrap()
        };
        let mut view = LookupView {
            network,
            table: &mut table,
        };
        let stream = view.resolve_addresses(handle, name.to_owned()).unwrap()?;
        let rep = stream.rep();
        view.table.get_mut(&stream).unwrap().ready().await;
        let mut found = Vec::new();
        loop {
            let next = view.resolve_next_address(Resource::new_borrow(rep));
            match next.unwrap()? {
                Some(IpAddress::Ipv4((a, b, c, d))) => found.push(IpAddr::from([a, b, c, d])),
                Some(IpAddress::Ipv6((a, b, c, d, e, f, g, h))) => {
                    found.push(IpAddr::from([a, b, c, d, e, f, g, h]));
                }
                None => break,
            }
        }
        view.drop(stream).unwrap();
        Ok(found)
    }

    #[tokio::test]
    async fn addresses_need_no_lookup_and_no_grant() {
        for (name, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            let answer = ask(Policy::new(), &Limits::default(), name).await;
            assert_eq!(answer, Ok(vec![expected.parse().unwrap()]), "{name}");
        }
    }

    #[tokio::test]
    async fn names_that_are_not_granted_are_refused() {
        let policy = Policy::new().allow_url("http://example.com/").unwrap();
        for name in ["localhost", "www.example.com", "com"] {
            let answer = ask(policy.clone(), &Limits::default(), name).await;
            assert_eq!(answer, Err(ErrorCode::AccessDenied), "{name}");
        }
    }

    #[tokio::test]
    async fn a_granted_name_is_found() {
        let policy = Policy::new().allow_url("http://localhost/").unwrap();
        let found = ask(policy, &Limits::default(), "LOCALHOST.").await.unwrap();
        assert!(!found.is_empty());
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[tokio::test]
    async fn every_name_below_localhost_is_this_machine() {
        // No resolver knows most of these.
        for name in [
            "localhost",
            "app.localhost",
            "a.b.localhost",
            "APP.LocalHost.",
            "localhost.",
            "x--1.localhost",
        ] {
            let policy = Policy::new().allow_url(&format!("http://{name}/")).unwrap();
            let found = ask(policy, &Limits::default(), name).await.unwrap();
            assert!(
                found.contains(&Ipv4Addr::LOCALHOST.into()),
                "{name}: {found:?}"
            );
            assert!(found.iter().all(IpAddr::is_loopback), "{name}: {found:?}");
        }
        // It is granted as any other name is, and the user's word on it counts.
        let other = Policy::new().allow_url("http://app.localhost/").unwrap();
        let answer = ask(other, &Limits::default(), "b.localhost").await;
        assert_eq!(answer, Err(ErrorCode::AccessDenied));
        let name: Name = "app.localhost".parse().unwrap();
        let pinned: IpAddr = "127.0.0.7".parse().unwrap();
        let network = Network::new(
            RunId(1),
            Policy::everything(),
            &Limits::default(),
            Pins::from([(name, vec![pinned])]),
            None,
            None,
        );
        let answer = ask_of(&Arc::new(network), "app.localhost").await;
        assert_eq!(answer, Ok(vec![pinned]));
    }

    #[tokio::test]
    async fn a_redirect_below_localhost_is_refused() {
        for host in ["app.localhost", "APP.localhost.", "localhost."] {
            let policy = Policy::new()
                .allow_url("http://example.com/")
                .unwrap()
                .allow_redirects();
            let network = network(policy, &Limits::default());
            network.redirected(&format!("http://{host}:81/")).unwrap();
            let answer = ask_of(&network, host).await;
            assert_eq!(answer, Err(ErrorCode::AccessDenied), "{host}");
            let reported = types::Target::Lookup(host.to_owned());
            let refusal = network.denial(&reported).unwrap();
            assert!(
                matches!(
                    refusal.reason,
                    crate::policy::DenialReason::NotPublic { .. }
                ),
                "{refusal:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_name_of_the_servers_is_not_told_what_is_not_public() {
        let policy = Policy::new()
            .allow_url("http://example.com/")
            .unwrap()
            .allow_redirects();
        let network = network(policy, &Limits::default());
        network.redirected("http://localhost:81/").unwrap();
        let answer = ask_of(&network, "localhost").await;
        assert_eq!(answer, Err(ErrorCode::AccessDenied));
        let reported = types::Target::Lookup("localhost".to_owned());
        let refusal = network.denial(&reported).unwrap();
        assert_eq!(refusal.target.to_string(), "look up localhost");
        assert_eq!(
            refusal.reason.flag(&refusal.target, None).as_deref(),
            Some("--allow-connect localhost:81")
        );

        // The same name, where the user named it.
        let policy = Policy::new()
            .allow_url("http://localhost/")
            .unwrap()
            .allow_redirects();
        let network = self::network(policy, &Limits::default());
        network.redirected("http://localhost:81/").unwrap();
        let found = ask_of(&network, "localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert!(network.allows(Target::Connect(SocketAddr::new(found[0], 81))));
        assert!(network.allows(Target::Connect(SocketAddr::new(found[0], 80))));
        assert!(!network.allows(Target::Connect(SocketAddr::new(found[0], 82))));
    }

    #[tokio::test]
    async fn what_is_no_name_is_an_invalid_argument() {
        for name in ["", "a b", "http://example.com", "[::1"] {
            let answer = ask(Policy::everything(), &Limits::default(), name).await;
            assert_eq!(answer, Err(ErrorCode::InvalidArgument), "{name:?}");
        }
    }

    /// A name of so many bytes, in labels of 63 at most.
    fn long_name(bytes: usize) -> String {
        (0..bytes)
            .map(|at| if at % 64 == 63 { '.' } else { 'a' })
            .collect()
    }

    #[tokio::test]
    async fn a_name_has_at_most_253_bytes() {
        for (name, expected) in [
            (long_name(253), ErrorCode::AccessDenied),
            (format!("{}.", long_name(253)), ErrorCode::AccessDenied),
            (long_name(254), ErrorCode::InvalidArgument),
            ("a".repeat(63), ErrorCode::AccessDenied),
            ("a".repeat(64), ErrorCode::InvalidArgument),
            ("ä.".repeat(30), ErrorCode::AccessDenied),
            ("ä".repeat(100), ErrorCode::InvalidArgument),
            ("a".repeat(100 * 1024 * 1024), ErrorCode::InvalidArgument),
        ] {
            let network = network(Policy::new(), &Limits::default());
            let answer = ask_of(&network, &name).await;
            assert_eq!(answer, Err(expected), "{} bytes", name.len());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_name_is_recorded_that_is_longer(
            piece in proptest::prelude::any::<String>(),
            times in 0_usize..5_000,
        ) {
            let events = Arc::new(std::sync::Mutex::new(Vec::new()));
            let sink = {
                let events = events.clone();
                move |event: &crate::AuditEvent| events.lock().unwrap().push(event.to_string())
            };
            let network = Arc::new(Network::new(
                RunId(1),
                Policy::new(),
                &Limits::default(),
                Pins::new(),
                None,
                Some(Arc::new(sink)),
            ));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let _ = runtime.block_on(ask_of(&network, &piece.repeat(times)));
            for event in &*events.lock().unwrap() {
                // The name, and the flag that would allow it.
                proptest::prop_assert!(event.len() < 1024, "{}", event.len());
            }
        }
    }

    #[tokio::test]
    async fn a_lookup_that_gets_no_turn_ends_in_its_timeout() {
        let limits = Limits {
            lookups_at_once: 0,
            lookup_timeout: Duration::from_millis(5),
            ..Limits::default()
        };
        let network = network(Policy::everything(), &limits);
        let answer = ask_of(&network, "localhost").await;
        assert_eq!(answer, Err(ErrorCode::TemporaryResolverFailure));
        assert!(network.has_reached(Limit::LookupsAtOnce));
        assert!(network.has_reached(Limit::LookupTimeout));
    }

    #[tokio::test]
    async fn as_many_lookups_are_made_as_may_be() {
        for (limit, made) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3)] {
            let limits = Limits::default().lookups(Some(limit));
            let network = network(Policy::everything(), &limits);
            let mut found = 0;
            for _ in 0..3 {
                match ask_of(&network, "localhost").await {
                    Ok(_) => found += 1,
                    Err(code) => assert_eq!(code, ErrorCode::TemporaryResolverFailure),
                }
                // What is an address needs no lookup.
                ask_of(&network, "127.0.0.1").await.unwrap();
            }
            assert_eq!(found, made, "{limit}");
            assert_eq!(network.has_reached(Limit::Lookups), limit < 3, "{limit}");
        }
    }

    #[test]
    fn failures_are_told_apart() {
        let text =
            |text: &str| io::Error::other(format!("failed to lookup address information: {text}"));
        for (error, expected) in [
            (
                text("Name or service not known"),
                ErrorCode::NameUnresolvable,
            ),
            (
                text("No address associated with hostname"),
                ErrorCode::NameUnresolvable,
            ),
            (text("Name does not resolve"), ErrorCode::NameUnresolvable),
            (
                text("Temporary failure in name resolution"),
                ErrorCode::TemporaryResolverFailure,
            ),
            (text("Try again"), ErrorCode::TemporaryResolverFailure),
            (
                text("Non-recoverable failure in name resolution"),
                ErrorCode::PermanentResolverFailure,
            ),
        ] {
            assert_eq!(classify(&error), expected, "{error}");
        }
    }
}
