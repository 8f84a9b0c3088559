//! TCP, as a client and as a server.

use crate::attempt::{At, Attempt, Failure};
use crate::resolve::{addresses, family, std_socket_address, wasi_address};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::ErrorCode;
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

/// The most that one call may write and flush.
const MAX_WRITE: usize = 4096;

/// The most that one call reads.
const MAX_READ: u64 = 64 * 1024;

/// A connection. Streams have to go before their socket: fields are dropped in their order.
pub struct Connection {
    input: InputStream,
    output: OutputStream,
    socket: TcpSocket,
}

impl Connection {
    pub fn to(address: SocketAddr) -> Result<Connection, Failure> {
        let socket = create_tcp_socket(family(address)).at("create")?;
        let network = instance_network();
        let started = socket.start_connect(&network, wasi_address(address));
        started.at("connect")?;
        let (input, output) = finished(&socket, TcpSocket::finish_connect).at("connect")?;
        Ok(Connection {
            input,
            output,
            socket,
        })
    }

    /// What comes next; nothing at the end.
    fn read(&self) -> Result<Vec<u8>, Failure> {
        match self.input.blocking_read(MAX_READ) {
            Err(StreamError::Closed) => Ok(Vec::new()),
            read => read.at("receive"),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.output.blocking_write_and_flush(bytes).at("send")
    }

    fn ask(&self) -> Attempt {
        self.write(b"ping")?;
        self.socket.shutdown(ShutdownType::Send).at("shutdown")?;
        self.read_all()
    }

    /// What comes up to the end.
    fn read_all(&self) -> Attempt {
        let mut all = Vec::new();
        loop {
            let bytes = self.read()?;
            if bytes.is_empty() {
                return Ok(String::from_utf8_lossy(&all).into_owned());
            }
            all.extend(bytes);
        }
    }
}

pub fn ask(address: SocketAddr) -> Attempt {
    Connection::to(address)?.ask()
}

pub fn ask_by_name(name: &str, port: u16) -> Attempt {
    let mut failures = Vec::new();
    for ip in addresses(name)? {
        let address = SocketAddr::new(ip, port);
        match Connection::to(address) {
            Ok(connection) => return Ok(format!("{address} {}", connection.ask()?)),
            Err(failure) => failures.push(format!("{address}: {failure}")),
        }
    }
    Err(Failure::new("unreachable", failures.join(", ")))
}

pub fn bind(address: SocketAddr) -> Attempt {
    Ok(local_address(&bound(address)?)?.to_string())
}

pub fn listen(address: SocketAddr, count: u64) -> Attempt {
    let listener = listening(address)?;
    for served in 0..count {
        let connection = accepted(&listener).map_err(|failure| failure.after(served))?;
        connection.write(&connection.read()?)?;
    }
    Ok(count.to_string())
}

/// A listener, and its own client.
pub fn talk(address: SocketAddr) -> Attempt {
    let listener = listening(address)?;
    let to = local_address(&listener)?;
    let client = Connection::to(to)?;
    let server = accepted(&listener)?;
    client.write(b"ping")?;
    client.socket.shutdown(ShutdownType::Send).at("shutdown")?;
    let heard = server.read_all()?;
    server.write(b"pong")?;
    drop(server);
    let answer = client.read_all()?;
    Ok(format!("{to} {heard} {answer}"))
}

/// So many connections of a listener's own client, which are kept.
pub fn talk_often(address: SocketAddr, count: u64) -> Attempt {
    let listener = listening(address)?;
    let to = local_address(&listener)?;
    for made in 0..count {
        let client = Connection::to(to).map_err(|failure| failure.after(made))?;
        let server = accepted(&listener).map_err(|failure| failure.after(made))?;
        std::mem::forget((client, server));
    }
    std::mem::forget(listener);
    Ok(count.to_string())
}

/// As [`listen`], with the standard library's sockets, which are those of wasi-libc; and a client that
/// breaks off isn't served, and no reason not to serve the next.
pub fn serve(address: SocketAddr, count: u64) -> Attempt {
    let listener = TcpListener::bind(address).at("bind")?;
    println!(
        "listening on {}",
        listener.local_addr().at("local-address")?
    );
    let mut served = 0;
    while served < count {
        let accepted = listener.accept().at("accept");
        let (mut stream, peer) = accepted.map_err(|failure| failure.after(served))?;
        println!("accepted {peer}");
        let mut message = [0; 4096];
        if let Ok(length @ 1..) = stream.read(&mut message)
            && stream.write_all(&message[..length]).is_ok()
        {
            served += 1;
        }
    }
    Ok(count.to_string())
}

pub fn hold_clients(address: SocketAddr, count: u64) -> Attempt {
    let listener = listening(address)?;
    for held in 0..count {
        let connection = accepted(&listener).map_err(|failure| failure.after(held))?;
        std::mem::forget(connection);
    }
    std::mem::forget(listener);
    Ok(count.to_string())
}

pub fn wait_for(address: SocketAddr) -> Attempt {
    let bytes = Connection::to(address)?.read()?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub fn receive(address: SocketAddr, count: u64) -> Attempt {
    let connection = Connection::to(address)?;
    let mut received = 0;
    while received < count {
        let wanted = MAX_READ.min(count - received);
        match connection.input.blocking_read(wanted) {
            Err(StreamError::Closed) => break,
            read => {
                let read = read.at("receive").map_err(|f| f.after(received))?;
                received += read.len() as u64;
            }
        }
    }
    Ok(received.to_string())
}

pub fn send(address: SocketAddr, count: usize) -> Attempt {
    let connection = Connection::to(address)?;
    let mut sent = 0;
    while sent < count {
        let bytes = vec![0; MAX_WRITE.min(count - sent)];
        let written = connection.write(&bytes);
        written.map_err(|failure| failure.after(sent as u64))?;
        sent += bytes.len();
    }
    connection
        .socket
        .shutdown(ShutdownType::Send)
        .at("shutdown")?;
    // The peer has all of it when it closes in its turn.
    connection.read()?;
    Ok(sent.to_string())
}

fn bound(address: SocketAddr) -> Result<TcpSocket, Failure> {
    let socket = create_tcp_socket(family(address)).at("create")?;
    let network = instance_network();
    socket
        .start_bind(&network, wasi_address(address))
        .at("bind")?;
    finished(&socket, TcpSocket::finish_bind).at("bind")?;
    Ok(socket)
}

/// Prints where it listens, for the test that waits for it.
fn listening(address: SocketAddr) -> Result<TcpSocket, Failure> {
    let socket = bound(address)?;
    socket.start_listen().at("listen")?;
    finished(&socket, TcpSocket::finish_listen).at("listen")?;
    println!("listening on {}", local_address(&socket)?);
    Ok(socket)
}

fn accepted(listener: &TcpSocket) -> Result<Connection, Failure> {
    let (socket, input, output) = finished(listener, TcpSocket::accept).at("accept")?;
    let peer = socket.remote_address().at("remote-address")?;
    println!("accepted {}", std_socket_address(peer));
    Ok(Connection {
        input,
        output,
        socket,
    })
}

fn local_address(socket: &TcpSocket) -> Result<SocketAddr, Failure> {
    let address = socket.local_address().at("local-address")?;
    Ok(std_socket_address(address))
}

/// Repeats a call until it no longer would block.
fn finished<T>(
    socket: &TcpSocket,
    call: impl Fn(&TcpSocket) -> Result<T, ErrorCode>,
) -> Result<T, ErrorCode> {
    let pollable = socket.subscribe();
    loop {
        match call(socket) {
            Err(ErrorCode::WouldBlock) => pollable.block(),
            done => return done,
        }
    }
}
