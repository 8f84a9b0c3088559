//! `serve`.

use super::args::Serve;
use super::run::{Failed, complain, print};
use crate::hello::{Event, Options, Progress, Server};
use crate::net::system::WasiNet;
use std::io::{self, Write};

/// Serves until the runtime ends it.
pub fn run(arguments: Serve) -> Result<(), Failed> {
    let net = WasiNet::instance();
    let options = Options {
        listen: arguments.listen,
        ..Options::default()
    };
    net.reactor().block_on(async {
        let mut server = Server::start(net.clone(), &options)
            .await
            .map_err(|error| {
                complain(&error.to_string());
                Failed
            })?;
        for address in server.addresses() {
            print(&format!("listening on {address}\n"))?;
        }
        loop {
            match server.progress().await {
                Progress::Events(events) => events.iter().for_each(log),
                Progress::Stopped(_) => return Ok(()),
            }
        }
    })
}

/// Logs an event. A log that nobody takes is no reason to stop serving.
fn log(event: &Event) {
    let _ = writeln!(io::stderr(), "{event}");
}
