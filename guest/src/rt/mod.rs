//! What an async program needs beside its I/O: tasks, and waiting for the first of two things.
//!
//! Nothing here knows where readiness comes from. A back-end of [`crate::net`] drives a future to
//! its end; [`TaskSet`] is itself polled as part of such a future.

mod race;
mod tasks;

pub use race::{Either, race};
pub use tasks::{EndOfTick, Spawner, TaskSet};

use std::future::poll_fn;
use std::task::Poll;

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
