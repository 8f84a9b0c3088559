//! `sockbox serve`.

use crate::args::Serve;
use crate::exit::Failure;
use crate::output::Output;
use crate::runtime::block_on;
use crate::signals::Signals;
use crate::stderr;
use sockbox::{AuditEvent, Event, Policy, Sandbox, ServeOptions, Server, Summary};
use std::io::Write;
use std::time::Duration;

/// How long answers that are under way may take after the first signal to stop.
const DRAIN: Duration = Duration::from_secs(5);

pub fn run(args: Serve) -> Result<(), Failure> {
    block_on(serve(args))
}

async fn serve(args: Serve) -> Result<(), Failure> {
    // From here on a signal stops the server rather than the process, so that nobody who reads
    // `listening on` can be too early with one.
    let mut signals = Signals::new().map_err(Failure::system)?;
    let mut server = start(&args).await?;
    for address in server.addresses() {
        // Whoever waits for this line must not wait for ever.
        print(format_args!("listening on {address}"))?;
    }
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            signal = signals.next() => {
                if stopping {
                    return Err(Failure::Signal(signal));
                }
                stopping = true;
                stderr::line(format_args!(
                    "stopping: answers under way have {} s, a second signal ends them",
                    DRAIN.as_secs()
                ));
                server.handle().stop(DRAIN);
            }
            event = server.next() => match event? {
                Some(event) => log(&event),
                None => break,
            },
        }
    }
    let summary = describe(&server.finish().await?);
    // It has stopped as it should, even if whoever waited for `listening on` reads no more.
    if print(format_args!("{summary}")).is_err() {
        stderr::line(format_args!("{summary}"));
    }
    Ok(())
}

async fn start(args: &Serve) -> Result<Server, Failure> {
    let mut policy = Policy::new();
    let mut options = ServeOptions::new();
    for address in &args.listen {
        policy = policy.allow_listen(*address);
        options = options.listen(*address);
    }
    let sandbox = Sandbox::builder().wasi(args.wasi.into()).build()?;
    let mut builder = sandbox.instance().policy(policy);
    if args.verbose {
        builder = builder
            .inherit_stderr()
            .audit(|event: &AuditEvent| stderr::line(format_args!("* {event}")));
    }
    Ok(builder.build().await?.serve(options).await?)
}

/// Print a line on standard output, at once.
fn print(line: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    let stdout = Output::stdout()?;
    stdout
        .writer()?
        .write_all(format!("{line}\n").as_bytes())
        .map_err(|source| stdout.failed(source))
}

fn log(event: &Event) {
    match event {
        Event::Opened(opened) => {
            stderr::line(format_args!(
                "opened {}: {} -> {}",
                opened.id, opened.remote, opened.local
            ));
        }
        Event::Closed(closed) => stderr::line(format_args!(
            "closed {}: {} -> {}: {}; {} messages, {} bytes received, {} sent, {:.3} s",
            closed.id,
            closed.remote,
            closed.local,
            closed.reason,
            closed.messages,
            closed.bytes_received,
            closed.bytes_sent,
            closed.duration.as_secs_f64(),
        )),
        Event::AcceptFailed(failed) => stderr::line(format_args!(
            "could not accept on {}: {}; trying again",
            failed.listen, failed.reason
        )),
        // What a later version of the library may tell.
        other => stderr::line(format_args!("{other:?}")),
    }
}

fn describe(summary: &Summary) -> String {
    format!(
        "served {} connections: {} messages, {} bytes received, {} sent, {:.3} s",
        summary.accepted,
        summary.messages,
        summary.bytes_received,
        summary.bytes_sent,
        summary.uptime.as_secs_f64(),
    )
}
