//! `serve`.

use super::run::{Failed, complain, print};
use super::serve_args::Serve;
use crate::hello::{Event, Json, Logged, Progress, Server};
use crate::net::Source;
use crate::net::system::WasiNet;
use crate::rt::{Either, race};
use std::future::pending;
use std::io::{self, Write};
use std::pin::pin;
use std::time::{SystemTime, UNIX_EPOCH};

/// How much of standard input is read, and thrown away, at once.
const READ_SIZE: usize = 4096;

/// Serves until the runtime ends it, or standard input does where that was asked for.
pub fn run(arguments: Serve) -> Result<(), Failed> {
    let net = WasiNet::instance();
    net.reactor().block_on(async {
        let mut server = Server::start(net.clone(), &arguments.options)
            .await
            .map_err(|error| {
                complain(&error.to_string());
                Failed
            })?;
        for address in server.addresses() {
            print(&format!("listening on {address}\n"))?;
        }
        let mut order = pin!(async {
            match arguments.stop_on_eof {
                true => end_of_input(&net).await,
                false => pending().await,
            }
        });
        let mut stopping = false;
        loop {
            let progress = match stopping {
                true => server.progress().await,
                false => match race(server.progress(), order.as_mut()).await {
                    Either::First(progress) => progress,
                    Either::Second(()) => {
                        stopping = true;
                        if arguments.json && !arguments.quiet {
                            log_json(Logged::Stopping(arguments.drain_timeout));
                        }
                        server.stop(arguments.drain_timeout);
                        continue;
                    }
                },
            };
            match progress {
                Progress::Events(events) => {
                    let told = |event: &&Event| {
                        !arguments.quiet || matches!(event, Event::AcceptFailed(_))
                    };
                    let log = |event| log(event, arguments.json);
                    events.iter().filter(told).for_each(log);
                }
                Progress::Stopped(statistics) => {
                    if arguments.json && !arguments.quiet {
                        log_json(Logged::Stopped(&statistics));
                    }
                    return print(&format!("served {statistics}\n"));
                }
            }
        }
    })
}

/// Reads standard input to its end; one that fails has ended.
async fn end_of_input(net: &WasiNet) {
    let mut stdin = net.stdin();
    while let Ok(Some(_)) = stdin.read(READ_SIZE).await {}
}

/// Logs an event. A log that nobody takes is no reason to stop serving.
fn log(event: &Event, json: bool) {
    match json {
        false => drop(writeln!(io::stderr(), "{event}")),
        true => log_json(Logged::Event(event)),
    }
}

fn log_json(what: Logged<'_>) {
    // A clock that is set before 1970 is as good as none.
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    let time = time.unwrap_or_default();
    let _ = writeln!(io::stderr(), "{}", Json { time, what });
}
