//! Whether the process may have the files and sockets that a subcommand can't do without.

use crate::exit::Failure;
use sockbox::limits::{Limit, RESERVED_FILES};
use sockbox::{Error, Profile};
use std::io;

/// The files that are open before a subcommand begins to work: those by which two runtimes wait for events, and
/// those through which signals arrive, 12 together.
const AT_START: usize = 12;

/// Make sure that there is room for what every subcommand opens. What receives signals panics where there is
/// none.
///
/// # Errors
/// The process may have fewer files open.
pub fn to_start() -> io::Result<()> {
    let few = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!(
                "this process can't have the {AT_START} more files open that every subcommand takes: {error} \
                 (`ulimit -n {}` or more is enough)",
                RESERVED_FILES
            ),
        )
    };
    let (reader, _writer) = io::pipe().map_err(few)?;
    let others = (2..AT_START).map(|_| reader.try_clone().map_err(few));
    others.collect::<io::Result<Vec<_>>>().map(drop)
}

/// Make sure that there is room for at least so many sockets for `purpose`, which is told.
///
/// # Errors
/// There is less: by an option, or by the number of files that the process may have open.
pub fn for_sockets(profile: &Profile, needed: usize, purpose: &str) -> Result<(), Failure> {
    let limits = profile.limits().map_err(|error| Error::InvalidOptions {
        reason: error.to_string(),
    })?;
    let room = limits.sockets;
    if room >= needed {
        return Ok(());
    }
    if is_set(profile) {
        return Err(Failure::Usage {
            problem: format!(
                "--max-sockets {room} is too little for {purpose}, which takes at least {needed}"
            ),
        });
    }
    Err(Failure::system(io::Error::other(format!(
        "of the files that this process may have open {room} are left for sockets, and {purpose} takes at \
         least {needed}: sockbox keeps {RESERVED_FILES} for itself (`ulimit -n {}` or more is enough)",
        needed.saturating_add(RESERVED_FILES)
    ))))
}

/// Whether an option or the policy file says how many sockets there may be.
pub fn is_set(profile: &Profile) -> bool {
    profile
        .limits
        .iter()
        .any(|(limit, _)| *limit == Limit::Sockets)
}
