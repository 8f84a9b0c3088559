//! How many files the process may have open.

/// Take as many as the system will give: a connection is a file, and the limit that processes start
/// with (often 1024, for the sake of `select`) is far below the one that they may ask for.
#[cfg(unix)]
pub fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        // Where it can't be raised it stays as it is, and fewer clients can be connected.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

#[cfg(not(unix))]
pub fn raise_limit() {}
