//! The request out and the response's head in, at the same time.

use super::clock::Clock;
use super::error::{FetchError, Stage};
use super::send::{RequestBody, SendError, send};
use super::trace::Trace;
use crate::http1::{HeadParser, Limits, ResponseHead};
use crate::net::{Net, Source, Stream};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// How much is read at once while a head is received. What comes behind the head is the body's
/// beginning, and has to be copied out of the guest's memory.
const READ_SIZE: usize = 16 * 1024;

/// A response's head, and what was received behind it.
pub struct Received {
    pub head: ResponseHead,
    pub rest: Vec<u8>,
}

/// Sends a request and receives the head of the final response.
///
/// A server may answer before it has taken the whole request, and close: so both ways are served at
/// once, and a request that could not be sent is forgiven where there is an answer.
pub async fn exchange<N: Net, B: Source>(
    stream: &N::Stream,
    clock: &Clock<N>,
    limits: &Limits,
    head: Vec<u8>,
    body: RequestBody<B>,
    trace: &Trace,
) -> Result<Received, FetchError> {
    trace.sent(&head);
    let sent = Cell::new(false);
    let mut sending = pin!(send::<N, B>(stream, clock, head, body));
    let mut receiving = pin!(receive(stream, clock, limits, &sent, trace));
    let mut broken = None;
    poll_fn(|cx| {
        if !sent.get()
            && let Poll::Ready(result) = sending.as_mut().poll(cx)
        {
            sent.set(true);
            match result {
                Ok(()) => {}
                Err(SendError::Broken(reason)) => broken = Some(reason),
                Err(SendError::Fatal(error)) => return Poll::Ready(Err(error)),
            }
        }
        receiving
            .as_mut()
            .poll(cx)
            .map(|received| match (received, broken) {
                (Err(FetchError::EmptyResponse | FetchError::ReceiveFailed(_)), Some(reason)) => {
                    Err(FetchError::SendFailed(reason))
                }
                (received, _) => received,
            })
    })
    .await
}

async fn receive<N: Net>(
    stream: &N::Stream,
    clock: &Clock<N>,
    limits: &Limits,
    sent: &Cell<bool>,
    trace: &Trace,
) -> Result<Received, FetchError> {
    sent_or_readable(stream, sent).await;
    let mut parser = HeadParser::new(limits);
    let mut buffer = Vec::new();
    loop {
        if let Some((head, size)) = parser.parse(&buffer)? {
            trace.received(&head.raw);
            buffer.drain(..size);
            if head.is_interim() {
                continue;
            }
            return Ok(Received { head, rest: buffer });
        }
        let (stage, limit) = match buffer.is_empty() {
            true => (Stage::FirstByte, clock.timeouts.first_byte),
            false => (Stage::Head, clock.timeouts.idle),
        };
        let read = clock
            .within(stage, limit, 0, stream.read(READ_SIZE))
            .await?;
        match read.map_err(FetchError::ReceiveFailed)? {
            Some(bytes) => buffer.extend_from_slice(&bytes),
            None => return Err(parser.end_of_input(&buffer).into()),
        }
    }
}

/// Waits until the request is out, or the server has something to say before that.
async fn sent_or_readable<S: Stream>(stream: &S, sent: &Cell<bool>) {
    let mut readable = pin!(stream.readable());
    // Whoever polls this has polled the sending just before.
    poll_fn(|cx| {
        if sent.get() {
            return Poll::Ready(());
        }
        readable.as_mut().poll(cx)
    })
    .await;
}
