//! A client of the hello server that sends and expects exact bytes.

use crate::deadline::{Deadline, PATIENCE};
use crate::text::readable;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a connection must refuse to take more before it counts as full.
const FULL_AFTER: Duration = Duration::from_millis(500);

/// A connection to the server under test. When its test fails, it prints what went over it.
pub struct HelloClient {
    stream: TcpStream,
    address: SocketAddr,
    log: Vec<String>,
}

impl HelloClient {
    /// Connect to the server.
    #[track_caller]
    pub fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server)
            .unwrap_or_else(|error| panic!("can't connect to {server}: {error}"));
        Self::over(stream)
    }

    /// Connect to the server from another of this machine's addresses.
    #[track_caller]
    pub fn connect_from(own: &str, server: SocketAddr) -> Self {
        let own: IpAddr = own.parse().expect("an address");
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None);
        let connected = socket.and_then(|socket| {
            socket.bind(&SocketAddr::new(own, 0).into())?;
            socket.connect(&server.into())?;
            Ok(socket)
        });
        let socket = connected
            .unwrap_or_else(|error| panic!("can't connect to {server} from {own}: {error}"));
        Self::over(socket.into())
    }

    /// Talk over a connection that there is.
    #[track_caller]
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket option");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a socket option");
        let address = stream
            .local_addr()
            .expect("a connected socket has an address");
        Self {
            stream,
            address,
            log: Vec::new(),
        }
    }

    /// A second handle on the same connection, for a thread that sends.
    pub fn clone_to_send(&self) -> Self {
        Self::over(self.stream.try_clone().expect("a socket can be shared"))
    }

    /// The client's own end of the connection.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Send bytes, at once.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.log.push(format!("> {}", readable(bytes)));
        self.stream
            .write_all(bytes)
            .unwrap_or_else(|error| panic!("sending to the server: {error}"));
        self
    }

    /// Receive exactly these bytes next.
    #[track_caller]
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let expected = bytes.as_ref();
        let mut received = Vec::new();
        let mut buffer = vec![0; expected.len()];
        while received.len() < expected.len() {
            let wanted = expected.len() - received.len();
            match self.stream.read(&mut buffer[..wanted]) {
                Ok(0) => {
                    self.log
                        .push(format!("< {} and the end", readable(&received)));
                    panic!("the connection ended before {:?}", readable(expected));
                }
                Ok(read) => received.extend_from_slice(&buffer[..read]),
                Err(error) => {
                    self.log
                        .push(format!("< {} and then {error}", readable(&received)));
                    panic!("receiving {:?}: {error}", readable(expected));
                }
            }
        }
        self.log.push(format!("< {}", readable(&received)));
        assert!(
            received == expected,
            "expected {:?}, received {:?}",
            readable(expected),
            readable(&received)
        );
        self
    }

    /// Send a message and receive the answer to it.
    #[track_caller]
    pub fn ask(&mut self, message: &str, answer: &str) -> &mut Self {
        self.send(message).expect(answer)
    }

    /// Send a message and receive some of what comes back; nothing if the connection has ended.
    pub fn try_ask(&mut self, message: &str) -> Option<Vec<u8>> {
        let mut answer = vec![0; 64 * 1024];
        // A connection that is closed at the other end may well take what is sent.
        let _ = self.stream.write_all(message.as_bytes());
        match self.stream.read(&mut answer) {
            Ok(read) if read > 0 => {
                answer.truncate(read);
                self.log.push(format!("< {}", readable(&answer)));
                Some(answer)
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// Receive nothing for so long.
    #[track_caller]
    pub fn expect_silence(&mut self, duration: Duration) -> &mut Self {
        self.stream
            .set_read_timeout(Some(duration))
            .expect("a socket option");
        let read = self.stream.read(&mut [0]);
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            other => panic!("there should have been silence: {other:?}"),
        }
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket option");
        self
    }

    /// Send a message that is larger than what the system keeps, while receiving the answer to it.
    #[track_caller]
    pub fn send_while_receiving(&mut self, message: &str, answer: &str) {
        let mut sender = self.stream.try_clone().expect("a socket can be shared");
        let message = message.to_owned();
        let sending = std::thread::spawn(move || sender.write_all(message.as_bytes()));
        self.expect(answer);
        let sent = sending.join().expect("a thread that doesn't panic");
        sent.unwrap_or_else(|error| panic!("sending to the server: {error}"));
    }

    /// Receive everything up to the server's end of the connection.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        let result = self.stream.read_to_end(&mut received);
        self.log
            .push(format!("< {} and the end: {result:?}", readable(&received)));
        if let Err(error) = result {
            panic!("receiving up to the end: {error}");
        }
        received
    }

    /// The server must close the connection without another byte.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "the server went on: {:?}", readable(&rest));
    }

    /// Wait until the server ends the connection, in whatever way, and forget what it still sent.
    #[track_caller]
    pub fn wait_for_any_end(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        let deadline = Deadline::after(PATIENCE);
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return self.log.push("< the end".to_owned()),
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    panic!("the server did not end the connection")
                }
                Err(error) => return self.log.push(format!("< {error}")),
            }
            assert!(!deadline.passed(), "the server did not end the connection");
        }
    }

    /// Shut the sending side down.
    #[track_caller]
    pub fn end_sending(&mut self) -> &mut Self {
        self.log.push("> the end".to_owned());
        self.stream
            .shutdown(Shutdown::Write)
            .expect("a connection that can be shut down");
        self
    }

    /// Send these bytes again and again, reading nothing, until the connection takes no more; returns
    /// how many it took.
    ///
    /// # Panics
    /// When it takes more than `bound`: the server would buffer any amount.
    #[track_caller]
    pub fn send_until_full(&mut self, bytes: &[u8], bound: usize) -> usize {
        self.stream
            .set_write_timeout(Some(FULL_AFTER))
            .expect("a socket option");
        let mut taken = 0;
        loop {
            match self.stream.write(bytes) {
                Ok(written) => taken += written,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break;
                }
                Err(error) => panic!("sending to the server after {taken} bytes: {error}"),
            }
            assert!(
                taken <= bound,
                "the server took {taken} bytes from a client that reads no answer"
            );
        }
        self.log
            .push(format!("> {taken} bytes until the connection was full"));
        taken
    }

    /// Close the connection with a reset, not an orderly end.
    pub fn reset(self) {
        // Without time to linger, closing is a reset.
        let linger = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        linger.expect("a socket option");
    }
}

impl Drop for HelloClient {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "---- the client on {}:\n{}\n----",
                self.address,
                self.log.join("\n")
            );
        }
    }
}
