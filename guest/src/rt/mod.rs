//! What an async program needs beside its I/O: tasks, and waiting for the first of two things.
//!
//! Nothing here knows where readiness comes from. A back-end of [`crate::net`] drives a future to
//! its end; [`TaskSet`] is itself polled as part of such a future.

mod race;
mod tasks;

pub use race::{Either, race};
pub use tasks::{Last, Spawner, TaskSet};

use crate::net::{Instant, Net};
use std::future::{Future, poll_fn};
use std::task::Poll;

/// The time was up before the future was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// Runs `future` until `deadline`, and drops it then.
pub async fn timeout_at<N: Net, F: Future>(
    net: &N,
    deadline: Instant,
    future: F,
) -> Result<F::Output, Elapsed> {
    match race(future, net.sleep_until(deadline)).await {
        Either::First(output) => Ok(output),
        Either::Second(()) => Err(Elapsed),
    }
}

/// Lets every other ready task have its turn first.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
