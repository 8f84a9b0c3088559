//! Connections in memory.

use crate::net::{
    NetError, Sink, SinkClosed, Source, SourceFailed, Splice, SpliceError, Stream, TryRead,
};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// One end of a connection in memory.
pub struct MemoryStream {
    local: SocketAddr,
    remote: SocketAddr,
    incoming: Rc<Pipe>,
    outgoing: Rc<Pipe>,
}

/// One direction of a connection: packets. Each read returns one packet.
struct Pipe {
    packets: RefCell<VecDeque<Vec<u8>>>,
    capacity: Cell<usize>,
    state: Cell<PipeState>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PipeState {
    Open,
    Ended,
    Broken(NetError),
}

impl Pipe {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            packets: RefCell::default(),
            capacity: Cell::new(usize::MAX),
            state: Cell::new(PipeState::Open),
            reader: Cell::new(None),
            writer: Cell::new(None),
        })
    }

    fn wake(&self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }

    fn end(&self, state: PipeState) {
        if self.state.get() == PipeState::Open {
            self.state.set(state);
        }
        self.wake();
    }

    fn size(&self) -> usize {
        self.packets.borrow().iter().map(Vec::len).sum()
    }
}

impl MemoryStream {
    /// A connection's two ends.
    pub fn pair(local: SocketAddr, remote: SocketAddr) -> (Self, Self) {
        let (there, back) = (Pipe::new(), Pipe::new());
        let near = Self {
            local,
            remote,
            incoming: back.clone(),
            outgoing: there.clone(),
        };
        let far = Self {
            local: remote,
            remote: local,
            incoming: there,
            outgoing: back,
        };
        (near, far)
    }

    /// Limits how many bytes the other end can send before this end has read them.
    pub fn receive_capacity(&self, bytes: usize) {
        self.incoming.capacity.set(bytes);
    }

    /// Breaks the connection for the other end.
    pub fn break_off(&self, reason: NetError) {
        self.outgoing.packets.borrow_mut().clear();
        self.outgoing.end(PipeState::Broken(reason));
        self.incoming.end(PipeState::Broken(reason));
    }

    /// Reads until the end of input.
    pub async fn read_to_end(&self) -> Result<Vec<u8>, NetError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.read(usize::MAX).await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}

impl Stream for MemoryStream {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn remote_addr(&self) -> SocketAddr {
        self.remote
    }

    fn try_read(&self, max: usize) -> Result<TryRead, NetError> {
        let mut packets = self.incoming.packets.borrow_mut();
        if let Some(mut packet) = packets.pop_front() {
            if packet.len() > max {
                packets.push_front(packet.split_off(max));
            }
            drop(packets);
            self.incoming.wake();
            return Ok(TryRead::Data(packet));
        }
        match self.incoming.state.get() {
            PipeState::Open => Ok(TryRead::Nothing),
            PipeState::Ended => Ok(TryRead::End),
            PipeState::Broken(reason) => Err(reason),
        }
    }

    async fn readable(&self) {
        poll_fn(|cx| {
            let pipe = &self.incoming;
            if pipe.state.get() != PipeState::Open || !pipe.packets.borrow().is_empty() {
                return Poll::Ready(());
            }
            pipe.reader.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    async fn write_all(&self, bytes: &[u8]) -> Result<(), NetError> {
        let pipe = &self.outgoing;
        poll_fn(|cx| {
            if let PipeState::Broken(reason) = pipe.state.get() {
                return Poll::Ready(Err(reason));
            }
            if pipe.size() > 0 && pipe.size() + bytes.len() > pipe.capacity.get() {
                pipe.writer.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        if pipe.state.get() == PipeState::Ended {
            return Err(NetError::ConnectionReset);
        }
        if !bytes.is_empty() {
            pipe.packets.borrow_mut().push_back(bytes.to_vec());
        }
        pipe.wake();
        Ok(())
    }

    async fn flush(&self) -> Result<(), NetError> {
        // There is no system in between: the peer has all that was written.
        Ok(())
    }

    async fn finish(&self) -> Result<(), NetError> {
        self.outgoing.end(PipeState::Ended);
        Ok(())
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.outgoing.end(PipeState::Ended);
        // A peer that still writes gets an error: no task reads here any more.
        self.incoming
            .end(PipeState::Broken(NetError::ConnectionReset));
    }
}

impl Sink for Vec<u8> {
    async fn ready(&mut self) -> Result<(), SinkClosed> {
        Ok(())
    }

    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), SinkClosed> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

impl Splice<Vec<u8>> for MemoryStream {
    async fn splice(&self, sink: &mut Vec<u8>, max: u64) -> Result<Option<u64>, SpliceError> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let bytes = self.read(max).await.map_err(SpliceError::Source)?;
        Ok(bytes.map(|bytes| {
            sink.extend_from_slice(&bytes);
            bytes.len() as u64
        }))
    }
}

/// A body in memory: a packet at each read.
impl Source for VecDeque<Vec<u8>> {
    async fn read(&mut self, _max: usize) -> Result<Option<Vec<u8>>, SourceFailed> {
        Ok(self.pop_front())
    }
}
