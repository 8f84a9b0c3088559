//! `wasi:tls/types`.

use super::TlsView;
use super::certificate::Certificate;
use super::client::Client;
use super::config::{TlsHandshake, TlsVersion};
use super::failure::{Failure, TlsFailure};
use super::held::Held;
use super::session::Session;
use super::streams::{Input, Output, Shared};
use super::verifier::Remembering;
use crate::bindings::tls;
use crate::budget::Charge;
use crate::failed::ToComponent;
use crate::sockets::count::Open;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion};
use sockbox_policy::Limit;
use sockbox_policy::MAX_NAME_BYTES;
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
/// rustls buffers received bytes that are not decrypted yet (a handshake message may have 64 KiB), the
/// record that it decrypts (16 KiB), and encrypted bytes that are not sent yet (at most one write, 64
/// KiB). About 100 KiB were measured.
pub(crate) const SESSION_BYTES: u64 = 128 * 1024;

/// How much of a server's name that can't be one is repeated: 64 bytes, as many as a label may have and
/// one more.
const SHOWN_OF_A_NAME: usize = 64;

/// A handshake that has not begun: the host's side of `client-handshake`.
pub struct Handshake {
    /// The server's name, or why there can be no TLS.
    server: Result<String, TlsFailure>,
    transport: Transport,
}

/// The streams below TLS.
struct Transport {
    input: DynInputStream,
    output: DynOutputStream,
    /// The sockets that the streams are of.
    sockets: [Option<Arc<Open>>; 2],
}

/// A handshake, and then its result: the host's side of `future-client-streams`.
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
    /// Start the handshake, if everything that it needs has been read.
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
                let held = Held::new(sockets, charge);
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

/// Speak TLS on a connection that the host opened, with this server. `charge` is for [`SESSION_BYTES`].
pub(crate) async fn over(
    client: &Client,
    server: String,
    (input, output): (DynInputStream, DynOutputStream),
    charge: Charge,
) -> Result<(DynInputStream, DynOutputStream), Failure> {
    let transport = Transport {
        input,
        output,
        sockets: [None, None],
    };
    let mut future = FutureStreams::begin(Preparing {
        server,
        transport,
        client: client.clone(),
        charge,
    });
    poll_fn(|cx| future.poll(cx)).await;
    match future.0 {
        State::Done(Ok(shared)) => Ok((
            Box::new(Input(shared.clone())),
            Box::new(Output::new(shared)),
        )),
        State::Done(Err(failure)) => Err(failure),
        // It is polled until it is done.
        State::Preparing(..) | State::Speaking(_) | State::Taken => {
            Err(Failure::Tls(TlsFailure::Closed))
        }
    }
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
            // Nested TLS is refused: each level would add a stack frame when the outermost stream
            // is polled or dropped.
            server = Err(TlsFailure::Other {
                reason: "the connection already uses TLS".to_owned(),
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
                self.authority.reached(Limit::Memory, None);
                let reason = "no memory left for TLS (max-memory sets the limit)".to_owned();
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
    /// Give the component a connection with TLS.
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
mod tests;
