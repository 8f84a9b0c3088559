//! The streams of UDP sockets with a bandwidth limit. They are ready when wasmtime-wasi's own streams are
//! ready and bandwidth is left.
//!
//! The fields of wasmtime-wasi's streams are private. So with a bandwidth limit its stream is wrapped in one
//! of this module, whose number the component uses. The inner stream is put back into the table for each call.

use super::meter::Meter;
use super::plain;
use crate::ctx::SockboxCtxView;
use std::sync::Arc;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::p2::bindings::sockets::udp::{
    HostIncomingDatagramStream, HostOutgoingDatagramStream, IncomingDatagram,
    IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream,
};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketResult, UdpSocket, subscribe};
use wasmtime_wasi::sockets::WasiSocketsCtxView;

struct Incoming {
    /// None while it is lent.
    stream: Option<IncomingDatagramStream>,
    meter: Arc<Meter>,
}

struct Outgoing {
    /// None while it is lent.
    stream: Option<OutgoingDatagramStream>,
    /// How many datagrams the next call of `send` may have.
    permit: u64,
    meter: Arc<Meter>,
}

#[async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.ready().await;
        }
        self.meter.received.flows(None).await;
    }
}

#[async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.ready().await;
        }
        self.meter.sent.flows(None).await;
    }
}

type Streams = (
    Resource<IncomingDatagramStream>,
    Resource<OutgoingDatagramStream>,
);

/// Wrap the new streams of `socket`, if there is a bandwidth limit.
pub(super) fn keep(
    state: &mut SockboxCtxView<'_>,
    socket: u32,
    (incoming, outgoing): Streams,
) -> wasmtime::Result<Streams> {
    let meter = &state.ctx.sockets.meter;
    if !meter.is_slow() {
        return Ok((incoming, outgoing));
    }
    let table = &mut *state.table;
    let socket = Resource::<UdpSocket>::new_borrow(socket);
    let incoming = Incoming {
        stream: Some(table.delete(incoming)?),
        meter: meter.clone(),
    };
    let outgoing = Outgoing {
        stream: Some(table.delete(outgoing)?),
        permit: 0,
        meter: meter.clone(),
    };
    let incoming = table.push_child(incoming, &socket)?;
    let outgoing = table.push_child(outgoing, &socket)?;
    Ok((
        Resource::new_own(incoming.rep()),
        Resource::new_own(outgoing.rep()),
    ))
}

/// The wrapped stream with this number.
fn incoming(table: &mut ResourceTable, rep: u32) -> wasmtime::Result<&mut Incoming> {
    Ok(table.get_mut(&Resource::<Incoming>::new_borrow(rep))?)
}

fn outgoing(table: &mut ResourceTable, rep: u32) -> wasmtime::Result<&mut Outgoing> {
    Ok(table.get_mut(&Resource::<Outgoing>::new_borrow(rep))?)
}

fn is_lent<T>() -> wasmtime::Result<T> {
    wasmtime::bail!("a datagram stream is used twice at the same time")
}

/// Receive with wasmtime-wasi's own stream.
pub(super) fn receive(
    state: &mut SockboxCtxView<'_>,
    this: Resource<IncomingDatagramStream>,
    most: u64,
) -> wasmtime::Result<Result<Vec<IncomingDatagram>, ErrorCode>> {
    if !state.ctx.sockets.meter.is_slow() {
        return plain(state.sockets().receive(this, most));
    }
    let rep = this.rep();
    let Some(stream) = incoming(state.table, rep)?.stream.take() else {
        return is_lent();
    };
    let lent = state.table.push(stream)?;
    let borrowed = Resource::new_borrow(lent.rep());
    let received = state.sockets().receive(borrowed, most);
    let stream = state.table.delete(lent)?;
    incoming(state.table, rep)?.stream = Some(stream);
    plain(received)
}

