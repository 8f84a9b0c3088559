//! What an async program needs besides I/O: tasks, and waiting for the first of two futures.
//!
//! This module does not know where readiness comes from. A back-end of `net` drives a future to its
//! end, and a [`TaskSet`] is polled as part of such a future.

mod race;
mod tasks;

pub use race::{Either, race};
pub use tasks::{EndOfTick, Spawner, TaskSet};

use std::future::poll_fn;
use std::task::Poll;

/// Gives every other ready task a turn before this one continues.
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
