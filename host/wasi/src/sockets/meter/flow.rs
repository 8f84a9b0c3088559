//! Bandwidth for streams that are polled: those of WASI 0.3.

use super::*;
use tokio::time::Sleep;

impl Direction {
    /// The limit on the number of bytes.
    pub(in crate::sockets) fn limit(&self) -> Limit {
        self.limit
    }

    /// How many bytes the bandwidth permits now. Pending: none, and `pause` wakes the task when that may have changed.
    pub(in crate::sockets) fn poll_flow(
        &self,
        cx: &mut Context<'_>,
        pause: &mut Option<Pin<Box<Sleep>>>,
        target: Option<&Target>,
    ) -> Poll<u64> {
        loop {
            let wait = {
                let Some(mut bucket) = self.bucket() else {
                    return Poll::Ready(u64::MAX);
                };
                let now = Instant::now();
                match bucket.available(now) {
                    0 => bucket.wait(now),
                    available => return Poll::Ready(available),
                }
            };
            self.slowed_down(target);
            let Some(wait) = wait else {
                // There never will be any.
                return Poll::Pending;
            };
            let sleep = pause.insert(Box::pin(tokio::time::sleep(wait)));
            ready_or_pending!(sleep.as_mut().poll(cx));
        }
    }

    /// Count so many bytes against the bandwidth.
    pub(in crate::sockets) fn flowed(&self, bytes: u64) {
        if let Some(mut bucket) = self.bucket() {
            bucket.take(bytes);
        }
    }
}
