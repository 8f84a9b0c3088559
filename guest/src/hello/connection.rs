//! One client's conversation.

use super::framing::{Flow, Framer};
use super::server::{Event, Shared};
use crate::net::{Instant, Net, NetError, Stream, TryRead};
use crate::rt::{timeout_at, yield_now};
use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// How much is read at once. A connection that waits holds none of it, and a read that gives less
/// has emptied the socket. Runtimes clear as many bytes before each read, however few come: 16 KiB
/// would cost a short message a tenth more.
const READ_SIZE: usize = 4 * 1024;

/// How many bytes of answers are gathered into one write: enough for a few hundred pipelined
/// messages, and the bound on what a client that doesn't read makes us keep beside one message.
const WRITE_SIZE: usize = 16 * 1024;

/// How many reads in a row one client gets before the others have their turn.
const READS_PER_TURN: u32 = 16;

/// How long a client may take to close its side after we have closed ours.
///
/// Closing a socket in which unread bytes lie resets the connection, and a reset may destroy
/// answers that the client hasn't read yet. So what it still sends is read and thrown away first.
const LINGER: Duration = Duration::from_secs(2);

/// How many bytes are thrown away so, at most.
const LINGER_SIZE: usize = 1024 * 1024;

/// A connection that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub id: u64,
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    EndOfInput,
    Exit,
    MessageTooLong,
    Failed(NetError),
    Stopped,
}

/// A connection that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub id: u64,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub reason: CloseReason,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub messages: u64,
    pub duration: Duration,
}

/// An open connection's place in the books. Dropping it, for whatever reason, enters the end.
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
}

impl<N: Net> Connection<N> {
    /// Enters an accepted connection into the books.
    pub fn open(net: N, shared: Rc<Shared>, stream: &N::Stream) -> Self {
        let connection = Self {
            since: net.now(),
            net,
            id: shared.open(),
            shared,
            local: stream.local_addr(),
            remote: stream.remote_addr(),
            // What it is if the task is dropped before it has come to an end.
            reason: Cell::new(CloseReason::Stopped),
            bytes_received: Cell::new(0),
            bytes_sent: Cell::new(0),
            messages: Cell::new(0),
        };
        connection.shared.tell(Event::Opened(Opened {
            id: connection.id,
            local: connection.local,
            remote: connection.remote,
        }));
        connection
    }

    /// Serves the client until one side ends it.
    pub async fn serve(self, stream: N::Stream) {
        let reason = match self.converse(&stream).await {
            Ok(reason) => reason,
            Err(error) => CloseReason::Failed(error),
        };
        self.reason.set(reason);
        match reason {
            CloseReason::Failed(_) => {}
            // It has sent all, so there is nothing to wait for but our own last bytes.
            CloseReason::EndOfInput => drop(stream.finish().await),
            CloseReason::Exit | CloseReason::MessageTooLong | CloseReason::Stopped => {
                self.linger(&stream).await;
            }
        }
    }

    async fn converse(&self, stream: &N::Stream) -> Result<CloseReason, NetError> {
        let mut framer = Framer::new(self.shared.max_message_size);
        let mut answers = Vec::new();
        let mut reads = 0_u32;
        loop {
            let (flow, drained) = match stream.try_read(READ_SIZE)? {
                TryRead::Data(bytes) => {
                    add(
                        &self.bytes_received,
                        &self.shared.bytes_received,
                        bytes.len(),
                    );
                    let mut flow = self
                        .answer(stream, &mut framer, &bytes, &mut answers)
                        .await?;
                    let drained = bytes.len() < READ_SIZE;
                    if drained && flow == Flow::Continue {
                        flow = framer.drained(&mut answers);
                    }
                    (flow, drained || flow != Flow::Continue)
                }
                TryRead::Nothing => {
                    let flow = framer.drained(&mut answers);
                    if flow == Flow::Continue && self.shared.stopping() {
                        self.send(stream, &framer, &mut answers).await?;
                        return Ok(CloseReason::Stopped);
                    }
                    (flow, true)
                }
                TryRead::End => {
                    let flow = framer.end(&mut answers);
                    self.send(stream, &framer, &mut answers).await?;
                    return Ok(ended_by(flow).unwrap_or(CloseReason::EndOfInput));
                }
            };
            reads = reads.wrapping_add(1);
            if !drained || (self.shared.stopping() && flow == Flow::Continue) {
                if reads.is_multiple_of(READS_PER_TURN) {
                    yield_now().await;
                }
                continue;
            }
            self.send(stream, &framer, &mut answers).await?;
            if let Some(reason) = ended_by(flow) {
                return Ok(reason);
            }
            // Stopped or readable: the next look at the socket tells.
            let _ = self.shared.unless_stopping(stream.readable()).await;
        }
    }

    /// Answers the messages in `bytes`, sending answers whenever there are many.
    async fn answer(
        &self,
        stream: &N::Stream,
        framer: &mut Framer,
        mut bytes: &[u8],
        answers: &mut Vec<u8>,
    ) -> Result<Flow, NetError> {
        loop {
            let flow = framer.push(&mut bytes, answers, WRITE_SIZE);
            if bytes.is_empty() || flow != Flow::Continue {
                return Ok(flow);
            }
            self.send(stream, framer, answers).await?;
        }
    }

    async fn send(
        &self,
        stream: &N::Stream,
        framer: &Framer,
        answers: &mut Vec<u8>,
    ) -> Result<(), NetError> {
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
        stream.write_all(&answers).await?;
        add(&self.bytes_sent, &self.shared.bytes_sent, answers.len());
        Ok(())
    }

    /// Closes our side, and reads what the client still sends until it closes its own.
    async fn linger(&self, stream: &N::Stream) {
        let deadline = self.net.now().after(LINGER);
        let closing = async {
            if stream.finish().await.is_err() {
                return;
            }
            let mut discarded = 0;
            while let Ok(Some(bytes)) = stream.read(READ_SIZE).await {
                add(
                    &self.bytes_received,
                    &self.shared.bytes_received,
                    bytes.len(),
                );
                discarded += bytes.len();
                if discarded > LINGER_SIZE {
                    return;
                }
            }
        };
        // Either way the connection is done with.
        let _ = timeout_at(&self.net, deadline, closing).await;
    }
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

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOfInput => f.write_str("end of input"),
            Self::Exit => f.write_str("exit"),
            Self::MessageTooLong => f.write_str("message too long"),
            Self::Failed(error) => write!(f, "{error}"),
            Self::Stopped => f.write_str("server stopped"),
        }
    }
}
