//! `wasi:tls/types`.

use super::TlsView;
use super::certificate::Certificate;
use super::client::Client;
use super::config::{TlsHandshake, TlsVersion};
use super::failure::{Failure, TlsFailure};
use super::session::Session;
use super::streams::{Input, Output, Shared};
use super::verifier::Remembering;
use crate::bindings::tls;
use crate::budget::Charge;
use crate::failed::ToComponent;
use crate::limits::Limit;
use crate::policy::MAX_NAME_BYTES;
use crate::sockets::count::Open;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, IoError, Pollable, subscribe,
};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn_blocking};

/// What a TLS session takes of the run's memory: 128 KiB.
///
/// rustls keeps what it has received and not deciphered yet (a handshake's message may have 64 KiB), the
/// record that it deciphers (16 KiB), and what is enciphered and has not left (as much as may be written
/// at once, 64 KiB). About 100 KiB were measured.
const SESSION_BYTES: u64 = 128 * 1024;

/// How much of a server's name that can't be one is repeated: 64 bytes, as many as a label may have and
/// one more.
const SHOWN_OF_A_NAME: usize = 64;

/// A handshake that is to be: the host's side of `client-handshake`.
pub struct Handshake {
    /// The server's name, or why there can be no TLS.
    server: Result<String, TlsFailure>,
    transport: Transport,
}

/// What TLS is spoken on.
struct Transport {
    input: DynInputStream,
    output: DynOutputStream,
    /// The sockets that the streams are of.
    sockets: [Option<Arc<Open>>; 2],
}

/// A handshake, and then what came of it: the host's side of `future-client-streams`.
pub struct FutureStreams(State);

/// The host's side of `client-connection`.
pub struct Connection(Shared);

/// States of a handshake: `Preparing` -> `Speaking` -> `Done` -> `Taken`, and from each of the first two
/// to `Done` where it fails.
enum State {
    /// What is trusted is being read.
    Preparing(Box<Preparing>, AbortOnDropJoinHandle<Prepared>),
    Speaking(Box<Speaking>),
    Done(Result<Shared, Failure>),
    Taken,
}

type Prepared = Result<(Arc<ClientConfig>, Arc<Remembering>), Failure>;

struct Preparing {
    server: String,
    transport: Transport,
    client: Client,
    charge: Charge,
}

struct Speaking {
    session: Session,
    server: String,
    verifier: Arc<Remembering>,
    client: Client,
}

impl FutureStreams {
    fn begin(preparing: Preparing) -> FutureStreams {
        if !preparing.client.has_to_read() {
            let prepared = preparing.client.for_server(&preparing.server);
            return FutureStreams(State::speak(preparing, prepared));
        }
        let (reader, server) = (preparing.client.clone(), preparing.server.clone());
        let prepared = spawn_blocking(move || reader.for_server(&server));
        FutureStreams(State::Preparing(Box::new(preparing), prepared))
    }

    fn failed(server: &str, client: &Client, failure: TlsFailure) -> FutureStreams {
        let failure = Failure::Tls(failure);
        client.failed(server, failure.clone());
        FutureStreams(State::Done(Err(failure)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.0 {
                State::Preparing(_, prepared) => match Pin::new(prepared).poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(prepared) => self.prepared(prepared),
                },
                State::Speaking(speaking) => match speaking.session.poll_handshake(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(result) => self.spoken(result.map_err(|broken| {
                        broken.map_or(TlsFailure::Closed, |broken| broken.failure(false))
                    })),
                },
                State::Done(_) | State::Taken => return Poll::Ready(()),
            }
        }
    }

    fn prepared(&mut self, prepared: Prepared) {
        if let State::Preparing(preparing, _) = std::mem::replace(&mut self.0, State::Taken) {
            self.0 = State::speak(*preparing, prepared);
        }
    }

    fn spoken(&mut self, result: Result<(), TlsFailure>) {
        let State::Speaking(speaking) = std::mem::replace(&mut self.0, State::Taken) else {
            return;
        };
        self.0 = State::Done(match result {
            Ok(()) => {
                speaking.client.config().tell(|| speaking.agreed());
                Ok(Shared::new(speaking.session, speaking.client))
            }
            Err(failure) => {
                let failure = match speaking.verifier.refused() {
                    Some(problem) => Failure::Certificate(problem),
                    None => Failure::Tls(failure),
                };
                speaking.client.failed(&speaking.server, failure.clone());
                Err(failure)
            }
        });
    }
}

