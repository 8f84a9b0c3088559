//! `sockbox serve`.

pub mod activation;
pub mod files;
pub mod json;
mod log;
pub mod notify;
mod restarts;
mod totals;

use crate::args::Serve;
use crate::descriptors::Descriptor;
use crate::exit::{Failure, wants_backtrace};
use crate::record::{Ended, Record};
use crate::runtime::block_on;
use crate::signals::StatisticsSignal;
use crate::watch::{Reached, Watch};
use crate::watchdog::{self, Ends, Signals};
use crate::{apart, cache, output, room, sandbox, stderr};
use log::Log;
pub use log::component_stderr;
use notify::Notify;
use restarts::Restarts;
use sockbox::limits::Limit;
use sockbox::profile::ProxySettings;
use sockbox::{
    CloseReason, Error, Event, NetworkError, Profile, Sandbox, ServeOptions, Server, ServerStats,
    StdioWriter,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use totals::{Counts, Totals};

/// Where it listens unless told otherwise: at the tutorial's port, on loopback alone.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9999);

pub fn run(args: Serve) -> Result<(), Failure> {
    // First of all: these are files that nothing else in the process may have touched.
    let listeners = activation::listeners().map_err(|reason| Error::InvalidOptions { reason })?;
    files::raise_limit();
    apart::from_serve(args.common.audit.as_ref())?;
    apart::from_files(args.common.audit.as_ref(), &args.common.files())?;
    let record = Record::open(args.common.audit.as_ref(), args.common.audit_max)?;
    let watch = Watch {
        verbose: args.verbose,
        record: record.as_ref().map(Record::sink),
        ..Watch::default()
    };
    let served = block_on(serve(args, &watch, listeners));
    if let Some(record) = record {
        record.finish(match &served {
            // Only a signal ends it in order.
            Ok(()) => Ended::BySignal,
            failed => Ended::with(failed),
        });
    }
    served
}

async fn serve(
    args: Serve,
    watch: &Watch,
    listeners: Vec<Arc<TcpListener>>,
) -> Result<(), Failure> {
    let log = Log {
        format: args.log,
        quiet: args.quiet,
    };
    if let Some(writer) = stderr::writer() {
        writer.lost_line(move |lines| log.lost(lines));
    }
    let mut service = Service {
        signals: watchdog::start(Ends::AtTheSecond).map_err(Failure::system)?,
        statistics: StatisticsSignal::new().map_err(Failure::system)?,
        notify: Notify::from_environment().unwrap_or_else(|error| {
            log.warning(&format!("NOTIFY_SOCKET can't be used: {error}"));
            Notify::none()
        }),
        stdout: stdout().map_err(|source| Failure::output(STDOUT, source))?,
        announced: false,
        totals: Totals::new(),
        drain: args.drain_timeout,
        stopping: false,
        log,
        reached: None,
    };
    // Once: a restart keeps to the policy that the server was started with.
    let reading = args
        .common
        .typed_wall_time()
        .map(|limit| watchdog::deadline(limit, Error::WallTime { limit }.into()));
    let profile = args.common.profile()?;
    drop(reading);
    if profile.proxy != ProxySettings::default() {
        return Err(Failure::Usage {
            problem: "`proxy`, `proxy-env`, `noproxy` and `allow-proxy-resolve` have no effect on `sockbox serve`, which sends \
                      no requests (put them into a profile that only other commands use)"
                .to_owned(),
        });
    }
    if !profile.tls.is_empty() {
        return Err(Failure::Usage {
            problem: "`cacert`, `capath` and `client-cert` have no effect on `sockbox serve`, which speaks no TLS (put \
                      them into a profile that only other commands use)"
                .to_owned(),
        });
    }
    // Such a limit has traffic counted in any case. Without one it costs something, and is not done.
    let is_counted = |(limit, _): &(Limit, String)| TRAFFIC_LIMITS.contains(limit);
    service.reached = profile.limits.iter().any(is_counted).then(Reached::default);
    let watch = &Watch {
        reached: service.reached.clone(),
        ..watch.clone()
    };
    let sandbox = sandbox::builder(cache::place())
        .wasi(args.wasi.into())
        .build()?;
    let mut listen = args.listen.clone();
    if listen.is_empty() && listeners.is_empty() {
        listen.push(DEFAULT_LISTEN);
    }
    let sockets = (listen.len() + listeners.len()).saturating_add(1);
    room::for_sockets(&profile, sockets, "serving")?;
    let mut server = start(&sandbox, &args, &profile, watch, &listen, &listeners).await?;
    // What a restart listens on: where the system chose a port, it is to be the same one.
    listen = server.addresses()[..listen.len()].to_vec();
    // From here on a signal stops the server rather than the process: a reader of `listening on` can't be too
    // early with one.
    service.signals.hear();
    for address in server.addresses() {
        service.stdout.line(&format!("listening on {address}"));
    }
    // A program that waits for these lines must not wait for ever. A pipe without a reader holds up nothing.
    if let Ok(told) = timeout(ANNOUNCING, service.stdout.written()).await {
        told.map_err(|source| Failure::output(STDOUT, source))?;
        service.announced = true;
    }
    service.announce(&args, &server);

    let mut restarts = Restarts::new(args.restart);
    let counts = loop {
        let error = match service.attend(server).await {
            Ok(summary) => break service.totals.with(&summary),
            Err(Failure::Sandbox(error)) if !service.stopping => error,
            Err(failure) => return Err(failure),
        };
        let Some(pause) = restarts.pause_after(&error, Instant::now()) else {
            return Err(error.into());
        };
        let why = Failure::from(error).message(args.verbose || wants_backtrace());
        let restart = service.totals.restart();
        log.restarting(&why.unwrap_or_default(), restart, pause);
        if service.is_told_to_stop_within(pause).await {
            break service.totals.told();
        }
        server = start(&sandbox, &args, &profile, watch, &listen, &listeners).await?;
    };
    log.stopped(&counts);
    let summary = describe(&counts);
    // It has stopped as it should, even if the reader of `listening on` is gone.
    service.stdout.line(&summary);
    if !matches!(
        timeout(ANNOUNCING, service.stdout.written()).await,
        Ok(Ok(()))
    ) {
        stderr::line(format_args!("{summary}"));
    }
    Ok(())
}

/// Standard output. One that was closed from the start is not waited for.
fn stdout() -> std::io::Result<StdioWriter> {
    match Descriptor::Output.check() {
        Ok(()) => StdioWriter::file(output::stdout()?),
        Err(_) => StdioWriter::new(std::io::sink()),
    }
}

/// The limits that break connections.
const TRAFFIC_LIMITS: [Limit; 2] = [Limit::SentBytes, Limit::ReceivedBytes];

/// What people call it.
const STDOUT: &str = "standard output";

/// How long a reader of standard output may take before it counts as one that reads later: 1 second.
const ANNOUNCING: Duration = Duration::from_secs(1);

/// Everything that goes on beside the component, and longer than one life of it.
struct Service {
    signals: Signals,
    statistics: StatisticsSignal,
    notify: Notify,
    stdout: StdioWriter,
    /// Whether `listening on` is written.
    announced: bool,
    totals: Totals,
    drain: Duration,
    stopping: bool,
    log: Log,
    reached: Option<Reached>,
}

impl Service {
    /// Tell systemd that clients can connect, and the operator of what is bounded.
    fn announce(&self, args: &Serve, server: &Server) {
        let addresses: Vec<_> = server
            .addresses()
            .iter()
            .map(SocketAddr::to_string)
            .collect();
        self.notify
            .ready(&format!("listening on {}", addresses.join(", ")));
        if let Some(asked) = args.max_connections
            && asked > server.max_connections()
        {
            self.log.warning(&format!(
                "--max-connections {asked} is more than this process can have: {} it is \
                 (`ulimit -Hn` and --max-memory bound it)",
                server.max_connections()
            ));
        }
    }

    /// Serve until the component has ended, in whatever way.
    async fn attend(&mut self, mut server: Server) -> Result<ServerStats, Failure> {
        loop {
            tokio::select! {
                biased;
                signal = self.signals.next() => {
                    if self.stopping {
                        return Err(Failure::Signal(signal));
                    }
                    self.stop();
                    server.handle().stop(self.drain);
                }
                told = self.stdout.written(), if !self.announced => {
                    told.map_err(|source| Failure::output(STDOUT, source))?;
                    self.announced = true;
                }
                () = self.statistics.next() => self.tell_statistics(&mut server).await?,
                event = server.next() => match event? {
                    Some(event) => self.event(&event),
                    None => return Ok(server.finish().await?),
                },
            }
        }
    }

    fn event(&mut self, event: &Event) {
        self.totals.event(event);
        self.log.event(event, self.why_closed(event).as_deref());
    }

    /// The limit that a connection was closed for, where the component could only be told that the connection
    /// failed.
    fn why_closed(&self, event: &Event) -> Option<String> {
        let is_unknown = matches!(
            event,
            Event::Closed(closed) if closed.reason == CloseReason::Failed(NetworkError::Other)
        );
        let reached = self.reached.as_ref().filter(|_| is_unknown)?;
        let limit = reached.first_of(&TRAFFIC_LIMITS)?;
        Some(format!("the limit --{} is reached", limit.key()))
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.notify.stopping();
        self.log.stopping(self.drain);
    }

    /// Ask the component for its counts, and tell them.
    async fn tell_statistics(&mut self, server: &mut Server) -> Result<(), Failure> {
        let handle = server.handle();
        let mut summary = std::pin::pin!(handle.stats());
        loop {
            tokio::select! {
                biased;
                summary = &mut summary => {
                    if let Some(summary) = summary {
                        self.log.statistics(&self.totals.with(&summary), &summary);
                    }
                    return Ok(());
                }
                // It answers when its events have been taken.
                event = server.next() => match event? {
                    Some(event) => self.event(&event),
                    None => return Ok(()),
                },
            }
        }
    }

    async fn is_told_to_stop_within(&mut self, pause: Duration) -> bool {
        match tokio::time::timeout(pause, self.signals.next()).await {
            Ok(_) => {
                self.stop();
                true
            }
            Err(_) => false,
        }
    }
}

async fn start(
    sandbox: &Sandbox,
    args: &Serve,
    profile: &Profile,
    watch: &Watch,
    listen: &[SocketAddr],
    listeners: &[Arc<TcpListener>],
) -> Result<Server, Failure> {
    let max_message = u32::try_from(args.max_message).map_err(|_| Error::InvalidOptions {
        reason: format!("--max-message {} is more than 4G", args.max_message),
    })?;
    let mut profile = profile.clone();
    let mut policy = args.accept.add_to(profile.policy);
    let mut options = ServeOptions::new()
        .framing(args.framing.into())
        .greeting(&args.greeting)
        .max_message_size(max_message)
        .write_timeout(bound(args.write_timeout))
        .idle_timeout(bound(args.idle_timeout))
        .refuse_when_full(args.refuse_when_full);
    if let Some(text) = &args.welcome {
        options = options.welcome(text);
    }
    if let Some(count) = args.max_connections {
        options = options.max_connections(count);
    }
    if let Some(count) = args.max_per_peer {
        options = options.max_per_peer(count);
    }
    for address in listen {
        policy = policy.allow_listen(*address);
        options = options.listen(*address);
    }
    for listener in listeners {
        policy = policy.allow_listen(listener.local_addr().map_err(Failure::system)?);
        options = options.listener(listener.clone());
    }
    profile.policy = policy;
    let mut builder = watch.over(sandbox.instance().profile(&profile)?);
    if let Some(writer) = stderr::writer().filter(|_| args.verbose) {
        builder = builder.stderr(component_stderr(args.log, writer));
    }
    Ok(builder.build().await?.serve(options).await?)
}

/// A bound on time, of which 0 is none.
fn bound(time: Duration) -> Option<Duration> {
    Some(time).filter(|time| !time.is_zero())
}

fn describe(counts: &Counts) -> String {
    match counts.restarts {
        0 => format!("served {counts}"),
        restarts => format!("served {counts}, {restarts} restarts"),
    }
}
