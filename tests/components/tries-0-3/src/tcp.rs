//! TCP, as a client and as a server.

use crate::attempt::{At, Attempt, Failure};
use crate::bindings::wasi::sockets::types::{ErrorCode, TcpSocket};
use crate::bindings::wit_stream;
use crate::machine::say;
use crate::names::{addresses, family, std_socket_address, wasi_address};
use std::mem::forget;
use std::net::SocketAddr;
use wit_bindgen::{FutureReader, StreamReader, StreamWriter};

/// The most that one call reads or writes.
const MOST: usize = 64 * 1024;

type Outcome = FutureReader<Result<(), ErrorCode>>;

/// A connection.
pub struct Connection {
    input: StreamReader<u8>,
    received: Outcome,
    output: StreamWriter<u8>,
    sent: Outcome,
    socket: TcpSocket,
}

impl Connection {
    pub async fn to(address: SocketAddr) -> Result<Connection, Failure> {
        let socket = TcpSocket::create(family(address)).at("create")?;
        socket.connect(wasi_address(address)).await.at("connect")?;
        Ok(Connection::of(socket))
    }

    fn of(socket: TcpSocket) -> Connection {
        let (input, received) = socket.receive();
        let (output, data) = wit_stream::new();
        let sent = socket.send(data);
        Connection {
            input,
            received,
            output,
            sent,
            socket,
        }
    }

    /// Drop the socket, and keep its streams.
    pub fn forget_streams(self) {
        forget((self.input, self.received, self.output, self.sent));
    }

    /// What comes next; nothing at the end.
    async fn read(&mut self, most: usize) -> Result<Vec<u8>, Failure> {
        let (_, bytes) = self.input.read(Vec::with_capacity(most)).await;
        Ok(bytes)
    }

    /// What comes up to the end, N bytes at most, and what the end was.
    async fn read_up_to(mut self, most: usize) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        while all.len() < most {
            let bytes = self.read(MOST.min(most - all.len())).await?;
            if bytes.is_empty() {
                let ended = self.received.await.at("receive");
                ended.map_err(|failure| failure.after(all.len() as u64))?;
                break;
            }
            all.extend(bytes);
        }
        Ok(all)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let left = self.output.write_all(bytes.to_vec()).await;
        match left.is_empty() {
            true => Ok(()),
            false => Err(Failure::new("closed", "send")),
        }
    }

    /// End the output, and wait until all of it is sent.
    async fn finish(self) -> Result<Finished, Failure> {
        drop(self.output);
        self.sent.await.at("send")?;
        Ok(Finished {
            input: self.input,
            received: self.received,
            _socket: self.socket,
        })
    }

    async fn ask(mut self) -> Attempt {
        self.write(b"ping").await?;
        self.finish().await?.read_all().await
    }
}

/// A connection that sends nothing any more.
struct Finished {
    input: StreamReader<u8>,
    received: Outcome,
    _socket: TcpSocket,
}

impl Finished {
    async fn read_all(self) -> Attempt {
        let all = self.input.collect().await;
        self.received.await.at("receive")?;
        Ok(String::from_utf8_lossy(&all).into_owned())
    }
}

/// A socket that listens.
struct Listener {
    accepted: StreamReader<TcpSocket>,
    socket: Option<TcpSocket>,
    address: SocketAddr,
}

impl Listener {
    /// Prints where it listens, for the test that waits for it.
    async fn at(address: SocketAddr) -> Result<Listener, Failure> {
        let socket = bound(address)?;
        let accepted = socket.listen().at("listen")?;
        let address = local_address(&socket)?;
        say(&format!("listening on {address}")).await?;
        Ok(Listener {
            accepted,
            socket: Some(socket),
            address,
        })
    }

    async fn accept(&mut self) -> Result<Connection, Failure> {
        let socket = self.accepted.next().await;
        let socket = socket.ok_or_else(|| Failure::new("ended", "accept"))?;
        let peer = socket.get_remote_address().at("accept")?;
        say(&format!("accepted {}", std_socket_address(peer))).await?;
        Ok(Connection::of(socket))
    }

    async fn serve(mut self, count: u64) -> Attempt {
        for served in 0..count {
            let connection = self.accept().await;
            let mut connection = connection.map_err(|failure| failure.after(served))?;
            let bytes = connection.read(MOST).await?;
            connection.write(&bytes).await?;
            connection.finish().await?;
        }
        Ok(count.to_string())
    }
}

