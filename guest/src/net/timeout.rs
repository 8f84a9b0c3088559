//! Waiting until a point in time at most.

use super::{Instant, Net};
use crate::rt::{Either, race};
use std::future::Future;

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
