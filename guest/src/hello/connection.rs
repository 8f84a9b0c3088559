//! One client's connection.

use super::event::{CloseReason, Closed, Event, Opened};
use super::framing::{Flow, Framer, Framing};
use super::shared::{Held, Shared, TooMuchHeld};
use crate::net::{Instant, MAX_READ, Net, Stream, TryRead, timeout_at};
use crate::rt::{Either, race, yield_now};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// How long a connection that has nothing to read is waited for when the server stops: 20 ms. What its client has
/// sent before may have arrived, and the runtime may not know of it yet.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// The size of a first read, unless the framing makes a message of each read. A connection that
/// waits holds no buffer, and a read that returns less has emptied the socket. Runtimes clear a
/// buffer of this size before each read, however few bytes come: with 16 KiB a short message would
/// cost a tenth more than with 4 KiB.
const READ_SIZE: usize = 1024;

/// The size of the largest read. Each read that fills its buffer makes the next one four times as
/// large.
const LARGEST_READ: usize = 16 * 1024;

/// How many bytes of answers are gathered into one write: enough for a few hundred pipelined
/// messages. It is also the limit on what a client that does not read makes the server keep,
/// besides one message.
const WRITE_SIZE: usize = 16 * 1024;

/// How many bytes of answers may be deferred until the end of the tick. More are written at once:
/// thousands of clients may send at the same moment, and deferred answers are not counted as held
/// bytes.
const GATHERED: usize = 512;

/// How many reads and writes in a row one client gets before the other tasks have a turn: a
/// millisecond of work when the messages are as short as possible.
const STEPS_PER_TURN: u32 = 16;

/// How long a client may take to close its side after the server has closed its own.
///
/// Closing a socket that holds unread bytes resets the connection, and a reset may destroy answers
/// that the client has not read yet. So the server first reads and discards what the client still
/// sends.
const LINGER: Duration = Duration::from_secs(2);

/// The most bytes that are discarded in this way.
const LINGER_SIZE: usize = 1024 * 1024;

/// The record of an open connection. Dropping it, for whatever reason, records the end of the
/// connection.
pub struct Connection<N: Net> {
    net: N,
    shared: Rc<Shared>,
    id: u64,
    local: SocketAddr,
    remote: SocketAddr,
    since: Instant,
    reason: Cell<CloseReason>,
    bytes_received: Cell<u64>,
    bytes_sent: Cell<u64>,
    messages: Cell<u64>,
    /// Reads and writes since the connection was opened.
    steps: Cell<u32>,
    /// The bytes of a message that is not complete.
    held: RefCell<Held>,
}

impl<N: Net> Connection<N> {
    /// Records an accepted connection.
    pub fn open(net: N, shared: Rc<Shared>, stream: &N::Stream) -> Self {
        let remote = stream.remote_addr();
        let connection = Self {
            since: net.now(),
            net,
            id: shared.open(remote),
            held: RefCell::new(Held::nothing(shared.clone())),
            shared,
            local: stream.local_addr(),
            remote,
            // The reason if the task is dropped before the connection has ended.
            reason: Cell::new(CloseReason::Stopped),
            bytes_received: Cell::new(0),
            bytes_sent: Cell::new(0),
            messages: Cell::new(0),
            steps: Cell::new(0),
        };
        connection.shared.record(Event::Opened(Opened {
            id: connection.id,
            local: connection.local,
            remote: connection.remote,
        }));
        connection
    }