impl State {
    /// Begin to speak, if everything for it is there.
    fn speak(preparing: Preparing, prepared: Prepared) -> State {
        let Preparing {
            server,
            transport,
            client,
            charge,
        } = preparing;
        let connection = prepared.and_then(|(config, verifier)| {
            let name = ServerName::try_from(server.clone())
                .map_err(|_| Failure::Tls(invalid_name(&server)))?;
            let connection = ClientConnection::new(config, name).map_err(|error| {
                Failure::Tls(TlsFailure::Other {
                    reason: error.to_string(),
                })
            })?;
            Ok((connection, verifier))
        });
        match connection {
            Ok((connection, verifier)) => {
                let Transport {
                    input,
                    output,
                    sockets,
                } = transport;
                let held = Held {
                    _sockets: sockets,
                    _charge: charge,
                };
                State::Speaking(Box::new(Speaking {
                    session: Session::new(connection, input, output, held),
                    server,
                    verifier,
                    client,
                }))
            }
            Err(failure) => {
                client.failed(&server, failure.clone());
                State::Done(Err(failure))
            }
        }
    }
}

/// What a session holds of the run's limits, for as long as it lives.
pub(super) struct Held {
    _sockets: [Option<Arc<Open>>; 2],
    _charge: Charge,
}

/// The name as it is kept, or why it can't be one: a name that is too long is not kept.
fn named(server: String) -> Result<String, TlsFailure> {
    let bare = server.strip_suffix('.').unwrap_or(&server);
    match bare.len() <= MAX_NAME_BYTES {
        true => Ok(server),
        false => Err(invalid_name(&server)),
    }
}

fn invalid_name(name: &str) -> TlsFailure {
    let shown = &name[..name.floor_char_boundary(SHOWN_OF_A_NAME)];
    let more = if shown.len() < name.len() { "…" } else { "" };
    TlsFailure::InvalidName {
        name: format!("{shown}{more}"),
    }
}

impl Speaking {
    fn agreed(&self) -> TlsHandshake {
        let tls = self.session.tls();
        let suite = tls.negotiated_cipher_suite();
        let group = tls.negotiated_key_exchange_group();
        let shown = tls.peer_certificates().unwrap_or_default();
        TlsHandshake {
            server: self.server.clone(),
            version: match tls.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::V1_2,
                _ => TlsVersion::V1_3,
            },
            cipher_suite: suite.map_or_else(String::new, |suite| {
                // rustls has the names of TLS 1.3 with a number in them that the standard has not.
                format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1)
            }),
            key_exchange: group.map(|group| format!("{:?}", group.name())),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            verified: self.client.config().checks(),
            certificates: shown.iter().filter_map(Certificate::read).collect(),
        }
    }
}

