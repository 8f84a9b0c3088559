//! Socket options, as the system has them. Values are rounded and refused as in wasmtime-wasi.

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::net::sockopt;
use std::time::Duration;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

/// The longest time between two probes, in nanoseconds, and the most of them: Linux takes no more.
const LONGEST_KEEP_ALIVE: u64 = 32_767 * SECOND;
const MOST_KEEP_ALIVE: u32 = 127;
const SECOND: u64 = 1_000_000_000;

type Fd<'a> = BorrowedFd<'a>;
type Answer<T> = Result<T, ErrorCode>;

pub(super) fn keep_alive_enabled(fd: Fd<'_>) -> Answer<bool> {
    Ok(sockopt::socket_keepalive(fd)?)
}

pub(super) fn set_keep_alive_enabled(fd: Fd<'_>, value: bool) -> Answer<()> {
    Ok(sockopt::set_socket_keepalive(fd, value)?)
}

/// In nanoseconds.
pub(super) fn keep_alive_idle_time(fd: Fd<'_>) -> Answer<u64> {
    Ok(nanoseconds(sockopt::tcp_keepidle(fd)?))
}

pub(super) fn set_keep_alive_idle_time(fd: Fd<'_>, nanoseconds: u64) -> Answer<()> {
    Ok(sockopt::set_tcp_keepidle(fd, keep_alive(nanoseconds)?)?)
}

/// In nanoseconds.
pub(super) fn keep_alive_interval(fd: Fd<'_>) -> Answer<u64> {
    Ok(nanoseconds(sockopt::tcp_keepintvl(fd)?))
}

pub(super) fn set_keep_alive_interval(fd: Fd<'_>, nanoseconds: u64) -> Answer<()> {
    Ok(sockopt::set_tcp_keepintvl(fd, keep_alive(nanoseconds)?)?)
}

pub(super) fn keep_alive_count(fd: Fd<'_>) -> Answer<u32> {
    Ok(sockopt::tcp_keepcnt(fd)?)
}

pub(super) fn set_keep_alive_count(fd: Fd<'_>, count: u32) -> Answer<()> {
    let count = nonzero(count)?.min(MOST_KEEP_ALIVE);
    Ok(sockopt::set_tcp_keepcnt(fd, count)?)
}

pub(super) fn hop_limit(fd: Fd<'_>, is_ipv4: bool) -> Answer<u8> {
    match is_ipv4 {
        true => u8::try_from(sockopt::ip_ttl(fd)?).map_err(|_| ErrorCode::NotSupported),
        false => Ok(sockopt::ipv6_unicast_hops(fd)?),
    }
}

pub(super) fn set_hop_limit(fd: Fd<'_>, is_ipv4: bool, limit: u8) -> Answer<()> {
    let limit = nonzero(limit)?;
    match is_ipv4 {
        true => sockopt::set_ip_ttl(fd, limit.into())?,
        false => sockopt::set_ipv6_unicast_hops(fd, Some(limit))?,
    }
    Ok(())
}

pub(super) fn receive_buffer_size(fd: Fd<'_>) -> Answer<u64> {
    Ok(told(sockopt::socket_recv_buffer_size(fd)?))
}

pub(super) fn set_receive_buffer_size(fd: Fd<'_>, value: u64) -> Answer<()> {
    hint(sockopt::set_socket_recv_buffer_size(fd, size(value)?))
}

pub(super) fn send_buffer_size(fd: Fd<'_>) -> Answer<u64> {
    Ok(told(sockopt::socket_send_buffer_size(fd)?))
}

pub(super) fn set_send_buffer_size(fd: Fd<'_>, value: u64) -> Answer<()> {
    hint(sockopt::set_socket_send_buffer_size(fd, size(value)?))
}

pub(super) fn nonzero<T: PartialEq + Default>(value: T) -> Answer<T> {
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
