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

/// A handshake that is to be: the host's side of `client-handshake`.
pub struct Handshake {
    server: String,
    input: DynInputStream,
    output: DynOutputStream,
}

/// A handshake, and then what came of it: the host's side of `future-client-streams`.
pub struct FutureStreams(State);

/// The host's side of `client-connection`.
pub struct Connection(Shared);

/// States of a handshake: `Preparing` -> `Speaking` -> `Done` -> `Taken`, and from each of the first two
/// to `Done` where it fails.
enum State {
    /// What is trusted is being read.
    Preparing(Handshake, Client, AbortOnDropJoinHandle<Prepared>),
    Speaking(Box<Speaking>),
    Done(Result<Shared, Failure>),
    Taken,
}

type Prepared = Result<(Arc<ClientConfig>, Arc<Remembering>), Failure>;

struct Speaking {
    session: Session,
    server: String,
    verifier: Arc<Remembering>,
    client: Client,
}

impl FutureStreams {
    fn begin(handshake: Handshake, client: Client) -> FutureStreams {
        if !client.has_to_read() {
            let prepared = client.for_server(&handshake.server);
            return FutureStreams(State::speak(handshake, client, prepared));
        }
        let (reader, server) = (client.clone(), handshake.server.clone());
        let prepared = spawn_blocking(move || reader.for_server(&server));
        FutureStreams(State::Preparing(handshake, client, prepared))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.0 {
                State::Preparing(_, _, prepared) => match Pin::new(prepared).poll(cx) {
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
        if let State::Preparing(handshake, client, _) = std::mem::replace(&mut self.0, State::Taken)
        {
            self.0 = State::speak(handshake, client, prepared);
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
                speaking.client.failed(failure.clone());
                Err(failure)
            }
        });
    }
}

impl State {
    /// Begin to speak, if everything for it is there.
    fn speak(handshake: Handshake, client: Client, prepared: Prepared) -> State {
        let Handshake {
            server,
            input,
            output,
        } = handshake;
        let other = |reason: String| Failure::Tls(TlsFailure::Other { reason });
        let connection = prepared.and_then(|(config, verifier)| {
            let name = ServerName::try_from(server.clone()).map_err(|_| {
                Failure::Tls(TlsFailure::InvalidName {
                    name: server.clone(),
                })
            })?;
            let connection = ClientConnection::new(config, name);
            Ok((
                connection.map_err(|error| other(error.to_string()))?,
                verifier,
            ))
        });
        match connection {
            Ok((connection, verifier)) => State::Speaking(Box::new(Speaking {
                session: Session::new(connection, input, output),
                server,
                verifier,
                client,
            })),
            Err(failure) => {
                client.failed(failure.clone());
                State::Done(Err(failure))
            }
        }
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
        self.readiness.forget(&input);
        let input = self.table.delete(input)?;
        let output = self.table.delete(output)?;
        Ok(self.table.push(Handshake {
            server,
            input,
            output,
        })?)
    }

    fn finish(&mut self, this: Resource<Handshake>) -> wasmtime::Result<Resource<FutureStreams>> {
        let handshake = self.table.delete(this)?;
        let future = FutureStreams::begin(handshake, self.client.clone());
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
                let error = self.table.push(wasmtime::format_err!("{failure}"))?;
                return Ok(Some(Ok(Err(error))));
            }
            _ => return Ok(Some(Err(()))),
        };
        let input: DynInputStream = Box::new(Input(shared.clone()));
        let output: DynOutputStream = Box::new(Output::new(shared.clone()));
        let connection = self.table.push(Connection(shared))?;
        let input = self.table.push_child(input, &connection)?;
        let output = self.table.push_child(output, &connection)?;
        Ok(Some(Ok(Ok((connection, input, output)))))
    }

    fn drop(&mut self, this: Resource<FutureStreams>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl tls::HostClientConnection for TlsView<'_> {
    fn close_output(&mut self, this: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.get(&this)?.0.session().close();
        Ok(())
    }

    fn drop(&mut self, this: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
