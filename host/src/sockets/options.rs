//! Options of sockets: wasmtime-wasi's own answer for themselves, for [ours](Ours) the system is asked
//! here. Values are rounded and refused as wasmtime-wasi does it.

use super::ours::Ours;
use super::plain;
use crate::state::State;
use rustix::io::Errno;
use rustix::net::sockopt;
use std::time::Duration;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::{SocketResult, TcpSocket};
use wasmtime_wasi::sockets::{WasiSocketsCtxView, WasiSocketsView};

/// The longest time between two probes, in nanoseconds, and the most of them: Linux takes no more.
const LONGEST_KEEP_ALIVE: u64 = 32_767 * SECOND;
const MOST_KEEP_ALIVE: u32 = 127;
const SECOND: u64 = 1_000_000_000;

type Answer<T> = Result<T, ErrorCode>;
type Theirs<'a> = WasiSocketsCtxView<'a>;

pub(super) fn add_to_linker(tcp: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    fact(
        tcp,
        "is-listening",
        |ours| ours.is_listening(),
        |theirs, this| theirs.is_listening(this),
    )?;
    fact(
        tcp,
        "address-family",
        |ours| ours.family(),
        |theirs, this| theirs.address_family(this),
    )?;
    // A hint, and who made the listener has made up their mind.
    set(
        tcp,
        "set-listen-backlog-size",
        |ours, value| match (nonzero(value)?, ours) {
            (_, Ours::Listening(_)) => Ok(()),
            (_, Ours::Connection(_)) => Err(ErrorCode::InvalidState),
        },
        |theirs, this, value| theirs.set_listen_backlog_size(this, value),
    )?;
    get(
        tcp,
        "keep-alive-enabled",
        |ours| Ok(sockopt::socket_keepalive(ours.fd())?),
        |theirs, this| theirs.keep_alive_enabled(this),
    )?;
    set(
        tcp,
        "set-keep-alive-enabled",
        |ours, value| Ok(sockopt::set_socket_keepalive(ours.fd(), value)?),
        |theirs, this, value| theirs.set_keep_alive_enabled(this, value),
    )?;
    get(
        tcp,
        "keep-alive-idle-time",
        |ours| Ok(nanoseconds(sockopt::tcp_keepidle(ours.fd())?)),
        |theirs, this| theirs.keep_alive_idle_time(this),
    )?;
    set(
        tcp,
        "set-keep-alive-idle-time",
        |ours, value| Ok(sockopt::set_tcp_keepidle(ours.fd(), keep_alive(value)?)?),
        |theirs, this, value| theirs.set_keep_alive_idle_time(this, value),
    )?;
    get(
        tcp,
        "keep-alive-interval",
        |ours| Ok(nanoseconds(sockopt::tcp_keepintvl(ours.fd())?)),
        |theirs, this| theirs.keep_alive_interval(this),
    )?;
    set(
        tcp,
        "set-keep-alive-interval",
        |ours, value| Ok(sockopt::set_tcp_keepintvl(ours.fd(), keep_alive(value)?)?),
        |theirs, this, value| theirs.set_keep_alive_interval(this, value),
    )?;
    get(
        tcp,
        "keep-alive-count",
        |ours| Ok(sockopt::tcp_keepcnt(ours.fd())?),
        |theirs, this| theirs.keep_alive_count(this),
    )?;
    set(
        tcp,
        "set-keep-alive-count",
        |ours, value: u32| {
            let count = nonzero(value)?.min(MOST_KEEP_ALIVE);
            Ok(sockopt::set_tcp_keepcnt(ours.fd(), count)?)
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
        |ours| Ok(told(sockopt::socket_recv_buffer_size(ours.fd())?)),
        |theirs, this| theirs.receive_buffer_size(this),
    )?;
    set(
        tcp,
        "set-receive-buffer-size",
        |ours, value| {
            hint(sockopt::set_socket_recv_buffer_size(
                ours.fd(),
                size(value)?,
            ))
        },
        |theirs, this, value| theirs.set_receive_buffer_size(this, value),
    )?;
    get(
        tcp,
        "send-buffer-size",
        |ours| Ok(told(sockopt::socket_send_buffer_size(ours.fd())?)),
        |theirs, this| theirs.send_buffer_size(this),
    )?;
    set(
        tcp,
        "set-send-buffer-size",
        |ours, value| {
            hint(sockopt::set_socket_send_buffer_size(
                ours.fd(),
                size(value)?,
            ))
        },
        |theirs, this, value| theirs.set_send_buffer_size(this, value),
    )
}

/// What is known of every socket.
fn fact<T: ComponentType + Lower + 'static>(
    tcp: &mut LinkerInstance<'_, State>,
    name: &str,
    ours: fn(&Ours<'_>) -> T,
    theirs: fn(&mut Theirs<'_>, Resource<TcpSocket>) -> wasmtime::Result<T>,
) -> wasmtime::Result<()> {
    tcp.func_wrap(
        &method(name),
        move |mut store: StoreContextMut<'_, State>, (this,): (Resource<TcpSocket>,)| {
            let state = store.data_mut();
            let known = match state.ours(&this) {
                Some(socket) => ours(&socket),
                None => theirs(&mut state.sockets(), this)?,
            };
            Ok((known,))
        },
    )
}

fn get<T: ComponentType + Lower + 'static>(
    tcp: &mut LinkerInstance<'_, State>,
    name: &str,
    ours: fn(&Ours<'_>) -> Answer<T>,
    theirs: fn(&mut Theirs<'_>, Resource<TcpSocket>) -> SocketResult<T>,
) -> wasmtime::Result<()> {
    tcp.func_wrap(
        &method(name),
        move |mut store: StoreContextMut<'_, State>, (this,): (Resource<TcpSocket>,)| {
            let state = store.data_mut();
            let answer = match state.ours(&this) {
                Some(socket) => ours(&socket),
                None => plain(theirs(&mut state.sockets(), this))?,
            };
            Ok((answer,))
        },
    )
}

fn set<T: ComponentType + Lift + 'static>(
    tcp: &mut LinkerInstance<'_, State>,
    name: &str,
    ours: fn(&Ours<'_>, T) -> Answer<()>,
    theirs: fn(&mut Theirs<'_>, Resource<TcpSocket>, T) -> SocketResult<()>,
) -> wasmtime::Result<()> {
    tcp.func_wrap(
        &method(name),
        move |mut store: StoreContextMut<'_, State>, (this, value): (Resource<TcpSocket>, T)| {
            let state = store.data_mut();
            let answer = match state.ours(&this) {
                Some(socket) => ours(&socket, value),
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

fn hop_limit(ours: &Ours<'_>) -> Answer<u8> {
    match ours.family() {
        IpAddressFamily::Ipv4 => {
            let limit = sockopt::ip_ttl(ours.fd())?;
            u8::try_from(limit).map_err(|_| ErrorCode::NotSupported)
        }
        IpAddressFamily::Ipv6 => Ok(sockopt::ipv6_unicast_hops(ours.fd())?),
    }
}

fn set_hop_limit(ours: &Ours<'_>, limit: u8) -> Answer<()> {
    let limit = nonzero(limit)?;
    match ours.family() {
        IpAddressFamily::Ipv4 => sockopt::set_ip_ttl(ours.fd(), limit.into())?,
        IpAddressFamily::Ipv6 => sockopt::set_ipv6_unicast_hops(ours.fd(), Some(limit))?,
    }
    Ok(())
}

/// The size of a buffer, as the system has it: Linux doubles what it is asked for, and tells that.
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

/// A size is a hint: a system that can't go so far goes as far as it can, or stays where it is.
fn hint(result: Result<(), Errno>) -> Answer<()> {
    match result {
        Err(error) if error != Errno::NOBUFS => Err(error.into()),
        _ => Ok(()),
    }
}
