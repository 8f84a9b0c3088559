//! How long each stage may take, and how fast bytes have to move.

use super::Options;
use super::error::{Bound, FetchError, Stage, Timeout};
use super::speed::Speed;
use crate::net::{Instant, Net, timeout_at};
use crate::rt::race;
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// How long each stage of a request, and all of it, may take.
///
/// The defaults are there so that nothing hangs for ever: each is well above what a working server
/// or resolver needs, and well below what a person waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The lookup of the host's name.
    pub lookup: Duration,
    /// Connecting, all of the host's addresses together.
    pub connect: Duration,
    /// Agreeing upon TLS, once there is a connection.
    pub handshake: Duration,
    /// From the request's last byte to the first byte of the answer.
    pub first_byte: Duration,
    /// The peer's silence within the answer, or its refusal to take more of the request.
    pub idle: Duration,
    /// All of it, redirects included; none for no bound.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            lookup: Duration::from_secs(10),
            connect: Duration::from_secs(30),
            handshake: Duration::from_secs(30),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: None,
        }
    }
}

/// A request's time.
pub struct Clock<N> {
    net: N,
    pub timeouts: Timeouts,
    began: Instant,
    end: Option<Instant>,
    sending: RefCell<Speed>,
    receiving: RefCell<Speed>,
}

impl<N: Net> Clock<N> {
    /// Starts the time of the whole request.
    pub fn start(net: N, options: &Options) -> Self {
        let end = options.timeouts.total.map(|total| net.now().after(total));
        Self::until(net, options, end)
    }

    /// Starts the time of the request that a redirect has led to: it ends when this one would have.
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

    /// The time since the request began.
    pub fn elapsed(&self) -> Duration {
        self.net.now().since(self.began)
    }

    /// Runs `future` for `limit` at most, and not past the end of the request's time.
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

    /// Runs `future`, in which it isn't the peer that is waited for, but not past the end of the
    /// request's time.
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

    /// Runs `future`, in which the peer takes more of the body, of which it has taken `sent` bytes.
    pub async fn sending<F: Future>(&self, sent: u64, future: F) -> Result<F::Output, FetchError> {
        self.moving(Stage::Send, &self.sending, sent, future).await
    }

    /// Runs `future`, in which the peer sends more of the body, of which `received` bytes are here.
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
                    bound: Bound::Speed,
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

    /// Waits until more of the body may be received, of which `received` bytes are here.
    pub async fn pace(&self, received: u64) -> Result<(), FetchError> {
        self.pause(Stage::Body, &self.receiving, received).await
    }

    /// How many bytes of the body to receive at once: at most `max`.
    pub fn step(&self, max: u64) -> u64 {
        self.receiving.borrow().receiving_step(max)
    }

    /// Waits until more of the body may be sent, of which `sent` bytes have been.
    pub async fn pace_sending(&self, sent: u64) -> Result<(), FetchError> {
        self.pause(Stage::Send, &self.sending, sent).await
    }

    /// How many bytes of the body to send at once: at most `max`.
    pub fn sending_step(&self, max: usize) -> usize {
        let step = self.sending.borrow().sending_step(max as u64);
        usize::try_from(step).unwrap_or(max)
    }

    /// Runs `future`, in which the server may ask for the body, for `limit` at most.
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

    /// Ends what a peer could keep up for ever by always having something to say: a future that never
    /// waits is never late.
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
            bound: total.map_or(Bound::Stage, |_| Bound::Total),
            limit: total.unwrap_or(limit),
            received,
        })
    }
}
