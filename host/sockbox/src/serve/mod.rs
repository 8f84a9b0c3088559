//! Serving the hello protocol.

pub(crate) mod control;
mod event;
mod options;
mod worker;

pub use control::ServerHandle;
pub use event::{
    AcceptFailed, CloseReason, Closed, Event, Opened, RefuseReason, Refused, ServerStats,
};
pub use options::{Framing, ServeOptions};

use crate::bindings::hello_server as wit;
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::policy::Wasi;
use crate::wit_convert::{bounded, denied};
use control::Control;
use sockbox_wasi::Incidents;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use worker::{Told, Worker};

/// How many unread events there may be before the server pauses: 1024, four full results of `run`.
const EVENT_QUEUE: usize = 1024;

/// A server that listens and serves.
///
/// It serves on a separate task of the tokio runtime in which it was started. It pauses when 1024
/// events wait to be read with [`Server::next`]. Dropping it closes the listening sockets and every
/// connection at once.
///
/// # Examples
/// ```
/// use sockbox::{Event, Policy, Sandbox, ServeOptions};
/// use std::time::Duration;
/// # use std::io::{Read, Write};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sandbox = Sandbox::new()?;
/// let address = "127.0.0.1:0".parse()?;
/// let instance = sandbox
///     .instance()
///     .policy(Policy::new().allow_listen(address))
///     .build()
///     .await?;
/// let mut server = instance.serve(ServeOptions::new().listen(address)).await?;
///
/// let real = server.addresses()[0];
/// let client = std::thread::spawn(move || -> std::io::Result<String> {
///     let mut stream = std::net::TcpStream::connect(real)?;
///     stream.write_all(b"Michael\n")?;
///     stream.shutdown(std::net::Shutdown::Write)?;
///     let mut answer = String::new();
///     stream.read_to_string(&mut answer)?;
///     Ok(answer)
/// });
///
/// while let Some(event) = server.next().await? {
///     if let Event::Closed(closed) = event {
///         assert_eq!(closed.messages, 1);
///         server.handle().stop(Duration::from_secs(1));
///     }
/// }
/// assert_eq!(client.join().unwrap()?, "Hello, Michael!\n");
/// assert_eq!(server.finish().await?.accepted, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    max_connections: u32,
    events: mpsc::Receiver<Told>,
    handle: ServerHandle,
    task: JoinHandle<()>,
    outcome: Option<ServerStats>,
}

impl Instance {
    /// Listen on every address, and serve. If listening on one address fails, the server does not
    /// start.
    ///
    /// # Errors
    /// - [`Error::InvalidOptions`]: no address is given, a bound is 0, the greeting has a line break, or
    ///   a [listener](ServeOptions::listener) is not a listening TCP socket.
    /// - [`Error::Denied`]: an address isn't granted.
    /// - [`Error::ListenFailed`]: an address is in use, or does not belong to this machine.
    /// - [`Error::Abandoned`], [`Error::Trapped`], [`Error::WallTime`], [`Error::CpuTime`],
    ///   [`Error::MemoryLimit`], [`Error::Exhausted`]: the instance can't be used any more.
    pub async fn serve(mut self, options: ServeOptions) -> Result<Server> {
        let (mut wit_options, mut max_connections) = options.to_wit(self.limits());
        let sockets = self.limits().sockets;
        let (store, exports) = self.parts();
        let wasi = exports.wasi();
        let sockbox = &mut store.data_mut().sockbox;
        sockbox.break_off_writes_on_drop();
        for listener in options.listeners() {
            let address = sockbox.offer_listener(listener);
            let address = address.map_err(|error| Error::InvalidOptions {
                reason: format!("not a listening TCP socket: {error}"),
            })?;
            wit_options.listen.push(address.into());
        }
        if wasi == Wasi::V0_3 {
            // WASI 0.3 does not tell the component that no socket is left for a client, which then waits. So the
            // component itself is told how many there are.
            let listening = wit_options.listen.len();
            if listening > 0 && listening == sockets {
                return Err(Error::InvalidOptions {
                    reason: format!("max-sockets {sockets} leaves none for clients"),
                });
            }
            // Refusing a client takes a socket as well. If there are fewer sockets than addresses, listening fails.
            let kept = usize::from(wit_options.refuse_when_full);
            let left = sockets.saturating_sub(listening).saturating_sub(kept);
            let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
            max_connections = max_connections.min(left);
            wit_options.max_connections = Some(max_connections);
        }
        let mark = self.authority().mark();
        let call = self.begin().await?;
        let (store, exports) = self.parts();
        let result = call.run(exports.start(store, &wit_options)).await?;
        let server = self
            .end(result)?
            .map_err(|code| error(&self.authority().incidents_since(mark), code))?;

        let call = self.begin().await?;
        let (store, exports) = self.parts();
        let result = call.run(exports.addresses(store, server)).await?;
        let addresses = self.end(result)?.into_iter().map(Into::into).collect();

        let control = Arc::new(Control::default());
        let (tell, events) = mpsc::channel(EVENT_QUEUE);
        let worker = Worker::new(self, server, control.clone()).map_err(Error::internal)?;
        let task = tokio::spawn(worker.run(tell));
        Ok(Server {
            addresses,
            max_connections,
            events,
            handle: ServerHandle { control },
            task,
            outcome: None,
        })
    }
}

