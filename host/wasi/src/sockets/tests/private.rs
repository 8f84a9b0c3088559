//! Private sockets. They answer the component's calls as wasmtime-wasi's sockets do, and reach only the run itself.

use super::*;
use sockbox_policy::audit::AuditEvent;
use sockbox_policy::{PrivateLoopback, Target};
use std::sync::{Arc, Mutex};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamError};

mod limits;

/// A socket and its streams.
struct Connected {
    socket: ResourceAny,
    input: Resource<DynInputStream>,
    output: Resource<DynOutputStream>,
}

impl Bench {
    /// A bench whose policy grants no listening, and the lines of its audit.
    async fn ungranted(host: &str, limits: Limits) -> (Bench, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        let grant = |_| {
            let sink = sink.clone();
            let audit = move |event: &AuditEvent| sink.lock().unwrap().push(event.to_string());
            Grant::new().limits(limits.clone()).audit(audit)
        };
        (Bench::granted(host, grant).await, told)
    }

    /// A private listener, and its address.
    async fn private(&mut self, address: SocketAddr) -> (ResourceAny, SocketAddr) {
        let socket = self.socket_of(address);
        let endpoint = self.endpoint(address);
        self.done(socket, "start-bind", &endpoint).await;
        for name in ["finish-bind", "start-listen", "finish-listen"] {
            self.done(socket, name, &[]).await;
        }
        let local = self.address(socket, "local-address").await;
        (socket, local)
    }

    pub(super) fn socket_of(&mut self, address: SocketAddr) -> ResourceAny {
        self.family = match address {
            SocketAddr::V4(_) => IpAddressFamily::Ipv4,
            SocketAddr::V6(_) => IpAddressFamily::Ipv6,
        };
        let mut state = self.store.data_mut().sockbox();
        let family = self.family;
        let made = super::super::counted(&mut state, |state| {
            state.noted(|sockets| sockets.create_tcp_socket(family))
        });
        let socket = made.unwrap().unwrap();
        socket.try_into_resource_any(&mut self.store).unwrap()
    }

    /// Makes a call, which has to succeed.
    pub(super) async fn done(&mut self, socket: ResourceAny, name: &str, parameters: &[Val]) {
        assert_eq!(self.code(socket, name, parameters).await, None, "{name}");
    }

