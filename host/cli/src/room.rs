//! Whether the process may have the sockets that a subcommand can't do without.

use crate::exit::Failure;
use sockbox::limits::{Limit, RESERVED_FILES};
use sockbox::{Error, Profile};
use std::io;

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
