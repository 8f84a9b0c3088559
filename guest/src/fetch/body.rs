//! A response and its body, which is received as the caller reads it.

mod coded;

use super::clock::Clock;
use super::connection::Connection;
use super::error::{FetchError, ResponseLimit, Stage};
use super::info::ResponseInfo;
use super::prepared::PreparedRequest;
use super::redirect::Redirect;
use crate::http1::{BodyDecoder, BodyFraming, Decoded, Header};
use crate::net::{MAX_READ, Net, NetError, Sink, SinkClosed, Splice, timeout_at};
use coded::Coded;
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

/// The size of a read where the framing has to be parsed. Most chunks of most servers fit. The rest
/// of a larger chunk is moved without being parsed.
const READ_SIZE: usize = 16 * 1024;

/// The most bytes of a redirect's body that are received so that its connection can be reused: 64
/// KiB, a few packets.
const MAX_DRAINED: u64 = 64 * 1024;

/// The longest time to receive them: 1 second. A new connection usually takes less.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The head of a response, and everything that is needed to receive its body.
pub(super) struct ResponseParts<N: Net> {
    pub net: N,
    pub request: PreparedRequest,
    /// The number of redirects that led to this response.
    pub redirects: u32,
    pub clock: Rc<Clock<N>>,
    pub connection: Connection<N>,
    pub info: ResponseInfo,
    pub framing: BodyFraming,
    /// The bytes that were received after the head.
    pub rest: Vec<u8>,
}

/// A response whose body is still to be received. Dropping it closes the connection, unless the
/// body has been received to its end.
pub struct Response<N: Net> {
    net: N,
    request: PreparedRequest,
    redirects: u32,
    info: ResponseInfo,
    /// `None` once the body has ended: the next request may use the connection.
    connection: Option<Connection<N>>,
    clock: Rc<Clock<N>>,
    decoder: BodyDecoder,
    /// Decodes the body, if it has content codings and the caller wants it decoded.
    coded: Option<Coded>,
    /// The bytes from `next` on have been received and not yet decoded.
    buffer: Vec<u8>,
    next: usize,
    max_size: Option<u64>,
    /// The error that ended the body.
    failed: Option<FetchError>,
}

/// The next part of a body.
enum Next {
    /// These bytes of the buffer.
    Buffered(Range<usize>),
    /// Up to this many bytes that are still to be received, and need no decoding.
    Unread(u64),
    /// None: the body is complete.
    End,
}

impl<N: Net> Response<N> {
    /// Makes a response of its parts.
    pub(super) fn new(parts: ResponseParts<N>) -> Result<Self, FetchError> {
        let options = &parts.request.options;
        let decoder = BodyDecoder::new(parts.framing, &options.limits);
        let max_size = options.max_body_size;
        let mut info = parts.info;
        let coded = match options.decode {
            true => Coded::of(&info.head, max_size),
            false => None,
        };
        // An empty body stays empty when decoded.
        if coded.is_some() && info.content_length != Some(0) {
            info.content_length = None;
        }
        let max_received = coded.as_ref().map_or(max_size, Coded::max_received);
        if let (Some(length), Some(max)) = (decoder.content_length(), max_received)
            && length > max
        {
            return Err(FetchError::LimitExceeded(ResponseLimit::BodySize));
        }
        let mut response = Self {
            net: parts.net,
            request: parts.request,
            redirects: parts.redirects,
            info,
            connection: Some(parts.connection),
            clock: parts.clock,
            decoder,
            coded,
            buffer: parts.rest,
            next: 0,
            max_size,
            failed: None,
        };
        response.release();
        Ok(response)
    }

    /// What is known about the response besides its body.
    pub fn info(&self) -> &ResponseInfo {
        &self.info
    }

    /// The request that led to this response.
    pub(super) fn request(&self) -> &PreparedRequest {
        &self.request
    }

    /// The number of redirects that led to this response.
    pub(super) fn redirects(&self) -> u32 {
        self.redirects
    }

    /// The time limits of the request.
    pub(super) fn clock(&self) -> &Clock<N> {
        &self.clock
    }

