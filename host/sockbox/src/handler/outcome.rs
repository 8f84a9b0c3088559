//! How the call of a handler has ended, for the tasks that wait for its response.

use crate::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// How a call has ended: nothing, or the error.
pub(crate) type Ended = Result<(), Arc<Error>>;

/// The end of a call, once it has come. One task sets it, and one other task waits for it.
#[derive(Clone, Default)]
pub(crate) struct Outcome(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    ended: Option<Ended>,
    waker: Option<Waker>,
    on_failure: Option<Box<dyn FnOnce(Arc<Error>) + Send>>,
}

impl Outcome {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is valid after every statement, so a panic in another thread leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the call has ended, if it has.
    pub(crate) fn get(&self) -> Option<Ended> {
        self.state().ended.clone()
    }

    /// Call `report` if the call fails, or has failed.
    pub(crate) fn on_failure(&self, report: impl FnOnce(Arc<Error>) + Send + 'static) {
        let mut state = self.state();
        match state.ended.clone() {
            None => state.on_failure = Some(Box::new(report)),
            Some(Ok(())) => {}
            Some(Err(error)) => {
                drop(state);
                report(error);
            }
        }
    }

    /// Wait for the end.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        let mut state = self.state();
        match &state.ended {
            Some(ended) => Poll::Ready(ended.clone()),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Sets an [`Outcome`]. If it is dropped before, the call was abandoned.
pub(super) struct Setter(Outcome);

impl Setter {
    pub(super) fn new(outcome: Outcome) -> Setter {
        Setter(outcome)
    }

    pub(super) fn set(&self, ended: Result<(), Error>) {
        let mut state = self.0.state();
        if state.ended.is_some() {
            return;
        }
        let ended = ended.map_err(Arc::new);
        state.ended = Some(ended.clone());
        let (waker, on_failure) = (state.waker.take(), state.on_failure.take());
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if let (Err(error), Some(report)) = (ended, on_failure) {
            report(error);
        }
    }
}

impl Drop for Setter {
    fn drop(&mut self) {
        self.set(Err(Error::Abandoned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn the_first_end_counts_and_wakes() {
        let outcome = Outcome::default();
        let setter = Setter::new(outcome.clone());
        assert!(outcome.get().is_none());
        let waiting = tokio::spawn({
            let outcome = outcome.clone();
            async move { poll_fn(|cx| outcome.poll(cx)).await }
        });
        tokio::task::yield_now().await;
        setter.set(Ok(()));
        drop(setter);
        assert!(waiting.await.unwrap().is_ok());
        assert!(outcome.get().unwrap().is_ok());
    }

    #[test]
    fn a_failure_is_reported_whether_it_comes_before_the_question_or_after() {
        let (sender, reports) = std::sync::mpsc::channel();
        for (before, ended, expected) in [
            (false, Err(Error::Abandoned), 1),
            (false, Ok(()), 0),
            (true, Err(Error::Abandoned), 1),
            (true, Ok(()), 0),
        ] {
            let outcome = Outcome::default();
            let setter = Setter::new(outcome.clone());
            let ask = || {
                let sender = sender.clone();
                outcome.on_failure(move |_| sender.send(()).unwrap());
            };
            if !before {
                ask();
            }
            setter.set(ended);
            if before {
                ask();
            }
            drop(setter);
            assert_eq!(reports.try_iter().count(), expected);
        }
    }

    #[test]
    fn a_call_that_is_dropped_was_abandoned() {
        let outcome = Outcome::default();
        drop(Setter::new(outcome.clone()));
        let ended = outcome.get().unwrap().unwrap_err();
        assert!(matches!(*ended, Error::Abandoned), "{ended:?}");
    }
}