    /// Serves the client until one side ends it.
    // An async function would reserve room for its arguments twice, in every connection.
    #[allow(clippy::manual_async_fn)]
    pub fn serve(self, stream: N::Stream) -> impl Future<Output = ()> + 'static {
        async move {
            let reason = match self.converse(&stream).await {
                Err(reason) => reason,
                Ok(never) => match never {},
            };
            self.reason.set(reason);
            match reason {
                // Bytes that are not sent by now can't be sent any more.
                CloseReason::Failed(_) | CloseReason::WriteTimeout => {}
                // The client has sent everything, so only the server's last bytes are waited for.
                CloseReason::EndOfInput => {
                    if let Err(reason) = self.in_time(stream.finish()).await {
                        self.reason.set(reason);
                    }
                }
                CloseReason::Exit
                | CloseReason::MessageTooLong
                | CloseReason::IdleTimeout
                | CloseReason::Overloaded
                | CloseReason::Stopped => {
                    linger(&self.net, &stream, |bytes| self.received(bytes)).await;
                }
            }
            // The socket is closed before the end is recorded.
            drop(stream);
        }
    }

    /// Serves the client until there is a reason to end the connection.
    async fn converse(&self, stream: &N::Stream) -> Result<Infallible, CloseReason> {
        if !self.shared.welcome.is_empty() {
            self.write(stream, &self.shared.welcome, 0).await?;
        }
        let mut framer = Framer::new(self.shared.rules.clone());
        let mut answers = Vec::new();
        let mut silence = Silence::new(self.shared.idle_timeout, self.since);
        let first_size = match self.shared.rules.framing() {
            Framing::Auto | Framing::Line => READ_SIZE,
            Framing::Chunk => LARGEST_READ,
        };
        let mut size = first_size;
        let mut looked_again = false;
        loop {
            let (flow, drained) = match stream.try_read(size)? {
                TryRead::Data(bytes) => {
                    self.received(bytes.len());
                    silence.broken(&self.net);
                    let drained = bytes.len() < size;
                    size = match drained {
                        true => first_size,
                        false => (size * 4).min(LARGEST_READ),
                    };
                    let mut flow = self
                        .answer(stream, &mut framer, &bytes, &mut answers)
                        .await?;
                    if flow == Flow::Continue {
                        flow = framer.end_of_read(drained, &mut answers);
                    }
                    (flow, drained || flow != Flow::Continue)
                }
                TryRead::Nothing => {
                    let flow = framer.end_of_read(true, &mut answers);
                    if flow == Flow::Continue && self.shared.stopping() {
                        if !std::mem::replace(&mut looked_again, true) {
                            let deadline = self.net.now().after(LAST_LOOK);
                            // Whether it became readable, the next look at it tells.
                            let _ = timeout_at(&self.net, deadline, stream.readable()).await;
                            continue;
                        }
                        self.send(stream, &framer, &mut answers, 0).await?;
                        return Err(CloseReason::Stopped);
                    }
                    (flow, true)
                }
                TryRead::End => {
                    let flow = framer.end(&mut answers);
                    self.send(stream, &framer, &mut answers, 0).await?;
                    return Err(ended_by(flow).unwrap_or(CloseReason::EndOfInput));
                }
            };
            if self.held.borrow_mut().set(framer.kept()).is_err() {
                answers.extend_from_slice(b"server overloaded\n");
                self.send(stream, &framer, &mut answers, 0).await?;
                return Err(CloseReason::Overloaded);
            }
            if !drained || (self.shared.stopping() && flow == Flow::Continue) {
                self.step().await;
                continue;
            }
            if !answers.is_empty() {
                // Short writes are deferred until every ready task has read. A write wakes its client, and a client
                // on this machine that waits too long for the next write falls asleep again: waking it once more
                // costs as much as all that is done here for a message.
                if answers.len() <= GATHERED {
                    self.shared.end_of_tick.wait().await;
                }
                self.send(stream, &framer, &mut answers, 0).await?;
                // The client may have been busy reading during this time.
                silence.broken(&self.net);
            }
            if let Some(reason) = ended_by(flow) {
                return Err(reason);
            }
            self.until_readable(stream, &mut silence).await?;
        }
    }

    /// Answers the messages in `bytes`, and sends the answers whenever there are many.
    async fn answer(
        &self,
        stream: &N::Stream,
        framer: &mut Framer,
        mut bytes: &[u8],
        answers: &mut Vec<u8>,
    ) -> Result<Flow, CloseReason> {
        loop {
            let flow = framer.push(&mut bytes, answers, WRITE_SIZE);
            if bytes.is_empty() || flow != Flow::Continue {
                return Ok(flow);
            }
            self.send(stream, framer, answers, bytes.len()).await?;
            self.step().await;
        }
    }

    /// Sends the answers. Meanwhile `beside` bytes of input are kept.
    async fn send(
        &self,
        stream: &N::Stream,
        framer: &Framer,
        answers: &mut Vec<u8>,
        beside: usize,
    ) -> Result<(), CloseReason> {
        let new_messages = framer.messages() - self.messages.get();
        if new_messages > 0 {
            self.messages.set(framer.messages());
            self.shared
                .messages
                .set(self.shared.messages.get() + new_messages);
        }
        if answers.is_empty() {
            return Ok(());
        }
        let answers = std::mem::take(answers);
        self.write(stream, &answers, beside).await
    }

    /// Writes, and waits until the client's system or this one has taken all bytes. So a client
    /// that does not take answers can't make the server produce more.
    async fn write(
        &self,
        stream: &N::Stream,
        bytes: &[u8],
        beside: usize,
    ) -> Result<(), CloseReason> {
        // One piece at a time, so the timeout limits each wait, however long the answers are.
        for piece in bytes.chunks(MAX_READ) {
            let mut writing = pin!(async {
                stream.write_all(piece).await?;
                stream.flush().await
            });
            match now_or_later(writing.as_mut()).await {
                Some(written) => written?,
                None => {
                    let mut held = Held::nothing(self.shared.clone());
                    held.set(bytes.len() + beside)?;
                    // Few connections ever wait here, so the future is boxed and not part of every
                    // connection.
                    Box::pin(self.in_time(writing)).await?;
                }
            }
            add(&self.bytes_sent, &self.shared.bytes_sent, piece.len());
        }
        Ok(())
    }

    /// Waits for a client to take bytes, for the write timeout at most.
    async fn in_time<F, E>(&self, writing: F) -> Result<(), CloseReason>
    where
        F: Future<Output = Result<(), E>>,
        CloseReason: From<E>,
    {
        match self.shared.write_timeout {
            None => writing.await?,
            Some(limit) => {
                let deadline = self.net.now().after(limit);
                timeout_at(&self.net, deadline, writing)
                    .await
                    .map_err(|_| CloseReason::WriteTimeout)??;
            }
        }
        Ok(())
    }

    /// Waits until there is something to read or the server stops. The next look at the socket
    /// tells which.
    async fn until_readable(
        &self,
        stream: &N::Stream,
        silence: &mut Silence,
    ) -> Result<(), CloseReason> {
        let waiting = self.shared.unless_stopping(stream.readable());
        if silence.limit.is_none() {
            waiting.await;
            return Ok(());
        }
        match race(waiting, silence.too_long(&self.net)).await {
            Either::First(_) => Ok(()),
            Either::Second(()) => Err(CloseReason::IdleTimeout),
        }
    }

    /// Gives the other tasks a turn after every [`STEPS_PER_TURN`] steps.
    async fn step(&self) {
        let steps = self.steps.get().wrapping_add(1);
        self.steps.set(steps);
        if steps.is_multiple_of(STEPS_PER_TURN) {
            yield_now().await;
        }
    }

    fn received(&self, bytes: usize) {
        add(&self.bytes_received, &self.shared.bytes_received, bytes);
    }
}

