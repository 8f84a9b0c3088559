//! `sockbox run`.

use crate::args::Run;
use crate::denials::Denials;
use crate::exit::Failure;
use crate::runtime::block_on;
use crate::{cache, source, stderr};
use sockbox::{AuditEvent, Error, Policy, Program, Sandbox};
use std::path::Path;

/// Gives the component's own exit code.
pub fn run(args: Run) -> Result<i32, Failure> {
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
    let mut command = program.command().args(given).inherit_stdio();
    if args.allow_net {
        command = command.policy(Policy::everything());
    }
    let denials = Denials::default();
    let (verbose, seen) = (args.verbose, denials.clone());
    command = command.audit(move |event: &AuditEvent| {
        if verbose {
            stderr::line(format_args!("* {event}"));
        } else {
            seen.record(event);
        }
    });
    let done = block_on(async { Ok(command.run().await?) });
    if !matches!(done, Ok(0)) {
        denials.tell();
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