    /// Makes a call. Returns its error code, and None if it succeeds.
    pub(super) async fn code(
        &mut self,
        socket: ResourceAny,
        name: &str,
        parameters: &[Val],
    ) -> Option<String> {
        match self.call(socket, name, parameters).await {
            Val::Result(Ok(_)) => None,
            Val::Result(Err(Some(code))) => match *code {
                Val::Enum(code) => Some(code),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn address(&mut self, socket: ResourceAny, name: &str) -> SocketAddr {
        let Val::Result(Ok(Some(address))) = self.call(socket, name, &[]).await else {
            panic!("it has no {name}");
        };
        std_address(&address)
    }

    /// Connects to a private listener, or returns the error code.
    async fn connect(&mut self, to: SocketAddr) -> Result<Connected, String> {
        let socket = self.socket_of(to);
        let endpoint = self.endpoint(to);
        if let Some(code) = self.code(socket, "start-connect", &endpoint).await {
            return Err(code);
        }
        self.until_ready(socket).await;
        let connected = self.call(socket, "finish-connect", &[]).await;
        let parts = match connected {
            Val::Result(Ok(Some(parts))) => parts,
            Val::Result(Err(Some(code))) => return Err(format!("{code:?}")),
            other => panic!("{other:?}"),
        };
        let Val::Tuple(parts) = *parts else {
            panic!("{parts:?}");
        };
        let [Val::Resource(input), Val::Resource(output)] = parts[..] else {
            panic!("{parts:?}");
        };
        Ok(self.connected([socket, input, output]))
    }

    fn connected(&mut self, [socket, input, output]: [ResourceAny; 3]) -> Connected {
        Connected {
            socket,
            input: input.try_into_resource(&mut self.store).unwrap(),
            output: output.try_into_resource(&mut self.store).unwrap(),
        }
    }

    /// A connection inside the run: the client's end, and the accepted end.
    async fn pair(&mut self, listener: ResourceAny, to: SocketAddr) -> (Connected, Connected) {
        let client = self.connect(to).await.unwrap();
        let accepted = self.accept(listener).await;
        (client, self.connected(accepted))
    }

    fn send(&mut self, connected: &Connected, text: &'static str) {
        let output = Resource::<DynOutputStream>::new_borrow(connected.output.rep());
        let output = self.store.data_mut().table.get_mut(&output).unwrap();
        assert!(output.check_write().unwrap() >= text.len());
        output.write(text.into()).unwrap();
        output.flush().unwrap();
    }

    /// The text that arrives next. None at the end of the stream.
    async fn receive(&mut self, connected: &Connected) -> Option<String> {
        let input = Resource::<DynInputStream>::new_borrow(connected.input.rep());
        let input = self.store.data_mut().table.get_mut(&input).unwrap();
        tokio::time::timeout(DEADLINE, input.ready()).await.unwrap();
        match input.read(1000) {
            Ok(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
            Err(StreamError::Closed) => None,
            Err(StreamError::LastOperationFailed(error)) => Some(format!("failed: {error}")),
            Err(StreamError::Trap(trap)) => panic!("{trap:?}"),
        }
    }

    async fn close(&mut self, connected: Connected) {
        let table = &mut self.store.data_mut().table;
        table.delete(connected.input).unwrap();
        table.delete(connected.output).unwrap();
        self.drop_socket(connected.socket);
    }

    /// Drops a socket as a component does. A resource that the test holds has no destructor.
    pub(super) fn drop_socket(&mut self, socket: ResourceAny) {
        let socket: Resource<TcpSocket> = socket.try_into_resource(&mut self.store).unwrap();
        let mut state = self.store.data_mut().sockbox();
        state.drop_socket(socket.rep()).unwrap();
    }

    fn open(&self) -> usize {
        self.store.data().sockbox.sockets.open()
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_private_listener_goes_through_the_stages_of_any_other() {
    for host in HOSTS {
        let mut bench = Bench::new(host).await;
        let (theirs, expected) = bench.listen(bench.any).await;
        let own = SocketAddr::new(bench.any.ip(), 1);
        let (private, told) = bench.listen(own).await;
        assert_eq!(told, expected);
        assert_eq!(bench.address(private, "local-address").await, own);
        let expected = bench.options(theirs).await;
        assert_eq!(bench.options(private).await, expected);
    }
}

#[tokio::test]
async fn a_private_connection_is_like_any_other_at_both_ends() {
    for host in HOSTS {
        let mut bench = Bench::new(host).await;
        let mut all = Vec::new();
        for at in [bench.any, SocketAddr::new(bench.any.ip(), 1)] {
            let (listener, _) = bench.listen(at).await;
            let to = bench.address(listener, "local-address").await;
            let client = bench.connect(to).await.unwrap();
            let accepted = bench.accept(listener).await;
            let accepted = bench.connected(accepted);
            let (here, there) = (client.socket, accepted.socket);
            for (one, other) in [(here, there), (there, here)] {
                let local = bench.address(one, "local-address").await;
                assert_eq!(bench.address(other, "remote-address").await, local);
            }
            assert_eq!(bench.address(there, "local-address").await, to);
            let mut told = Vec::new();
            for socket in [here, there] {
                bench.until_ready(socket).await;
                told.extend(bench.options(socket).await);
                told.extend(bench.misuse(socket).await);
            }
            for how in ["send", "receive", "both"] {
                let how = Val::Enum(how.to_owned());
                told.push(bench.told(here, "shutdown", &[how]).await);
            }
            // The system chooses the sizes of its buffers, so they are not compared.
            let sizes = ["receive-buffer-size[]", "send-buffer-size[]"];
            told.retain(|told| !sizes.iter().any(|size| told.starts_with(size)));
            all.push(told);
        }
        assert_eq!(all[1], all[0]);
    }
}

#[tokio::test]
async fn nothing_of_it_is_on_the_machine() {
    for host in HOSTS {
        let machines = TcpListener::bind(SocketAddr::new(host.parse().unwrap(), 0)).unwrap();
        machines.set_nonblocking(true).unwrap();
        let at = machines.local_addr().unwrap();
        let (mut bench, told) = Bench::ungranted(host, Limits::default()).await;
        // The machine's listener on the same address does not disturb the bind, and gets no connection.
        let (listener, local) = bench.private(at).await;
        assert_eq!(local, at);
        let (client, accepted) = bench.pair(listener, at).await;
        let from = bench.address(client.socket, "local-address").await;
        bench.send(&client, "ping");
        assert_eq!(bench.receive(&accepted).await.as_deref(), Some("ping"));
        bench.send(&accepted, "pong");
        assert_eq!(bench.receive(&client).await.as_deref(), Some("pong"));
        let waiting = machines.accept().unwrap_err();
        assert_eq!(waiting.kind(), std::io::ErrorKind::WouldBlock);
        let lines = [
            format!("allowed: bind to {at}, by: private"),
            format!("allowed: listen on {at}, by: private"),
            format!("allowed: connect to {at}, by: private"),
            format!("allowed: accept {from}, by: private"),
        ];
        assert_eq!(*told.lock().unwrap(), lines);

        // The machine can't connect to the private listener.
        drop(machines);
        let refused = TcpStream::connect(at).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        // Another run can't connect to it either.
        let (mut other, _) = Bench::ungranted(host, Limits::default()).await;
        assert_eq!(
            other.connect(at).await.err().as_deref(),
            Some("Enum(\"access-denied\")")
        );
        let (others, _) = other.private(at).await;
        let (client, accepted) = other.pair(others, at).await;
        other.send(&client, "other");
        assert_eq!(other.receive(&accepted).await.as_deref(), Some("other"));
        assert_eq!(
            bench.code(listener, "accept", &[]).await.as_deref(),
            Some("would-block")
        );
    }
}

#[tokio::test]
async fn an_end_that_closes_or_shuts_down_is_noticed_at_the_other() {
    let (mut bench, _) = Bench::ungranted("127.0.0.1", Limits::default()).await;
    let (listener, at) = bench.private(bench.any).await;
    let (client, accepted) = bench.pair(listener, at).await;
    bench.send(&client, "last");
    let how = [Val::Enum("send".to_owned())];
    bench.done(client.socket, "shutdown", &how).await;
    assert_eq!(bench.receive(&accepted).await.as_deref(), Some("last"));
    assert_eq!(bench.receive(&accepted).await, None);
    bench.send(&accepted, "answer");
    assert_eq!(bench.receive(&client).await.as_deref(), Some("answer"));
    bench.close(accepted).await;
    assert_eq!(bench.receive(&client).await, None);
    // If the peer closes before it has read all bytes, the connection is reset.
    let (client, accepted) = bench.pair(listener, at).await;
    bench.send(&client, "unread");
    bench.close(accepted).await;
    let told = bench.receive(&client).await;
    assert_eq!(told.as_deref(), Some("failed: ConnectionReset"));
    // If the listener closes before it accepts the connection, the connection is reset too.
    let waiting = bench.connect(at).await.unwrap();
    bench.drop_socket(listener);
    let told = bench.receive(&waiting).await;
    assert_eq!(told.as_deref(), Some("failed: ConnectionReset"));
    let denied = bench.connect(at).await.err();
    assert_eq!(
        denied.as_deref(),
        Some("Enum(\"access-denied\")"),
        "as without a listener"
    );
}

#[tokio::test]
async fn an_address_is_in_use_for_as_long_as_its_socket_is_there() {
    let (mut bench, _) = Bench::ungranted("127.0.0.1", Limits::default()).await;
    let at = address("127.0.0.1:80");
    let (listener, _) = bench.private(at).await;
    let other = bench.socket_of(at);
    let endpoint = bench.endpoint(at);
    let code = bench.code(other, "start-bind", &endpoint).await;
    assert_eq!(code.as_deref(), Some("address-in-use"));
    // The same port on another address can be bound.
    bench.private(address("127.0.0.2:80")).await;
    bench.private(address("[::1]:80")).await;
    // An accepted socket does not keep another socket from binding to its address.
    let (_client, _accepted) = bench.pair(listener, at).await;
    bench.drop_socket(listener);
    bench.done(other, "start-bind", &endpoint).await;
    // Two sockets that bind to port 0 get different ports.
    let (_, first) = bench.private(address("127.0.0.1:0")).await;
    let (_, second) = bench.private(address("127.0.0.1:0")).await;
    assert_ne!(first, second);
    assert!(
        first.port() >= 49_152 && second.port() >= 49_152,
        "{first} {second}"
    );
}

#[tokio::test]
async fn a_chosen_port_hides_none_that_is_granted() {
    let granted = |_| {
        let policy = Policy::new()
            .allow_connect_to("127.0.0.1:49152-49160")
            .unwrap();
        Grant::new().policy(policy)
    };
    let mut bench = Bench::granted("127.0.0.1", granted).await;
    let (_, at) = bench.private(address("127.0.0.1:0")).await;
    assert_eq!(at, address("127.0.0.1:49161"));
    // If connecting to every port is granted, port 0 still gets a port, and the listener there is private.
    let every = |_| Grant::new().policy(Policy::new().allow_connect_to("127.0.0.1").unwrap());
    let mut bench = Bench::granted("127.0.0.1", every).await;
    let (listener, at) = bench.private(address("127.0.0.1:0")).await;
    let (client, accepted) = bench.pair(listener, at).await;
    bench.send(&client, "own");
    assert_eq!(bench.receive(&accepted).await.as_deref(), Some("own"));
}

#[tokio::test]
async fn a_private_socket_reaches_nothing_else() {
    let machines = TcpListener::bind("127.0.0.1:0").unwrap();
    machines.set_nonblocking(true).unwrap();
    let at = machines.local_addr().unwrap();
    for (granted, refused, hint) in [
        (false, Target::Connect(at), format!("allow-connect {at}")),
        (
            true,
            Target::Bind(address("127.0.0.1:0")),
            "allow-listen 127.0.0.1:0".to_owned(),
        ),
    ] {
        let grant = |_| {
            let policy = Policy::new();
            Grant::new().policy(if granted {
                policy.allow_connect(at)
            } else {
                policy
            })
        };
        let mut bench = Bench::granted("127.0.0.1", grant).await;
        let socket = bench.socket_of(at);
        let endpoint = bench.endpoint(address("127.0.0.1:0"));
        bench.done(socket, "start-bind", &endpoint).await;
        bench.done(socket, "finish-bind", &[]).await;
        for (text, expected) in [
            ("127.0.0.1:0", "invalid-argument"),
            ("0.0.0.0:80", "invalid-argument"),
            ("[::1]:80", "invalid-argument"),
            (&at.to_string(), "access-denied"),
        ] {
            let endpoint = bench.endpoint(address(text));
            let code = bench.code(socket, "start-connect", &endpoint).await;
            assert_eq!(code.as_deref(), Some(expected), "{text}");
        }
        let refusal = testing::refusal(bench.store.data().sockbox.authority(), &refused).unwrap();
        let told = refusal.reason.refusal(&refusal.target, None);
        assert_eq!(told, format!("{refused}: no rule grants it ({hint} would)"));
    }
    let waiting = machines.accept().unwrap_err();
    assert_eq!(waiting.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn denials_hold_inside_too() {
    let denied = |_| {
        let policy = Policy::new().deny_connect("127.0.0.1:80").unwrap();
        Grant::new().policy(policy.deny_accept("::1").unwrap())
    };
    let mut bench = Bench::granted("127.0.0.1", denied).await;
    bench.private(address("127.0.0.1:80")).await;
    let code = bench.connect(address("127.0.0.1:80")).await.err();
    assert_eq!(code.as_deref(), Some("access-denied"));
    let (listener, at) = bench.private(address("[::1]:0")).await;
    let client = bench.connect(at).await.unwrap();
    assert_eq!(
        bench.code(listener, "accept", &[]).await.as_deref(),
        Some("would-block")
    );
    let told = bench.receive(&client).await;
    assert_eq!(told.as_deref(), Some("failed: ConnectionReset"));
}

#[tokio::test]
async fn it_can_be_turned_off() {
    for host in HOSTS {
        let off = |_| Grant::new().policy(Policy::new().private_loopback(PrivateLoopback::Off));
        let mut bench = Bench::granted(host, off).await;
        for at in [bench.any, SocketAddr::new(bench.any.ip(), 8080)] {
            let socket = bench.socket_of(at);
            let endpoint = bench.endpoint(at);
            let code = bench.code(socket, "start-bind", &endpoint).await;
            assert_eq!(code.as_deref(), Some("access-denied"));
            let authority = bench.store.data().sockbox.authority();
            let refusal = testing::refusal(authority, &Target::Bind(at)).unwrap();
            let told = refusal.reason.refusal(&refusal.target, None);
            let expected = format!("bind to {at}: no rule grants it (allow-listen {at} would)");
            assert_eq!(told, expected);
        }
    }
}

#[tokio::test]
async fn a_granted_address_is_the_machines() {
    let mut bench = Bench::new("127.0.0.1").await;
    // The policy grants listening on port 0, so that listener is on the machine.
    let (_, at) = bench.private(bench.any).await;
    TcpStream::connect(at).unwrap();
    // The policy does not grant port 1, so that listener is private.
    let (_, private) = bench.private(address("127.0.0.1:1")).await;
    let refused = TcpStream::connect(private).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn nothing_is_accepted_before_listening_has_begun() {
    for host in HOSTS {
        let mut bench = Bench::new(host).await;
        let private = SocketAddr::new(bench.any.ip(), 4_999);
        for address in [bench.any, bench.inherited, private] {
            let socket = bench.socket_of(address);
            let endpoint = bench.endpoint(address);
            bench.done(socket, "start-bind", &endpoint).await;
            for name in ["finish-bind", "start-listen"] {
                bench.done(socket, name, &[]).await;
                let code = bench.code(socket, "accept", &[]).await;
                assert_eq!(code.as_deref(), Some("invalid-state"), "{address} {name}");
            }
            bench.done(socket, "finish-listen", &[]).await;
            let code = bench.code(socket, "accept", &[]).await;
            assert_eq!(code.as_deref(), Some("would-block"), "{address}");
        }
    }
}
