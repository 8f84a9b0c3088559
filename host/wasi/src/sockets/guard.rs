//! Ends connections that the policy of their run does not grant any more.

use crate::authority::Authority;
use crate::failed::ToComponent;
use crate::replacement::Replacement;
use bytes::Bytes;
use sockbox_policy::Target;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

/// Tells one of the two streams of a connection when it is no longer granted.
#[derive(Clone)]
pub(super) struct Guard {
    authority: Arc<Authority>,
    /// What the connection is judged as. All of it has to be allowed.
    targets: Arc<[Target]>,
    replacement: Replacement,
    /// Both streams share it.
    revoked: Arc<AtomicBool>,
}

impl Guard {
    /// None: the policy of the run can't be replaced.
    pub(super) fn new(
        authority: &Arc<Authority>,
        targets: impl IntoIterator<Item = Target>,
    ) -> Option<Guard> {
        // A policy that has replaced another one counts as new here, so it is asked about the listener of a new client.
        let replacement = authority.replacement()?;
        Some(Guard {
            authority: authority.clone(),
            targets: targets.into_iter().collect(),
            replacement,
            revoked: Arc::default(),
        })
    }

    /// Whether the connection is no longer granted.
    pub(super) fn is_revoked(&mut self) -> bool {
        let is_new = self.replacement.borrow_and_update().has_changed();
        if is_new && !self.revoked.load(Ordering::SeqCst) {
            let mut targets = self.targets.iter();
            let allowed = targets.all(|target| self.authority.allows(target.clone()));
            self.revoked.fetch_or(!allowed, Ordering::SeqCst);
        }
        self.revoked.load(Ordering::SeqCst)
    }

    /// Wait until the connection is no longer granted.
    pub(super) async fn revoked(&mut self) {
        while !self.is_revoked() {
            if self.replacement.changed().await.is_err() {
                // Nothing can replace the policy any more.
                return std::future::pending().await;
            }
            // `is_revoked` has to see it as new.
            self.replacement.mark_changed();
        }
    }

    /// Wrap the streams of a connection.
    pub(super) fn around(
        self,
        input: DynInputStream,
        output: DynOutputStream,
    ) -> (DynInputStream, DynOutputStream) {
        let other = self.clone();
        let input = Guarded {
            stream: input,
            guard: Some(self),
        };
        let output = Guarded {
            stream: output,
            guard: Some(other),
        };
        (Box::new(input), Box::new(output))
    }
}

struct Guarded<S> {
    stream: S,
    /// None once it was revoked: a stream whose operation failed is closed.
    guard: Option<Guard>,
}

impl<S> Guarded<S> {
    /// Check that it was not revoked. If it was, `closed` takes the place of the stream.
    fn check(&mut self, closed: impl FnOnce() -> S) -> StreamResult<()> {
        if self.guard.as_mut().is_some_and(Guard::is_revoked) {
            self.guard = None;
            self.stream = closed();
            let reset = ToComponent::error("ConnectionReset");
            return Err(StreamError::LastOperationFailed(reset));
        }
        Ok(())
    }
}

#[async_trait]
impl<S: Pollable> Pollable for Guarded<S> {
    async fn ready(&mut self) {
        match &mut self.guard {
            Some(guard) => tokio::select! {
                () = self.stream.ready() => {}
                () = guard.revoked() => {}
            },
            None => self.stream.ready().await,
        }
    }
}

#[async_trait]
impl InputStream for Guarded<DynInputStream> {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.check(|| Box::new(ClosedInputStream))?;
        self.stream.read(size)
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

#[async_trait]
impl OutputStream for Guarded<DynOutputStream> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.check(|| Box::new(ClosedOutputStream))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check(|| Box::new(ClosedOutputStream))?;
        self.stream.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.check(|| Box::new(ClosedOutputStream))?;
        self.stream.check_write()
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grant;
    use crate::failed::text;
    use sockbox_policy::Policy;
    use sockbox_policy::audit::RunId;
    use std::future::Future;
    use std::net::SocketAddr;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use wasmtime_wasi::p2::pipe::{AsyncReadStream, MemoryOutputPipe};

    fn address() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 80))
    }

    fn is_reset<T>(result: StreamResult<T>) -> bool {
        match result {
            Err(StreamError::LastOperationFailed(error)) => text(&error) == "ConnectionReset",
            _ => false,
        }
    }

    #[tokio::test]
    async fn streams_end_when_their_connection_is_no_longer_granted() {
        let granted = Policy::new().allow_connect(address());
        let (grant, handle) = Grant::new().policy(granted.clone()).replaceable();
        let authority = Arc::new(Authority::new(RunId::new(1), &grant));
        let guard = Guard::new(&authority, [Target::Connect(address())]).unwrap();
        let (reader, _writer) = tokio::io::duplex(10);
        let (mut input, mut output) = guard.around(
            Box::new(AsyncReadStream::new(reader)),
            Box::new(MemoryOutputPipe::new(10)),
        );
        output.write(Bytes::from_static(b"a")).unwrap();
        {
            let mut cx = Context::from_waker(Waker::noop());
            let mut ready = pin!(input.ready());
            assert!(ready.as_mut().poll(&mut cx).is_pending());
            handle.replace(granted.and(Policy::new().allow_resolve("a.example").unwrap()));
            assert!(ready.as_mut().poll(&mut cx).is_pending());
            handle.replace(Policy::new());
            ready.await;
        }
        assert!(is_reset(input.read(1)));
        assert!(matches!(input.read(1), Err(StreamError::Closed)));
        assert!(is_reset(output.check_write()));
        assert!(matches!(output.check_write(), Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn a_connection_that_is_made_later_is_judged_by_the_new_policy() {
        let granted = Policy::new().allow_connect(address());
        let (grant, handle) = Grant::new().policy(granted.clone()).replaceable();
        let authority = Arc::new(Authority::new(RunId::new(1), &grant));
        let guard = || Guard::new(&authority, [Target::Connect(address())]).unwrap();
        assert!(!guard().is_revoked());
        handle.replace(Policy::new());
        assert!(!authority.allows(Target::Connect(address())));
        assert!(guard().is_revoked());
        handle.replace(granted);
        assert!(authority.allows(Target::Connect(address())));
        assert!(!guard().is_revoked());
    }

    #[test]
    fn without_a_handle_nothing_is_guarded() {
        let authority = Arc::new(Authority::new(RunId::new(1), &Grant::new()));
        assert!(Guard::new(&authority, [Target::Connect(address())]).is_none());
    }
}