#[async_trait]
impl Pollable for FutureStreams {
    async fn ready(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}

impl tls::Host for TlsView<'_> {}

impl tls::HostClientHandshake for TlsView<'_> {
    fn new(
        &mut self,
        server: String,
        input: Resource<DynInputStream>,
        output: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Resource<Handshake>> {
        let mut server = named(server);
        if self.connections.have(self.table, &input) || self.connections.have(self.table, &output) {
            // Each level would be one more on the stack of whoever polls, or drops, the outermost.
            server = Err(TlsFailure::Other {
                reason: "TLS on a connection that has TLS already is not offered".to_owned(),
            });
        }
        let sockets = [
            self.sockets.count.lend(self.table, &input),
            self.sockets.count.lend(self.table, &output),
        ];
        self.readiness.forget(&input);
        let input = self.table.delete(input)?;
        let output = self.table.delete(output)?;
        let transport = Transport {
            input,
            output,
            sockets,
        };
        Ok(self.table.push(Handshake { server, transport })?)
    }

    fn finish(&mut self, this: Resource<Handshake>) -> wasmtime::Result<Resource<FutureStreams>> {
        let Handshake { server, transport } = self.table.delete(this)?;
        let future = match (server, self.memory.charge(SESSION_BYTES)) {
            (Err(failure), _) => FutureStreams::failed("", self.client, failure),
            (Ok(server), None) => {
                self.network.reached(Limit::Memory, None);
                let reason = "there is no memory left for TLS (--max-memory bounds it)".to_owned();
                FutureStreams::failed(&server, self.client, TlsFailure::Other { reason })
            }
            (Ok(server), Some(charge)) => FutureStreams::begin(Preparing {
                server,
                transport,
                client: self.client.clone(),
                charge,
            }),
        };
        Ok(self.table.push(future)?)
    }

    fn drop(&mut self, this: Resource<Handshake>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

type Streams = (
    Resource<Connection>,
    Resource<DynInputStream>,
    Resource<DynOutputStream>,
);

impl tls::HostFutureClientStreams for TlsView<'_> {
    fn subscribe(
        &mut self,
        this: Resource<FutureStreams>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, this)
    }

    fn get(
        &mut self,
        this: Resource<FutureStreams>,
    ) -> wasmtime::Result<Option<Result<Result<Streams, Resource<IoError>>, ()>>> {
        let future = self.table.get_mut(&this)?;
        if future
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
        {
            return Ok(None);
        }
        let shared = match std::mem::replace(&mut future.0, State::Taken) {
            State::Done(Ok(shared)) => shared,
            State::Done(Err(failure)) => {
                let error = ToComponent::error(failure.to_component());
                let error = self.table.push(error)?;
                return Ok(Some(Ok(Err(error))));
            }
            _ => return Ok(Some(Err(()))),
        };
        Ok(Some(Ok(Ok(self.give(shared)?))))
    }

    fn drop(&mut self, this: Resource<FutureStreams>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl TlsView<'_> {
    /// Give the component a connection with TLS on it.
    fn give(&mut self, shared: Shared) -> wasmtime::Result<Streams> {
        let input: DynInputStream = Box::new(Input(shared.clone()));
        let output: DynOutputStream = Box::new(Output::new(shared.clone()));
        let connection = self.table.push(Connection(shared))?;
        self.connections.0.insert(connection.rep());
        let input = self.table.push_child(input, &connection)?;
        let output = self.table.push_child(output, &connection)?;
        Ok((connection, input, output))
    }
}

impl tls::HostClientConnection for TlsView<'_> {
    fn close_output(&mut self, this: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.get(&this)?.0.session().close();
        Ok(())
    }

    fn drop(&mut self, this: Resource<Connection>) -> wasmtime::Result<()> {
        self.connections.0.remove(&this.rep());
        self.table.delete(this)?;
        Ok(())
    }
}

#[cfg(test)]
impl Held {
    pub(super) fn nothing() -> Held {
        let budget = crate::budget::Budget::new(0);
        Held {
            _sockets: [None, None],
            _charge: budget.charge(0).expect("nothing fits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::tls::{
        HostClientConnection, HostClientHandshake as _, HostFutureClientStreams,
    };
    use crate::engine;
    use crate::failed;
    use crate::limits::Limits;
    use crate::network::Network;
    use crate::policy::Policy;
    use crate::tls::TlsConfig;
    use proptest::prelude::*;
    use rustls::RootCertStore;
    use wasmtime::{Engine, Store};
    use wasmtime_wasi::WasiCtxBuilder;
    use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
    use wasmtime_wasi::p2::{InputStream, OutputStream, StreamResult};

    type Run = Store<crate::state::State>;

    fn store_with(limits: &Limits, config: TlsConfig) -> Run {
        let engine = Engine::new(&engine::config(false)).unwrap();
        let (wasi, network) = (WasiCtxBuilder::new(), Network::of(Policy::new()));
        let client = Client::new(config, &[]);
        crate::state::State::store(&engine, wasi, network, limits, client)
    }

    /// What is trusted is there already: nothing is read.
    fn trusting() -> TlsConfig {
        TlsConfig::new().dangerously_trust_anybody()
    }

    fn store(limits: &Limits) -> Run {
        store_with(limits, trusting())
    }

    /// A stream that is there, and on which nothing happens.
    struct Silent;

    #[async_trait]
    impl Pollable for Silent {
        async fn ready(&mut self) {
            std::future::pending().await
        }
    }

    impl InputStream for Silent {
        fn read(&mut self, _: usize) -> StreamResult<bytes::Bytes> {
            Ok(bytes::Bytes::new())
        }
    }

    impl OutputStream for Silent {
        fn write(&mut self, _: bytes::Bytes) -> StreamResult<()> {
            Ok(())
        }

        fn flush(&mut self) -> StreamResult<()> {
            Ok(())
        }

        fn check_write(&mut self) -> StreamResult<usize> {
            Ok(1024)
        }
    }

    /// Begin a handshake as a component does, on streams that stay open.
    fn begin(store: &mut Run, name: &str) -> Resource<FutureStreams> {
        let table = &mut store.data_mut().table;
        let input = table.push(Box::new(Silent) as DynInputStream).unwrap();
        let output = table.push(Box::new(Silent) as DynOutputStream).unwrap();
        begin_on(store, name, input, output)
    }

    fn begin_on(
        store: &mut Run,
        name: &str,
        input: Resource<DynInputStream>,
        output: Resource<DynOutputStream>,
    ) -> Resource<FutureStreams> {
        let mut tls = store.data_mut().tls();
        let handshake = tls.new(name.to_owned(), input, output).unwrap();
        let kept = &tls.table.get(&handshake).unwrap().server;
        let bytes = match kept {
            Ok(name) => name.capacity(),
            Err(TlsFailure::InvalidName { name }) => name.capacity(),
            Err(failure) => failure.to_string().len(),
        };
        assert!(bytes <= 2 * MAX_NAME_BYTES, "{bytes} bytes are kept");
        tls.finish(handshake).unwrap()
    }

    /// What a component is told of a handshake that has failed. None: it is under way.
    fn told(store: &mut Run, future: &Resource<FutureStreams>) -> Option<String> {
        let mut tls = store.data_mut().tls();
        let this = Resource::new_borrow(future.rep());
        match HostFutureClientStreams::get(&mut tls, this).unwrap()? {
            Ok(Err(error)) => {
                let text = failed::text(tls.table.get(&error).unwrap()).into_owned();
                tls.table.delete(error).unwrap();
                Some(text)
            }
            Ok(Ok(_)) => panic!("there is TLS with nobody"),
            Err(()) => panic!("asked twice"),
        }
    }

    fn drop_future(store: &mut Run, future: Resource<FutureStreams>) {
        HostFutureClientStreams::drop(&mut store.data_mut().tls(), future).unwrap();
    }

    /// A name of so many bytes, in labels of 63 at most.
    fn long_name(bytes: usize) -> String {
        (0..bytes)
            .map(|at| if at % 64 == 63 { '.' } else { 'a' })
            .collect()
    }

    #[tokio::test]
    async fn a_name_has_at_most_253_bytes() {
        let mut store = store(&Limits::default());
        for (name, fits) in [
            (long_name(252), true),
            (long_name(253), true),
            (long_name(254), false),
            (format!("{}.", long_name(254)), false),
            ("a".repeat(63), true),
            ("a".repeat(64), false),
            ("a".repeat(100 * 1024 * 1024), false),
        ] {
            let future = begin(&mut store, &name);
            let told = told(&mut store, &future);
            assert_eq!(told.is_none(), fits, "{} bytes: {told:?}", name.len());
            if let Some(told) = told {
                assert!(told.ends_with("is no name that a certificate could be for"));
                assert!(told.len() < 2 * MAX_NAME_BYTES, "{told}");
            }
            drop_future(&mut store, future);
        }
    }

    proptest! {
        #[test]
        fn no_name_is_kept_that_is_longer(piece in any::<String>(), times in 0_usize..5_000) {
            let mut store = store(&Limits::default());
            // It looks itself at what is kept.
            let future = begin(&mut store, &piece.repeat(times));
            if let Some(told) = told(&mut store, &future) {
                prop_assert!(told.len() <= 2048, "{}", told.len());
            }
        }
    }

    #[tokio::test]
    async fn sessions_take_of_the_runs_memory() {
        for (limit, expected) in [
            (SESSION_BYTES - 1, 0),
            (SESSION_BYTES, 1),
            (2 * SESSION_BYTES - 1, 1),
            (2 * SESSION_BYTES, 2),
        ] {
            let mut store = store(&Limits::default().memory_bytes(limit));
            let mut under_way = Vec::new();
            let refusal = loop {
                let future = begin(&mut store, "a.example");
                match told(&mut store, &future) {
                    None => under_way.push(future),
                    Some(told) => break told,
                }
            };
            assert_eq!(
                refusal,
                "there is no memory left for TLS (--max-memory bounds it)"
            );
            assert_eq!(under_way.len(), expected, "{limit}");
            assert!(store.data().network.has_reached(Limit::Memory));
            let Some(one) = under_way.pop() else { continue };
            drop_future(&mut store, one);
            let another = begin(&mut store, "a.example");
            assert_eq!(
                told(&mut store, &another),
                None,
                "what was given back is to be had"
            );
        }
    }

    #[tokio::test]
    async fn tls_on_top_of_tls_is_refused() {
        let mut store = store(&Limits::default());
        let plain = |store: &mut Run| -> (Resource<DynInputStream>, Resource<DynOutputStream>) {
            let table = &mut store.data_mut().table;
            let input = table.push(Box::new(ClosedInputStream) as DynInputStream);
            let output = table.push(Box::new(ClosedOutputStream) as DynOutputStream);
            (input.unwrap(), output.unwrap())
        };
        for (of_input, of_output) in [(true, true), (true, false), (false, true)] {
            let (_connection, input, output) = secure(&mut store);
            let (plain_input, plain_output) = plain(&mut store);
            let input = if of_input { input } else { plain_input };
            let output = if of_output { output } else { plain_output };
            let future = begin_on(&mut store, "a.example", input, output);
            let told = told(&mut store, &future);
            let expected = "TLS on a connection that has TLS already is not offered";
            assert_eq!(told.as_deref(), Some(expected));
        }
        // A stream that has got the number of one that has gone is not taken for it.
        let (connection, input, output) = secure(&mut store);
        store.data_mut().table.delete(input).unwrap();
        store.data_mut().table.delete(output).unwrap();
        let connection = Resource::new_own(connection.rep());
        HostClientConnection::drop(&mut store.data_mut().tls(), connection).unwrap();
        let future = begin(&mut store, "a.example");
        assert_eq!(told(&mut store, &future), None);
    }

    /// A connection that has TLS on it, as far as a component can tell.
    fn secure(store: &mut Run) -> Streams {
        let tls = store.data_mut().tls();
        let (config, _) = tls.client.for_server("a.example").unwrap();
        let name = ServerName::try_from("a.example").unwrap();
        let connection = ClientConnection::new(config, name).unwrap();
        let session = Session::new(
            connection,
            Box::new(Silent),
            Box::new(Silent),
            Held::nothing(),
        );
        let shared = Shared::new(session, tls.client.clone());
        let mut tls = store.data_mut().tls();
        tls.give(shared).unwrap()
    }

    #[tokio::test]
    async fn what_is_on_this_machine_is_told_to_the_embedder_and_not_to_the_component() {
        let secret = "/nonexistent/home/of/somebody/authorities.pem";
        let errors = Arc::new(std::sync::Mutex::new(Vec::new()));
        let config = {
            let errors = errors.clone();
            let observer =
                move |error: &crate::Error| errors.lock().unwrap().push(error.to_string());
            TlsConfig::new()
                .system_file(secret)
                .observe_failures(observer)
        };
        let mut store = store_with(&Limits::default(), config);
        let future = begin(&mut store, "a.example");
        store
            .data_mut()
            .table
            .get_mut(&future)
            .unwrap()
            .ready()
            .await;
        let told = told(&mut store, &future);
        assert_eq!(
            told.as_deref(),
            Some("this runtime has no authorities to trust")
        );
        let errors = errors.lock().unwrap();
        assert!(
            errors.len() == 1 && errors[0].contains(secret),
            "{errors:?}"
        );
        // Nor is anything of an empty store of authorities.
        let config = TlsConfig::new().roots(RootCertStore::empty());
        let mut store = store_with(&Limits::default(), config);
        let future = begin(&mut store, "a.example");
        assert!(self::told(&mut store, &future).is_some());
    }
}
