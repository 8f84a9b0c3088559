//! `sockbox run`.

use crate::apart::{self, NamedFile};
use crate::args::{Common, Http, Run};
use crate::denials::Denials;
use crate::descriptors::{self, Closed, Descriptor};
use crate::exit::Failure;
use crate::handle::{self, Log};
use crate::prompt::Prompt;
use crate::record::{Ended, Record};
use crate::runtime::{block_on, block_on_all};
use crate::serve::{activation, component_stderr, files};
use crate::watch::Watch;
use crate::watchdog::{self, Deadline, Ends, Signals};
use crate::{cache, output, room, sandbox, source, stderr, words};
use sockbox::policy::{LeastGrants, PrivateLoopback, SecretSource};
use sockbox::profile::SecretHeaderSource;
use sockbox::{
    Command, Error, Grant, Input, Policy, Profile, Program, Sandbox, SecretHeader, StdioWriter,
    TlsConfig, Wasi,
};
use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Gives the component's own exit code.
pub fn run(args: Run) -> Result<i32, Failure> {
    let started = Instant::now();
    let serves = args.http.is_asked_for();
    // First of all: these are files that nothing else in the process may have touched.
    let listeners = passed_listeners(&args)?;
    if serves {
        files::raise_limit();
    }
    let ends = if serves {
        Ends::AtTheSecond
    } else {
        Ends::AtTheFirst
    };
    let signals = watchdog::start(ends).map_err(Failure::system)?;
    // A server has no such time: it is that of each request.
    let typed_time = args.common.typed_wall_time().filter(|_| !serves);
    let mut reading = reading_deadline(typed_time, started);
    let mut profile = args.profile()?;
    let limits = profile.limits().ok();
    let wall_time = limits
        .and_then(|limits| limits.wall_time)
        .filter(|_| !serves);
    drop(std::mem::replace(
        &mut reading,
        reading_deadline(wall_time, started),
    ));
    apart::from_component(args.common.audit.as_ref(), &profile.dirs)?;
    apart::from_files(args.common.audit.as_ref(), &named_files(&args, &profile))?;
    let secrets = secret_headers(&mut profile)?;
    if !args.dry_run && !args.prompt {
        warn_of_useless(&secrets, &profile.policy);
    }
    if args.dry_run {
        profile.policy = of_dry_run(&profile.policy);
    }
    let log = serves.then(|| handle::log(&args.http));
    let denials = match log {
        Some(log) => Denials::at_once(move |line| log.refused(line)),
        None => Denials::default(),
    };
    // Taken out of the profile: a file may be a pipe, which can be read once.
    let tls_files = std::mem::take(&mut profile.tls);
    for dir in &profile.dirs {
        for key in tls_files.keys() {
            sockbox::must_not_show(dir, key, "the private key of a client certificate")?;
        }
    }
    let tls = TlsConfig::new().files(&tls_files)?.observe_failures({
        let denials = denials.clone();
        // What the component is told has nothing of this machine in it.
        move |error| denials.note(sockbox_printable::line(&format!("TLS: {error}")).into_owned())
    });
    let mut typed = args.command.into_iter();
    // There is one: the command line can't be parsed without.
    let file = typed.next().unwrap_or_default();
    let file = Path::new(&file);
    let name = file.file_name().unwrap_or(file.as_os_str());
    let mut given = vec![name.to_string_lossy().into_owned()];
    for word in typed {
        given.push(word.into_string().map_err(|word| Error::InvalidOptions {
            reason: format!(
                "the argument {word:?} is not Unicode, which a component's variables must be"
            ),
        })?);
    }
    if !profile.policy.rules().is_empty() && !room::is_set(&profile) {
        room::for_sockets(&profile, 1, "using the network")?;
    }
    let mut precious = precious(&args.common);
    let (source, bytes) = source::read(file)?;
    let native = args.allow_precompiled && Sandbox::is_precompiled(&bytes);
    if native && file != Path::new("-") {
        precious.push((file.to_owned(), "the native code that is run"));
    }
    for dir in &profile.dirs {
        for (place, what) in &precious {
            sockbox::must_not_expose(dir, place, what)?;
        }
    }
    let record = Record::open(args.common.audit.as_ref(), args.common.audit_max)?;
    let needed = args.dry_run.then(|| {
        let mut needed = LeastGrants::new();
        needed.set_local_networks(sockbox::local_networks());
        Arc::new(Mutex::new(needed))
    });
    let watch = Watch {
        verbose: args.verbose,
        record: record.as_ref().map(Record::sink),
        denials: (!args.verbose).then(|| denials.clone()),
        needed: needed.clone(),
        reached: None,
    };
    // The process that compiles has a limit of its own, and the run is checked when it starts.
    drop(reading);
    let loading = Loading {
        native,
        no_cache: args.no_cache,
        serves,
    };
    let program = load(source, bytes, loading, &profile, &watch);
    let program = match program {
        Ok(program) => program,
        Err(failure) => {
            if let Some(record) = record {
                record.finish(Ended::ByItself);
            }
            return Err(failure);
        }
    };
    if args.verbose {
        stderr::line(format_args!("* {}", program.cache_use()));
        if program.wasi() == Wasi::V0_3 {
            stderr::line(format_args!("* runs on WASI 0.3, which is experimental"));
        }
    }
    let done = match log {
        Some(log) => serve(
            &program,
            given,
            &profile,
            (tls, secrets),
            &watch,
            (&args.http, listeners, signals, log),
        ),
        None => {
            let mut command = program
                .command()
                .args(given)
                .started(started)
                .profile(&profile)?
                .tls(tls)
                .audit(watch);
            command = secrets.into_iter().fold(command, Command::secret_header);
            run_command(command, wall_time, args.prompt, signals)
        }
    };
    if !matches!(done, Ok(0) | Err(Failure::ClosedPipe)) {
        denials.tell();
    }
    if let Some(record) = record {
        record.finish(match &done {
            // Only a signal ends a server in order.
            Ok(_) if serves => Ended::BySignal,
            done => Ended::with(done),
        });
    }
    if let Some(needed) = needed {
        tell(&needed.lock().unwrap_or_else(PoisonError::into_inner));
    }
    done
}

