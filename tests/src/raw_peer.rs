//! A TCP server that does exactly what a test tells it to, byte by byte.

use crate::deadline::PATIENCE;
use crate::text::readable;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// The pause between two bytes of [`Peer::dribble`]: long enough for each to be received by itself.
const DRIBBLE_PAUSE: Duration = Duration::from_millis(1);

type Script = dyn Fn(&mut Peer) -> io::Result<()> + Send + Sync;

/// A server on loopback that follows a script with each client, and then closes the connection.
///
/// Stopped when dropped. Fails its test when no client ever connected: then the test tested nothing.
pub struct RawPeer {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// The client's end of the connection that tells the acceptor to stop: clients that connected
    /// before it are still served, so that they count.
    last: Mutex<Option<SocketAddr>>,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    log: Vec<String>,
    requests: Vec<Vec<u8>>,
    /// The connections whose scripts are still running.
    streams: Vec<Weak<TcpStream>>,
    /// One script per client that ever came.
    scripts: Vec<JoinHandle<()>>,
}

impl RawPeer {
    /// Follow `script` with each client. An error of its connection ends the script, not the test.
    /// The test checks the client's reaction.
    pub fn start(script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", script)
    }

    /// As [`RawPeer::start`], listening on this address.
    pub fn start_on(
        address: &str,
        script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address)
            .unwrap_or_else(|error| panic!("can't listen on {address}: {error}"));
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        let script: Arc<Script> = Arc::new(script);
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept_all(&listener, &shared, &script)
        });
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Read a request, answer it with exactly these bytes, close the connection.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |peer| {
            peer.read_request()?;
            peer.send(&bytes)
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many connections there have been so far.
    pub fn connections(&self) -> usize {
        self.shared.records().scripts.len()
    }

    /// The heads of requests read so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared
            .records()
            .requests
            .iter()
            .map(|head| String::from_utf8_lossy(head).into_owned())
            .collect()
    }
}

impl Drop for RawPeer {
    fn drop(&mut self) {
        {
            // Locked meanwhile, so that the acceptor can't meet it before it is known.
            let mut last = self.shared.last();
            *last = TcpStream::connect(self.address)
                .and_then(|stream| stream.local_addr())
                .ok();
        }
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let (streams, scripts) = {
            let mut records = self.shared.records();
            (
                std::mem::take(&mut records.streams),
                std::mem::take(&mut records.scripts),
            )
        };
        for stream in streams.iter().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let clients = scripts.len();
        let scripts_panicked = scripts
            .into_iter()
            .filter_map(|script| script.join().err())
            .count();
        let log = self.shared.records().log.join("\n");
        if std::thread::panicking() {
            eprintln!("---- the raw peer on {}:\n{log}\n----", self.address);
        } else {
            assert!(
                clients > 0,
                "no client ever connected to the raw peer on {}",
                self.address
            );
            assert!(
                scripts_panicked == 0,
                "the script of the raw peer on {} panicked:\n{log}",
                self.address
            );
        }
    }
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn last(&self) -> MutexGuard<'_, Option<SocketAddr>> {
        self.last
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn log(&self, line: String) {
        self.records().log.push(line);
    }
}

/// One client's connection, as a script sees it. Everything that it does is logged.
pub struct Peer {
    stream: Arc<TcpStream>,
    number: usize,
    name: String,
    shared: Arc<Shared>,
}

