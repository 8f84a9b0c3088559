//! The response's body, as the caller asks for it.

mod coded;
mod follow;

use super::ResponseInfo;
use super::client::{Answer, Client, Question};
use super::clock::Clock;
use super::connection::Connection;
use super::error::{FetchError, Limit, Stage};
use crate::http1::{BodyDecoder, Decoded, Header};
use crate::net::{MAX_READ, Net, NetError, Sink, SinkClosed, Splice};
use coded::Coded;
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;

/// How much is read at once where the framing has to be looked at. Most chunks of most servers fit;
/// what is left of a larger one is moved without being looked at.
const READ_SIZE: usize = 16 * 1024;

/// A response whose body is still to come. Dropping it closes the connection, unless the body has been
/// received to its end.
pub struct Response<N: Net> {
    client: Client<N>,
    question: Question,
    redirects: u32,
    info: ResponseInfo,
    /// Gone once the body has ended: the next request may have it.
    connection: Option<Connection<N>>,
    clock: Rc<Clock<N>>,
    decoder: BodyDecoder,
    /// Where the page is coded, and is to be decoded.
    coded: Option<Coded>,
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
    /// The response that an answer is the head of.
    pub(super) fn new(answer: Answer<N>) -> Result<Self, FetchError> {
        let options = &answer.question.options;
        let decoder = BodyDecoder::new(answer.framing, &options.limits);
        let max_size = options.max_body_size;
        let mut info = answer.info;
        let coded = match options.decode {
            true => Coded::of(&info.head, max_size),
            false => None,
        };
        // That there is no page is true of it decoded as well.
        if coded.is_some() && info.content_length != Some(0) {
            info.content_length = None;
        }
        let max_received = coded.as_ref().map_or(max_size, Coded::max_received);
        if let (Some(length), Some(max)) = (decoder.content_length(), max_received)
            && length > max
        {
            return Err(FetchError::LimitExceeded(Limit::BodySize));
        }
        let mut response = Self {
            client: answer.client,
            question: answer.question,
            redirects: answer.redirects,
            info,
            connection: Some(answer.connection),
            clock: answer.clock,
            decoder,
            coded,
            buffer: answer.rest,
            next: 0,
            max_size,
            failed: None,
        };
        response.release();
        Ok(response)
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
                // A caller who takes their time is not a server that is silent.
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
                Decoded::End { consumed } => {
                    self.next += consumed;
                    self.end().await?;
                    return Ok(Next::End);
                }
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
                    self.end().await?;
                    return Ok(Next::End);
                }
            }
        }
    }

    async fn receive(&self, max: usize) -> Result<Option<Vec<u8>>, FetchError> {
        let received = self.decoder.received();
        self.clock.pace(received).await?;
        let step = usize::try_from(self.clock.step(max as u64)).unwrap_or(max);
        let reading = self.connection()?.read(step);
        let read = self.clock.receiving(received, reading).await?;
        read.map_err(|error| self.cut_short(error))
    }

    /// What it means for the body that the connection failed: one that was cut, which TLS notices, has
    /// cut the body short, also where the body would end with the connection.
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

    /// Waits for the caller's output, which only the bound on the whole time bounds.
    async fn within_total(
        &self,
        output: impl Future<Output = Result<(), SinkClosed>>,
    ) -> Result<(), FetchError> {
        let received = self.decoder.received();
        let written = self.clock.within_total(Stage::Body, received, output);
        written.await?.map_err(|_| FetchError::WriteFailed)
    }

    /// There as long as there is something to be received.
    fn connection(&self) -> Result<&Connection<N>, FetchError> {
        let gone = FetchError::ReceiveFailed(NetError::Other);
        self.connection.as_ref().ok_or(gone)
    }

    fn take_buffered(&mut self, count: usize) {
        self.next += count;
        self.passed(count as u64);
    }

    fn passed(&mut self, count: u64) {
        self.decoder.passed(count);
        self.release();
    }

    /// The body has ended: the request has to be out as well before the caller is told.
    async fn end(&mut self) -> Result<(), FetchError> {
        if let Some(connection) = &self.connection {
            connection.finish_sending().await?;
        }
        self.release();
        Ok(())
    }

    /// Gives the connection back once nothing is under way on it any more.
    fn release(&mut self) {
        let idle = |connection: &mut Connection<N>| connection.is_sent();
        if self.decoder.is_done()
            && let Some(connection) = self.connection.take_if(idle)
        {
            let extra = self.buffer.len().saturating_sub(self.next);
            connection.release(self.client.net(), extra);
        }
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
