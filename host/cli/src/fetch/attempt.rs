//! One attempt: the request, its redirects, and the page.

use super::console::write_all;
use super::names;
use super::place::Place;
use super::plan::Heads;
use super::resume::{self, Answer, Beginning, Verdict};
use super::retry::{self, Pause, Time};
use super::transfer::Transfer;
use crate::exit::Failure;
use crate::progress::Progress;
use sockbox::{Body, Error, Instance, Redirect, Response};
use std::time::{Duration, Instant, SystemTime};

/// How an attempt ended that didn't fail.
pub enum End {
    Done,
    /// The file isn't the page's beginning, for this reason.
    StartOver(String),
    /// The server asks for patience.
    Again(Pause),
}

/// One attempt.
pub struct Attempt<'t, 'a> {
    transfer: &'t mut Transfer<'a>,
    /// Whether to ask for the whole page, whatever there is of it.
    fresh: bool,
    begun: Instant,
    /// How much time the run had left then, if that is bounded.
    run_left: Option<Duration>,
}

impl<'t, 'a> Attempt<'t, 'a> {
    pub fn new(
        transfer: &'t mut Transfer<'a>,
        fresh: bool,
        begun: Instant,
        run_left: Option<Duration>,
    ) -> Attempt<'t, 'a> {
        Attempt {
            transfer,
            fresh,
            begun,
            run_left,
        }
    }

    pub async fn run(mut self, instance: &mut Instance) -> Result<End, Failure> {
        let task = self.transfer.task;
        let target = task.target.as_ref().map_err(|_| Failure::NoName {
            url: names::shown(&task.url),
        })?;
        let place = Place::open(self.transfer.plan, target.as_deref()).await?;
        let beginning = match self.fresh {
            true => None,
            false => place.beginning(self.transfer.overlap)?,
        };
        let response = self.ask(instance, beginning.as_ref()).await?;
        let response = self.follow(response).await?;
        if let Some(pause) = self.pause(&response) {
            return Ok(End::Again(pause));
        }
        if matches!(place, Place::Growing { .. }) {
            return self.go_on(response, place, beginning).await;
        }
        self.receive(response, place).await?;
        Ok(End::Done)
    }

