//! Sending a request and receiving its response's head, at the same time.

use super::clock::Clock;
use super::connection::Connection;
use super::error::{FetchError, Stage};
use super::trace::Trace;
use crate::http1::{HeadParser, Limits, ResponseHead};
use crate::net::{Net, NetError, Stream, TryRead};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// The size of a read while a head is received. The bytes after the head belong to the body and
/// have to be copied out of the component's memory.
const READ_SIZE: usize = 16 * 1024;

/// The start of a TLS alert (RFC 8446 section 5.1), with which a TLS server answers plain HTTP. No
/// response starts with these bytes.
const TLS_ALERT: [u8; 2] = [21, 3];

/// A response's head, and the bytes that were received after it.
pub struct Received {
    pub head: ResponseHead,
    pub rest: Vec<u8>,
    /// When its first byte was received.
    pub first_byte: Duration,
}

/// Why no head was received.
pub struct Failed {
    pub error: FetchError,
    /// Whether the server has sent a byte.
    pub answered: bool,
}

/// Sends the request that was started on `connection`, and receives the head of the final response.
///
/// A server may respond before it has taken the whole request, and then close the connection. So
/// both directions run at once, and a failure to send is ignored if there is a response. The rest
/// of the request is sent concurrently with the response's body, unless the server does not want
/// it.
pub async fn exchange<N: Net>(
    connection: &Connection<N>,
    clock: &Clock<N>,
    limits: &Limits,
    trace: &Trace,
) -> Result<Received, Failed> {
    let answered = Cell::new(false);
    let receiving = receive(connection, clock, limits, &answered, trace);
    let received = connection.while_sending(receiving).await;
    let received = received.and_then(|received| received);
    let received = received.map_err(|error| Failed {
        error: match (error, connection.broken()) {
            (FetchError::EmptyResponse | FetchError::ReceiveFailed(_), Some(reason)) => {
                FetchError::SendFailed(reason)
            }
            (error, _) => error,
        },
        answered: answered.get(),
    })?;
    connection.answered();
    let progress = connection.progress();
    if received.head.status < 300 {
        // A server that starts its body before it has the request's body may need the request's
        // body to continue.
        progress.continue_received();
    } else if progress.awaits_continue() {
        connection.stop_sending("the server did not ask for the body");
    } else {
        connection.stop_sending("the server responded before it received the whole request");
    }
    Ok(received)
}

async fn receive<N: Net>(
    connection: &Connection<N>,
    clock: &Clock<N>,
    limits: &Limits,
    answered: &Cell<bool>,
    trace: &Trace,
) -> Result<Received, FetchError> {
    let mut parser = HeadParser::new(limits);
    let mut buffer = Vec::new();
    let mut first_byte = None;
    loop {
        if buffer.starts_with(&TLS_ALERT) {
            let why = "the server expects TLS: use a URL that begins with https://";
            return Err(FetchError::Protocol(why.to_owned()));
        }
        if let Some((head, size)) = parser.parse(&buffer)? {
            trace.received(&head.raw);
            buffer.drain(..size);
            if head.is_interim() {
                if head.status == 100 {
                    connection.progress().continue_received();
                }
                first_byte = (!buffer.is_empty()).then(|| clock.elapsed());
                continue;
            }
            let first_byte = first_byte.unwrap_or_else(|| clock.elapsed());
            return Ok(Received {
                head,
                rest: buffer,
                first_byte,
            });
        }
        let early = match buffer.is_empty() {
            true => read_early(connection).await,
            false => None,
        };
        let read = match early {
            Some(read) => read,
            None => {
                let (stage, limit) = match buffer.is_empty() {
                    true => (Stage::FirstByte, clock.timeouts.first_byte),
                    false => (Stage::Head, clock.timeouts.idle),
                };
                let reading = connection.stream().read(READ_SIZE);
                clock.within(stage, limit, 0, reading).await?
            }
        };
        let read = match read {
            // An end inside the head is reported as an end, whether or not TLS announced it.
            Err(NetError::Truncated) => None,
            read => read.map_err(FetchError::ReceiveFailed)?,
        };
        match read {
            Some(bytes) => {
                answered.set(true);
                first_byte.get_or_insert_with(|| clock.elapsed());
                buffer.extend_from_slice(&bytes);
            }
            None => return Err(parser.end_of_input(&buffer).into()),
        }
    }
}

/// What the server sends before the request is sent; `None` if the request is sent first. Only the
/// total time limit applies.
async fn read_early<N: Net>(
    connection: &Connection<N>,
) -> Option<Result<Option<Vec<u8>>, NetError>> {
    while !connection.is_sent() {
        match connection.stream().try_read(READ_SIZE) {
            Ok(TryRead::Data(bytes)) => return Some(Ok(Some(bytes))),
            Ok(TryRead::End) => return Some(Ok(None)),
            Ok(TryRead::Nothing) => sent_or_readable(connection).await,
            Err(reason) => return Some(Err(reason)),
        }
    }
    None
}

/// Waits until the request has been sent, or until the server has sent something.
async fn sent_or_readable<N: Net>(connection: &Connection<N>) {
    let mut readable = pin!(connection.stream().readable());
    // The caller has polled the sending just before.
    poll_fn(|cx| {
        if connection.is_sent() {
            return Poll::Ready(());
        }
        readable.as_mut().poll(cx)
    })
    .await;
}
