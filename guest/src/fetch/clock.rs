//! Enforces the time limits of a request and the speed limits of its bodies.

use super::error::{FetchError, Stage, TimeBound, Timeout};
use super::options::{Options, Timeouts};
use super::speed::Speed;
use crate::net::{Instant, Net, timeout_at};
use crate::rt::race;
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// The time limits of one request, and the speed of its two directions.
pub struct Clock<N> {
    net: N,
    pub timeouts: Timeouts,
    began: Instant,
    end: Option<Instant>,
    sending: RefCell<Speed>,
    receiving: RefCell<Speed>,
}

impl<N: Net> Clock<N> {
    /// Starts the clock of a request.
    pub fn start(net: N, options: &Options) -> Self {
        let end = options.timeouts.total.map(|total| net.now().after(total));
        Self::until(net, options, end)
    }

    /// Starts the clock of the request that a redirect has led to. Its total limit ends when that
    /// of this clock does.
    pub fn restart(&self, options: &Options) -> Self {
        Self::until(self.net.clone(), options, self.end)
    }

    fn until(net: N, options: &Options, end: Option<Instant>) -> Self {
        let speed = || RefCell::new(Speed::new(options.min_speed, options.max_speed));
        Self {
            began: net.now(),
            net,
            timeouts: options.timeouts,
            end,
            sending: speed(),
            receiving: speed(),
        }
    }

    /// The time since the start of the request.
    pub fn elapsed(&self) -> Duration {
        self.net.now().since(self.began)
    }

    /// Runs `future` for `limit` at most, and not beyond the end of the request's total time.
    pub async fn within<F: Future>(
        &self,
        stage: Stage,
        limit: Duration,
        received: u64,
        future: F,
    ) -> Result<F::Output, FetchError> {
        let now = self.net.now();
        self.check_total(stage, received, now)?;
        let own = now.after(limit);
        let deadline = self.end.map_or(own, |end| end.min(own));
        timeout_at(&self.net, deadline, future)
            .await
            .map_err(|_| self.timeout(stage, limit, received, deadline))
    }

    /// Runs `future`, which does not wait for the peer, but not beyond the end of the request's
    /// total time.
    pub async fn within_total<F: Future>(
        &self,
        stage: Stage,
        received: u64,
        future: F,
    ) -> Result<F::Output, FetchError> {
        match self.end {
            None => Ok(future.await),
            Some(_) => self.within(stage, Duration::MAX, received, future).await,
        }
    }

    /// Runs `future`, in which the peer takes more of the request's body. It has taken `sent` bytes
    /// so far.
    pub async fn sending<F: Future>(&self, sent: u64, future: F) -> Result<F::Output, FetchError> {
        self.moving(Stage::Send, &self.sending, sent, future).await
    }

    /// Runs `future`, in which the peer sends more of the response's body. `received` bytes have
    /// arrived so far.
    pub async fn receiving<F: Future>(
        &self,
        received: u64,
        future: F,
    ) -> Result<F::Output, FetchError> {
        self.moving(Stage::Body, &self.receiving, received, future)
            .await
    }

    async fn moving<F: Future>(
        &self,
        stage: Stage,
        speed: &RefCell<Speed>,
        moved: u64,
        future: F,
    ) -> Result<F::Output, FetchError> {
        let limit = self.timeouts.idle;
        let received = match stage {
            Stage::Body => moved,
            _ => 0,
        };
        let mut now = self.net.now();
        self.check_total(stage, received, now)?;
        let idle = now.after(limit);
        let deadline = self.end.map_or(idle, |end| end.min(idle));
        let mut too_slow = speed.borrow_mut().moved(moved);
        let mut future = pin!(future);
        loop {
            if let Some(min) = too_slow {
                return Err(FetchError::Timeout(Timeout {
                    stage,
                    bound: TimeBound::Speed,
                    limit: min.period,
                    received,
                }));
            }
            let patience = speed.borrow().patience();
            let until = patience.map_or(deadline, |time| now.after(time).min(deadline));
            let output = timeout_at(&self.net, until, future.as_mut()).await;
            if patience.is_none()
                && let Ok(output) = output
            {
                return Ok(output);
            }
            let before = std::mem::replace(&mut now, self.net.now());
            let waited = now.since(before);
            if let Ok(output) = output {
                speed.borrow_mut().answered(waited);
                return Ok(output);
            }
            if now >= deadline {
                return Err(self.timeout(stage, limit, received, deadline));
            }
            too_slow = speed.borrow_mut().waited(waited);
        }
    }

    /// Waits until the speed limit allows to receive more of the body. `received` bytes have
    /// arrived so far.
    pub async fn pace(&self, received: u64) -> Result<(), FetchError> {
        self.pause(Stage::Body, &self.receiving, received).await
    }

    /// How many bytes of the body to receive at once: `max` at most.
    pub fn step(&self, max: u64) -> u64 {
        self.receiving.borrow().receiving_step(max)
    }

    /// Waits until the speed limit allows to send more of the body. `sent` bytes have been sent so
    /// far.
    pub async fn pace_sending(&self, sent: u64) -> Result<(), FetchError> {
        self.pause(Stage::Send, &self.sending, sent).await
    }

    /// How many bytes of the body to send at once: `max` at most.
    pub fn sending_step(&self, max: usize) -> usize {
        let step = self.sending.borrow().sending_step(max as u64);
        usize::try_from(step).unwrap_or(max)
    }

    /// Runs `future`, which waits for `100 Continue`, for `limit` at most.
    pub async fn expect_continue(
        &self,
        limit: Duration,
        future: impl Future,
    ) -> Result<(), FetchError> {
        let waiting = race(future, self.net.sleep_until(self.net.now().after(limit)));
        self.within_total(Stage::Send, 0, waiting).await.map(drop)
    }

    async fn pause(
        &self,
        stage: Stage,
        speed: &RefCell<Speed>,
        moved: u64,
    ) -> Result<(), FetchError> {
        let now = self.net.now();
        let next = speed.borrow_mut().next_step(moved, now);
        if next <= now {
            return Ok(());
        }
        let received = match stage {
            Stage::Body => moved,
            _ => 0,
        };
        let pause = self.net.sleep_until(next);
        self.within_total(stage, received, pause).await
    }

    /// Checks the total limit before each operation: a future that never waits is never interrupted
    /// by a timeout, so a peer that always has more to send could go on for ever.
    fn check_total(&self, stage: Stage, received: u64, now: Instant) -> Result<(), FetchError> {
        match self.end {
            Some(end) if now >= end => Err(self.timeout(stage, Duration::ZERO, received, end)),
            _ => Ok(()),
        }
    }

    fn timeout(
        &self,
        stage: Stage,
        limit: Duration,
        received: u64,
        deadline: Instant,
    ) -> FetchError {
        let total = self.timeouts.total.filter(|_| self.end == Some(deadline));
        FetchError::Timeout(Timeout {
            stage,
            bound: total.map_or(TimeBound::Stage, |_| TimeBound::Total),
            limit: total.unwrap_or(limit),
            received,
        })
    }
}
