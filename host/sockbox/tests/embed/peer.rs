//! A server and a writer for tests.

use crate::DEADLINE;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// An HTTP server for one connection, which gets the request's head and answers as it likes.
pub struct Peer {
    pub url: String,
    pub address: SocketAddr,
    thread: JoinHandle<io::Result<Vec<u8>>>,
}

impl Peer {
    /// Answer with these bytes, and close.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Peer {
        let answer = answer.into();
        Peer::doing(move |stream| stream.write_all(&answer))
    }

    pub fn doing(answer: impl FnOnce(&mut TcpStream) -> io::Result<()> + Send + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(DEADLINE))?;
            stream.set_write_timeout(Some(DEADLINE))?;
            let request = read_head(&mut stream)?;
            answer(&mut stream)?;
            Ok(request)
        });
        Peer {
            url: format!("http://{address}/page"),
            address,
            thread,
        }
    }

    /// The head of the request that came.
    pub fn request(self) -> String {
        String::from_utf8(self.thread.join().unwrap().unwrap()).unwrap()
    }
}

pub fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

pub fn response(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Different bytes, so that a lost or swapped piece is noticed.
pub fn page(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 + n / 251) as u8).collect()
}

/// A writer whose bytes can be seen after it was given away.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
