//! Connecting over TCP: how often, and what comes of it.

use super::plain;
use crate::limits::Limit;
use crate::policy::Target;
use crate::state::State;
use std::net::SocketAddr;
use std::time::Instant;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::{Network as NetworkHandle, TcpSocket};
use wasmtime_wasi::sockets::WasiSocketsView;

pub(super) fn add_to_linker(tcp: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    tcp.func_wrap(
        "[method]tcp-socket.start-connect",
        |mut store: StoreContextMut<'_, State>,
         (this, network, address): (
            Resource<TcpSocket>,
            Resource<NetworkHandle>,
            IpSocketAddress,
        )| {
            let state = store.data_mut();
            if let Some(ours) = state.ours(&this) {
                return Ok((Err(ours.refusal()),));
            }
            let (rep, to) = (this.rep(), SocketAddr::from(address));
            if !state.may_connect(to) {
                return Ok((Err(ErrorCode::NewSocketLimit),));
            }
            let started = plain(state.sockets().start_connect(this, network, address))?;
            if started.is_ok() && state.network.keeps_accounts() {
                state.tcp.connecting.insert(rep, to);
            }
            Ok((started,))
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.finish-connect",
        |mut store: StoreContextMut<'_, State>, (this,): (Resource<TcpSocket>,)| {
            let state = store.data_mut();
            if state.ours(&this).is_some() {
                return Ok((Err(ErrorCode::NotInProgress),));
            }
            let rep = this.rep();
            let connected = plain(state.sockets().finish_connect(this))?;
            if let Ok((input, output)) = &connected {
                state.tcp.count.has_streams(rep);
                let to = state.tcp.connecting.remove(&rep);
                let account = to.and_then(|to| state.network.account(Target::Connect(to)));
                state.meter(rep, account, input, output)?;
            }
            Ok((connected,))
        },
    )
}

impl State {
    /// Whether one more attempt to connect may be made, which is counted.
    fn may_connect(&mut self, to: SocketAddr) -> bool {
        let Some(connects) = &mut self.tcp.connects else {
            return true;
        };
        let may = connects.take_one(Instant::now());
        match may {
            true => self.network.has_room(Limit::ConnectsPerSecond),
            false => {
                let target = Some(Target::Connect(to));
                self.network.reached(Limit::ConnectsPerSecond, target);
            }
        }
        may
    }
}