pub async fn ask(address: SocketAddr) -> Attempt {
    Connection::to(address).await?.ask().await
}

pub async fn ask_by_name(name: &str, port: u16) -> Attempt {
    let mut failures = Vec::new();
    for ip in addresses(name).await? {
        let address = SocketAddr::new(ip, port);
        match Connection::to(address).await {
            Ok(connection) => return Ok(format!("{address} {}", connection.ask().await?)),
            Err(failure) => failures.push(format!("{address}: {failure}")),
        }
    }
    Err(Failure::new("unreachable", failures.join(", ")))
}

pub fn bind(address: SocketAddr) -> Attempt {
    Ok(local_address(&bound(address)?)?.to_string())
}

pub async fn listen(address: SocketAddr, count: u64) -> Attempt {
    Listener::at(address).await?.serve(count).await
}

pub async fn listener_only(address: SocketAddr, count: u64) -> Attempt {
    let mut listener = Listener::at(address).await?;
    listener.socket = None;
    listener.serve(count).await
}

/// A listener, and its own client.
pub async fn talk(address: SocketAddr) -> Attempt {
    let mut listener = Listener::at(address).await?;
    let to = listener.address;
    let mut client = Connection::to(to).await?;
    let server = listener.accept().await?;
    client.write(b"ping").await?;
    let client = client.finish().await?;
    let Connection {
        input,
        received,
        mut output,
        sent,
        socket,
    } = server;
    let heard = input.collect().await;
    received.await.at("receive")?;
    let heard = String::from_utf8_lossy(&heard);
    let left = output.write_all(b"pong".to_vec()).await;
    drop(output);
    sent.await.at("send")?;
    drop(socket);
    assert!(left.is_empty(), "it was sent");
    let answer = client.read_all().await?;
    Ok(format!("{to} {heard} {answer}"))
}

/// So many connections of a listener's own client, which are kept.
pub async fn talk_often(address: SocketAddr, count: u64) -> Attempt {
    let mut listener = Listener::at(address).await?;
    for made in 0..count {
        let client = Connection::to(listener.address).await;
        let client = client.map_err(|failure| failure.after(made))?;
        let server = listener.accept().await;
        let server = server.map_err(|failure| failure.after(made))?;
        forget((client, server));
    }
    forget(listener);
    Ok(count.to_string())
}

pub async fn hold_clients(address: SocketAddr, count: u64) -> Attempt {
    let mut listener = Listener::at(address).await?;
    for held in 0..count {
        let connection = listener.accept().await;
        forget(connection.map_err(|failure| failure.after(held))?);
    }
    forget(listener);
    Ok(count.to_string())
}

pub async fn wait_for(address: SocketAddr) -> Attempt {
    let bytes = Connection::to(address).await?.read(MOST).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub async fn keep(address: SocketAddr) -> Attempt {
    let mut connection = Connection::to(address).await?;
    let bytes = connection.read(MOST).await?;
    forget(connection);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub async fn receive(address: SocketAddr, count: usize) -> Attempt {
    let connection = Connection::to(address).await?;
    Ok(connection.read_up_to(count).await?.len().to_string())
}

pub async fn send(address: SocketAddr, count: usize) -> Attempt {
    let mut connection = Connection::to(address).await?;
    let mut sent = 0;
    while sent < count {
        let bytes = vec![0; MOST.min(count - sent)];
        let left = connection.output.write_all(bytes.clone()).await;
        sent += bytes.len() - left.len();
        if !left.is_empty() {
            connection
                .sent
                .await
                .at("send")
                .map_err(|failure| failure.after(sent as u64))?;
            return Err(Failure::new("closed", "send").after(sent as u64));
        }
    }
    // The peer has all of it when it closes in its turn.
    connection.finish().await?.read_all().await?;
    Ok(sent.to_string())
}

fn bound(address: SocketAddr) -> Result<TcpSocket, Failure> {
    let socket = TcpSocket::create(family(address)).at("create")?;
    socket.bind(wasi_address(address)).at("bind")?;
    Ok(socket)
}

fn local_address(socket: &TcpSocket) -> Result<SocketAddr, Failure> {
    let address = socket.get_local_address().at("local-address")?;
    Ok(std_socket_address(address))
}
