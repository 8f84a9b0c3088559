//! Complete exchanges over a network in memory, with its clock.

mod body;
mod coded;
mod connecting;
mod early;
mod expect;
mod follow;
mod hostile;
mod resolving;
mod responses;
mod reuse;
mod sending;
mod speed;
mod time;
mod tls;

use super::*;
use crate::http1::Header;
use crate::net::memory::{MemoryNet, MemoryStream};
use crate::net::{Listener, Net, NetError, Stream};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

type Body = RequestBody<VecDeque<Vec<u8>>>;
type Asked = Request<VecDeque<Vec<u8>>>;

const ADDRESS: &str = "127.0.0.1:80";
const URL: &str = "http://127.0.0.1/";
const SECOND: Duration = Duration::from_secs(1);

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

async fn fetch(net: &MemoryNet, request: Asked) -> Result<Response<MemoryNet>, FetchError> {
    Client::new(net.clone()).fetch(request).await
}

fn request(url: &str) -> Asked {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        omit: Vec::new(),
        body: RequestBody::Empty,
        options: Options::default(),
    }
}

fn with(options: Options) -> Asked {
    Request {
        options,
        ..request(URL)
    }
}

/// Accepts one client, and passes it to `serve`.
fn serve<F: Future<Output = ()>>(
    net: &MemoryNet,
    at: &str,
    serve: impl FnOnce(MemoryStream) -> F + 'static,
) {
    let listener = net.run(net.listen(address(at))).expect("free");
    net.spawn(async move {
        let stream = listener.accept().await.expect("a client");
        serve(stream).await;
    });
}

/// Answers one request with these packets and then closes the connection.
fn answer(net: &MemoryNet, at: &str, packets: Vec<Vec<u8>>) {
    serve(net, at, async |stream| {
        read_request(&stream).await;
        for packet in packets {
            if stream.write_all(&packet).await.is_err() {
                return;
            }
        }
    });
}

async fn read_request(stream: &MemoryStream) -> String {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let bytes = stream
            .read(usize::MAX)
            .await
            .expect("open")
            .expect("a request");
        request.extend_from_slice(&bytes);
    }
    String::from_utf8(request).expect("ASCII")
}

/// What a server does on a connection.
#[derive(Clone)]
enum Step {
    /// It reads a request's head, and this many bytes of its body.
    Read(usize),
    /// It reads this many more bytes of a request's body.
    More(usize),
    Send(Vec<u8>),
    Wait(Duration),
    /// It resets the connection.
    Break,
    /// The connection is cut, and TLS notices.
    Cut,
    /// It does nothing more, and does not close the connection either.
    Hang,
}

fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

/// The requests that a server has read, each with its connection's number.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<(usize, String)>>>);

impl Log {
    /// The number of the connection that each request came over.
    fn connections(&self) -> Vec<usize> {
        self.0.borrow().iter().map(|(number, _)| *number).collect()
    }

    fn requests(&self) -> Vec<String> {
        self.0
            .borrow()
            .iter()
            .map(|(_, text)| text.clone())
            .collect()
    }
}

/// Plays a script on each connection that comes in at an address, and closes the connection at the
/// script's end. Further connections are refused.
fn play(net: &MemoryNet, at: &str, scripts: Vec<Vec<Step>>) -> Log {
    let log = Log::default();
    let kept = log.clone();
    let listener = net.run(net.listen(address(at))).expect("free");
    let clock = net.clone();
    net.spawn(async move {
        for (number, script) in scripts.into_iter().enumerate() {
            let stream = listener.accept().await.expect("a client");
            clock.spawn(perform(clock.clone(), stream, script, number, kept.clone()));
        }
    });
    log
}

async fn perform(net: MemoryNet, stream: MemoryStream, script: Vec<Step>, number: usize, log: Log) {
    let mut received = Vec::new();
    for step in script {
        match step {
            Step::Read(body) => {
                let Some(head) = until(&stream, &mut received, |bytes| {
                    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
                    Some(end + 4)
                })
                .await
                else {
                    return;
                };
                let index = log.0.borrow().len();
                log.0.borrow_mut().push((number, head));
                let Some(body) = until(&stream, &mut received, |bytes| {
                    (bytes.len() >= body).then_some(body)
                })
                .await
                else {
                    return;
                };
                log.0.borrow_mut()[index].1.push_str(&body);
            }
            Step::More(count) => {
                let Some(body) = until(&stream, &mut received, |bytes| {
                    (bytes.len() >= count).then_some(count)
                })
                .await
                else {
                    return;
                };
                if let Some((_, request)) = log.0.borrow_mut().last_mut() {
                    request.push_str(&body);
                }
            }
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Step::Wait(time) => net.sleep_until(net.now().after(time)).await,
            Step::Break => stream.break_off(NetError::ConnectionReset),
            Step::Cut => stream.break_off(NetError::Truncated),
            Step::Hang => pending().await,
        }
    }
}

/// Reads until `enough` returns how many of the bytes are wanted; `None` if the client closes
/// before.
async fn until(
    stream: &MemoryStream,
    received: &mut Vec<u8>,
    enough: impl Fn(&[u8]) -> Option<usize>,
) -> Option<String> {
    loop {
        if let Some(count) = enough(received) {
            let taken: Vec<u8> = received.drain(..count).collect();
            return Some(String::from_utf8_lossy(&taken).into_owned());
        }
        match stream.read(usize::MAX).await {
            Ok(Some(bytes)) => received.extend_from_slice(&bytes),
            _ => return None,
        }
    }
}

/// The whole body of a response.
async fn read_all(response: &mut Response<MemoryNet>) -> Result<String, FetchError> {
    let mut body = Vec::new();
    response.write_to(&mut body, u64::MAX).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

thread_local! {
    static TRACE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a line of the trace, for [`take_trace`].
fn record_trace(line: &str) {
    TRACE.with_borrow_mut(|lines| lines.push(line.to_owned()));
}

/// The lines of the trace since the last call.
fn take_trace() -> Vec<String> {
    TRACE.take()
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let options = Options::default();
    assert_eq!(options.timeouts.resolve, Duration::from_secs(10));
    assert_eq!(options.timeouts.connect, Duration::from_secs(30));
    assert_eq!(options.timeouts.handshake, Duration::from_secs(30));
    assert_eq!(options.timeouts.first_byte, Duration::from_secs(60));
    assert_eq!(options.timeouts.idle, Duration::from_secs(60));
    assert_eq!(options.timeouts.total, None);
    assert_eq!(options.attempt_delay, Duration::from_millis(250));
    assert_eq!(options.expect_timeout, Duration::from_secs(1));
    assert_eq!(options.min_speed, None);
    assert_eq!(options.max_speed, None);
    assert_eq!(options.max_body_size, None);
    assert_eq!(options.limits.max_head_size, 262_144);
    assert_eq!(options.max_redirects, 30);
    assert_eq!(options.family, None);
    assert_eq!(options.static_hosts, []);
    assert!(!options.decode && !options.close && !options.downgrade);
}
