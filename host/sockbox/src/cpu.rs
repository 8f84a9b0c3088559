//! The CPU time limit of a component.

use crate::error::{Error, Result};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

/// The CPU time of a run, over all its calls.
///
/// It is the CPU time of the thread that polls the run's futures, during polling: the component's
/// code, and the host's work for it. A component yields at every [tick](crate::epoch) at the latest,
/// so the limit is enforced within two ticks.
#[derive(Clone)]
pub(crate) struct CpuTime {
    limit: Duration,
    used_nanoseconds: Arc<AtomicU64>,
}

impl CpuTime {
    pub(crate) fn new(limit: Duration) -> CpuTime {
        CpuTime {
            limit,
            used_nanoseconds: Arc::default(),
        }
    }

    /// Run a piece of the run.
    ///
    /// # Errors
    /// [`Error::CpuTime`]: it isn't over, and the time is.
    pub(crate) async fn bound<F: Future>(&self, piece: F) -> Result<F::Output> {
        let mut piece = pin!(piece);
        poll_fn(|cx| {
            if self.is_used_up() {
                return Poll::Ready(Err(Error::CpuTime { limit: self.limit }));
            }
            let before = thread_time();
            let polled = piece.as_mut().poll(cx);
            self.add(thread_time().saturating_sub(before));
            match polled {
                Poll::Ready(value) => Poll::Ready(Ok(value)),
                Poll::Pending if self.is_used_up() => {
                    Poll::Ready(Err(Error::CpuTime { limit: self.limit }))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn add(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.used_nanoseconds.fetch_add(time, Ordering::Relaxed);
    }

    fn is_used_up(&self) -> bool {
        Duration::from_nanos(self.used_nanoseconds.load(Ordering::Relaxed)) >= self.limit
    }
}

/// How long this thread has computed.
#[cfg(unix)]
fn thread_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Other systems have no such clock that is easy to come by: a thread that is kept from running
/// counts as computing there.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tokio::task::yield_now;

    #[tokio::test]
    async fn up_to_the_limit_it_goes_on() {
        let limit = Duration::from_secs(1);
        for (used, expected) in [
            (limit - Duration::from_nanos(1), true),
            (limit, false),
            (limit + Duration::from_nanos(1), false),
        ] {
            let cpu = CpuTime::new(limit);
            cpu.add(used);
            assert_eq!(cpu.bound(ready(())).await.is_ok(), expected, "{used:?}");
        }
    }

    #[tokio::test]
    async fn waiting_costs_nothing_and_computing_ends() {
        let cpu = CpuTime::new(Duration::from_millis(20));
        // Waiting longer than the limit is permitted.
        let wait = tokio::time::sleep(Duration::from_millis(60));
        cpu.bound(wait).await.unwrap();
        let endless = async {
            loop {
                std::hint::black_box((0..1000).sum::<u64>());
                yield_now().await;
            }
        };
        let error = cpu.bound::<_>(async { endless.await as () }).await;
        assert!(matches!(error, Err(Error::CpuTime { .. })), "{error:?}");
        let error = cpu.clone().bound(pending::<()>()).await;
        assert!(matches!(error, Err(Error::CpuTime { .. })), "{error:?}");
    }
}
