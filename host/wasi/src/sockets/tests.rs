//! Adopted sockets answer every call as wasmtime-wasi's do.

use super::calls::Calls;
use crate::Grant;
use crate::ctx::SockboxView;
use crate::testing::{self, State};
use sockbox_policy::{Limits, Policy};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use wasmtime::Store;
use wasmtime::component::{Resource, ResourceAny, Val};
use wasmtime_wasi::p2::bindings::io::poll::HostPollable;
use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily;
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::{DynPollable, TcpSocket};

mod options;
mod private;
mod tunnel;

const DEADLINE: Duration = Duration::from_secs(20);

struct Bench {
    store: Store<State>,
    calls: Calls,
    network: ResourceAny,
    family: IpAddressFamily,
    /// Where a listener waits to be inherited, and where none does.
    inherited: SocketAddr,
    any: SocketAddr,
    _listener: TcpListener,
}

impl Bench {
    async fn new(host: &str) -> Bench {
        Bench::with(host, |policy| policy, Limits::default()).await
    }

    /// With another policy, or other limits.
    async fn with(host: &str, policy: impl Fn(Policy) -> Policy, limits: Limits) -> Bench {
        let grant = |own| Grant::new().policy(policy(own)).limits(limits.clone());
        Bench::granted(host, grant).await
    }

    /// With what `grant` makes of the usual policy.
    async fn granted(host: &str, grant: impl Fn(Policy) -> Grant) -> Bench {
        let any = SocketAddr::new(host.parse().unwrap(), 0);
        let listener = TcpListener::bind(any).unwrap();
        let inherited = listener.local_addr().unwrap();
        let policy = Policy::new()
            .allow_listen(any)
            .allow_listen(inherited)
            .allow_connect_to(&match any {
                SocketAddr::V4(any) => any.ip().to_string(),
                SocketAddr::V6(any) => format!("[{}]", any.ip()),
            })
            .unwrap();
        let mut store = testing::store(&testing::engine(), &grant(policy));
        let mut state = store.data_mut().sockbox();
        state.ctx.offer_listener(&listener).unwrap();
        let network = state.sockets().instance_network().unwrap();
        Bench {
            calls: Calls::new(&mut store).await,
            network: network.try_into_resource_any(&mut store).unwrap(),
            store,
            family: match any {
                SocketAddr::V4(_) => IpAddressFamily::Ipv4,
                SocketAddr::V6(_) => IpAddressFamily::Ipv6,
            },
            inherited,
            any,
            _listener: listener,
        }
    }

    fn socket(&mut self) -> ResourceAny {
        let family = self.family;
        let mut state = self.store.data_mut().sockbox();
        let socket = state.noted(|sockets| sockets.create_tcp_socket(family));
        let socket = socket.ok().unwrap();
        socket.try_into_resource_any(&mut self.store).unwrap()
    }

    async fn call(&mut self, socket: ResourceAny, name: &str, parameters: &[Val]) -> Val {
        let mut all = vec![Val::Resource(socket)];
        all.extend_from_slice(parameters);
        self.calls.call(&mut self.store, name, &all).await
    }

    /// Makes a call; gives what it answered as a text, which has no numbers of resources in it.
    async fn told(&mut self, socket: ResourceAny, name: &str, parameters: &[Val]) -> String {
        let answer = match self.call(socket, name, parameters).await {
            Val::Result(Ok(Some(value))) if matches!(*value, Val::Tuple(_)) => {
                "Ok(resources)".to_owned()
            }
            answer => format!("{answer:?}"),
        };
        format!("{name}{parameters:?}: {answer}")
    }

    /// Makes the calls that a connection refuses; gives what they answered.
    async fn misuse(&mut self, connection: ResourceAny) -> Vec<String> {
        let endpoint = self.endpoint(self.any);
        let mut told = Vec::new();
        for name in ["start-bind", "start-connect"] {
            told.push(self.told(connection, name, &endpoint).await);
        }
        for name in [
            "finish-bind",
            "finish-connect",
            "start-listen",
            "finish-listen",
            "accept",
        ] {
            told.push(self.told(connection, name, &[]).await);
        }
        told
    }

    fn endpoint(&self, address: SocketAddr) -> [Val; 2] {
        [Val::Resource(self.network), wit_address(address)]
    }

