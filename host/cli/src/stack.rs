//! The stack on which a subcommand runs.

use crate::exit::Failure;
use std::io;
use std::panic;
use std::thread;

/// The size of a new thread's stack: 8 MiB, as the main thread has by default on Linux. It is enough for each subcommand,
/// in debug builds too.
const NEEDED: usize = 8 << 20;

/// The least stack limit with which a subcommand runs on the main thread: 4 MiB.
const ENOUGH: u64 = 4 << 20;

/// Run `work` on a stack that is large enough: on the main thread, or with a low `ulimit -s` on a new thread.
///
/// # Errors
/// The system can't create a thread, or `work` has panicked.
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
    // The panic handler has already printed the place of the panic on standard error.
    ended.map_err(|_| Failure::system(io::Error::other("sockbox has panicked, which is its fault")))
}

/// The limit on the main thread's stack. None if there is no limit, or the limit is not known.
#[cfg(unix)]
fn limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Stack).current
}

#[cfg(not(unix))]
fn limit() -> Option<u64> {
    // The main thread has 1 MiB on Windows, which is not enough. 0 selects a new thread.
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
