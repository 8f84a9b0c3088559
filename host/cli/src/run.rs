//! `sockbox run`.

use crate::apart::{self, NamedFile};
use crate::args::{Common, Run};
use crate::denials::Denials;
use crate::descriptors::{self, Closed, Descriptor};
use crate::exit::Failure;
use crate::prompt::Prompt;
use crate::record::{Ended, Record};
use crate::runtime::block_on;
use crate::watch::Watch;
use crate::watchdog::{self, Deadline, Ends, Signals};
use crate::{cache, output, room, sandbox, source, stderr, words};
use sockbox::policy::{LeastGrants, PrivateLoopback, SecretSource};
use sockbox::profile::SecretHeaderSource;
use sockbox::{
    Command, Error, Policy, Profile, Program, Sandbox, SecretHeader, StdioWriter, TlsConfig,
};
use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Gives the component's own exit code.
pub fn run(args: Run) -> Result<i32, Failure> {
    let started = Instant::now();
    let signals = watchdog::start(Ends::AtTheFirst).map_err(Failure::system)?;
    let mut reading = reading_deadline(args.common.typed_wall_time(), started);
    let mut profile = args.profile()?;
    let wall_time = profile.limits().ok().and_then(|limits| limits.wall_time);
    drop(std::mem::replace(
        &mut reading,
        reading_deadline(wall_time, started),
    ));
    apart::from_component(args.common.audit.as_ref(), &profile.dirs)?;
    apart::from_files(args.common.audit.as_ref(), &files(&args, &profile))?;
    let secrets = secret_headers(&mut profile)?;
    if !args.dry_run && !args.prompt {
        warn_of_useless(&secrets, &profile.policy);
    }
    if args.dry_run {
        profile.policy = of_dry_run(&profile.policy);
    }
    let denials = Denials::default();
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
    let program = load(source, bytes, native, args.no_cache, &profile, &watch);
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
    }
    let stdout = stdout().map_err(Failure::system)?;
    let stderr = stderr::writer()
        .cloned()
        .map_or_else(|| StdioWriter::new(Closed), Ok)
        .map_err(Failure::system)?;
    let mut command = program
        .command()
        .args(given)
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .started(started)
        .profile(&profile)?
        .tls(tls);
    command = secrets.into_iter().fold(command, Command::secret_header);
    command = match Descriptor::Input.check() {
        Ok(()) => command.inherit_stdin(),
        Err(_) => command.closed_stdin(),
    };
    let outputs = [stdout, stderr];
    if args.prompt {
        command = command.decider(Prompt::open(outputs.clone())?);
    }
    let done = block_on(async {
        let _deadline =
            wall_time.map(|limit| watchdog::deadline(limit, Error::WallTime { limit }.into()));
        until_signal(command.audit(watch), signals, outputs).await
    });
    if !matches!(done, Ok(0) | Err(Failure::ClosedPipe)) {
        denials.tell();
    }
    if let Some(record) = record {
        record.finish(Ended::with(&done));
    }
    if let Some(needed) = needed {
        tell(&needed.lock().unwrap_or_else(PoisonError::into_inner));
    }
    done
}

/// Bound the time of reading what the options name: a FIFO may have no writer.
fn reading_deadline(wall_time: Option<Duration>, started: Instant) -> Option<Deadline> {
    let limit = wall_time?;
    let left = limit.saturating_sub(started.elapsed());
    Some(watchdog::deadline(left, Error::WallTime { limit }.into()))
}

/// The files that this command reads.
fn files(args: &Run, profile: &Profile) -> Vec<NamedFile> {
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

/// Make a program of the component, which came from `name`.
#[allow(unsafe_code, reason = "native code is loaded")]
fn load(
    name: PathBuf,
    bytes: Vec<u8>,
    native: bool,
    no_cache: bool,
    profile: &Profile,
    watch: &Watch,
) -> Result<Program, Failure> {
    let limits = profile.limits().map_err(|error| Error::InvalidOptions {
        reason: error.to_string(),
    })?;
    let sandbox = sandbox::builder(cache::place().filter(|_| !no_cache))
        .limits(limits)
        .audit(watch.clone())
        .build()?;
    Ok(if native {
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
