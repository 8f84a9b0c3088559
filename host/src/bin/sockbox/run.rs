//! `sockbox run`.

use crate::args::Run;
use crate::denials::Denials;
use crate::exit::Failure;
use crate::prompt::Prompt;
use crate::record::Record;
use crate::runtime::block_on;
use crate::signals::Signals;
use crate::watch::Watch;
use crate::{cache, printable, source, stderr};
use sockbox::policy::{LocalNetworks, Needed};
use sockbox::{Command, Error, Policy, Program, Sandbox};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Gives the component's own exit code.
pub fn run(args: Run) -> Result<i32, Failure> {
    let mut profile = args.profile()?;
    if args.dry_run {
        let denials = profile.policy.denials().iter().cloned();
        profile.policy = denials.fold(Policy::everything(), Policy::deny);
    }
    let denials = Denials::default();
    let tls = args.tls()?.observe_failures({
        let denials = denials.clone();
        // What the component is told has nothing of this machine in it.
        move |error| denials.note(printable::name(&format!("TLS: {error}")).into_owned())
    });
    let mut words = args.command.into_iter();
    // There is one: the command line can't be parsed without.
    let file = words.next().unwrap_or_default();
    let file = Path::new(&file);
    let name = file.file_name().unwrap_or(file.as_os_str());
    let mut given = vec![name.to_string_lossy().into_owned()];
    for word in words {
        given.push(word.into_string().map_err(|word| Error::InvalidOptions {
            reason: format!("the argument {word:?} is not Unicode, as a component's have to be"),
        })?);
    }
    let program = load(file, args.allow_precompiled, args.no_cache)?;
    if args.verbose {
        stderr::line(format_args!("* {}", program.cache_use()));
    }
    let mut command = program
        .command()
        .args(given)
        .inherit_stdio()
        .profile(&profile)?
        .tls(tls);
    if args.prompt {
        command = command.decider(Prompt::open()?);
    }
    let record = Record::open(args.common.audit.as_ref())?;
    let needed = args.dry_run.then(|| {
        let mut needed = Needed::new();
        needed.set_local_networks(LocalNetworks::current());
        Arc::new(Mutex::new(needed))
    });
    let watch = Watch {
        verbose: args.verbose,
        record: record.as_ref().map(Record::sink),
        denials: (!args.verbose).then(|| denials.clone()),
        needed: needed.clone(),
    };
    let done = block_on(until_signal(command.audit(watch)));
    if !matches!(done, Ok(0)) {
        denials.tell();
    }
    if let Some(record) = record {
        record.finish();
    }
    if let Some(needed) = needed {
        tell(&needed.lock().unwrap_or_else(PoisonError::into_inner));
    }
    done
}

/// Make a program of the component in `file`.
#[allow(unsafe_code, reason = "native code is loaded")]
fn load(file: &Path, allow_precompiled: bool, no_cache: bool) -> Result<Program, Failure> {
    let mut sandbox = Sandbox::builder();
    if let Some(folder) = cache::folder().filter(|_| !no_cache) {
        sandbox = sandbox.cache_dir(folder);
    }
    let sandbox = sandbox.build()?;
    let (name, bytes) = source::read(file)?;
    Ok(if allow_precompiled && Sandbox::is_precompiled(&bytes) {
        // SAFETY: whoever gave the option answers for the file.
        unsafe { sandbox.program_precompiled(name, bytes)? }
    } else {
        sandbox.program_named(name, bytes)?
    })
}

/// Run it to its end, or to a signal: what was recorded so far is told then, too.
async fn until_signal(command: Command) -> Result<i32, Failure> {
    let mut signals = Signals::new().map_err(Failure::system)?;
    tokio::select! {
        biased;
        signal = signals.next() => Err(Failure::Signal(signal)),
        code = command.run() => Ok(code?),
    }
}

/// Tell what a dry run took.
fn tell(needed: &Needed) {
    if needed.is_empty() {
        stderr::line(format_args!("sockbox: it needed nothing of the network"));
        return;
    }
    stderr::line(format_args!("sockbox: it needed these options:"));
    for flag in needed.flags() {
        stderr::line(format_args!("  {flag}"));
    }
    stderr::line(format_args!("sockbox: or, as a policy file:"));
    for line in needed.to_toml().lines() {
        stderr::line(format_args!("  {line}"));
    }
}
