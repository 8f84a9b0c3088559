//! Socket options. wasmtime-wasi handles its own sockets; for [adopted ones](AdoptedSocket) this module calls
//! the [system](fd_options).

use super::adopted::AdoptedSocket;
use super::fd_options::{self, nonzero};
use super::plain;
use crate::ctx::SockboxView;
use crate::replaced::TCP;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::{SocketResult, TcpSocket};
use wasmtime_wasi::sockets::WasiSocketsCtxView;

type Answer<T> = Result<T, ErrorCode>;
type Theirs<'a> = WasiSocketsCtxView<'a>;

pub(super) fn add_to_linker<T: SockboxView>(
    tcp: &mut LinkerInstance<'_, T>,
) -> wasmtime::Result<()> {
    tcp.func_wrap(
        TCP.item(&method("is-listening")),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            let listening = match (state.adopted(&this), state.private(&this)) {
                (Some(adopted), _) => adopted.is_listening(),
                (None, Some(private)) => private.is_listening(),
                (None, None) => state.sockets().is_listening(this)?,
            };
            Ok((listening,))
        },
    )?;
    fact(
        tcp,
        "address-family",
        |adopted| adopted.family(),
        |theirs, this| theirs.address_family(this),
    )?;
    // The backlog is a hint. An inherited listener keeps the one that its creator set.
    tcp.func_wrap(
        TCP.item(&method("set-listen-backlog-size")),
        |mut store: StoreContextMut<'_, T>, (this, value): (Resource<TcpSocket>, u64)| {
            let mut state = store.data_mut().sockbox();
            let answer = match state.adopted(&this) {
                Some(AdoptedSocket::Listening(_)) => nonzero(value).map(drop),
                Some(AdoptedSocket::Connection(_)) => {
                    nonzero(value).and(Err(ErrorCode::InvalidState))
                }
                None => state.set_backlog(this, value)?,
            };
            Ok((answer,))
        },
    )?;
    get(
        tcp,
        "keep-alive-enabled",
        |adopted| fd_options::keep_alive_enabled(adopted.fd()),
        |theirs, this| theirs.keep_alive_enabled(this),
    )?;
    set(
        tcp,
        "set-keep-alive-enabled",
        |adopted, value| fd_options::set_keep_alive_enabled(adopted.fd(), value),
        |theirs, this, value| theirs.set_keep_alive_enabled(this, value),
    )?;
    get(
        tcp,
        "keep-alive-idle-time",
        |adopted| fd_options::keep_alive_idle_time(adopted.fd()),
        |theirs, this| theirs.keep_alive_idle_time(this),
    )?;
    set(
        tcp,
        "set-keep-alive-idle-time",
        |adopted, value| fd_options::set_keep_alive_idle_time(adopted.fd(), value),
        |theirs, this, value| theirs.set_keep_alive_idle_time(this, value),
    )?;
    get(
        tcp,
        "keep-alive-interval",
        |adopted| fd_options::keep_alive_interval(adopted.fd()),
        |theirs, this| theirs.keep_alive_interval(this),
    )?;
    set(
        tcp,
        "set-keep-alive-interval",
        |adopted, value| fd_options::set_keep_alive_interval(adopted.fd(), value),
        |theirs, this, value| theirs.set_keep_alive_interval(this, value),
    )?;
    get(
        tcp,
        "keep-alive-count",
        |adopted| fd_options::keep_alive_count(adopted.fd()),
        |theirs, this| theirs.keep_alive_count(this),
    )?;
    set(
        tcp,
        "set-keep-alive-count",
        |adopted, value| fd_options::set_keep_alive_count(adopted.fd(), value),
        |theirs, this, value| theirs.set_keep_alive_count(this, value),
    )?;
    get(
        tcp,
        "hop-limit",
        |adopted| fd_options::hop_limit(adopted.fd(), is_ipv4(adopted)),
        |theirs, this| theirs.hop_limit(this),
    )?;
    set(
        tcp,
        "set-hop-limit",
        |adopted, value| fd_options::set_hop_limit(adopted.fd(), is_ipv4(adopted), value),
        |theirs, this, value| theirs.set_hop_limit(this, value),
    )?;
    get(
        tcp,
        "receive-buffer-size",
        |adopted| fd_options::receive_buffer_size(adopted.fd()),
        |theirs, this| theirs.receive_buffer_size(this),
    )?;
    set(
        tcp,
        "set-receive-buffer-size",
        |adopted, value| fd_options::set_receive_buffer_size(adopted.fd(), value),
        |theirs, this, value| theirs.set_receive_buffer_size(this, value),
    )?;
    get(
        tcp,
        "send-buffer-size",
        |adopted| fd_options::send_buffer_size(adopted.fd()),
        |theirs, this| theirs.send_buffer_size(this),
    )?;
    set(
        tcp,
        "set-send-buffer-size",
        |adopted, value| fd_options::set_send_buffer_size(adopted.fd(), value),
        |theirs, this, value| theirs.set_send_buffer_size(this, value),
    )
}

/// What is known of every socket.
fn fact<T: SockboxView, V: ComponentType + Lower + 'static>(
    tcp: &mut LinkerInstance<'_, T>,
    name: &str,
    adopted: fn(&AdoptedSocket<'_>) -> V,
    theirs: fn(&mut Theirs<'_>, Resource<TcpSocket>) -> wasmtime::Result<V>,
) -> wasmtime::Result<()> {
    tcp.func_wrap(
        TCP.item(&method(name)),
        move |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            let known = match state.adopted(&this) {
                Some(socket) => adopted(&socket),
                None => theirs(&mut state.sockets(), this)?,
            };
            Ok((known,))
        },
    )
}

fn get<T: SockboxView, V: ComponentType + Lower + 'static>(
    tcp: &mut LinkerInstance<'_, T>,
    name: &str,
    adopted: fn(&AdoptedSocket<'_>) -> Answer<V>,
    theirs: fn(&mut Theirs<'_>, Resource<TcpSocket>) -> SocketResult<V>,
) -> wasmtime::Result<()> {
    tcp.func_wrap(
        TCP.item(&method(name)),
        move |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            let answer = match state.adopted(&this) {
                Some(socket) => adopted(&socket),
                None => plain(theirs(&mut state.sockets(), this))?,
            };
            Ok((answer,))
        },
    )
}

fn set<T: SockboxView, V: ComponentType + Lift + 'static>(
    tcp: &mut LinkerInstance<'_, T>,
    name: &str,
    adopted: fn(&AdoptedSocket<'_>, V) -> Answer<()>,
    theirs: fn(&mut Theirs<'_>, Resource<TcpSocket>, V) -> SocketResult<()>,
) -> wasmtime::Result<()> {
    tcp.func_wrap(
        TCP.item(&method(name)),
        move |mut store: StoreContextMut<'_, T>, (this, value): (Resource<TcpSocket>, V)| {
            let mut state = store.data_mut().sockbox();
            let answer = match state.adopted(&this) {
                Some(socket) => adopted(&socket, value),
                None => plain(theirs(&mut state.sockets(), this, value))?,
            };
            Ok((answer,))
        },
    )
}

fn method(name: &str) -> String {
    format!("[method]tcp-socket.{name}")
}

fn is_ipv4(adopted: &AdoptedSocket<'_>) -> bool {
    adopted.family() == IpAddressFamily::Ipv4
}