    /// A socket that listens at the address, by way of every stage, and what was answered on the way.
    async fn listen(&mut self, address: SocketAddr) -> (ResourceAny, Vec<String>) {
        let socket = self.socket();
        let endpoint = self.endpoint(address);
        let mut told = Vec::new();
        for (name, parameters) in [
            ("finish-bind", &[][..]),
            ("start-listen", &[]),
            ("accept", &[]),
            ("start-bind", &endpoint),
            ("finish-listen", &[]),
            ("start-listen", &[]),
            ("finish-connect", &[]),
            ("start-connect", &endpoint),
            ("start-bind", &endpoint),
            ("is-listening", &[]),
            ("finish-bind", &[]),
            ("finish-bind", &[]),
            ("start-bind", &endpoint),
            ("remote-address", &[]),
            ("accept", &[]),
            ("finish-listen", &[]),
            ("set-listen-backlog-size", &[Val::U64(0)]),
            ("set-listen-backlog-size", &[Val::U64(100)]),
            ("start-listen", &[]),
            ("accept", &[]),
            ("start-listen", &[]),
            ("start-bind", &endpoint),
            ("start-connect", &endpoint),
            ("finish-listen", &[]),
            ("finish-listen", &[]),
            ("start-listen", &[]),
            ("start-connect", &endpoint),
            ("finish-connect", &[]),
            ("accept", &[]),
            ("remote-address", &[]),
            ("shutdown", &[Val::Enum("both".to_owned())]),
        ] {
            // The addresses differ, as they must.
            let parameters = parameters.to_vec();
            let answer = self.told(socket, name, &parameters).await;
            let answer = answer.rsplit_once("]: ").unwrap().1;
            told.push(format!("{name}: {answer}"));
        }
        (socket, told)
    }

    /// A connection that was accepted on a socket that listens, and its client.
    async fn connection(&mut self, listener: ResourceAny) -> (ResourceAny, TcpStream) {
        let ([socket, _, _], client) = self.accepted(listener).await;
        (socket, client)
    }

    /// The same, with the connection's streams: what arrives, and what leaves.
    async fn accepted(&mut self, listener: ResourceAny) -> ([ResourceAny; 3], TcpStream) {
        let address = self.call(listener, "local-address", &[]).await;
        let Val::Result(Ok(Some(address))) = address else {
            panic!("{address:?}");
        };
        let client = TcpStream::connect(std_address(&address)).unwrap();
        (self.accept(listener).await, client)
    }

    /// The next connection of a socket that listens, once there is one: its socket and its streams.
    async fn accept(&mut self, listener: ResourceAny) -> [ResourceAny; 3] {
        self.until_ready(listener).await;
        let accepted = self.call(listener, "accept", &[]).await;
        let Val::Result(Ok(Some(parts))) = accepted else {
            panic!("{accepted:?}");
        };
        let Val::Tuple(parts) = *parts else {
            panic!("{parts:?}");
        };
        let [
            Val::Resource(socket),
            Val::Resource(input),
            Val::Resource(output),
        ] = parts[..]
        else {
            panic!("{parts:?}");
        };
        [socket, input, output]
    }

    /// Waits for a socket's pollable.
    async fn until_ready(&mut self, socket: ResourceAny) {
        let Val::Resource(pollable) = self.call(socket, "subscribe", &[]).await else {
            panic!("no pollable");
        };
        let owned: Resource<DynPollable> = pollable.try_into_resource(&mut self.store).unwrap();
        let borrowed = Resource::new_borrow(owned.rep());
        let ready = HostPollable::block(&mut self.store.data_mut().table, borrowed);
        tokio::time::timeout(DEADLINE, ready)
            .await
            .unwrap()
            .unwrap();
        // Not just deleted from the table: what it waits for may go with it.
        HostPollable::drop(&mut self.store.data_mut().table, owned).unwrap();
    }

