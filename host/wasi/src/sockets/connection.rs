//! A connection that was accepted on an inherited listener: the same streams as wasmtime-wasi's, over
//! an adopted socket.

use crate::failed::ToComponent;
use bytes::Bytes;
use rustix::fd::{AsFd, BorrowedFd};
use socket2::SockRef;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpStream;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// The most bytes in one read or write: 64 KiB, as in wasmtime-wasi.
const MOST: usize = 64 * 1024;

/// A connection: the host's side of `tcp-socket`.
pub(super) struct Connection {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    stream: Arc<TcpStream>,
    sending: Arc<Mutex<Sending>>,
}

#[derive(Default)]
struct Sending {
    /// Bytes that the system has not accepted yet.
    left: Bytes,
    /// Whether the component has shut down the sending side. The socket is shut down when no bytes
    /// are left.
    ended: bool,
    shut_down: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, remote: SocketAddr) -> io::Result<Connection> {
        Ok(Connection {
            local: stream.local_addr()?,
            remote,
            stream: Arc::new(stream),
            sending: Arc::default(),
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(super) fn streams(&self) -> (Box<dyn InputStream>, Box<dyn OutputStream>) {
        let output = Output {
            stream: self.stream.clone(),
            sending: self.sending.clone(),
        };
        (Box::new(Input(self.stream.clone())), Box::new(output))
    }

    pub(super) fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Write {
            // This fails if the peer has already disconnected.
            let _ = SockRef::from(&*self.stream).shutdown(Shutdown::Read);
        }
        if how != Shutdown::Read {
            let mut sending = locked(&self.sending);
            sending.ended = true;
            // The next write reports an error, if there is one.
            let _ = sending.go_on(&self.stream);
        }
    }
}

#[async_trait]
impl Pollable for Connection {
    async fn ready(&mut self) {
        // The socket itself is always ready; its streams are waited for.
    }
}

impl Sending {
    /// Send the remaining bytes, as far as the system accepts them. Returns whether none are left.
    fn go_on(&mut self, stream: &TcpStream) -> io::Result<bool> {
        while !self.left.is_empty() {
            match stream.try_write(&self.left) {
                Ok(written) => drop(self.left.split_to(written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => {
                    self.left.clear();
                    return Err(error);
                }
            }
        }
        if self.ended && !self.shut_down {
            self.shut_down = true;
            SockRef::from(stream).shutdown(Shutdown::Write)?;
        }
        Ok(true)
    }
}

struct Input(Arc<TcpStream>);

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        // Not `readable`, which deregisters its waker when it is dropped. The next read reports a
        // failure.
        let _ = poll_fn(|cx| self.0.poll_read_ready(cx)).await;
    }
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buffer = vec![0; size.min(MOST)];
        match self.0.try_read(&mut buffer) {
            Ok(0) => Err(StreamError::Closed),
            Ok(read) => {
                buffer.truncate(read);
                Ok(buffer.into())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Bytes::new()),
            Err(error) => Err(failed(error)),
        }
    }
}

struct Output {
    stream: Arc<TcpStream>,
    sending: Arc<Mutex<Sending>>,
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        // The next check reports room, or a failure.
        while let Ok(false) = { locked(&self.sending).go_on(&self.stream) } {
            if self.stream.writable().await.is_err() {
                return;
            }
        }
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut sending = locked(&self.sending);
        if sending.ended {
            return Err(StreamError::Closed);
        }
        if bytes.len() > MOST || !sending.left.is_empty() {
            return Err(StreamError::trap("a write that was not permitted"));
        }
        sending.left = bytes;
        sending.go_on(&self.stream).map(drop).map_err(failed)
    }

    fn flush(&mut self) -> StreamResult<()> {
        // Written bytes are already being sent.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let mut sending = locked(&self.sending);
        match sending.go_on(&self.stream) {
            Err(error) => Err(failed(error)),
            Ok(true) if sending.ended => Err(StreamError::Closed),
            Ok(true) => Ok(MOST),
            Ok(false) => Ok(0),
        }
    }

    async fn cancel(&mut self) {
        self.ready().await;
    }
}

fn failed(error: io::Error) -> StreamError {
    match error.kind() {
        ErrorKind::BrokenPipe => StreamError::Closed,
        // The name of the kind, as in wasmtime-wasi: a component sees only this text.
        kind => StreamError::LastOperationFailed(ToComponent::error(format!("{kind:?}"))),
    }
}

fn locked(sending: &Mutex<Sending>) -> MutexGuard<'_, Sending> {
    // What it holds is valid at every moment, so a panic elsewhere spoils nothing.
    sending.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::thread;

    /// A connection, and its peer.
    async fn pair() -> (Connection, std::net::TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, remote) = listener.accept().await.unwrap();
        assert_eq!(remote, peer.local_addr().unwrap());
        (Connection::new(stream, remote).unwrap(), peer)
    }

    #[tokio::test]
    async fn what_arrives_is_read_up_to_the_end() {
        let (connection, mut peer) = pair().await;
        assert_eq!(connection.local, peer.peer_addr().unwrap());
        let (mut input, _output) = connection.streams();
        assert!(input.read(10).unwrap().is_empty(), "nothing has arrived");
        peer.write_all(b"hello").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        input.ready().await;
        assert_eq!(&input.read(4).unwrap()[..], b"hell");
        assert!(input.read(0).unwrap().is_empty());
        assert_eq!(&input.read(usize::MAX).unwrap()[..], b"o");
        input.ready().await;
        assert!(matches!(input.read(10), Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn what_the_peer_does_not_take_is_waited_for_and_then_all_is_there() {
        let (connection, mut peer) = pair().await;
        let (_input, mut output) = connection.streams();
        let piece = Bytes::from(vec![7; MOST]);
        let mut written = 0;
        while output.check_write().unwrap() == MOST {
            output.write(piece.clone()).unwrap();
            written += MOST;
            assert!(written < 1 << 30, "the system takes any amount");
        }
        assert!(
            matches!(output.write(piece.clone()), Err(StreamError::Trap(_))),
            "not permitted"
        );
        // The end waits behind what is left.
        connection.shutdown(Shutdown::Write);
        assert!(matches!(output.write(piece), Err(StreamError::Closed)));
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).map(|_| all)
        });
        output.ready().await;
        assert!(matches!(output.check_write(), Err(StreamError::Closed)));
        let all = reading.join().unwrap().unwrap();
        assert_eq!(all.len(), written);
    }

    #[tokio::test]
    async fn a_peer_that_breaks_off_is_told_of_by_name() {
        let (connection, peer) = pair().await;
        let (mut input, mut output) = connection.streams();
        let linger = SockRef::from(&peer).set_linger(Some(std::time::Duration::ZERO));
        linger.unwrap();
        drop(peer);
        input.ready().await;
        let Err(StreamError::LastOperationFailed(error)) = input.read(10) else {
            panic!("it was read");
        };
        assert_eq!(error.to_string(), "ConnectionReset");
        output.ready().await;
        assert!(output.write(Bytes::from_static(b"more")).is_err());
    }
}
