//! As many as the host gives.

use crate::attempt::{At, Attempt, Failure};
use crate::bindings::wasi::clocks::monotonic_clock::wait_for;
use crate::bindings::wasi::filesystem::types::{DescriptorFlags, OpenFlags};
use crate::bindings::wasi::sockets::types::{IpAddressFamily, TcpSocket, UdpSocket};
use crate::files::open;
use crate::names::addresses;
use crate::tcp::Connection;
use crate::udp::bound;
use std::future::{Future, poll_fn};
use std::mem::{ManuallyDrop, forget};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

/// Longer than any test.
const HOURS: u64 = 10 * 3600 * 1_000_000_000;

pub fn sockets(count: u64) -> Attempt {
    keep(count, || {
        TcpSocket::create(IpAddressFamily::Ipv4).at("create")
    })
}

pub fn udp_sockets(count: u64) -> Attempt {
    keep(count, || {
        UdpSocket::create(IpAddressFamily::Ipv4).at("create")
    })
}

/// Make so many and give none back: the host has to end them when the component ends.
fn keep<T>(count: u64, make: impl Fn() -> Result<T, Failure>) -> Attempt {
    for made in 0..count {
        forget(make().map_err(|failure| failure.after(made))?);
    }
    Ok(count.to_string())
}

pub async fn connections(address: SocketAddr, count: u64) -> Attempt {
    for made in 0..count {
        let connection = Connection::to(address).await;
        forget(connection.map_err(|failure| failure.after(made))?);
    }
    Ok(count.to_string())
}

pub async fn streams_only(address: SocketAddr, count: u64) -> Attempt {
    for made in 0..count {
        let connection = Connection::to(address).await;
        connection
            .map_err(|failure| failure.after(made))?
            .forget_streams();
    }
    Ok(count.to_string())
}

pub async fn connect_often(address: SocketAddr, count: u64) -> Attempt {
    for made in 0..count {
        let connection = Connection::to(address).await;
        drop(connection.map_err(|failure| failure.after(made))?);
    }
    Ok(count.to_string())
}

pub async fn lookups(name: &str, count: u64) -> Attempt {
    for done in 0..count {
        let answer = addresses(name).await;
        answer.map_err(|failure| failure.after(done))?;
    }
    Ok(count.to_string())
}

pub async fn lookups_at_once(name: &str, count: u64) -> Attempt {
    type Lookup<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;
    let lookup = async || addresses(name).await.map(drop);
    let mut waiting: Vec<Lookup<'_>> = Vec::new();
    for _ in 0..count {
        waiting.push(Box::pin(lookup()));
    }
    let mut answered = 0;
    poll_fn(|cx| {
        let mut failure = None;
        waiting.retain_mut(|lookup| match lookup.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => {
                answered += 1;
                false
            }
            Poll::Ready(Err(failed)) => {
                failure.get_or_insert(failed);
                false
            }
        });
        match failure {
            Some(failure) => Poll::Ready(Err(failure.after(answered))),
            None if waiting.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await?;
    Ok(count.to_string())
}

/// Begin so many calls, each of which waits, and leave them.
async fn begin<F: Future>(count: u64, call: impl Fn() -> F) -> Attempt {
    for begun in 0..count {
        let mut call = Box::pin(call());
        let ended = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
        if ended {
            return Err(Failure::new("ended", "call").after(begun));
        }
        forget(call);
    }
    Ok(count.to_string())
}

pub async fn waits(count: u64) -> Attempt {
    begin(count, || wait_for(HOURS)).await
}

pub async fn receives(address: SocketAddr, count: u64) -> Attempt {
    // The calls that go on have borrowed it.
    let socket = ManuallyDrop::new(bound(address)?);
    for begun in 0..count {
        let mut call = Box::pin(socket.receive());
        let now = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        if let Poll::Ready(received) = now {
            received
                .at("receive")
                .map_err(|failure| failure.after(begun))?;
        }
        forget(call);
    }
    Ok(count.to_string())
}

pub async fn files(file: &str, count: u64) -> Attempt {
    for opened in 0..count {
        let opened_file = open(file, OpenFlags::empty(), DescriptorFlags::READ).await;
        forget(opened_file.map_err(|failure| failure.after(opened))?);
    }
    Ok(count.to_string())
}

pub async fn readers(file: &str, count: u64) -> Attempt {
    let file = open(file, OpenFlags::empty(), DescriptorFlags::READ).await?;
    for begun in 0..count {
        let (mut bytes, ended) = file.read_via_stream(0);
        let (_, read) = bytes.read(Vec::with_capacity(1)).await;
        if read.is_empty() {
            ended
                .await
                .at("read")
                .map_err(|failure| failure.after(begun))?;
            return Err(Failure::new("ended", "read").after(begun));
        }
        forget((bytes, ended));
    }
    forget(file);
    Ok(count.to_string())
}

pub async fn lists(folder: &str, count: u64) -> Attempt {
    let folder = open(folder, OpenFlags::DIRECTORY, DescriptorFlags::READ).await?;
    for begun in 0..count {
        let (mut entries, ended) = folder.read_directory();
        if entries.next().await.is_none() {
            ended
                .await
                .at("list")
                .map_err(|failure| failure.after(begun))?;
            return Err(Failure::new("ended", "list").after(begun));
        }
        forget((entries, ended));
    }
    forget(folder);
    Ok(count.to_string())
}
