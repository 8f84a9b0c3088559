//! systemd's readiness protocol: a datagram to the socket that NOTIFY_SOCKET names.
//!
//! See sd_notify(3), "Standalone Implementations". The crate `sd-notify` sends on a blocking socket, so a service manager
//! that does not read would stop the server.

#[cfg(unix)]
use crate::environment;
use std::io;

/// The service manager, which is told of the state of the server.
pub struct Notify {
    #[cfg(unix)]
    socket: Option<std::os::unix::net::UnixDatagram>,
}

#[cfg(unix)]
impl Notify {
    /// The one that NOTIFY_SOCKET names, if any.
    ///
    /// # Errors
    /// It is named, and isn't there.
    pub fn from_environment() -> io::Result<Notify> {
        match environment::variable("NOTIFY_SOCKET") {
            None => Ok(Notify::none()),
            Some(name) => Notify::connect(&name),
        }
    }

    pub fn none() -> Notify {
        Notify { socket: None }
    }

    fn connect(name: &std::ffi::OsStr) -> io::Result<Notify> {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::net::{SocketAddr, UnixDatagram};

        let address = match name.as_bytes().split_first() {
            // An abstract address: a name that is in no file system.
            #[cfg(target_os = "linux")]
            Some((b'@', name)) => {
                use std::os::linux::net::SocketAddrExt;
                SocketAddr::from_abstract_name(name)?
            }
            Some((b'/', _)) => SocketAddr::from_pathname(name)?,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let socket = UnixDatagram::unbound()?;
        // A service manager that is stuck doesn't make us stick.
        socket.set_nonblocking(true)?;
        socket.connect_addr(&address)?;
        Ok(Notify {
            socket: Some(socket),
        })
    }

    fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket {
            // The manager does not listen, or can't now: it is no reason to stop serving.
            let _ = socket.send(state.as_bytes());
        }
    }
}

#[cfg(not(unix))]
impl Notify {
    pub fn from_environment() -> io::Result<Notify> {
        Ok(Notify {})
    }

    pub fn none() -> Notify {
        Notify {}
    }

    fn tell(&self, _state: &str) {}
}

impl Notify {
    /// Clients can connect.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}\n"));
    }

    /// It has been told to stop.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn it_is_told_in_the_protocols_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::connect(path.as_os_str()).unwrap();
        notify.ready("listening on 127.0.0.1:1");
        notify.stopping();
        let mut buffer = [0; 256];
        for expected in ["READY=1\nSTATUS=listening on 127.0.0.1:1\n", "STOPPING=1\n"] {
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(String::from_utf8_lossy(&buffer[..length]), expected);
        }
        drop(socket);
        notify.stopping();
    }

    #[test]
    fn what_is_no_socket_is_an_error() {
        for name in ["", "relative", "/nonexistent/notify", "@sockbox-nobody"] {
            assert!(Notify::connect(name.as_ref()).is_err(), "{name:?}");
        }
    }
}
