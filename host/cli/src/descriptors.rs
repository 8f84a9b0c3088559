//! What this process was started with: which of its standard descriptors are closed, and whether it is to
//! outlive a closed pipe.
//!
//! Rust's runtime hides both before `main`: it opens the null device in place of a closed descriptor
//! (writing there would seem to succeed), and ignores SIGPIPE. So they are looked at before it.

use std::io;

/// A standard descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descriptor {
    Input,
    Output,
    Error,
}

impl Descriptor {
    /// Whether it can be used.
    ///
    /// # Errors
    /// EBADF: the process was started without it.
    pub fn check(self) -> io::Result<()> {
        match at_start::is_closed(self) {
            true => Err(closed()),
            false => Ok(()),
        }
    }
}

/// Whether SIGPIPE was ignored when the process started (`trap '' PIPE`): then writing to a pipe without
/// a reader is an error like others, and not the end.
pub fn outlives_closed_pipes() -> bool {
    at_start::ignored_sigpipe()
}

/// What writing to a closed descriptor, or reading one, says.
#[cfg(unix)]
fn closed() -> io::Error {
    rustix::io::Errno::BADF.into()
}

#[cfg(not(unix))]
fn closed() -> io::Error {
    io::ErrorKind::Other.into()
}

/// Stands in for a descriptor that is closed: every write fails.
pub struct Closed;

impl io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(closed())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "the system's loader is asked to call a function before Rust's runtime starts"
)]
mod at_start {
    use super::Descriptor;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// A bit for each of the three descriptors that is closed.
    static FOUND: AtomicU8 = AtomicU8::new(0);

    /// The bit for an ignored SIGPIPE.
    const SIGPIPE_IGNORED: u8 = 1 << 3;

    // SAFETY: what is in this section are addresses of functions that the loader calls one by one, on the
    // only thread there is, before `main` (System V ABI, "Initialization and Termination Functions"). This is
    // such an address. Arguments that it is given are in registers, and may be left there.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static LOOK: extern "C" fn() = look;

    /// Called before Rust's runtime is set up: only what needs none of it may be used here.
    extern "C" fn look() {
        let mut found = 0;
        for (bit, descriptor) in (0..3).zip([0, 1, 2]) {
            // SAFETY: it reads the descriptor's flags, whatever the number, and touches no memory.
            if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
                found |= 1 << bit;
            }
        }
        // SAFETY: an action of zeros is a valid one, which is filled in if the call succeeds.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: without a new action it only writes the present one, to where there is room for it.
        let asked = unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut action) };
        if asked == 0 && action.sa_sigaction == libc::SIG_IGN {
            found |= SIGPIPE_IGNORED;
        }
        FOUND.store(found, Ordering::Relaxed);
    }

    pub fn is_closed(descriptor: Descriptor) -> bool {
        let bit = match descriptor {
            Descriptor::Input => 0,
            Descriptor::Output => 1,
            Descriptor::Error => 2,
        };
        FOUND.load(Ordering::Relaxed) & (1 << bit) != 0
    }

    pub fn ignored_sigpipe() -> bool {
        FOUND.load(Ordering::Relaxed) & SIGPIPE_IGNORED != 0
    }
}

/// Elsewhere nothing is known, and nothing assumed.
#[cfg(not(target_os = "linux"))]
mod at_start {
    use super::Descriptor;

    pub fn is_closed(_: Descriptor) -> bool {
        false
    }

    pub fn ignored_sigpipe() -> bool {
        false
    }
}