/// The sockets that systemd passes, if they are to be served.
fn passed_listeners(args: &Run) -> Result<Vec<Arc<TcpListener>>, Failure> {
    if !args.http.uses_systemd() {
        return Ok(Vec::new());
    }
    let listeners = activation::listeners().map_err(|reason| Error::InvalidOptions { reason })?;
    match listeners.is_empty() {
        true => Err(Failure::Usage {
            problem: "--listen-http systemd: systemd has passed no sockets (LISTEN_FDS)".to_owned(),
        }),
        false => Ok(listeners),
    }
}

/// Run a command with this process's standard streams.
fn run_command(
    command: Command,
    wall_time: Option<Duration>,
    prompts: bool,
    signals: Signals,
) -> Result<i32, Failure> {
    let stdout = stdout().map_err(Failure::system)?;
    let stderr = stderr().map_err(Failure::system)?;
    let mut command = command.stdout(stdout.clone()).stderr(stderr.clone());
    command = match Descriptor::Input.check() {
        Ok(()) => command.stdin(Input::inherited()),
        Err(_) => command.stdin(Input::closed()),
    };
    let outputs = [stdout, stderr];
    if prompts {
        command = command.decider(Prompt::open(outputs.clone())?);
    }
    block_on(async {
        let _deadline =
            wall_time.map(|limit| watchdog::deadline(limit, Error::WallTime { limit }.into()));
        until_signal(command, signals, outputs).await
    })
}

/// This process's standard error, for the component.
fn stderr() -> io::Result<StdioWriter> {
    let writer = stderr::writer().cloned();
    writer.map_or_else(|| StdioWriter::new(Closed), Ok)
}

