//! `sockbox fetch`: fetching pages as curl does.
//!
//! A [`plan`] has a task for each URL; a [`transfer`] does one of them in one or more [`attempt`]s,
//! and each of those is a request, the redirects that follow, and a page that goes to its [`place`].
//! What can be decided without doing anything is decided in the other files.

mod attempt;
mod conditional;
mod console;
mod counted;
mod data;
mod facts;
mod headers;
mod headers_file;
mod input;
mod names;
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
use crate::record::Record;
use crate::runtime::block_on;
use crate::watch::Watch;
use crate::watchdog::{self, Ends};
use crate::{cache, sandbox};
use plan::{Plan, Task};
use session::Session;
use sockbox::Sandbox;
use std::mem;
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet, spawn_blocking};
use transfer::Transfer;

/// Gives the exit code, where what has failed was told already.
pub fn run(args: Fetch) -> Result<i32, Failure> {
    let mut signals = watchdog::start(Ends::AtTheFirst).map_err(Failure::system)?;
    apart::from_pages(args.common.audit.as_ref())?;
    let record = Record::open(args.common.audit.as_ref(), args.common.audit_max)?;
    let watch = Watch {
        verbose: args.verbose,
        record: record.as_ref().map(Record::sink),
        ..Watch::default()
    };
    let done = block_on(async move {
        tokio::select! {
            biased;
            signal = signals.next() => Err(Failure::Signal(signal)),
            code = all(args, &watch) => Ok(code?.into()),
        }
    });
    if let Some(record) = record {
        record.finish();
    }
    done
}

/// Do all of it, and give the exit code of the last transfer that has failed.
async fn all(args: Fetch, watch: &Watch) -> Result<u8, Failure> {
    let ready = spawn_blocking(move || prepare(args));
    // Meanwhile, on this thread.
    let sandbox = sandbox::builder(cache::place()).build()?;
    let ready = ready.await.map_err(|failed| Failure::system(failed.into()));
    let (plan, tasks) = ready??;
    let bars = plan.console.bars.clone();
    let code = async {
        if plan.args.parallel {
            in_parallel(&sandbox, plan.into(), watch, tasks).await
        } else {
            one_by_one(&sandbox, &plan, watch, &tasks).await
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

/// Read what the options name: that may be standard input, and take its time.
fn prepare(args: Fetch) -> Result<(Plan, Vec<Task>), Failure> {
    let plan = Plan::new(args)?;
    let tasks = plan.tasks()?;
    Ok((plan, tasks))
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

/// Each has an instance of its own, which may do nothing for the others.
async fn in_parallel(
    sandbox: &Sandbox,
    plan: Rc<Plan>,
    watch: &Watch,
    tasks: Vec<Task>,
) -> Result<u8, Failure> {
    let queued = Instant::now();
    let turns = Rc::new(Semaphore::new(plan.args.parallel_max.into()));
    let mut running = JoinSet::new();
    let local = LocalSet::new();
    for task in tasks {
        let mut session = Session::new(sandbox, &plan, watch, [task.url.as_str()])?;
        let (plan, turns) = (plan.clone(), turns.clone());
        running.spawn_local_on(
            async move {
                // Nobody closes it; if somebody did, nobody would have to wait any more.
                let _turn = turns.acquire().await;
                Transfer::new(&plan, &task, queued).run(&mut session).await
            },
            &local,
        );
    }
    local
        .run_until(async {
            let mut code = 0;
            while let Some(done) = running.join_next().await {
                let done = done.map_err(|failed| Failure::system(failed.into()))?;
                code = failed_last(code, done);
            }
            Ok(code)
        })
        .await
}

/// A failure isn't made good by what comes after it.
fn failed_last(before: u8, code: u8) -> u8 {
    if code == 0 { before } else { code }
}