    /// Sets every option and asks for it.
    async fn options(&mut self, socket: ResourceAny) -> Vec<String> {
        let u64s = |values: &[u64]| values.iter().copied().map(Val::U64).collect::<Vec<_>>();
        let times = u64s(&[0, 1, 1_500_000_000, 7_000_000_000, u64::MAX]);
        let sizes = u64s(&[0, 1, 50_000, u64::MAX]);
        let mut told = Vec::new();
        for (name, values) in [
            (
                "keep-alive-enabled",
                vec![Val::Bool(true), Val::Bool(false)],
            ),
            ("keep-alive-idle-time", times.clone()),
            ("keep-alive-interval", times),
            (
                "keep-alive-count",
                vec![Val::U32(0), Val::U32(3), Val::U32(u32::MAX)],
            ),
            (
                "hop-limit",
                vec![Val::U8(0), Val::U8(1), Val::U8(255), Val::U8(64)],
            ),
            ("receive-buffer-size", sizes.clone()),
            ("send-buffer-size", sizes),
        ] {
            told.push(self.told(socket, name, &[]).await);
            for value in values {
                told.push(self.told(socket, &format!("set-{name}"), &[value]).await);
                told.push(self.told(socket, name, &[]).await);
            }
        }
        for value in u64s(&[0, 10]) {
            told.push(self.told(socket, "set-listen-backlog-size", &[value]).await);
        }
        told.push(self.told(socket, "is-listening", &[]).await);
        told.push(self.told(socket, "address-family", &[]).await);
        told
    }
}

fn ok(value: Val) -> Val {
    Val::Result(Ok(Some(Box::new(value))))
}

fn wit_address(address: SocketAddr) -> Val {
    let field = |name: &str, value| (name.to_owned(), value);
    let (case, fields) = match address {
        SocketAddr::V4(address) => {
            let octets = address.ip().octets().map(Val::U8).to_vec();
            let fields = vec![
                field("port", Val::U16(address.port())),
                field("address", Val::Tuple(octets)),
            ];
            ("ipv4", fields)
        }
        SocketAddr::V6(address) => {
            let segments = address.ip().segments().map(Val::U16).to_vec();
            let fields = vec![
                field("port", Val::U16(address.port())),
                field("flow-info", Val::U32(address.flowinfo())),
                field("address", Val::Tuple(segments)),
                field("scope-id", Val::U32(address.scope_id())),
            ];
            ("ipv6", fields)
        }
    };
    Val::Variant(case.to_owned(), Some(Box::new(Val::Record(fields))))
}

/// An address on this machine, of which only the port can differ.
fn std_address(address: &Val) -> SocketAddr {
    let Val::Variant(case, Some(record)) = address else {
        panic!("{address:?}");
    };
    let Val::Record(fields) = &**record else {
        panic!("{address:?}");
    };
    let Val::U16(port) = fields[0].1 else {
        panic!("{address:?}");
    };
    let host = if case == "ipv4" { "127.0.0.1" } else { "::1" };
    SocketAddr::new(host.parse().unwrap(), port)
}

const HOSTS: [&str; 2] = ["127.0.0.1", "::1"];

#[tokio::test]
async fn an_inherited_listener_goes_through_the_stages_of_any_other() {
    for host in HOSTS {
        let mut bench = Bench::new(host).await;
        let (theirs, expected) = bench.listen(bench.any).await;
        let (adopted, told) = bench.listen(bench.inherited).await;
        assert_eq!(told, expected);
        let expected = bench.options(theirs).await;
        assert_eq!(bench.options(adopted).await, expected);
        for (socket, is_ours) in [(theirs, false), (adopted, true)] {
            let socket: Resource<TcpSocket> = socket.try_into_resource(&mut bench.store).unwrap();
            assert_eq!(
                bench.store.data_mut().sockbox().adopted(&socket).is_some(),
                is_ours
            );
        }
    }
}

#[tokio::test]
async fn a_connection_to_an_inherited_listener_is_like_any_other() {
    for host in HOSTS {
        let mut bench = Bench::new(host).await;
        let mut all = Vec::new();
        for address in [bench.any, bench.inherited] {
            let (listener, _) = bench.listen(address).await;
            let (socket, client) = bench.connection(listener).await;
            let remote = bench.call(socket, "remote-address", &[]).await;
            let expected = wit_address(client.local_addr().unwrap());
            assert_eq!(remote, Val::Result(Ok(Some(Box::new(expected)))));
            // It has nothing to wait for.
            bench.until_ready(socket).await;
            let mut told = bench.options(socket).await;
            told.extend(bench.misuse(socket).await);
            let how = Val::Enum("both".to_owned());
            told.push(bench.told(socket, "shutdown", &[how]).await);
            all.push(told);
            let rep: Resource<TcpSocket> = socket.try_into_resource(&mut bench.store).unwrap();
            let is_ours = bench.store.data_mut().sockbox().adopted(&rep).is_some();
            assert_eq!(is_ours, address == bench.inherited);
        }
        assert_eq!(all[1], all[0]);
    }
}

