//! UDP.

use crate::attempt::{At, Attempt, Failure};
use crate::bindings::wasi::sockets::types::UdpSocket;
use crate::machine::say;
use crate::names::{family, std_socket_address, wasi_address};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

pub fn bound(address: SocketAddr) -> Result<UdpSocket, Failure> {
    let socket = UdpSocket::create(family(address)).at("create")?;
    socket.bind(wasi_address(address)).at("bind")?;
    Ok(socket)
}

/// One that may send to this address: bound to any address of its family.
fn for_peer(peer: SocketAddr) -> Result<UdpSocket, Failure> {
    bound(match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    })
}

fn local_address(socket: &UdpSocket) -> Result<SocketAddr, Failure> {
    let address = socket.get_local_address().at("local-address")?;
    Ok(std_socket_address(address))
}

pub fn bind(address: SocketAddr) -> Attempt {
    Ok(local_address(&bound(address)?)?.to_string())
}

pub async fn send(address: SocketAddr) -> Attempt {
    let to = Some(wasi_address(address));
    let socket = for_peer(address)?;
    socket.send(b"ping".to_vec(), to).await.at("send")?;
    Ok(String::new())
}

pub async fn connect(address: SocketAddr) -> Attempt {
    let socket = for_peer(address)?;
    socket.connect(wasi_address(address)).at("connect")?;
    socket.send(b"ping".to_vec(), None).await.at("send")?;
    Ok(String::new())
}

pub async fn ask(address: SocketAddr) -> Attempt {
    let socket = for_peer(address)?;
    let to = Some(wasi_address(address));
    socket.send(b"ping".to_vec(), to).await.at("send")?;
    let (answer, _) = socket.receive().await.at("receive")?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

pub async fn serve(address: SocketAddr, count: u64) -> Attempt {
    let socket = bound(address)?;
    say(&format!("listening on {}", local_address(&socket)?)).await?;
    for served in 0..count {
        let received = socket.receive().await.at("receive");
        let (data, from) = received.map_err(|failure| failure.after(served))?;
        say(&format!("received from {}", std_socket_address(from))).await?;
        let sent = socket.send(data, Some(from)).await.at("send");
        sent.map_err(|failure| failure.after(served))?;
    }
    Ok(count.to_string())
}

/// A socket at the address, and others that send to it: one that is bound to any address, one that is connected to it,
/// and one that is not bound.
pub async fn talk(address: SocketAddr) -> Attempt {
    let here = bound(address)?;
    let at = local_address(&here)?;
    let mut told = at.to_string();
    for kind in ["bound", "connected", "new"] {
        let other = match kind {
            "bound" => for_peer(at)?,
            _ => UdpSocket::create(family(at)).at("create")?,
        };
        let is_connected = kind == "connected";
        if is_connected {
            other.connect(wasi_address(at)).at("connect")?;
        }
        let to = (!is_connected).then(|| wasi_address(at));
        other.send(b"ping".to_vec(), to).await.at("send")?;
        let (ping, from) = here.receive().await.at("receive")?;
        here.send(b"pong".to_vec(), Some(from)).await.at("send")?;
        let (pong, from) = other.receive().await.at("receive")?;
        if std_socket_address(from) != at {
            return Err(Failure::new("another-address", "receive"));
        }
        for data in [ping, pong] {
            told.push_str(&format!(" {}", String::from_utf8_lossy(&data)));
        }
    }
    Ok(told)
}
