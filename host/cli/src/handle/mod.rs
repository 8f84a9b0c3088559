//! `sockbox run --listen-http`.

mod log;

use crate::args::Http;
use crate::descriptors::Descriptor;
use crate::exit::Failure;
use crate::serve::notify::Notify;
use crate::signals::StatisticsSignal;
use crate::watchdog::Signals;
use crate::{output, stderr};
use log::Counts;
pub use log::Log;
use sockbox::{Handler, HttpServer, HttpStats, StdioWriter};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How messages name it.
const STDOUT: &str = "standard output";

/// How long a reader of standard output may take before it counts as one that reads later: 1 second.
const ANNOUNCING: Duration = Duration::from_secs(1);

/// The log that the options ask for. It is used by the thread that writes standard error, too.
pub fn log(http: &Http) -> Log {
    let log = Log {
        format: http.log,
        quiet: http.quiet,
    };
    if let Some(writer) = stderr::writer() {
        writer.lost_line(move |lines| log.lost(lines));
    }
    log
}

/// Standard output. The server does not wait for one that was closed from the start.
pub fn stdout() -> Result<StdioWriter, Failure> {
    let opened = match Descriptor::Output.check() {
        Ok(()) => output::stdout().and_then(StdioWriter::file),
        Err(_) => StdioWriter::new(std::io::sink()),
    };
    opened.map_err(|source| Failure::output(STDOUT, source))
}

/// Serve HTTP with a handler until a signal stops it.
pub async fn serve(
    handler: Handler,
    http: &Http,
    listeners: Vec<Arc<TcpListener>>,
    signals: Signals,
    stdout: StdioWriter,
    log: Log,
) -> Result<(), Failure> {
    let mut options = http.options()?.observer(move |event| log.event(event));
    for listener in listeners {
        options = options.listener(listener);
    }
    let mut service = Service {
        statistics: StatisticsSignal::new().map_err(Failure::system)?,
        notify: Notify::from_environment().unwrap_or_else(|error| {
            log.warning(&format!("NOTIFY_SOCKET can't be used: {error}"));
            Notify::none()
        }),
        signals,
        stdout,
        announced: false,
        drain: http.drain_timeout,
        log,
    };
    let server = handler.serve(options)?;
    // From here on a signal stops the server and not the process, so a reader of `listening on` can send one.
    service.signals.hear();
    service.announce(&server).await?;
    let stats = service.attend(server).await?;
    log.stopped(&stats);
    let summary = format!("served {}", Counts(&stats));
    service.stdout.line(&summary);
    // The server has stopped in order, even if no process reads its standard output any more.
    if !matches!(
        timeout(ANNOUNCING, service.stdout.written()).await,
        Ok(Ok(()))
    ) {
        stderr::line(format_args!("{summary}"));
    }
    Ok(())
}

/// What goes on beside the server.
struct Service {
    signals: Signals,
    statistics: StatisticsSignal,
    notify: Notify,
    stdout: StdioWriter,
    /// Whether `listening on` is written.
    announced: bool,
    drain: Duration,
    log: Log,
}

impl Service {
    /// Tell where clients can connect.
    async fn announce(&mut self, server: &HttpServer) -> Result<(), Failure> {
        for address in server.addresses() {
            self.stdout.line(&format!("listening on {address}"));
        }
        // A program that waits for these lines must not wait for ever. A pipe without a reader holds up nothing.
        if let Ok(told) = timeout(ANNOUNCING, self.stdout.written()).await {
            told.map_err(|source| Failure::output(STDOUT, source))?;
            self.announced = true;
        }
        let addresses: Vec<_> = server
            .addresses()
            .iter()
            .map(SocketAddr::to_string)
            .collect();
        self.notify
            .ready(&format!("listening on {}", addresses.join(", ")));
        Ok(())
    }

    /// Serve until the server has ended.
    async fn attend(&mut self, mut server: HttpServer) -> Result<HttpStats, Failure> {
        let handle = server.handle();
        let mut is_stopping = false;
        loop {
            tokio::select! {
                biased;
                signal = self.signals.next() => {
                    if is_stopping {
                        return Err(Failure::Signal(signal));
                    }
                    is_stopping = true;
                    self.notify.stopping();
                    self.log.stopping(self.drain);
                    handle.stop(self.drain);
                }
                told = self.stdout.written(), if !self.announced => {
                    told.map_err(|source| Failure::output(STDOUT, source))?;
                    self.announced = true;
                }
                () = self.statistics.next() => self.log.statistics(&handle.stats()),
                ended = server.ended() => return Ok(ended?),
            }
        }
    }
}
