//! The sending half of a metered connection.

use super::*;

pub(super) struct MeteredOutput {
    pub(super) sending: Sending,
    /// The error of sending kept bytes, until it is reported.
    pub(super) failed: Option<StreamError>,
    /// How many bytes the next write may have, if there is a bandwidth limit.
    pub(super) permit: usize,
    pub(super) connection: Arc<Connection>,
    pub(super) sent: u64,
}

/// States of an output: `Idle` <-> `Waiting`, and from either to `Closed`.
pub(super) enum Sending {
    Idle(DynOutputStream),
    /// A task waits for bandwidth and sends the kept bytes.
    Waiting(AbortOnDropJoinHandle<(DynOutputStream, StreamResult<()>)>),
    /// A write was refused: a stream whose operation failed is closed.
    Closed,
}

impl MeteredOutput {
    /// The inner stream, when all kept bytes are sent. None: it is closed.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<&mut DynOutputStream>> {
        if let Sending::Waiting(task) = &mut self.sending {
            let (output, result) = ready_or_pending!(Pin::new(task).poll(cx));
            self.failed = result.err();
            self.sending = Sending::Idle(output);
        }
        Poll::Ready(match &mut self.sending {
            Sending::Idle(output) => Some(output),
            Sending::Waiting(_) | Sending::Closed => None,
        })
    }

    async fn idle(&mut self) {
        std::future::poll_fn(|cx| self.poll_idle(cx).map(drop)).await;
    }

    /// The inner stream, if no bytes are kept. None: not yet.
    fn now(&mut self) -> StreamResult<Option<&mut DynOutputStream>> {
        let pending = self
            .poll_idle(&mut Context::from_waker(Waker::noop()))
            .is_pending();
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        match &mut self.sending {
            Sending::Idle(output) => Ok(Some(output)),
            Sending::Waiting(_) if pending => Ok(None),
            Sending::Waiting(_) | Sending::Closed => Err(StreamError::Closed),
        }
    }

    /// Write the bytes if there is bandwidth for them, or keep them until there is.
    fn write_or_keep(&mut self, bytes: Bytes) -> StreamResult<()> {
        let direction = &self.connection.meter.sent;
        let unsent = self.connection.unsent.0.clone();
        let output = match std::mem::replace(&mut self.sending, Sending::Closed) {
            Sending::Idle(mut output) if direction.takes_all(bytes.len() as u64) => {
                let written = output.write(bytes);
                self.sending = Sending::Idle(output);
                return written;
            }
            Sending::Idle(output) => output,
            other => {
                self.sending = other;
                return Err(StreamError::trap("a write that was not permitted"));
            }
        };
        direction.slowed_down(self.connection.target());
        // No other task of this connection waits, so the lock is free.
        let unsent = unsent.try_lock_owned().ok();
        let send = send(self.connection.clone(), output, bytes, unsent);
        self.sending = Sending::Waiting(spawn(send));
        Ok(())
    }
}

/// Send bytes as there is bandwidth for them.
pub(super) async fn send(
    connection: Arc<Connection>,
    mut output: DynOutputStream,
    mut bytes: Bytes,
    _unsent: Option<OwnedMutexGuard<()>>,
) -> (DynOutputStream, StreamResult<()>) {
    while !bytes.is_empty() {
        let permit = match output.write_ready().await {
            Ok(permit) => permit.min(bytes.len()),
            Err(error) => return (output, Err(error)),
        };
        let now = connection.meter.sent.take_some(permit).await;
        if let Err(error) = output.write(bytes.split_to(now)) {
            return (output, Err(error));
        }
    }
    (output, Ok(()))
}

impl Pollable for MeteredOutput {
    fn ready<'a, 'b>(&'a mut self) -> Readiness<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        if self.connection.meter.sent.throttle.is_none() {
            return match &mut self.sending {
                Sending::Idle(output) => output.ready(),
                Sending::Waiting(_) | Sending::Closed => Box::pin(ready(())),
            };
        }
        Box::pin(async move {
            self.idle().await;
            let connection = &self.connection;
            // The next check reports a failure.
            if let Sending::Idle(output) = &mut self.sending
                && self.failed.is_none()
            {
                output.ready().await;
                connection.meter.sent.flows(connection.target()).await;
            }
        })
    }
}

#[async_trait]
impl OutputStream for MeteredOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let direction = &self.connection.meter.sent;
        let length = bytes.len() as u64;
        if matches!(self.sending, Sending::Closed) {
            return Err(StreamError::Closed);
        }
        let reserved = direction.reserve(length);
        if reserved < length {
            direction.give_back(reserved);
            self.sending = Sending::Closed;
            self.connection.refused.set();
            return Err(direction.error(&self.connection));
        }
        match &mut self.sending {
            Sending::Idle(output) if direction.throttle.is_none() => output.write(bytes)?,
            _ if bytes.is_empty() => return Ok(()),
            _ => {
                // As in wasmtime-wasi, the permit of the latest check is valid for one write.
                if bytes.len() > std::mem::take(&mut self.permit) {
                    return Err(StreamError::trap("a write that was not permitted"));
                }
                self.write_or_keep(bytes)?;
            }
        }
        self.sent += length;
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        match self.now()? {
            Some(output) => output.flush(),
            // Kept bytes are already being sent, and nothing can be written before that is done.
            None => Ok(()),
        }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permit = 0;
        let Some(output) = self.now()? else {
            return Ok(0);
        };
        let permit = output.check_write()?;
        let direction = &self.connection.meter.sent;
        let permit = match usize::try_from(direction.left()) {
            // With a permit of 0 the component would wait for ever. So it gets a permit, and its
            // write fails.
            Ok(0) => permit,
            Ok(left) => permit.min(left),
            Err(_) => permit,
        };
        self.permit = direction.at_once(permit, &self.connection);
        Ok(self.permit)
    }

    async fn cancel(&mut self) {
        self.idle().await;
        if let Sending::Idle(output) = &mut self.sending {
            output.cancel().await;
        }
    }
}

impl Drop for MeteredOutput {
    fn drop(&mut self) {
        if let Some(open) = &self.connection.open {
            open.account().add_sent(self.sent);
        }
    }
}
