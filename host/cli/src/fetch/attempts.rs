//! The attempts of a transfer, from the first one to what is told of it.

use super::attempt::{Attempt, End};
use super::names;
use super::request::max_time;
use super::retry::{Pause, Time};
use super::session::{self, Session};
use super::transfer::Transfer;
use crate::exit::Failure;
use crate::watchdog;
use sockbox::Error;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How much later than the component the host looks at the clock: it keeps `--max-time` by itself,
/// but not while the host waits for the reader of its output.
const SECOND_CLOCK: Duration = Duration::from_millis(250);

/// How long telling what came of a transfer may take where `--max-time` bounds it: 1 second. The
/// reader of standard output may have stopped.
const TELLING: Duration = Duration::from_secs(1);

/// Do it until then at most.
async fn in_time(
    until: Option<(Duration, Instant)>,
    what: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    match until {
        None => what.await,
        Some((time, at)) => tokio::time::timeout_at(at.into(), what)
            .await
            .unwrap_or(Err(Failure::MaxTime(time))),
    }
}

impl Transfer<'_> {
    /// Do it, tell what came of it, and give the exit code.
    pub async fn run(mut self, session: &mut Session) -> u8 {
        let plan = self.plan;
        let mut ended = self.attempts(session).await;
        let telling = max_time(&plan.args).map(|time| (time, Instant::now() + TELLING));
        if ended.is_err() {
            // Heads that came before it failed are worth being seen. If they can't be, that is not
            // worth more than what has failed.
            let _ = in_time(telling, self.print_heads(None)).await;
        } else {
            ended = in_time(telling, self.save_tag()).await;
        }
        self.facts.ended(ended.as_ref().err());
        let told = in_time(telling, self.tell()).await;
        let failures: Vec<_> = [ended.err(), told.err()].into_iter().flatten().collect();
        let several = plan.args.urls.0.len() > 1;
        let url = several.then(|| names::shown(&self.task.url));
        for failure in &failures {
            plan.console.failed(failure, url.as_deref());
        }
        failures.first().map_or(0, Failure::code)
    }

    async fn attempts(&mut self, session: &mut Session) -> Result<(), Failure> {
        session::check(&self.task.url, &self.plan.args)?;
        let mut fresh = false;
        loop {
            let begun = Instant::now();
            self.heads.clear();
            self.facts.restart();
            self.facts.method = self.upload.method(&self.plan.args);
            let ended = self.attempt(session, fresh, begun).await;
            self.facts.times.total = begun.elapsed();
            if let Err(failure) = &ended {
                session.survived(failure, &self.plan.console);
            }
            match ended {
                Ok(End::Done) => return Ok(()),
                Ok(End::StartOver(reason)) => {
                    self.plan
                        .console
                        .note(format_args!("starting over: {reason}"));
                    fresh = true;
                }
                Ok(End::Again(pause)) => {
                    self.wait(pause).await;
                    fresh = false;
                }
                Err(failure) => {
                    let pause = match self.may_try_again() {
                        true => self.retry.after_failure(
                            &failure,
                            Time {
                                elapsed: self.begun.elapsed(),
                                run_left: session.time_left(),
                            },
                        ),
                        false => None,
                    };
                    let Some(pause) = pause else {
                        self.tell_refusal();
                        return Err(failure);
                    };
                    self.wait(pause).await;
                    fresh = false;
                }
            }
        }
    }

    async fn attempt(
        &mut self,
        session: &mut Session,
        fresh: bool,
        begun: Instant,
    ) -> Result<End, Failure> {
        let max_time = max_time(&self.plan.args);
        let attempt = async {
            session.instance().await?;
            let (run_left, wall_time) = (session.time_left(), session.wall_time());
            let instance = session.instance().await?;
            let attempt = Attempt::new(self, fresh, begun, run_left).run(instance);
            match (run_left, wall_time) {
                // The instance keeps it too, but not while a file is opened that is to be sent.
                (Some(left), Some(limit)) => timeout(left.saturating_add(SECOND_CLOCK), attempt)
                    .await
                    .unwrap_or_else(|_| Err(Error::WallTime { limit }.into())),
                _ => attempt.await,
            }
        };
        let deadline = max_time.map(|time| watchdog::deadline(time, Failure::MaxTime(time)));
        let done = match max_time {
            None => attempt.await,
            Some(time) => timeout(time.saturating_add(SECOND_CLOCK), attempt)
                .await
                .unwrap_or(Err(Failure::MaxTime(time))),
        };
        if done.is_err() {
            // To tell of it may be what hangs, on a terminal that is stopped: this deadline goes on, and does
            // nothing as long as this thread gets on.
            std::mem::forget(deadline);
        }
        done
    }

    async fn wait(&mut self, pause: Pause) {
        let Pause {
            reason,
            delay,
            left,
        } = pause;
        self.plan.console.warn(format_args!(
            "{reason}: trying again in {} s ({left} left after that)",
            delay.as_secs_f64().ceil()
        ));
        self.facts.retries = self.retry.count();
        self.turn = None;
        tokio::time::sleep(delay).await;
    }
}