/// Do something with wasmtime-wasi's own stream.
fn with_outgoing<T>(
    state: &mut SockboxCtxView<'_>,
    rep: u32,
    call: impl FnOnce(&mut WasiSocketsCtxView<'_>, Resource<OutgoingDatagramStream>) -> SocketResult<T>,
) -> wasmtime::Result<Result<T, ErrorCode>> {
    let Some(stream) = outgoing(state.table, rep)?.stream.take() else {
        return is_lent();
    };
    let lent = state.table.push(stream)?;
    let borrowed = Resource::new_borrow(lent.rep());
    let result = call(&mut state.sockets(), borrowed);
    let stream = state.table.delete(lent)?;
    outgoing(state.table, rep)?.stream = Some(stream);
    plain(result)
}

/// How many datagrams may be sent: none while there is no bandwidth.
pub(super) fn check_send(
    state: &mut SockboxCtxView<'_>,
    this: Resource<OutgoingDatagramStream>,
) -> wasmtime::Result<Result<u64, ErrorCode>> {
    if !state.ctx.sockets.meter.is_slow() {
        return plain(state.sockets().check_send(this));
    }
    let rep = this.rep();
    let checked = with_outgoing(state, rep, |theirs, stream| theirs.check_send(stream))?;
    let permit = match checked {
        Ok(permit) if state.ctx.sockets.meter.sent.has_bandwidth(None) => permit,
        _ => 0,
    };
    outgoing(state.table, rep)?.permit = permit;
    Ok(checked.map(|_| permit))
}

/// Use the permit to send so many datagrams.
///
/// # Errors
/// There is no permit. This is a trap, as in wasmtime-wasi.
pub(super) fn use_permit(
    state: &mut SockboxCtxView<'_>,
    this: &Resource<OutgoingDatagramStream>,
    datagrams: usize,
) -> wasmtime::Result<()> {
    if !state.ctx.sockets.meter.is_slow() || datagrams == 0 {
        return Ok(());
    }
    let stream = outgoing(state.table, this.rep())?;
    if datagrams as u64 > std::mem::take(&mut stream.permit) {
        wasmtime::bail!("unpermitted: argument exceeds permitted size");
    }
    Ok(())
}

/// Send with wasmtime-wasi's own stream.
pub(super) fn send(
    state: &mut SockboxCtxView<'_>,
    this: Resource<OutgoingDatagramStream>,
    datagrams: Vec<OutgoingDatagram>,
) -> wasmtime::Result<Result<u64, ErrorCode>> {
    if !state.ctx.sockets.meter.is_slow() {
        return plain(state.sockets().send(this, datagrams));
    }
    with_outgoing(state, this.rep(), |theirs, stream| {
        theirs.send(stream, datagrams)
    })
}

pub(super) fn subscribe_to_incoming(
    state: &mut SockboxCtxView<'_>,
    this: Resource<IncomingDatagramStream>,
) -> wasmtime::Result<Resource<DynPollable>> {
    match state.ctx.sockets.meter.is_slow() {
        true => subscribe(state.table, Resource::<Incoming>::new_borrow(this.rep())),
        false => HostIncomingDatagramStream::subscribe(&mut state.sockets(), this),
    }
}

pub(super) fn subscribe_to_outgoing(
    state: &mut SockboxCtxView<'_>,
    this: Resource<OutgoingDatagramStream>,
) -> wasmtime::Result<Resource<DynPollable>> {
    match state.ctx.sockets.meter.is_slow() {
        true => subscribe(state.table, Resource::<Outgoing>::new_borrow(this.rep())),
        false => HostOutgoingDatagramStream::subscribe(&mut state.sockets(), this),
    }
}

pub(super) fn drop_incoming(state: &mut SockboxCtxView<'_>, rep: u32) -> wasmtime::Result<()> {
    if !state.ctx.sockets.meter.is_slow() {
        return HostIncomingDatagramStream::drop(&mut state.sockets(), Resource::new_own(rep));
    }
    state.table.delete(Resource::<Incoming>::new_own(rep))?;
    Ok(())
}

pub(super) async fn drop_outgoing(
    state: &mut SockboxCtxView<'_>,
    rep: u32,
) -> wasmtime::Result<()> {
    if !state.ctx.sockets.meter.is_slow() {
        let mut theirs = state.sockets();
        return HostOutgoingDatagramStream::drop(&mut theirs, Resource::new_own(rep)).await;
    }
    let outgoing = state.table.delete(Resource::<Outgoing>::new_own(rep))?;
    if let Some(mut stream) = outgoing.stream {
        // Sent datagrams need no flush, as in wasmtime-wasi.
        stream.ready().await;
    }
    Ok(())
}