    /// Send the request.
    async fn ask<'i>(
        &mut self,
        instance: &'i mut Instance,
        beginning: Option<&Beginning>,
    ) -> Result<Response<'i>, Failure> {
        let transfer = &mut *self.transfer;
        let (template, args) = (&transfer.plan.template, &transfer.plan.args);
        let mut request = template.request(args, &transfer.facts.method, &transfer.task.url);
        if let Some(beginning) = beginning {
            request = request.header("Range", beginning.range());
            if let Some(tag) = &transfer.tag {
                request = request.header("If-Range", tag.as_slice());
            }
        }
        let (body, sending) = transfer.body().await?;
        let response = instance.fetch(request.body_of(body)).await?;
        drop(sending);
        self.responded(&response);
        Ok(response)
    }

    /// Go where the response leads to, if that is wanted.
    async fn follow<'i>(&mut self, mut response: Response<'i>) -> Result<Response<'i>, Failure> {
        let plan = self.transfer.plan;
        loop {
            let redirect = match response.redirect().await {
                Ok(redirect) => redirect,
                Err(error) if plan.args.location => return Err(error.into()),
                // It is not to be followed.
                Err(_) => None,
            };
            let Some(redirect) = redirect else {
                return Ok(response);
            };
            self.transfer.facts.redirected(&redirect);
            if !plan.args.location {
                return Ok(response);
            }
            let (body, sending) = self.body_for(&redirect).await?;
            response = response.follow(body).await?;
            drop(sending);
            let facts = &mut self.transfer.facts;
            let before = self.begun.elapsed().saturating_sub(response.timings().head);
            facts.follows(&redirect, before);
            self.responded(&response);
        }
    }

    async fn body_for(&mut self, redirect: &Redirect) -> Result<(Body, Option<Progress>), Failure> {
        if redirect.sends_body {
            self.transfer.body().await
        } else {
            Ok((Body::empty(), None))
        }
    }

    fn responded(&mut self, response: &Response<'_>) {
        let transfer = &mut *self.transfer;
        transfer.facts.responded(response);
        if transfer.plan.heads == Heads::Stdout {
            // Those of redirects are on the way to it, and not asked for.
            transfer.heads.clear();
        }
        transfer.heads.extend_from_slice(response.raw_head());
    }

    /// Whether, and when, to ask again after this response.
    fn pause(&mut self, response: &Response<'_>) -> Option<Pause> {
        if !self.transfer.may_try_again() {
            return None;
        }
        let asked = response
            .header("retry-after")
            .and_then(|value| retry::retry_after(value, SystemTime::now()));
        let since = self.begun.elapsed();
        let time = Time {
            elapsed: self.transfer.begun.elapsed(),
            run_left: self.run_left.map(|left| left.saturating_sub(since)),
        };
        let retry = &mut self.transfer.retry;
        let pause = retry.after_status(response.status(), asked, time);
        self.transfer.tell_refusal();
        pause
    }

    /// Whether the page is the one that is there already.
    fn is_unchanged(&self, response: &Response<'_>) -> bool {
        let condition = self.transfer.plan.template.condition;
        match response.status() {
            304 => true,
            200 => condition
                .is_some_and(|condition| !condition.is_met(response.header("last-modified"))),
            _ => false,
        }
    }

    /// What `-f` says of the response.
    fn fails(&self, response: &Response<'_>) -> Option<Failure> {
        let args = &self.transfer.plan.args;
        let failed = (args.fail || args.fail_with_body) && response.status() >= 400;
        failed.then(|| Failure::Status {
            status: response.status(),
            reason: response.reason().to_owned(),
        })
    }

    /// Take what there is to be taken of the response.
    async fn receive(
        &mut self,
        mut response: Response<'_>,
        mut place: Place,
    ) -> Result<(), Failure> {
        let args = &self.transfer.plan.args;
        let failed = self.fails(&response);
        let unwanted = failed.is_some() && !args.fail_with_body;
        if unwanted || (self.is_unchanged(&response) && !args.head) {
            self.transfer.print_heads(None).await?;
            return failed.map_or(Ok(()), Err);
        }
        self.transfer.print_heads(Some(&mut place)).await?;
        if !args.head {
            self.save(&mut response, &mut place, 0).await?;
        }
        if let Some(path) = place.commit().await? {
            self.transfer.facts.file = Some(path);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Go on with a file, or begin it.
    async fn go_on(
        &mut self,
        mut response: Response<'_>,
        mut place: Place,
        beginning: Option<Beginning>,
    ) -> Result<End, Failure> {
        let answer = Answer {
            status: response.status(),
            content_range: response.header("content-range"),
            last_modified: response.header("last-modified"),
        };
        let unchanged = self.is_unchanged(&response);
        let verdict = resume::judge(&answer, beginning.as_ref());
        let mut page_size = None;
        let beginning = match (verdict, beginning) {
            (Verdict::StartOver(reason), _) => return Ok(End::StartOver(reason)),
            (Verdict::GoOn { size }, beginning) => {
                page_size = size;
                beginning
            }
            (Verdict::Neither, _) if !unchanged => {
                return Err(self.fails(&response).unwrap_or_else(|| Failure::NoRange {
                    status: response.status(),
                    reason: response.reason().to_owned(),
                }));
            }
            (Verdict::Neither | Verdict::Whole, _) => None,
        };
        let mut rest = Vec::new();
        if let Some(beginning) = &beginning {
            let compared = self.compare(&mut response, &mut place, beginning, page_size);
            match compared.await? {
                Some(behind) => rest = behind,
                None => {
                    let reason = "what the server has isn't what is in the file";
                    return Ok(End::StartOver(reason.to_owned()));
                }
            }
        }
        self.transfer.print_heads(None).await?;
        if unchanged {
            return Ok(End::Done);
        }
        let size = beginning.map_or(0, |beginning| beginning.size);
        let console = &self.transfer.plan.console;
        console.note(format_args!("the file goes on at byte {size}"));
        let tag = response.header("etag").and_then(resume::strong_tag);
        self.transfer.tag = tag.map(<[u8]>::to_vec);
        let before = size + rest.len() as u64;
        if !rest.is_empty() {
            let written = write_all(place.writer(size)?, rest).await;
            written.map_err(|source| place.failed(source))?;
        }
        let moved = self.save(&mut response, &mut place, before).await?;
        let received = before.saturating_add(moved);
        match page_size {
            // The server has sent less than it was asked for, as it may.
            Some(expected) if received < expected => Err(Failure::from(Error::IncompleteBody {
                received,
                expected: page_size,
            })),
            _ => Ok(End::Done),
        }
    }

    /// Receive what was asked for again and compare it with the file. Gives what came behind it, or
    /// nothing if it differs.
    async fn compare(
        &mut self,
        response: &mut Response<'_>,
        place: &mut Place,
        beginning: &Beginning,
        page_size: Option<u64>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let mut file = place.writer(beginning.size)?;
        let tail = beginning.tail(&mut file);
        let tail = tail.map_err(|source| place.failed(source))?;
        let mut received = Vec::new();
        while received.len() < tail.len() {
            let chunk = response.chunk().await;
            if !matches!(chunk, Ok(Some(_))) {
                let overlap = &mut self.transfer.overlap;
                *overlap = overlap.after(received.len() as u64);
            }
            let Some(chunk) = chunk? else {
                // As it may, the server has sent less than it was asked for, all of it the file's.
                return Err(Failure::from(Error::IncompleteBody {
                    received: beginning.from().saturating_add(received.len() as u64),
                    expected: page_size,
                }));
            };
            received.extend_from_slice(&chunk);
            self.transfer.facts.downloaded = received.len() as u64;
            let both = received.len().min(tail.len());
            if received[..both] != tail[..both] {
                return Ok(None);
            }
        }
        Ok(Some(received.split_off(tail.len())))
    }

    /// Move the page, or what is left of it, behind the `before` bytes that are there already, and
    /// tell how many bytes that were.
    async fn save(
        &mut self,
        response: &mut Response<'_>,
        place: &mut Place,
        before: u64,
    ) -> Result<u64, Failure> {
        let transfer = &mut *self.transfer;
        if transfer.goes_to_stdout() {
            transfer.take_turn().await;
        }
        let already = transfer.facts.downloaded;
        let left = response
            .content_length()
            .map(|length| length.saturating_sub(already));
        let total = left.map(|left| left.saturating_add(before));
        let mut progress = transfer.progress(before, total);
        let writer = place.writer(before)?;
        let is_stream = matches!(place, Place::Stream(_));
        let (facts, spent) = (&mut transfer.facts, &mut transfer.spent);
        let saved = response
            .write_to_file(writer, |bytes| {
                facts.downloaded = already.saturating_add(bytes);
                *spent |= is_stream && bytes > 0;
                progress.update(bytes);
            })
            .await;
        drop(progress);
        match saved {
            Ok(moved) => Ok(moved),
            Err(Error::Write { source }) => Err(place.failed(source)),
            Err(error) => {
                facts.failed(&error);
                *spent |= is_stream && facts.downloaded > already;
                Err(error.into())
            }
        }
    }
}
