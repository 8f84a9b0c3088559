//! The response's body, as the caller asks for it.

use super::ResponseInfo;
use super::clock::Clock;
use super::error::{FetchError, Limit, Stage};
use crate::http1::{BodyDecoder, Decoded, Header};
use crate::net::{MAX_READ, Net, Sink, Splice, SpliceError, Stream};
use std::ops::Range;

/// How much is read at once where the framing has to be looked at. Most chunks of most servers fit;
/// what is left of a larger one is moved without being looked at.
const READ_SIZE: usize = 16 * 1024;

/// A response whose body is still to come. Dropping it closes the connection.
pub struct Response<N: Net> {
    info: ResponseInfo,
    stream: N::Stream,
    clock: Clock<N>,
    decoder: BodyDecoder,
    /// What was received and not yet decoded is what lies from `next` on.
    buffer: Vec<u8>,
    next: usize,
    max_size: Option<u64>,
    /// The error that ended the body.
    failed: Option<FetchError>,
}

/// What comes next of a body.
enum Next {
    /// These bytes of the buffer.
    Buffered(Range<usize>),
    /// Up to this many bytes that are still to be received and are body as they stand.
    Unread(u64),
    /// Nothing: it ended as it should.
    End,
}

impl<N: Net> Response<N> {
    pub(super) fn new(
        info: ResponseInfo,
        stream: N::Stream,
        clock: Clock<N>,
        decoder: BodyDecoder,
        buffer: Vec<u8>,
        max_size: Option<u64>,
    ) -> Self {
        Self {
            info,
            stream,
            clock,
            decoder,
            buffer,
            next: 0,
            max_size,
            failed: None,
        }
    }

    /// What is known besides the body.
    pub fn info(&self) -> &ResponseInfo {
        &self.info
    }

    /// The trailer fields; empty until the body has ended.
    pub fn trailers(&self) -> &[Header] {
        self.decoder.trailers()
    }

    /// Receives at least one and at most `max` bytes; none when the body has ended as it should.
    ///
    /// Nothing is lost when the future is dropped. An error is final.
    pub async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, FetchError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if max == 0 {
            return Ok(Some(Vec::new()));
        }
        let result = self.try_read(max.min(MAX_READ)).await;
        self.remember(result)
    }

    async fn try_read(&mut self, max: usize) -> Result<Option<Vec<u8>>, FetchError> {
        match self.next(max as u64).await? {
            Next::End => Ok(None),
            Next::Buffered(range) => {
                let bytes = self.buffer.get(range).unwrap_or_default().to_vec();
                self.take_buffered(bytes.len());
                Ok(Some(bytes))
            }
            Next::Unread(available) => {
                let max = usize::try_from(available).map_or(max, |available| available.min(max));
                match self.receive(max).await? {
                    Some(bytes) => {
                        self.decoder.passed(bytes.len() as u64);
                        Ok(Some(bytes))
                    }
                    None => {
                        self.decoder.end_of_input()?;
                        Ok(None)
                    }
                }
            }
        }
    }

    /// Moves at most `max` bytes into `sink`; fewer mean that the body has ended as it should.
    ///
    /// What needs no decoding doesn't enter this component's memory. When the future is dropped,
    /// bytes may have been moved that nobody has counted. An error is final.
    pub async fn write_to<S: Sink>(&mut self, sink: &mut S, max: u64) -> Result<u64, FetchError>
    where
        N::Stream: Splice<S>,
    {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut moved = 0;
        while moved < max {
            let result = self.write_some(sink, max - moved).await;
            match self.remember(result)? {
                Some(bytes) => moved += bytes,
                None => break,
            }
        }
        Ok(moved)
    }

    async fn write_some<S: Sink>(
        &mut self,
        sink: &mut S,
        max: u64,
    ) -> Result<Option<u64>, FetchError>
    where
        N::Stream: Splice<S>,
    {
        match self.next(max).await? {
            Next::End => Ok(None),
            Next::Buffered(range) => {
                let bytes = self.buffer.get(range).unwrap_or_default();
                let length = bytes.len();
                sink.write_all(bytes)
                    .await
                    .map_err(|_| FetchError::WriteFailed)?;
                self.take_buffered(length);
                Ok(Some(length as u64))
            }
            Next::Unread(available) => {
                let limit = self.clock.timeouts.idle;
                let moving = self.stream.splice(sink, available.min(max));
                let moved = self
                    .clock
                    .within(Stage::Body, limit, self.decoder.received(), moving)
                    .await?;
                match moved.map_err(from_splice)? {
                    Some(bytes) => {
                        self.decoder.passed(bytes);
                        Ok(Some(bytes))
                    }
                    None => {
                        self.decoder.end_of_input()?;
                        Ok(None)
                    }
                }
            }
        }
    }

    /// Decodes, and receives what it takes to, until there are body bytes.
    async fn next(&mut self, max: u64) -> Result<Next, FetchError> {
        loop {
            let unread = self.buffer.get(self.next..).unwrap_or_default();
            match self.decoder.decode(unread)? {
                Decoded::Data { skip, len } => {
                    self.next += skip;
                    let max = max.min(self.allowance()?);
                    let len = usize::try_from(max).map_or(len, |max| max.min(len));
                    return Ok(Next::Buffered(self.next..self.next + len));
                }
                Decoded::End { .. } => return Ok(Next::End),
                // All of the buffer: it was framing, or there was nothing in it.
                Decoded::NeedMore { .. } => {
                    self.buffer = Vec::new();
                    self.next = 0;
                }
            }
            // With nothing more allowed, what there is has to be looked at: it may be the end.
            let unread = self.decoder.passthrough();
            if unread > 0
                && let Ok(allowance) = self.allowance()
            {
                return Ok(Next::Unread(unread.min(allowance)));
            }
            match self.receive(READ_SIZE).await? {
                Some(bytes) => self.buffer = bytes,
                None => {
                    self.decoder.end_of_input()?;
                    return Ok(Next::End);
                }
            }
        }
    }

    async fn receive(&self, max: usize) -> Result<Option<Vec<u8>>, FetchError> {
        let limit = self.clock.timeouts.idle;
        let read = self.stream.read(max);
        let read = self
            .clock
            .within(Stage::Body, limit, self.decoder.received(), read)
            .await?;
        read.map_err(FetchError::ReceiveFailed)
    }

    fn take_buffered(&mut self, count: usize) {
        self.next += count;
        self.decoder.passed(count as u64);
    }

    /// How many more bytes of body are allowed, at least one.
    fn allowance(&self) -> Result<u64, FetchError> {
        match self
            .max_size
            .map(|max| max.saturating_sub(self.decoder.received()))
        {
            Some(0) => Err(FetchError::LimitExceeded(Limit::BodySize)),
            Some(allowance) => Ok(allowance),
            None => Ok(u64::MAX),
        }
    }

    fn remember<T>(&mut self, result: Result<T, FetchError>) -> Result<T, FetchError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }
}

fn from_splice(error: SpliceError) -> FetchError {
    match error {
        SpliceError::Source(reason) => FetchError::ReceiveFailed(reason),
        SpliceError::Sink => FetchError::WriteFailed,
    }
}