impl From<TooMuchHeld> for CloseReason {
    fn from(_: TooMuchHeld) -> Self {
        Self::Overloaded
    }
}

/// The time since a client last sent something.
struct Silence {
    limit: Option<Duration>,
    since: Instant,
    /// Set at the first wait, and again when it fires too early. So a client that sends often does
    /// not set one each time.
    alarm: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Silence {
    fn new(limit: Option<Duration>, since: Instant) -> Self {
        Self {
            limit,
            since,
            alarm: None,
        }
    }

    fn broken<N: Net>(&mut self, net: &N) {
        if self.limit.is_some() {
            self.since = net.now();
        }
    }

    async fn too_long<N: Net>(&mut self, net: &N) {
        let Some(limit) = self.limit else {
            return pending().await;
        };
        let end = self.since.after(limit);
        loop {
            let alarm = self
                .alarm
                .get_or_insert_with(|| Box::pin(net.sleep_until(end)));
            alarm.as_mut().await;
            self.alarm = None;
            if net.now() >= end {
                return;
            }
        }
    }
}

/// Closes the sending side, and reads and discards what the client sends until it closes its own.
/// Calls `received` with the number of bytes of each read.
pub async fn linger<N: Net>(net: &N, stream: &N::Stream, received: impl Fn(usize)) {
    let deadline = net.now().after(LINGER);
    let closing = async {
        if stream.finish().await.is_err() {
            return;
        }
        let mut discarded = 0;
        while let Ok(Some(bytes)) = stream.read(LARGEST_READ).await {
            received(bytes.len());
            discarded += bytes.len();
            if discarded > LINGER_SIZE {
                return;
            }
        }
    };
    // Whatever the result, the connection ends here.
    let _ = timeout_at(net, deadline, closing).await;
}

/// The output of `future`, if it is ready at once.
async fn now_or_later<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn ended_by(flow: Flow) -> Option<CloseReason> {
    match flow {
        Flow::Continue => None,
        Flow::Exit => Some(CloseReason::Exit),
        Flow::TooLong => Some(CloseReason::MessageTooLong),
    }
}

fn add(connection: &Cell<u64>, total: &Cell<u64>, bytes: usize) {
    let bytes = bytes as u64;
    connection.set(connection.get() + bytes);
    total.set(total.get() + bytes);
}

impl<N: Net> Drop for Connection<N> {
    fn drop(&mut self) {
        self.shared.close(Closed {
            id: self.id,
            local: self.local,
            remote: self.remote,
            reason: self.reason.get(),
            bytes_received: self.bytes_received.get(),
            bytes_sent: self.bytes_sent.get(),
            messages: self.messages.get(),
            duration: self.net.now().since(self.since),
        });
    }
}
