//! What is kept of one URL's transfer from one attempt to the next, and where what it receives goes.

use super::console::{Turn, blocking};
use super::facts::Facts;
use super::names;
use super::place::Place;
use super::plan::{Heads, Plan, Task};
use super::resume::Overlap;
use super::retry::Retry;
use super::upload::Upload;
use super::write_out;
use crate::exit::Failure;
use crate::output::Output;
use crate::progress::Progress;
use sockbox::Body;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

/// What lasts longer than one attempt.
pub struct Transfer<'a> {
    pub plan: &'a Plan,
    pub task: &'a Task,
    pub upload: Upload,
    pub facts: Facts,
    pub retry: Retry,
    /// When the first attempt began.
    pub begun: Instant,
    /// The heads that were received and aren't printed yet.
    pub heads: Vec<u8>,
    /// Whether something went to where it can't be taken back from.
    pub spent: bool,
    /// The strong entity tag of what is in a file that is gone on with, if that came in this run.
    pub tag: Option<Vec<u8>>,
    /// How much of a file that is gone on with is asked for again.
    pub overlap: Overlap,
    /// The right to write to standard output, once it is needed.
    pub turn: Option<Turn<'a>>,
}

impl<'a> Transfer<'a> {
    /// For a transfer that has waited for its turn since `queued`.
    pub fn new(plan: &'a Plan, task: &'a Task, queued: Instant) -> Transfer<'a> {
        let upload = Upload::of(task.upload.as_deref(), &plan.template);
        let mut facts = Facts {
            url: task.url.clone(),
            effective_url: task.url.clone(),
            number: task.number,
            referer: plan.template.referer(),
            file: task.target.clone().unwrap_or_default(),
            ..Facts::default()
        };
        facts.times.queue = queued.elapsed();
        Transfer {
            plan,
            task,
            upload,
            facts,
            retry: Retry::new(&plan.args),
            begun: Instant::now(),
            heads: Vec::new(),
            spent: false,
            tag: None,
            overlap: Overlap::default(),
            turn: None,
        }
    }

    /// Whether another attempt would begin where this one did.
    pub fn may_try_again(&self) -> bool {
        !self.spent && self.upload.can_be_repeated()
    }

    /// Tell why it isn't tried again, where that is for a bound on the wait.
    pub fn tell_refusal(&mut self) {
        if let Some(why) = self.retry.refused() {
            self.plan.console.warn(format_args!("{why}"));
        }
    }

    /// Keep the page's entity tag for `--etag-compare`. One that isn't there any more is forgotten.
    pub async fn save_tag(&self) -> Result<(), Failure> {
        let Some(path) = &self.plan.args.etag_save else {
            return Ok(());
        };
        let new = matches!(self.facts.status(), Some(200..=299));
        if !new {
            return Ok(());
        }
        let mut line = self.facts.header("etag").unwrap_or(b"").to_vec();
        if !line.is_empty() {
            line.push(b'\n');
        }
        let path = path.clone();
        let save = move || {
            let output = Output::open(Some(&path))?;
            let written = output.writer()?.write_all(&line);
            written.map_err(|source| output.failed(source))?;
            output.commit().map(|_| ())
        };
        // It may be a pipe.
        blocking(move || Ok(save()))
            .await
            .map_err(Failure::system)?
    }

    /// Print what `-w` and `--json` want to be told.
    pub async fn tell(&mut self) -> Result<(), Failure> {
        let mut texts = Vec::new();
        if let Some(format) = &self.plan.format {
            texts = format.fill(&self.facts, write_out::Place::is_terminal);
        }
        if self.plan.args.json {
            texts.push((write_out::Place::Stdout, write_out::json(&self.facts)));
        }
        if texts.is_empty() {
            return Ok(());
        }
        let console = &self.plan.console;
        console.print_facts(self.take_turn().await, texts).await
    }

    /// Print the heads that were received: before the page, where that goes. A page that goes to a
    /// file that isn't written is none.
    pub async fn print_heads(&mut self, page: Option<&mut Place>) -> Result<(), Failure> {
        let heads = std::mem::take(&mut self.heads);
        if heads.is_empty() {
            return Ok(());
        }
        let plan = self.plan;
        if let Some(file) = &plan.headers_file {
            if file.is_stdout {
                self.take_turn().await;
                self.spent = true;
            }
            file.add(heads.clone()).await?;
        }
        match (plan.heads, page) {
            (Heads::Nowhere, _) => Ok(()),
            (Heads::Stdout, _) => {
                let turn = self.take_turn().await;
                plan.console.print_head(turn, &heads).await
            }
            (Heads::WithPage, _) if self.goes_to_stdout() => {
                self.spent = true;
                let turn = self.take_turn().await;
                plan.console.print_head(turn, &heads).await
            }
            (Heads::WithPage, Some(page)) => page.write(heads).await,
            (Heads::WithPage, None) => Ok(()),
        }
    }

    /// Whether the page goes to standard output.
    pub fn goes_to_stdout(&self) -> bool {
        matches!(self.task.target, Ok(None))
    }

    /// Wait until no other transfer writes to standard output. That lasts until the end.
    pub async fn take_turn(&mut self) -> &Turn<'a> {
        let turn = match self.turn.take() {
            Some(turn) => turn,
            None => self.plan.console.turn().await,
        };
        self.turn.insert(turn)
    }

    /// The body to send, from its beginning, and the bar for it, if there is something to be sent. What
    /// is sent is read ahead: the bar is to be kept until there is a response.
    pub async fn body(&mut self) -> Result<(Body, Option<Progress>), Failure> {
        let mut upload = self.upload.clone();
        let mut sending = None;
        let body = upload
            .body(&self.plan.template, |size| {
                let progress = self.progress(0, size);
                sending = Some(progress.clone());
                progress
            })
            .await;
        self.upload = upload;
        Ok((body?, sending.or_else(|| self.sending())))
    }

    /// A bar for the data of `-d`, where there are some to be sent: the component has them, and doesn't
    /// say how many have gone.
    fn sending(&self) -> Option<Progress> {
        let data = match self.upload {
            Upload::Data => self.plan.template.data.as_ref()?,
            _ => return None,
        };
        let (seen, name) = self.bar();
        let bars = &self.plan.console.bars;
        Some(bars.sending(seen, &name, data.len() as u64))
    }

    /// A bar for what is to be moved now.
    pub fn progress(&self, before: u64, total: Option<u64>) -> Progress {
        let (seen, name) = self.bar();
        self.plan.console.bars.transfer(seen, &name, before, total)
    }

    /// Whether a bar is wanted, and its name.
    fn bar(&self) -> (bool, String) {
        let name = match self.facts.file() {
            // There is only one.
            _ if self.plan.args.urls.0.len() == 1 => String::new(),
            Some(path) => path.display().to_string(),
            None => names::shown(&self.task.url),
        };
        // A bar and a page on the same terminal would spoil each other.
        let seen = !(self.goes_to_stdout() && io::stdout().is_terminal());
        (seen, name)
    }
}
