//! The stack that a subcommand runs on.

use crate::exit::Failure;
use std::io;
use std::panic;
use std::thread;

/// What a subcommand may need, debug builds included: 8 MiB, which is Linux's default for the main thread.
const NEEDED: usize = 8 << 20;

/// A main thread with less than this is not used: 4 MiB.
const ENOUGH: u64 = 4 << 20;

/// Run `work` on a stack that is large enough for it: the main thread's, or with a low `ulimit -s` that of
/// another thread.
///
/// # Errors
/// The system has no thread to give, or `work` has panicked.
pub fn on_enough(work: fn() -> i32) -> Result<i32, Failure> {
    let ended = match limit() {
        Some(limit) if limit < ENOUGH => thread::Builder::new()
            .name("sockbox".to_owned())
            .stack_size(NEEDED)
            .spawn(work)
            .map_err(Failure::system)?
            .join(),
        _ => panic::catch_unwind(work),
    };
    // Where the panic was is on standard error already.
    ended.map_err(|_| Failure::system(io::Error::other("sockbox has panicked, which is its fault")))
}

/// The limit on the main thread's stack; none if it has none that is known.
#[cfg(unix)]
fn limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Stack).current
}

#[cfg(not(unix))]
fn limit() -> Option<u64> {
    // Windows gives the main thread 1 MiB.
    Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_of_ours() {
        assert_eq!(on_enough(|| 7).unwrap(), 7);
        let failure = on_enough(|| panic!("on purpose")).unwrap_err();
        assert_eq!(failure.code(), 125);
    }
}
