//! Sockets that systemd has opened for us: LISTEN_FDS and LISTEN_PID, as sd_listen_fds(3) has it.
//!
//! The crates `listenfd` and `sd-notify` do not check that such a socket listens. A socket that does not would fail
//! only at the first `accept`, with an error that does not name its cause.

#[cfg(unix)]
use crate::environment;
use std::net::TcpListener;
use std::sync::Arc;

/// The sockets that the process was started with and told of.
///
/// # Errors
/// It was told of something that isn't a TCP socket that listens; the text is for people.
#[cfg(unix)]
pub fn listeners() -> Result<Vec<Arc<TcpListener>>, String> {
    let told = |name| environment::variable(name)?.into_string().ok();
    let count = count(told("LISTEN_PID"), told("LISTEN_FDS"), std::process::id())?;
    (FIRST..FIRST + count).map(listener).collect()
}

/// Elsewhere there is no such custom.
#[cfg(not(unix))]
pub fn listeners() -> Result<Vec<Arc<TcpListener>>, String> {
    Ok(Vec::new())
}

/// The number of the first: SD_LISTEN_FDS_START.
#[cfg(unix)]
const FIRST: i32 = 3;

/// More than any server listens on, and fewer than there are numbers.
#[cfg(unix)]
const MOST: i32 = 1000;

/// How many there are. Variables that are meant for another process are none of ours.
#[cfg(unix)]
fn count(pid: Option<String>, count: Option<String>, own: u32) -> Result<i32, String> {
    let (Some(pid), Some(count)) = (pid, count) else {
        return Ok(0);
    };
    if pid.parse() != Ok(own) {
        return Ok(0);
    }
    match count.parse() {
        Ok(count) if (0..=MOST).contains(&count) => Ok(count),
        _ => Err(format!(
            "LISTEN_FDS is {count:?}, which is no number of sockets"
        )),
    }
}

#[cfg(unix)]
#[allow(
    unsafe_code,
    reason = "a file is taken over that was only told of by its number"
)]
fn listener(number: i32) -> Result<Arc<TcpListener>, String> {
    use rustix::net::sockopt::socket_acceptconn;
    use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

    let wrong =
        || format!("LISTEN_FDS: the file with the number {number} is no TCP socket that listens");
    // SAFETY: it is only asked what it is, which harms none, whatever it is.
    let file = unsafe { BorrowedFd::borrow_raw(number) };
    if !socket_acceptconn(file).unwrap_or(false) {
        return Err(wrong());
    }
    // SAFETY: it is open, and the process that started this one says that it is for us to have. Nothing
    // else in the process has it: each number is taken once, before anything else is opened.
    let listener = TcpListener::from(unsafe { OwnedFd::from_raw_fd(number) });
    // One for another kind of address has none that can be told so.
    listener.local_addr().map_err(|_| wrong())?;
    Ok(Arc::new(listener))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_for_us_counts() {
        let text = |text: &str| Some(text.to_owned());
        for (pid, fds, expected) in [
            (None, None, Ok(0)),
            (None, text("1"), Ok(0)),
            (text("7"), None, Ok(0)),
            (text("7"), text("2"), Ok(2)),
            (text("7"), text("0"), Ok(0)),
            (text("8"), text("2"), Ok(0)),
            (text(""), text("2"), Ok(0)),
            (text("7"), text("-1"), Err(())),
            (text("7"), text("1001"), Err(())),
            (text("7"), text("two"), Err(())),
        ] {
            let found = count(pid.clone(), fds.clone(), 7).map_err(drop);
            assert_eq!(found, expected, "{pid:?} {fds:?}");
        }
    }
}