/// Serve HTTP with the component. What it writes to its standard output and standard error is written to this process's,
/// line by line.
fn serve(
    program: &Program,
    args: Vec<String>,
    profile: &Profile,
    (tls, secrets): (TlsConfig, Vec<SecretHeader>),
    watch: &Watch,
    (http, listeners, signals, log): (&Http, Vec<Arc<TcpListener>>, Signals, Log),
) -> Result<i32, Failure> {
    let stdout = handle::stdout()?;
    let handler = program
        .handler()?
        .args(args)
        .profile(profile)?
        .grant(|grant| {
            let grant = grant.tls(tls).audit(watch.clone());
            secrets.into_iter().fold(grant, Grant::secret_header)
        })
        .reuse(http.max_instance_reuse)
        .stdout(stdout.never_waiting())
        .stderr(component_stderr(
            log.format,
            &stderr().map_err(Failure::system)?,
        ))
        .build()?;
    block_on_all(handle::serve(
        handler, http, listeners, signals, stdout, log,
    ))
    .map(|()| 0)
}

/// Bound the time of reading what the options name: a FIFO may have no writer.
fn reading_deadline(wall_time: Option<Duration>, started: Instant) -> Option<Deadline> {
    let limit = wall_time?;
    let left = limit.saturating_sub(started.elapsed());
    Some(watchdog::deadline(left, Error::WallTime { limit }.into()))
}

/// The files that this command reads.
fn named_files(args: &Run, profile: &Profile) -> Vec<NamedFile> {
    let mut files = args.common.files();
    if let Some(component) = args.command.first().filter(|it| *it != "-") {
        files.push(NamedFile::new("the component", component));
    }
    for file in &profile.tls.cacert {
        files.push(NamedFile::new("--cacert", file));
    }
    for own in &profile.tls.client_certs {
        files.push(NamedFile::new("--cert", &own.certificate));
        files.extend(own.key.iter().map(|key| NamedFile::new("--key", key)));
    }
    for source in profile.secret_headers.iter().flat_map(|it| it.sources()) {
        if let SecretSource::File(file) = source {
            files.push(NamedFile::new("the file of a secret header", file));
        }
    }
    files
}

/// Take the secret headers out of the profile, and read their values: before the component is compiled, so that a missing
/// one is told at once.
fn secret_headers(profile: &mut Profile) -> Result<Vec<SecretHeader>, Failure> {
    let sources = std::mem::take(&mut profile.secret_headers);
    let read = |source: SecretHeaderSource| {
        source.read().map_err(|error| {
            let cause = error.source().map(|cause| format!(": {cause}"));
            Failure::Usage {
                problem: format!("{error}{}", cause.unwrap_or_default()),
            }
        })
    };
    sources.into_iter().map(read).collect()
}

/// Tell of secret headers that are never sent, because no rule grants a request to their origin.
fn warn_of_useless(headers: &[SecretHeader], policy: &Policy) {
    for header in headers {
        let prefix = header.prefix();
        if policy.may_grant_origin(prefix) {
            continue;
        }
        let below = prefix.to_string();
        let rule = format!("allow-http * {}/*", below.trim_end_matches('/'));
        stderr::line(format_args!(
            "sockbox: the secret header `{}` is never sent: no rule grants a request to its origin ({} would)",
            header.name(),
            words::option(&rule)
        ));
    }
}

/// What a dry run is granted: everything that isn't denied. What the component has on a loopback port that the
/// system chooses stays private, as it will in a run with what the dry run prints.
fn of_dry_run(policy: &Policy) -> Policy {
    let loopback = match policy.which_private_loopback() {
        PrivateLoopback::Off => PrivateLoopback::Off,
        _ => PrivateLoopback::PortZero,
    };
    let denials = policy.denials().iter().cloned();
    denials
        .fold(Policy::everything(), Policy::deny)
        .private_loopback(loopback)
}

