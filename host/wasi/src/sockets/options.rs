//! Socket options. wasmtime-wasi handles its own sockets; for [adopted ones](AdoptedSocket) this module calls
//! the system. Values are rounded and refused as in wasmtime-wasi.

use super::adopted::AdoptedSocket;
use super::plain;
use crate::ctx::SockboxView;
use crate::replaced::TCP;
use rustix::io::Errno;
use rustix::net::sockopt;
use std::time::Duration;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::{SocketResult, TcpSocket};
use wasmtime_wasi::sockets::WasiSocketsCtxView;

/// The longest time between two probes, in nanoseconds, and the most of them: Linux takes no more.
const LONGEST_KEEP_ALIVE: u64 = 32_767 * SECOND;
const MOST_KEEP_ALIVE: u32 = 127;
const SECOND: u64 = 1_000_000_000;

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
        |adopted| Ok(sockopt::socket_keepalive(adopted.fd())?),
        |theirs, this| theirs.keep_alive_enabled(this),
    )?;
    set(
        tcp,
        "set-keep-alive-enabled",
        |adopted, value| Ok(sockopt::set_socket_keepalive(adopted.fd(), value)?),
        |theirs, this, value| theirs.set_keep_alive_enabled(this, value),
    )?;
    get(
        tcp,
        "keep-alive-idle-time",
        |adopted| Ok(nanoseconds(sockopt::tcp_keepidle(adopted.fd())?)),
        |theirs, this| theirs.keep_alive_idle_time(this),
    )?;
    set(
        tcp,
        "set-keep-alive-idle-time",
        |adopted, value| Ok(sockopt::set_tcp_keepidle(adopted.fd(), keep_alive(value)?)?),
        |theirs, this, value| theirs.set_keep_alive_idle_time(this, value),
    )?;
    get(
        tcp,
        "keep-alive-interval",
        |adopted| Ok(nanoseconds(sockopt::tcp_keepintvl(adopted.fd())?)),
        |theirs, this| theirs.keep_alive_interval(this),
    )?;
    set(
        tcp,
        "set-keep-alive-interval",
        |adopted, value| {
            Ok(sockopt::set_tcp_keepintvl(
                adopted.fd(),
                keep_alive(value)?,
            )?)
        },
        |theirs, this, value| theirs.set_keep_alive_interval(this, value),
    )?;
    get(
        tcp,
        "keep-alive-count",
        |adopted| Ok(sockopt::tcp_keepcnt(adopted.fd())?),
        |theirs, this| theirs.keep_alive_count(this),
    )?;
    set(
        tcp,
        "set-keep-alive-count",
        |adopted, value: u32| {
            let count = nonzero(value)?.min(MOST_KEEP_ALIVE);
            Ok(sockopt::set_tcp_keepcnt(adopted.fd(), count)?)
        },
        |theirs, this, value| theirs.set_keep_alive_count(this, value),
    )?;
    get(tcp, "hop-limit", hop_limit, |theirs, this| {
        theirs.hop_limit(this)
    })?;
    set(
        tcp,
        "set-hop-limit",
        set_hop_limit,
        |theirs, this, value| theirs.set_hop_limit(this, value),
    )?;
    get(
        tcp,
        "receive-buffer-size",
        |adopted| Ok(told(sockopt::socket_recv_buffer_size(adopted.fd())?)),
        |theirs, this| theirs.receive_buffer_size(this),
    )?;
    set(
        tcp,
        "set-receive-buffer-size",
        |adopted, value| {
            hint(sockopt::set_socket_recv_buffer_size(
                adopted.fd(),
                size(value)?,
            ))
        },
        |theirs, this, value| theirs.set_receive_buffer_size(this, value),
    )?;
    get(
        tcp,
        "send-buffer-size",
        |adopted| Ok(told(sockopt::socket_send_buffer_size(adopted.fd())?)),
        |theirs, this| theirs.send_buffer_size(this),
    )?;
    set(
        tcp,
        "set-send-buffer-size",
        |adopted, value| {
            hint(sockopt::set_socket_send_buffer_size(
                adopted.fd(),
                size(value)?,
            ))
        },
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

fn nonzero<T: PartialEq + Default>(value: T) -> Answer<T> {
    match value == T::default() {
        true => Err(ErrorCode::InvalidArgument),
        false => Ok(value),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn keep_alive(nanoseconds: u64) -> Answer<Duration> {
    let nanoseconds = nonzero(nanoseconds)?.clamp(SECOND, LONGEST_KEEP_ALIVE);
    Ok(Duration::from_nanos(nanoseconds))
}

fn hop_limit(adopted: &AdoptedSocket<'_>) -> Answer<u8> {
    match adopted.family() {
        IpAddressFamily::Ipv4 => {
            let limit = sockopt::ip_ttl(adopted.fd())?;
            u8::try_from(limit).map_err(|_| ErrorCode::NotSupported)
        }
        IpAddressFamily::Ipv6 => Ok(sockopt::ipv6_unicast_hops(adopted.fd())?),
    }
}

fn set_hop_limit(adopted: &AdoptedSocket<'_>, limit: u8) -> Answer<()> {
    let limit = nonzero(limit)?;
    match adopted.family() {
        IpAddressFamily::Ipv4 => sockopt::set_ip_ttl(adopted.fd(), limit.into())?,
        IpAddressFamily::Ipv6 => sockopt::set_ipv6_unicast_hops(adopted.fd(), Some(limit))?,
    }
    Ok(())
}

/// The size of a buffer. Linux doubles the requested value, and returns the doubled one.
fn told(size: usize) -> u64 {
    let size = if cfg!(target_os = "linux") {
        size / 2
    } else {
        size
    };
    u64::try_from(size).unwrap_or(u64::MAX)
}

fn size(value: u64) -> Answer<usize> {
    let most = i32::MAX as usize;
    Ok(usize::try_from(nonzero(value)?).unwrap_or(most).min(most))
}

/// A size is a hint. A system that does not support it uses the nearest size, or keeps the old one.
fn hint(result: Result<(), Errno>) -> Answer<()> {
    match result {
        Err(error) if error != Errno::NOBUFS => Err(error.into()),
        _ => Ok(()),
    }
}
