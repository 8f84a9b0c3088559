//! Ports for servers that can't choose a free port.

use crate::deadline::{Deadline, PATIENCE};
use crate::process::Process;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How often a port is tried: each time another program may take it before the server does.
const ATTEMPTS: u32 = 20;

/// A page that only the servers of this process have.
pub(crate) const TOKEN_PAGE: &str = "token.txt";

/// A server that is about to be started, again and again until a port stayed free for it.
pub(crate) struct OnFreePort<'a> {
    pub(crate) name: &'a str,
    /// Whether the port must be free on ::1, too.
    pub(crate) ipv6: bool,
    /// What [`TOKEN_PAGE`] says when it is this server that answers.
    pub(crate) token: &'a str,
    /// Its log of errors so far.
    pub(crate) errors: &'a dyn Fn() -> String,
}

impl OnFreePort<'_> {
    /// Start it, and wait until it is this server that answers.
    pub(crate) fn start(&self, start: impl Fn(u16) -> Process) -> (Process, u16) {
        for _ in 0..ATTEMPTS {
            let port = free_port(self.ipv6);
            let mut process = start(port);
            if self.wait_until_ready(&mut process, port) {
                return (process, port);
            }
            let finished = process.wait();
            let log = (self.errors)() + finished.stderr();
            assert!(
                log.contains("Address already in use"),
                "{} ended with code {}:\n{log}",
                self.name,
                finished.code()
            );
        }
        panic!("no port stayed free for {}, {ATTEMPTS} times", self.name);
    }

    /// False when it has ended instead of answering.
    fn wait_until_ready(&self, process: &mut Process, port: u16) -> bool {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Deadline::after(PATIENCE);
        loop {
            if get(server, TOKEN_PAGE).is_ok_and(|answer| answer.ends_with(self.token)) {
                return true;
            }
            if process.has_ended() {
                return false;
            }
            assert!(
                !deadline.passed(),
                "{} didn't answer within {PATIENCE:?}: {}",
                self.name,
                (self.errors)()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A port that is free on both loopback addresses, for now.
fn free_port(ipv6: bool) -> u16 {
    for _ in 0..ATTEMPTS {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port of 127.0.0.1");
        let port = listener
            .local_addr()
            .expect("a listener has an address")
            .port();
        if !ipv6 || TcpListener::bind(("::1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free on both 127.0.0.1 and ::1");
}

/// One page of a server, head and all.
pub(crate) fn get(server: SocketAddr, page: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /{page} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