impl Peer {
    /// Which connection this is, counted from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The port that the client connected to.
    pub fn local_port(&self) -> io::Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    /// Receive up to and including the blank line that ends a request's head.
    pub fn read_request(&mut self) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if (&*self.stream).read(&mut byte)? == 0 {
                self.log(&format!(
                    "got {} bytes and the end: {}",
                    head.len(),
                    readable(&head)
                ));
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            head.extend_from_slice(&byte);
        }
        self.log(&format!("got a request: {}", readable(&head)));
        self.shared.records().requests.push(head.clone());
        Ok(head)
    }

    /// Receive so many bytes: of a request's body, say.
    pub fn read_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        (&*self.stream).read_exact(&mut bytes)?;
        self.log(&format!("got {count} bytes: {}", readable(&bytes)));
        Ok(bytes)
    }

    /// Receive whatever comes next into `buffer`, and tell how many bytes that were.
    pub(crate) fn read_into(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&*self.stream).read(buffer)?;
        self.log(&format!("got {count} bytes"));
        Ok(count)
    }

    /// Receive whatever comes next, at most 64 KiB of it; nothing when the client has closed.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 64 << 10];
        let count = (&*self.stream).read(&mut bytes)?;
        bytes.truncate(count);
        self.log(&format!("got {count} bytes: {}", readable(&bytes)));
        Ok(bytes)
    }

    /// Send so many bytes of value 0.
    pub fn send_zeros(&mut self, count: u64) -> io::Result<()> {
        self.log(&format!("sending {count} zeros"));
        let sent = io::copy(&mut io::repeat(0).take(count), &mut &*self.stream);
        self.log(&format!("sent zeros: {sent:?}"));
        sent.map(drop)
    }

    /// Send bytes, in as few packets as the system likes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        let sent = (&*self.stream).write_all(bytes);
        self.log(&match &sent {
            Ok(()) => format!("sent {} bytes: {}", bytes.len(), readable(bytes)),
            Err(error) => format!("could not send {} bytes: {error}", bytes.len()),
        });
        sent
    }

    /// Send bytes each in a packet of its own.
    pub fn dribble(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        self.log(&format!(
            "sending {} bytes one by one: {}",
            bytes.len(),
            readable(bytes)
        ));
        self.stream.set_nodelay(true)?;
        for byte in bytes {
            (&*self.stream).write_all(&[*byte])?;
            std::thread::sleep(DRIBBLE_PAUSE);
        }
        Ok(())
    }

    /// Send `answer`, and pass on what the client and a server at `goal` send to each other, until both have ended.
    pub(crate) fn tunnel_to(&mut self, goal: SocketAddr, answer: &str) -> io::Result<()> {
        let server = Arc::new(TcpStream::connect(goal)?);
        self.send(answer)?;
        let (from, to) = (server.clone(), self.stream.clone());
        let back = std::thread::spawn(move || {
            let copied = io::copy(&mut &*from, &mut &*to);
            let _ = to.shutdown(Shutdown::Write);
            copied
        });
        let sent = io::copy(&mut &*self.stream, &mut &*server);
        let _ = server.shutdown(Shutdown::Write);
        let received = back
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))?;
        self.log(&format!("passed on: {sent:?} there, {received:?} back"));
        Ok(())
    }

    /// Wait until the client closes the connection, or has shut its sending side down.
    pub fn wait_for_close(&mut self) -> io::Result<()> {
        let copied = io::copy(&mut &*self.stream, &mut io::sink());
        self.log(&format!("the client closed: {copied:?}"));
        copied.map(|_| ())
    }

    /// Reset the connection when the script ends, in place of an orderly end.
    pub fn reset_at_end(&mut self) -> io::Result<()> {
        self.log("going to reset the connection");
        // Without time to linger, closing is a reset.
        socket2::SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO))
    }

    fn log(&self, line: &str) {
        self.shared.log(format!("{}: {line}", self.name));
    }
}

fn accept_all(listener: &TcpListener, shared: &Arc<Shared>, script: &Arc<Script>) {
    for number in 1.. {
        let (stream, client) = match listener.accept() {
            Ok((_, client)) if *shared.last() == Some(client) => return,
            Ok(accepted) => accepted,
            Err(error) => {
                shared.log(format!("accepting failed: {error}"));
                return;
            }
        };
        let name = format!("connection {number} from {client}");
        if let Err(error) = follow(stream, number, name, shared, script) {
            shared.log(format!(
                "connection {number} from {client} could not be served: {error}"
            ));
        }
    }
}

/// Serve one client on a thread of its own.
fn follow(
    stream: TcpStream,
    number: usize,
    name: String,
    shared: &Arc<Shared>,
    script: &Arc<Script>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let stream = Arc::new(stream);
    let weak = Arc::downgrade(&stream);
    let mut peer = Peer {
        stream,
        number,
        name,
        shared: Arc::clone(shared),
    };
    let script = Arc::clone(script);
    let mut records = shared.records();
    records.log.push(format!("{}: accepted", peer.name));
    records.streams.push(weak);
    records
        .scripts
        .push(std::thread::spawn(move || match script(&mut peer) {
            Ok(()) => peer.log("the script ended"),
            Err(error) => peer.log(&format!("the script ended early: {error}")),
        }));
    Ok(())
}