/// What a component must not be able to change, since sockbox believes it: what it runs without a sandbox, in this
/// run or in a later one, what it grants, and what it records.
fn precious(common: &Common) -> Vec<(PathBuf, &'static str)> {
    let mut precious = Vec::new();
    for place in cache::all_places() {
        precious.push((place.folder, "sockbox's cache of compiled code"));
        precious.push((place.secret, "the secret of sockbox's cache"));
    }
    if let Ok(program) = std::env::current_exe() {
        precious.push((program, "the program sockbox"));
    }
    if let Some(policy) = &common.policy {
        precious.push((policy.clone(), "the policy file"));
    }
    if let Some(audit) = common.audit.clone().filter(|it| it != Path::new("-")) {
        precious.push((audit, "the audit record"));
    }
    precious
}

/// How a component is loaded.
#[derive(Clone, Copy)]
struct Loading {
    /// Whether it is native code.
    native: bool,
    no_cache: bool,
    /// Whether it is to serve HTTP, so that the run's wall time is that of each request.
    serves: bool,
}

/// Make a program of the component, which came from `name`.
#[allow(unsafe_code, reason = "native code is loaded")]
fn load(
    name: PathBuf,
    bytes: Vec<u8>,
    loading: Loading,
    profile: &Profile,
    watch: &Watch,
) -> Result<Program, Failure> {
    let mut limits = profile.limits().map_err(|error| Error::InvalidOptions {
        reason: error.to_string(),
    })?;
    if loading.serves {
        limits.wall_time = None;
    }
    let sandbox = sandbox::builder(cache::place().filter(|_| !loading.no_cache))
        .limits(limits)
        .audit(watch.clone())
        .build()?;
    Ok(if loading.native {
        // SAFETY: the user who gave the option answers for the file.
        unsafe { sandbox.program_precompiled(name, bytes)? }
    } else {
        sandbox.program_named(name, bytes)?
    })
}

/// This process's standard output, for the component.
fn stdout() -> io::Result<StdioWriter> {
    match Descriptor::Output.check() {
        Ok(()) => StdioWriter::file_at_once(output::stdout()?),
        Err(_) => StdioWriter::new(Closed),
    }
}

/// Run it to its end, or to a signal: what was recorded so far is told then, too.
async fn until_signal(
    command: Command,
    mut signals: Signals,
    [stdout, stderr]: [StdioWriter; 2],
) -> Result<i32, Failure> {
    let done = tokio::select! {
        biased;
        signal = signals.next() => return Err(Failure::Signal(signal)),
        () = closed_pipe(&stdout) => return Err(Failure::ClosedPipe),
        () = closed_pipe(&stderr) => return Err(Failure::ClosedPipe),
        code = command.run() => code,
    };
    // The component may have been told of it first.
    let failures = [stdout.failure(), stderr.failure()];
    match failures.iter().flatten().any(is_deadly) {
        true => Err(Failure::ClosedPipe),
        false => Ok(done?),
    }
}

/// Wait until the reader of what was written is gone.
async fn closed_pipe(writer: &StdioWriter) {
    if !is_deadly(&writer.failed().await) {
        std::future::pending().await
    }
}

/// Whether any other program would be ended by SIGPIPE in place of this error.
fn is_deadly(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe && !descriptors::outlives_closed_pipes()
}

/// Tell what a dry run took.
fn tell(needed: &LeastGrants) {
    if needed.is_empty() && needed.omitted() == 0 {
        stderr::line(format_args!("sockbox: it needed nothing of the network"));
        return;
    }
    stderr::line(format_args!("sockbox: it needed these options:"));
    for rule in needed.rules() {
        stderr::line(format_args!("  {}", words::option(&rule)));
    }
    stderr::line(format_args!("sockbox: or, as a policy file:"));
    for line in needed.to_toml().lines() {
        stderr::line(format_args!("  {line}"));
    }
    if needed.omitted() > 0 {
        let omitted = needed.omitted();
        stderr::line(format_args!(
            "sockbox: that isn't all: {omitted} times it did what is too much to be told one by one \
             (grant ranges, such as 10.0.0.0/8)"
        ));
    }
}
