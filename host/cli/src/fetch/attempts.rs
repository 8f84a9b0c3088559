//! The attempts of a transfer, and the output after the last one.

use super::attempt::{Attempt, End};
use super::names;
use super::request::max_time;
use super::retry::{Pause, Time};
use super::session::{self, Session};
use super::transfer::Transfer;
use crate::exit::Failure;
use crate::watchdog;
use sockbox::Error;
use sockbox::policy::Origin;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How much later than the component the host enforces `--max-time`. The component enforces it too, but can't while the
/// host waits for the reader of its output.
const SECOND_CLOCK: Duration = Duration::from_millis(250);

/// How long writing the output after a transfer may take if `--max-time` is set: 1 second. The reader of standard
/// output may have stopped reading.
const TELLING: Duration = Duration::from_secs(1);

/// Wait for `what`, at most until the time that `until` gives.
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
    /// Make the transfer, write its output, and return the exit code.
    pub async fn run(mut self, session: &mut Session) -> u8 {
        let plan = self.plan;
        let ended = self.attempts(session).await;
        let mut ended = ended.map_err(|failure| self.with_proxy(failure));
        let telling = max_time(&plan.args).map(|time| (time, Instant::now() + TELLING));
        if ended.is_err() {
            // Print the heads that arrived before the failure. If printing fails, only the first failure is reported.
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

    /// The failure, or what it is where the proxy could have resolved the name.
    fn with_proxy(&self, failure: Failure) -> Failure {
        let proxies = &self.plan.proxies;
        match failure {
            Failure::Sandbox(Error::ResolveFailed { host, reason })
                if !proxies.is_empty()
                    && !proxies.resolve
                    && host
                        .parse()
                        .is_ok_and(|host| proxies.covers(&Origin::new(host, 0))) =>
            {
                Failure::NotLeftToProxy { host, reason }
            }
            failure => failure,
        }
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
                // The instance enforces this limit too, but can't while the host opens the file to send.
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
            // Printing the failure can block on a stopped terminal. The deadline stays active for that case, and has
            // no effect if this thread continues.
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
