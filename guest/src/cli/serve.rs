//! The program `serve`.

use super::command::Serve;
use super::output::{Failed, complain, print};
use crate::hello::{Event, Json, Logged, Progress, Server};
use crate::net::Source;
use crate::net::system::WasiNet;
use crate::rt::{Either, race};
use std::future::pending;
use std::io::{self, Write};
use std::pin::pin;
use std::time::{SystemTime, UNIX_EPOCH};

/// The size of a read from standard input, whose bytes are discarded.
const READ_SIZE: usize = 4096;

/// Serves until the runtime ends it, or until the end of standard input if the arguments say so.
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
                    let logged = |event: &&Event| {
                        !arguments.quiet || matches!(event, Event::AcceptFailed(_))
                    };
                    let log = |event| log(event, arguments.json);
                    events.iter().filter(logged).for_each(log);
                }
                Progress::Stopped(stats) => {
                    if arguments.json && !arguments.quiet {
                        log_json(Logged::Stopped(&stats));
                    }
                    return print(&format!("served {stats}\n"));
                }
            }
        }
    })
}

/// Reads standard input to its end. An error counts as the end.
async fn end_of_input(net: &WasiNet) {
    let mut stdin = net.stdin();
    while let Ok(Some(_)) = stdin.read(READ_SIZE).await {}
}

/// Logs an event. The server continues if the log can't be written.
fn log(event: &Event, json: bool) {
    match json {
        false => drop(writeln!(io::stderr(), "{event}")),
        true => log_json(Logged::Event(event)),
    }
}

fn log_json(what: Logged<'_>) {
    // A clock before 1970 counts as 1970.
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    let time = time.unwrap_or_default();
    let _ = writeln!(io::stderr(), "{}", Json { time, what });
}