impl Server {
    /// The addresses listened on, in the order given, with the real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many connections may be open at once: the requested number, or less if the instance's
    /// limits require it.
    pub fn max_connections(&self) -> u32 {
        self.max_connections
    }

    /// A handle to stop the server and to read its counts from any task.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// The next event. None after `stop` was called and every connection has ended.
    ///
    /// # Errors
    /// [`Error::Trapped`], [`Error::WallTime`], [`Error::CpuTime`], [`Error::MemoryLimit`],
    /// [`Error::Exhausted`]: the instance has ended, and every connection with it.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the event is there for the next call.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        if self.outcome.is_some() {
            return Ok(None);
        }
        match self.events.recv().await {
            Some(Told::Event(event)) => Ok(Some(event)),
            Some(Told::Ended(Ok(stats))) => {
                self.outcome = Some(stats);
                Ok(None)
            }
            Some(Told::Ended(Err(error))) => Err(error),
            None => Err(Error::internal("the server's task has ended")),
        }
    }

    /// Serve until `stop` is called and every connection has ended. Unread events are dropped.
    ///
    /// # Errors
    /// As [`Server::next`].
    pub async fn finish(mut self) -> Result<ServerStats> {
        loop {
            if let Some(stats) = self.outcome {
                return Ok(stats);
            }
            self.next().await?;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Converts the component's error codes.
fn error(incidents: &Incidents, code: wit::ErrorCode) -> Error {
    match code {
        wit::ErrorCode::InvalidOptions(reason) => Error::InvalidOptions {
            reason: bounded(reason),
        },
        wit::ErrorCode::Denied(target) => denied(incidents, &target, None),
        wit::ErrorCode::ListenFailed(failure) => Error::ListenFailed {
            address: failure.address.into(),
            reason: failure.reason.into(),
        },
        wit::ErrorCode::Internal(text) => {
            let text = bounded(text);
            Error::internal(format_args!("a bug in the component: {text}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::RunId;
    use crate::bindings::types;
    use crate::policy::Target;
    use sockbox_wasi::{Authority, Grant, Mark};

    #[test]
    fn every_error_of_the_components_has_its_own() {
        let authority = Authority::new(RunId::new(1), &Grant::new());
        let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let other: SocketAddr = "127.0.0.1:81".parse().unwrap();
        authority.allows(Target::Bind(address));
        for (code, expected) in [
            (
                wit::ErrorCode::InvalidOptions("why".to_owned()),
                "InvalidOptions { reason: \"why\" }",
            ),
            (
                wit::ErrorCode::Denied(types::Target::Listen(address.into())),
                "Denied { target: Listen(127.0.0.1:80), name: None, reason: NoRule }",
            ),
            (
                wit::ErrorCode::Denied(types::Target::Listen(other.into())),
                "ListenFailed { address: 127.0.0.1:81, reason: NotPermitted }",
            ),
            (
                wit::ErrorCode::ListenFailed(wit::ListenFailure {
                    address: address.into(),
                    reason: types::NetworkError::AddressInUse,
                }),
                "ListenFailed { address: 127.0.0.1:80, reason: AddressInUse }",
            ),
            (
                wit::ErrorCode::Internal("why".to_owned()),
                "Internal { message: \"a bug in the component: why\" }",
            ),
        ] {
            assert_eq!(
                format!(
                    "{:?}",
                    error(&authority.incidents_since(Mark::default()), code)
                ),
                expected
            );
        }
    }
}