    /// Where this response redirects to; `None` if it is no redirect.
    ///
    /// # Errors
    /// As [`Redirect::of`].
    pub fn redirect(&self) -> Result<Option<Redirect>, FetchError> {
        Redirect::of(
            &self.request.method,
            &self.request.target.url,
            self.request.has_body,
            &self.info.head,
        )
    }

    /// The trailer fields; empty until the body has ended.
    pub fn trailers(&self) -> &[Header] {
        self.decoder.trailers()
    }

    /// Receives at least one and at most `max` bytes; `None` when the body is complete.
    ///
    /// Dropping the future loses no bytes. An error is final.
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
        if self.coded.is_some() {
            return self.decode_some(max as u64).await;
        }
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
                        self.passed(bytes.len() as u64);
                        Ok(Some(bytes))
                    }
                    None => {
                        self.decoder.end_of_input()?;
                        self.end().await?;
                        Ok(None)
                    }
                }
            }
        }
    }

    /// Moves at most `max` bytes into `sink`. It moves fewer only if the body is complete.
    ///
    /// Bytes that need no decoding do not enter this component's memory. If the future is dropped,
    /// bytes may have been moved that are counted nowhere. An error is final.
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
        if self.coded.is_some() {
            let Some(bytes) = self.decode_some(max).await? else {
                return Ok(None);
            };
            self.write(sink, &bytes).await?;
            return Ok(Some(bytes.len() as u64));
        }
        match self.next(max).await? {
            Next::End => Ok(None),
            Next::Buffered(range) => {
                let bytes = self.buffer.get(range).unwrap_or_default();
                let length = bytes.len();
                self.write(sink, bytes).await?;
                self.take_buffered(length);
                Ok(Some(length as u64))
            }
            Next::Unread(available) => {
                let received = self.decoder.received();
                self.clock.pace(received).await?;
                // Waiting for a slow caller does not count as silence of the server.
                self.within_total(sink.ready()).await?;
                let step = self.clock.step(available.min(max));
                let moving = self.connection()?.splice(sink, step);
                let moved = self.clock.receiving(received, moving).await?;
                match moved.map_err(|error| self.cut_short(error))? {
                    Some(bytes) => {
                        self.passed(bytes);
                        Ok(Some(bytes))
                    }
                    None => {
                        self.decoder.end_of_input()?;
                        self.end().await?;
                        Ok(None)
                    }
                }
            }
        }
    }

    /// Receives and parses framing until the next bytes of the body are found.
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
                Decoded::End { consumed } => {
                    self.next += consumed;
                    self.end().await?;
                    return Ok(Next::End);
                }
                // The whole buffer was framing, or it was empty.
                Decoded::NeedMore { .. } => {
                    self.buffer = Vec::new();
                    self.next = 0;
                }
            }
            // If no more bytes are allowed, the buffer has to be parsed: the body may end there.
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
                    self.end().await?;
                    return Ok(Next::End);
                }
            }
        }
    }

    /// Receives and decodes at least one and at most `max` bytes of a body with content codings;
    /// `None` when it is complete.
    async fn decode_some(&mut self, max: u64) -> Result<Option<Vec<u8>>, FetchError> {
        loop {
            let unread = self.buffer.get(self.next..).unwrap_or_default();
            let available = match self.decoder.decode(unread)? {
                Decoded::Data { skip, len } => {
                    self.next += skip;
                    len
                }
                Decoded::End { consumed } => {
                    self.next += consumed;
                    0
                }
                // The whole buffer was framing, or it was empty.
                Decoded::NeedMore { .. } => {
                    self.buffer = Vec::new();
                    self.next = 0;
                    0
                }
            };
            let Some(coded) = &mut self.coded else {
                return Ok(None);
            };
            let input = self.buffer.get(self.next..).unwrap_or_default();
            let input = input.get(..available).unwrap_or_default();
            let (decoded, consumed) = coded.decode(input, max)?;
            let max_received = coded.max_received();
            self.take_buffered(consumed);
            if !decoded.is_empty() {
                return Ok(Some(decoded));
            }
            if self.decoder.is_done() {
                self.end().await?;
                if let Some(coded) = &self.coded {
                    coded.end_of_input()?;
                }
                return Ok(None);
            }
            if max_received.is_some_and(|max| self.decoder.received() > max) {
                return Err(FetchError::LimitExceeded(ResponseLimit::BodySize));
            }
            if consumed > 0 {
                continue;
            }
            match self.receive(coded::STEP).await? {
                Some(bytes) => {
                    self.buffer = bytes;
                    self.next = 0;
                }
                None => self.decoder.end_of_input()?,
            }
        }
    }

    /// Receives the rest of the body if it is short, so the next request can use the connection.
    /// Afterwards the response has no connection in any case.
    pub(super) async fn drain_body(&mut self) {
        let of_use = self
            .connection
            .as_ref()
            .is_some_and(|connection| connection.is_sent() && connection.is_reusable());
        let is_long = self.decoder.content_length() > Some(MAX_DRAINED);
        if of_use && !is_long && self.failed.is_none() {
            let net = self.net.clone();
            let deadline = net.now().after(DRAIN_TIME);
            // After any error the connection is closed below.
            let _ = timeout_at(&net, deadline, self.receive_rest()).await;
        }
        self.connection = None;
    }

    async fn receive_rest(&mut self) -> Result<(), FetchError> {
        // The bytes need not be decoded.
        self.coded = None;
        let mut left = MAX_DRAINED;
        while left > 0 {
            match self
                .try_read(usize::try_from(left).unwrap_or(usize::MAX))
                .await?
            {
                Some(bytes) => left = left.saturating_sub(bytes.len() as u64),
                None => break,
            }
        }
        Ok(())
    }

    async fn receive(&self, max: usize) -> Result<Option<Vec<u8>>, FetchError> {
        let received = self.decoder.received();
        self.clock.pace(received).await?;
        let step = usize::try_from(self.clock.step(max as u64)).unwrap_or(max);
        let reading = self.connection()?.read(step);
        let read = self.clock.receiving(received, reading).await?;
        read.map_err(|error| self.cut_short(error))
    }

    /// The error of a body whose connection failed. If TLS reports that the connection was cut, the
    /// body is incomplete, even if it ends with the connection.
    fn cut_short(&self, error: FetchError) -> FetchError {
        match error {
            FetchError::ReceiveFailed(NetError::Truncated) => FetchError::IncompleteBody {
                received: self.decoder.received(),
                expected: self.decoder.content_length(),
            },
            error => error,
        }
    }

    async fn write<S: Sink>(&self, sink: &mut S, bytes: &[u8]) -> Result<(), FetchError> {
        self.within_total(sink.write_all(bytes)).await
    }

    /// Waits for the caller's output. Only the total time limit applies.
    async fn within_total(
        &self,
        output: impl Future<Output = Result<(), SinkClosed>>,
    ) -> Result<(), FetchError> {
        let received = self.decoder.received();
        let written = self.clock.within_total(Stage::Body, received, output);
        written.await?.map_err(|_| FetchError::WriteFailed)
    }

    /// The connection, which exists until the body has been received.
    fn connection(&self) -> Result<&Connection<N>, FetchError> {
        let missing = FetchError::ReceiveFailed(NetError::Other);
        self.connection.as_ref().ok_or(missing)
    }

    fn take_buffered(&mut self, count: usize) {
        self.next += count;
        self.passed(count as u64);
    }

    fn passed(&mut self, count: u64) {
        self.decoder.passed(count);
        self.release();
    }

    /// Handles the end of the body. The rest of the request has to be sent before the caller learns
    /// of the end.
    async fn end(&mut self) -> Result<(), FetchError> {
        if let Some(connection) = &self.connection {
            connection.finish_sending().await?;
        }
        self.release();
        Ok(())
    }

    /// Gives the connection back to the pool once the exchange is complete in both directions.
    fn release(&mut self) {
        let idle = |connection: &mut Connection<N>| connection.is_sent();
        if self.decoder.is_done()
            && let Some(connection) = self.connection.take_if(idle)
        {
            let extra = self.buffer.len().saturating_sub(self.next);
            connection.release(&self.net, extra);
        }
    }

    /// How many more bytes of the body are allowed, at least one.
    fn allowance(&self) -> Result<u64, FetchError> {
        match self
            .max_size
            .map(|max| max.saturating_sub(self.decoder.received()))
        {
            Some(0) => Err(FetchError::LimitExceeded(ResponseLimit::BodySize)),
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