/// Resets a connection. Its peer sees that at once, because both are on this machine.
fn reset(stream: TcpStream) {
    let linger = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    linger.unwrap();
}

#[tokio::test]
async fn a_client_that_is_gone_before_it_is_accepted_keeps_its_address() {
    for host in HOSTS {
        let mut bench = Bench::new(host).await;
        for address in [bench.any, bench.inherited] {
            let (listener, _) = bench.listen(address).await;
            let local = bench.call(listener, "local-address", &[]).await;
            let Val::Result(Ok(Some(at))) = &local else {
                panic!("{local:?}");
            };
            let clients = [(); 3].map(|()| TcpStream::connect(std_address(at)).unwrap());
            let remotes = clients
                .each_ref()
                .map(|client| client.local_addr().unwrap());
            clients.into_iter().for_each(reset);
            for remote in remotes {
                let [socket, _, _] = bench.accept(listener).await;
                let told = bench.call(socket, "remote-address", &[]).await;
                assert_eq!(told, ok(wit_address(remote)));
                assert_eq!(bench.call(socket, "local-address", &[]).await, local);
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_keeps_its_addresses() {
    for host in HOSTS {
        let mut bench = Bench::new(host).await;
        let listener = TcpListener::bind(bench.any).unwrap();
        let remote = listener.local_addr().unwrap();
        let socket = bench.socket();
        let endpoint = bench.endpoint(remote);
        bench.call(socket, "start-connect", &endpoint).await;
        let told = bench.told(socket, "remote-address", &[]).await;
        assert!(told.contains("invalid-state"), "{told}");
        bench.until_ready(socket).await;
        let (stream, local) = listener.accept().unwrap();
        let connected = bench.told(socket, "finish-connect", &[]).await;
        assert!(connected.contains("Ok"), "{connected}");
        reset(stream);
        let told = bench.call(socket, "remote-address", &[]).await;
        assert_eq!(told, ok(wit_address(remote)));
        let told = bench.call(socket, "local-address", &[]).await;
        assert_eq!(told, ok(wit_address(local)));

        // One that could not connect has no peer.
        drop(listener);
        let socket = bench.socket();
        bench.call(socket, "start-connect", &endpoint).await;
        bench.until_ready(socket).await;
        for name in ["finish-connect", "remote-address"] {
            let told = bench.told(socket, name, &[]).await;
            assert!(told.contains("connection-refused"), "{told}");
        }
    }
}

#[tokio::test]
async fn what_is_remembered_of_a_connection_goes_with_it() {
    let mut bench = Bench::new("127.0.0.1").await;
    let (listener, _) = bench.listen(bench.any).await;
    let remembered = |bench: &Bench| bench.store.data().sockbox.sockets.addresses.remembered();
    let before = remembered(&bench);
    let address = bench.call(listener, "local-address", &[]).await;
    let Val::Result(Ok(Some(address))) = address else {
        panic!("{address:?}");
    };
    let _client = TcpStream::connect(std_address(&address)).unwrap();
    let [socket, input, output] = bench.accept(listener).await;
    assert_eq!(remembered(&bench), before + 1);
    for part in [input, output, socket] {
        part.resource_drop_async(&mut bench.store).await.unwrap();
    }
    assert_eq!(remembered(&bench), before);
}

#[tokio::test]
async fn a_socket_whose_streams_went_into_tls_counts_until_they_have_gone() {
    use crate::bindings::tls::HostClientHandshake as _;
    use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

    for host in HOSTS {
        let mut bench = Bench::new(host).await;
        for address in [bench.any, bench.inherited] {
            let (listener, _) = bench.listen(address).await;
            let ([socket, input, output], _client) = bench.accepted(listener).await;
            let store = &mut bench.store;
            let input: Resource<DynInputStream> = input.try_into_resource(&mut *store).unwrap();
            let output: Resource<DynOutputStream> = output.try_into_resource(&mut *store).unwrap();
            assert_eq!(store.data().sockbox.sockets.open(), 1);
            let name = "a.example".to_owned();
            let mut tls = crate::ctx::tls(store.data_mut());
            let handshake = tls.new(name, input, output).unwrap();
            socket.resource_drop_async(&mut *store).await.unwrap();
            assert_eq!(
                store.data().sockbox.sockets.open(),
                1,
                "its streams are still there"
            );
            crate::ctx::tls(store.data_mut()).drop(handshake).unwrap();
            assert_eq!(store.data().sockbox.sockets.open(), 0);
        }
    }
}
