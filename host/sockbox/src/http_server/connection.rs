//! The connection of a client.

use super::client::Client;
use super::event::{HttpEvent, add};
use super::exchange::{Exchange, ServerBody};
use super::io::{Socket, Timer};
use super::peers::Place;
use super::shared::Shared;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};
use wasmtime_wasi_http::io::TokioIo;

/// The most bytes that hyper buffers in each direction, at least: 64 KiB.
const BUFFER_BYTES: usize = 64 * 1024;

/// How often the server looks whether the client of a request has left: each second. hyper notices it as well, but not
/// while it has bytes of a body that the component does not read.
const LOOK: Duration = Duration::from_secs(1);

/// How long, and how many bytes, the server reads and drops after a response that came before the end of the request: 2
/// seconds and 1 MiB. Closing a socket with unread bytes resets the connection, and the client may lose the response.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

type Responding = Pin<Box<dyn Future<Output = Result<Response<ServerBody>, Infallible>> + Send>>;

/// Serve a client until its connection ends.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    client: Client,
    _place: Place,
    _permit: OwnedSemaphorePermit,
) {
    let _open = Open::new(&shared);
    let client = Arc::new(client);
    let stream = Arc::new(stream);
    let options = &shared.options;
    let traffic = shared.authority.open_connection(client.local);
    let socket = Socket::new(
        stream.clone(),
        options.write_timeout,
        client.clone(),
        traffic,
    );
    let service = service_fn(|request: Request<Incoming>| -> Responding {
        let exchange = Exchange::new(shared.clone(), client.clone(), &request);
        Box::pin(async move { Ok(exchange.respond(request).await) })
    });
    let connection = http1::Builder::new()
        .timer(Timer)
        .header_read_timeout(options.header_timeout)
        .max_header_size(options.max_header_bytes)
        .max_buf_size(options.max_header_bytes.max(BUFFER_BYTES))
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = Box::pin(connection);
    let mut stopping = shared.stopping.clone();
    let mut is_stopping = false;
    let mut look: Pin<Box<tokio::time::Sleep>> = Box::pin(sleep_until(Instant::now()));
    let mut looks = false;
    let ended = loop {
        let driven = poll_fn(|cx| {
            let ended = connection.as_mut().poll(cx);
            if ended.is_pending() && !looks && client.is_active.load(Ordering::Relaxed) {
                look.as_mut().reset(Instant::now() + LOOK);
                looks = true;
            }
            if ended.is_pending() && looks && look.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            ended.map(Some)
        });
        tokio::select! {
            ended = driven => match ended {
                Some(ended) => break ended,
                None => {
                    looks = false;
                    if client.is_active.load(Ordering::Relaxed) && has_left(&stream) {
                        return;
                    }
                }
            },
            // An error is the end of the server, which ends this task.
            _ = stopping.changed(), if !is_stopping => {
                is_stopping = true;
                if !client.has_sent.load(Ordering::Relaxed) {
                    return;
                }
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = &ended
        && let Some(reason) = what_is_invalid(error, &client)
    {
        client.has_unread.store(true, Ordering::Relaxed);
        shared.report(|| HttpEvent::Invalid {
            local: client.local,
            remote: client.remote,
            reason,
        });
    }
    // Drops hyper's part of the connection, and keeps the socket open.
    drop(connection);
    if client.has_unread.load(Ordering::Relaxed) {
        linger(&stream).await;
    }
}

/// What is wrong with what the client has sent, in place of a request. None: it has only left.
fn what_is_invalid(error: &hyper::Error, client: &Client) -> Option<String> {
    if error.is_timeout() {
        // An idle connection that is closed is nothing to report.
        let in_head = client.in_head.load(Ordering::Relaxed);
        return in_head.then(|| "the head of the request did not arrive in time".to_owned());
    }
    if error.is_parse_too_large() {
        return Some("the head of the request is too large".to_owned());
    }
    error
        .is_parse()
        .then(|| format!("it is not a request: {error}"))
}

/// Whether the client has closed the connection, or its sending side.
fn has_left(stream: &TcpStream) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(stream.ready(Interest::READABLE)).poll(&mut cx) {
        Poll::Ready(Ok(ready)) => ready.is_read_closed(),
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}

/// Read and drop what the client still sends, so that it gets the response.
pub(super) async fn linger(stream: &TcpStream) {
    if socket2::SockRef::from(stream)
        .shutdown(std::net::Shutdown::Write)
        .is_err()
    {
        return;
    }
    let read = async {
        let mut buffer = [0; 4096];
        let mut left = LINGER_BYTES;
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(bytes) => match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    None => return,
                },
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // The client has had its time.
    let _ = timeout(LINGER, read).await;
}

/// Counts a connection while it is open.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Open {
        add(&shared.counts.accepted, 1);
        add(&shared.counts.open, 1);
        Open(shared.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counts.open.fetch_sub(1, Ordering::Relaxed);
    }
}
