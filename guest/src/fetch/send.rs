//! The request's way out.

use super::clock::Clock;
use super::error::{FetchError, Stage};
use crate::http1::{CHUNK_END, LAST_CHUNK, RequestBody as Framing, chunk_start};
use crate::net::{MAX_READ, Net, NetError, Source, Stream};
use std::future::Future;
use std::num::NonZeroUsize;

/// What follows a request's head.
pub enum RequestBody<B> {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Whatever the source gives, of this length where it is known.
    Source { source: B, length: Option<u64> },
}

impl<B> RequestBody<B> {
    /// How the head says where the body ends.
    pub fn framing(&self) -> Framing {
        match self {
            Self::Empty => Framing::None,
            Self::Bytes(bytes) => Framing::Length(bytes.len() as u64),
            Self::Source {
                length: Some(length),
                ..
            } => Framing::Length(*length),
            Self::Source { length: None, .. } => Framing::Chunked,
        }
    }
}

/// Why the request did not go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The connection broke: the server may have answered all the same.
    Broken(NetError),
    /// Anything else ends the request.
    Fatal(FetchError),
}

/// Sends a head and its body.
pub async fn send<N: Net, B: Source>(
    stream: &N::Stream,
    clock: &Clock<N>,
    mut head: Vec<u8>,
    body: RequestBody<B>,
) -> Result<(), SendError> {
    match body {
        RequestBody::Empty => write::<N>(stream, clock, &head).await,
        RequestBody::Bytes(bytes) => {
            // One write: the system holds a second small one back until the first is acknowledged.
            head.extend_from_slice(&bytes);
            write::<N>(stream, clock, &head).await
        }
        RequestBody::Source {
            source,
            length: Some(length),
        } => send_sized::<N, B>(stream, clock, head, source, length).await,
        RequestBody::Source {
            source,
            length: None,
        } => send_chunked::<N, B>(stream, clock, head, source).await,
    }
}

async fn send_sized<N: Net, B: Source>(
    stream: &N::Stream,
    clock: &Clock<N>,
    mut pending: Vec<u8>,
    mut source: B,
    length: u64,
) -> Result<(), SendError> {
    let mut left = length;
    while let Some(bytes) = read_source(&mut source).await? {
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            invalid(format!(
                "the body is longer than the {length} bytes that were announced"
            ))
        })?;
        pending.extend_from_slice(&bytes);
        write::<N>(stream, clock, &pending).await?;
        pending.clear();
    }
    if left > 0 {
        let given = length - left;
        return Err(invalid(format!(
            "the body ended after {given} of {length} bytes"
        )));
    }
    write::<N>(stream, clock, &pending).await
}

async fn send_chunked<N: Net, B: Source>(
    stream: &N::Stream,
    clock: &Clock<N>,
    mut pending: Vec<u8>,
    mut source: B,
) -> Result<(), SendError> {
    while let Some(bytes) = read_source(&mut source).await? {
        // A chunk of no bytes would end the body.
        let Some(length) = NonZeroUsize::new(bytes.len()) else {
            continue;
        };
        pending.extend_from_slice(chunk_start(length).as_bytes());
        pending.extend_from_slice(&bytes);
        pending.extend_from_slice(CHUNK_END);
        write::<N>(stream, clock, &pending).await?;
        pending.clear();
    }
    pending.extend_from_slice(LAST_CHUNK);
    write::<N>(stream, clock, &pending).await
}

async fn read_source<B: Source>(source: &mut B) -> Result<Option<Vec<u8>>, SendError> {
    let read = source.read(MAX_READ).await;
    read.map_err(|_| invalid("the body can't be read".to_owned()))
}

fn invalid(why: String) -> SendError {
    SendError::Fatal(FetchError::InvalidRequest(why))
}

/// Writes all of `bytes`, in steps each of which the peer has the idle time for.
async fn write<N: Net>(
    stream: &N::Stream,
    clock: &Clock<N>,
    bytes: &[u8],
) -> Result<(), SendError> {
    for step in bytes.chunks(MAX_READ) {
        let writing = stream.write_all(step);
        in_time(clock, writing).await?.map_err(SendError::Broken)?;
    }
    Ok(())
}

async fn in_time<N: Net, F: Future>(clock: &Clock<N>, future: F) -> Result<F::Output, SendError> {
    let limit = clock.timeouts.idle;
    clock
        .within(Stage::Send, limit, 0, future)
        .await
        .map_err(SendError::Fatal)
}
