//! `sockbox fetch`: fetching pages as curl does.
//!
//! A [`plan`] has a task for each URL; a [`transfer`] does one of them in one or more [`attempt`]s,
//! and each of those is a request, the redirects that follow, and a page that goes to its [`place`].
//! What can be decided without doing anything is decided in the other files.

mod attempt;
mod attempts;
mod conditional;
mod console;
mod counted;
mod data;
mod facts;
mod files;
mod harmless;
mod headers;
mod headers_file;
mod input;
mod names;
mod parallel;
mod place;
mod plan;
mod request;
mod resume;
mod retry;
mod session;
mod tls;
mod transfer;
mod upload;
mod variables;
mod write_out;

use crate::apart;
use crate::args::Fetch;
use crate::exit::Failure;
use crate::record::{Ended, Record};
use crate::runtime::block_on;
use crate::watch::Watch;
use crate::watchdog::{self, Ends};
use crate::{cache, sandbox};
use plan::{Plan, Task};
use request::max_time;
use session::Session;
use sockbox::{Error, Sandbox};
use std::mem;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use transfer::Transfer;

/// Gives the exit code, where what has failed was told already.
pub fn run(args: Fetch) -> Result<i32, Failure> {
    let mut signals = watchdog::start(Ends::AtTheFirst).map_err(Failure::system)?;
    apart::from_fetch(args.common.audit.as_ref())?;
    let mut record = None;
    let done = block_on(async {
        tokio::select! {
            biased;
            signal = signals.next() => Err(Failure::Signal(signal)),
            code = all(args, &mut record) => Ok(code?.into()),
        }
    });
    drop(signals);
    if let Some(record) = record {
        record.finish(Ended::with(&done));
    }
    done
}

/// Do all of it, and give the exit code of the last transfer that has failed.
async fn all(args: Fetch, record: &mut Option<Record>) -> Result<u8, Failure> {
    let limits = [
        max_time(&args).map(|limit| (limit, Failure::MaxTime(limit))),
        args.common
            .typed_wall_time()
            .map(|limit| (limit, Error::WallTime { limit }.into())),
    ];
    let ready = spawn_blocking(move || prepare(args));
    // Meanwhile, on this thread.
    let sandbox = sandbox::builder(cache::place()).build()?;
    let ready = within(limits, ready).await?;
    let Ready {
        plan,
        tasks,
        record: opened,
    } = ready.map_err(|failed| Failure::system(failed.into()))??;
    *record = opened;
    let watch = Watch {
        verbose: plan.args.verbose,
        record: record.as_ref().map(Record::sink),
        ..Watch::default()
    };
    let bars = plan.console.bars.clone();
    let code = async {
        if plan.args.parallel {
            parallel::all(&sandbox, plan.into(), &watch, tasks).await
        } else {
            one_by_one(&sandbox, &plan, &watch, &tasks).await
        }
    };
    let code = tokio::select! {
        biased;
        code = code => code,
        never = bars.keep_drawing() => match never {},
    };
    // The process ends, and what is taken apart by it need not be taken apart before.
    mem::forget(sandbox);
    code
}

/// Wait for what is read before the first transfer. Each limit of time bounds that too: a FIFO may have no
/// writer, and standard input no end.
async fn within<T>(
    limits: [Option<(Duration, Failure)>; 2],
    reading: impl Future<Output = T>,
) -> Result<T, Failure> {
    let first = limits.into_iter().flatten().min_by_key(|(limit, _)| *limit);
    match first {
        None => Ok(reading.await),
        Some((limit, failure)) => timeout(limit, reading).await.map_err(|_| failure),
    }
}

/// What there is before the first transfer.
struct Ready {
    plan: Plan,
    tasks: Vec<Task>,
    record: Option<Record>,
}

/// Read what the options name, which may be standard input, and take its time. Files are created or emptied
/// only after all of them are known to be apart.
fn prepare(args: Fetch) -> Result<Ready, Failure> {
    let mut plan = Plan::new(args)?;
    let tasks = plan.tasks()?;
    files::check(&plan, &tasks)?;
    let common = &plan.args.common;
    let record = Record::open(common.audit.as_ref(), common.audit_max)?;
    plan.open_headers_file()?;
    Ok(Ready {
        plan,
        tasks,
        record,
    })
}

/// One instance fetches all, and may use connections again.
async fn one_by_one(
    sandbox: &Sandbox,
    plan: &Plan,
    watch: &Watch,
    tasks: &[Task],
) -> Result<u8, Failure> {
    let urls = tasks.iter().map(|task| task.url.as_str());
    let mut session = Session::new(sandbox, plan, watch, urls)?;
    let mut code = 0;
    for task in tasks {
        let transfer = Transfer::new(plan, task, Instant::now());
        code = failed_last(code, transfer.run(&mut session).await);
    }
    Ok(code)
}

/// A failure isn't made good by what comes after it.
fn failed_last(before: u8, code: u8) -> u8 {
    if code == 0 { before } else { code }
}
