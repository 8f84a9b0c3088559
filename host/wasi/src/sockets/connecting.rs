//! Connecting over TCP: the limit on attempts, and the result.

use super::plain;
use crate::ctx::SockboxView;
use crate::replaced::TCP;
use sockbox_policy::Target;
use std::net::SocketAddr;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::{Network as NetworkHandle, TcpSocket};

pub(super) fn add_to_linker<T: SockboxView>(
    tcp: &mut LinkerInstance<'_, T>,
) -> wasmtime::Result<()> {
    tcp.func_wrap(
        TCP.item("[method]tcp-socket.start-connect"),
        |mut store: StoreContextMut<'_, T>,
         (this, network, address): (
            Resource<TcpSocket>,
            Resource<NetworkHandle>,
            IpSocketAddress,
        )| {
            let mut state = store.data_mut().sockbox();
            if let Some(adopted) = state.adopted(&this) {
                return Ok((Err(adopted.refusal()),));
            }
            let (rep, to) = (this.rep(), SocketAddr::from(address));
            if let Some(started) = state.connect_privately(&this, to)? {
                return Ok((started,));
            }
            if let Some(started) = state.connect_through_proxy(&this, to)? {
                return Ok((started,));
            }
            if !state.ctx.sockets.dialer.may_connect(to) {
                return Ok((Err(ErrorCode::NewSocketLimit),));
            }
            let started = plain(state.sockets().start_connect(this, network, address))?;
            let authority = &state.ctx.authority;
            if started.is_ok() && (authority.keeps_accounts() || authority.is_replaceable()) {
                state.ctx.sockets.connecting.insert(rep, to);
            }
            Ok((started,))
        },
    )?;
    tcp.func_wrap(
        TCP.item("[method]tcp-socket.finish-connect"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            if state.adopted(&this).is_some() {
                return Ok((Err(ErrorCode::NotInProgress),));
            }
            let rep = this.rep();
            if let Some(connected) = state.finish_private_connect(&this)? {
                return Ok((connected,));
            }
            if let Some(connected) = state.finish_tunnel(&this)? {
                return Ok((connected,));
            }
            let connected = plain(state.sockets().finish_connect(this))?;
            if let Ok((input, output)) = &connected {
                state.ctx.sockets.count.has_streams(rep);
                let to = state.ctx.sockets.connecting.remove(&rep);
                let account = to.and_then(|to| state.ctx.authority.account(Target::Connect(to)));
                state.meter(rep, account, input, output)?;
                state.guard(to.map(Target::Connect), input, output)?;
            }
            Ok((connected,))
        },
    )
}
