//! Serving the hello protocol.

use crate::bindings::hello_server as wit;
use crate::convert::{denied, nanoseconds};
use crate::error::{Error, NetworkError, Result};
use crate::instance::Instance;
use crate::network::Network;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use wasmtime::component::{Resource, ResourceAny};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

/// How many events wait to be read before the server pauses: 1024, four full turns of it.
const EVENT_QUEUE: usize = 1024;

/// How to serve.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ServeOptions {
    listen: Vec<SocketAddr>,
    max_message_size: Option<u32>,
}

impl ServeOptions {
    /// No address yet; at least one is needed.
    pub fn new() -> ServeOptions {
        ServeOptions::default()
    }

    /// Listen on `address` too. With port 0 the system chooses a free port, which
    /// [`Server::addresses`] tells. An IPv6 address listens for IPv6 alone.
    pub fn listen(mut self, address: SocketAddr) -> ServeOptions {
        self.listen.push(address);
        self
    }

    /// Set the most bytes that a message may have, without its newline. A longer one is answered
    /// with one line that says so, and its connection closed. Default: 65536 (64 KiB).
    pub fn max_message_size(mut self, bytes: u32) -> ServeOptions {
        self.max_message_size = Some(bytes);
        self
    }
}

/// Something that happened to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection was accepted.
    Opened(Opened),
    /// A connection has ended.
    Closed(Closed),
    /// No connection could be accepted. Told once per outage.
    AcceptFailed(AcceptFailed),
}

/// A connection that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// Counts connections from 1 on, per server.
    pub id: u64,
    /// Our end: the address that the client connected to.
    pub local: SocketAddr,
    /// The client's end.
    pub remote: SocketAddr,
}

/// A connection that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// As in [`Opened`].
    pub id: u64,
    /// As in [`Opened`].
    pub local: SocketAddr,
    /// As in [`Opened`].
    pub remote: SocketAddr,
    /// Why it ended.
    pub reason: CloseReason,
    /// How many bytes the client sent.
    pub bytes_received: u64,
    /// How many bytes of answers were sent.
    pub bytes_sent: u64,
    /// How many messages were answered.
    pub messages: u64,
    /// How long it was open.
    pub duration: Duration,
}

/// An outage of accepting: the system would not accept a connection. The server pauses, and tries
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptFailed {
    /// The address that was listened on.
    pub listen: SocketAddr,
    /// Why not.
    pub reason: NetworkError,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client closed it, or shut its sending side down and has got every answer.
    EndOfInput,
    /// The client sent `exit`.
    Exit,
    /// The client sent a message longer than allowed.
    MessageTooLong,
    /// The connection broke.
    Failed(NetworkError),
    /// The server was told to stop, and closed it.
    Stopped,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::EndOfInput => f.write_str("end of input"),
            CloseReason::Exit => f.write_str("exit"),
            CloseReason::MessageTooLong => f.write_str("message too long"),
            CloseReason::Failed(reason) => reason.fmt(f),
            CloseReason::Stopped => f.write_str("stopped"),
        }
    }
}

/// Counts since a server started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// Messages answered.
    pub messages: u64,
    /// Bytes received from clients.
    pub bytes_received: u64,
    /// Bytes of answers sent to clients.
    pub bytes_sent: u64,
    /// Time since the start.
    pub uptime: Duration,
}

/// A server that listens and serves.
///
/// It serves on a task of its own in the tokio runtime that it was started in, and pauses when it
/// is 1024 events ahead of who reads them with [`Server::next`]. Dropping it closes the listening
/// sockets and every connection at once.
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
    events: mpsc::Receiver<Told>,
    handle: ServerHandle,
    task: JoinHandle<()>,
    outcome: Option<Summary>,
}

/// What the task tells.
enum Told {
    Event(Event),
    /// The last thing that is told.
    Ended(Result<Summary>),
}

impl Instance {
    /// Listen on every address, or on none, and serve.
    ///
    /// # Errors
    /// - [`Error::InvalidOptions`]: no address is given.
    /// - [`Error::Denied`]: an address isn't granted.
    /// - [`Error::ListenFailed`]: an address is in use, or isn't this machine's.
    /// - [`Error::Abandoned`], [`Error::Trapped`], [`Error::WallTime`], [`Error::MemoryLimit`]: the
    ///   instance can't be used any more.
    pub async fn serve(mut self, options: ServeOptions) -> Result<Server> {
        let wit_options = wit::Options {
            listen: options.listen.into_iter().map(Into::into).collect(),
            max_message_size: options.max_message_size,
        };
        let call = self.begin().await?;
        let (store, programs) = self.parts();
        let guest = programs.sockbox_net_hello_server().server();
        let result = call
            .run(guest.call_start(&mut *store, &wit_options))
            .await?;
        let server = self
            .end(result)?
            .map_err(|code| error(self.network(), code))?;

        let call = self.begin().await?;
        let (store, programs) = self.parts();
        let guest = programs.sockbox_net_hello_server().server();
        let result = call.run(guest.call_addresses(&mut *store, server)).await?;
        let addresses = self.end(result)?.into_iter().map(Into::into).collect();

        let control = Arc::new(Control::default());
        let (tell, events) = mpsc::channel(EVENT_QUEUE);
        let worker = Worker::new(self, server, control.clone()).map_err(Error::internal)?;
        let task = tokio::spawn(worker.run(tell));
        Ok(Server {
            addresses,
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

    /// What to stop it with, and to ask it for its counts, from anywhere.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// The next thing that happens; none once it was told to stop and every connection has ended.
    ///
    /// # Errors
    /// [`Error::Trapped`], [`Error::WallTime`], [`Error::MemoryLimit`]: the instance has ended, and
    /// every connection with it.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the event is there for the next call.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        if self.outcome.is_some() {
            return Ok(None);
        }
        match self.events.recv().await {
            Some(Told::Event(event)) => Ok(Some(event)),
            Some(Told::Ended(Ok(summary))) => {
                self.outcome = Some(summary);
                Ok(None)
            }
            Some(Told::Ended(Err(error))) => Err(error),
            None => Err(Error::internal("the server's task has ended")),
        }
    }

    /// Serve until it is told to stop and every connection has ended. Events that nobody reads are
    /// dropped.
    ///
    /// # Errors
    /// As [`Server::next`].
    pub async fn finish(mut self) -> Result<Summary> {
        loop {
            if let Some(summary) = self.outcome {
                return Ok(summary);
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

/// Stops a [`Server`], and asks it for its counts.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    control: Arc<Control>,
}

impl ServerHandle {
    /// Stop accepting, let each connection finish the messages that it has sent, and close it.
    ///
    /// Connections that aren't done after `drain` are closed as they are; with 0 that is at once.
    /// Called again, it only replaces the time left. After the end it does nothing.
    pub fn stop(&self, drain: Duration) {
        self.control.ask(|requests| requests.stop = Some(drain));
    }

    /// The counts as they are now, or as they were at the end. None when the server is gone: it was
    /// dropped, or its instance has failed.
    ///
    /// # Cancel safety
    /// The future can be dropped at any time.
    pub async fn summary(&self) -> Option<Summary> {
        let (answer, answered) = oneshot::channel();
        let ended = self.control.ask(move |requests| {
            if !requests.over {
                requests.summaries.push(answer);
            }
        });
        match ended {
            Some(summary) => Some(summary),
            None => answered.await.ok(),
        }
    }
}

/// What passes from handles to the task.
#[derive(Debug, Default)]
struct Control {
    requests: Mutex<Requests>,
    /// Told when there is a request.
    asked: Notify,
}

#[derive(Debug, Default)]
struct Requests {
    stop: Option<Duration>,
    summaries: Vec<oneshot::Sender<Summary>>,
    /// The task has ended.
    over: bool,
    /// Its counts, if it ended well.
    last: Option<Summary>,
}

impl Control {
    fn requests(&self) -> MutexGuard<'_, Requests> {
        // What it holds is valid at every moment, so a panic elsewhere spoils nothing.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ask for something; gives the last counts if the server has ended.
    fn ask(&self, request: impl FnOnce(&mut Requests)) -> Option<Summary> {
        let mut requests = self.requests();
        request(&mut requests);
        let last = requests.last;
        drop(requests);
        self.asked.notify_one();
        last
    }

    fn has_requests(&self) -> bool {
        let requests = self.requests();
        requests.stop.is_some() || !requests.summaries.is_empty()
    }

    fn end(&self, last: Option<Summary>) {
        let mut requests = self.requests();
        requests.over = true;
        requests.last = last;
        // Whoever waits for these sees that no answer comes.
        for waiting in requests.summaries.drain(..) {
            if let Some(last) = last {
                let _ = waiting.send(last);
            }
        }
    }
}

/// The pollable that the component waits on beside its sockets: ready while there are requests.
struct Interrupt {
    control: Arc<Control>,
}

#[async_trait]
impl Pollable for Interrupt {
    async fn ready(&mut self) {
        loop {
            let asked = self.control.asked.notified();
            if self.control.has_requests() {
                return;
            }
            asked.await;
        }
    }
}

/// Runs the component's server.
struct Worker {
    instance: Instance,
    server: ResourceAny,
    interrupt: Resource<DynPollable>,
    control: EndOnDrop,
}

/// Tells the handles that the task is gone, however it went.
struct EndOnDrop(Arc<Control>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let last = self.0.requests().last;
        self.0.end(last);
    }
}

impl Worker {
    fn new(
        mut instance: Instance,
        server: ResourceAny,
        control: Arc<Control>,
    ) -> wasmtime::Result<Worker> {
        let (store, _) = instance.parts();
        let table = &mut store.data_mut().table;
        let interrupt = table.push(Interrupt {
            control: control.clone(),
        })?;
        let interrupt = subscribe(table, interrupt)?;
        Ok(Worker {
            instance,
            server,
            interrupt,
            control: EndOnDrop(control),
        })
    }

    async fn run(mut self, tell: mpsc::Sender<Told>) {
        let outcome = self.serve(&tell).await;
        self.control.0.end(outcome.as_ref().ok().copied());
        // Nobody listens when the `Server` was dropped.
        let _ = tell.send(Told::Ended(outcome)).await;
    }

    async fn serve(&mut self, tell: &mpsc::Sender<Told>) -> Result<Summary> {
        loop {
            self.answer_requests().await?;
            let call = self.instance.begin().await?;
            let (store, programs) = self.instance.parts();
            let guest = programs.sockbox_net_hello_server().server();
            let interrupt = Resource::new_borrow(self.interrupt.rep());
            let result = call
                .run(guest.call_run(&mut *store, self.server, interrupt))
                .await?;
            match self.instance.end(result)? {
                wit::Progress::Events(events) => {
                    for event in events {
                        if tell.send(Told::Event(event.into())).await.is_err() {
                            return Err(Error::Abandoned);
                        }
                    }
                }
                wit::Progress::Interrupted => {}
                wit::Progress::Stopped(statistics) => return Ok(statistics.into()),
            }
        }
    }

    async fn answer_requests(&mut self) -> Result<()> {
        let (stop, waiting) = {
            let mut requests = self.control.0.requests();
            (
                requests.stop.take(),
                std::mem::take(&mut requests.summaries),
            )
        };
        if let Some(drain) = stop {
            let call = self.instance.begin().await?;
            let (store, programs) = self.instance.parts();
            let guest = programs.sockbox_net_hello_server().server();
            let result = call
                .run(guest.call_stop(&mut *store, self.server, nanoseconds(drain)))
                .await?;
            self.instance.end(result)?;
        }
        if !waiting.is_empty() {
            let call = self.instance.begin().await?;
            let (store, programs) = self.instance.parts();
            let guest = programs.sockbox_net_hello_server().server();
            let result = call
                .run(guest.call_statistics(&mut *store, self.server))
                .await?;
            let summary = Summary::from(self.instance.end(result)?);
            for answer in waiting {
                // Whoever asked may not care any more.
                let _ = answer.send(summary);
            }
        }
        Ok(())
    }
}

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Event {
        match event {
            wit::Event::Opened(wit::Opened { id, addresses }) => Event::Opened(Opened {
                id,
                local: addresses.local.into(),
                remote: addresses.remote.into(),
            }),
            wit::Event::Closed(closed) => Event::Closed(Closed {
                id: closed.id,
                local: closed.addresses.local.into(),
                remote: closed.addresses.remote.into(),
                reason: closed.reason.into(),
                bytes_received: closed.bytes_received,
                bytes_sent: closed.bytes_sent,
                messages: closed.messages,
                duration: Duration::from_nanos(closed.duration),
            }),
            wit::Event::AcceptFailed(failed) => Event::AcceptFailed(AcceptFailed {
                listen: failed.listen.into(),
                reason: failed.reason.into(),
            }),
        }
    }
}

impl From<wit::CloseReason> for CloseReason {
    fn from(reason: wit::CloseReason) -> CloseReason {
        match reason {
            wit::CloseReason::EndOfInput => CloseReason::EndOfInput,
            wit::CloseReason::Exit => CloseReason::Exit,
            wit::CloseReason::MessageTooLong => CloseReason::MessageTooLong,
            wit::CloseReason::Failed(reason) => CloseReason::Failed(reason.into()),
            wit::CloseReason::Stopped => CloseReason::Stopped,
        }
    }
}

impl From<wit::Statistics> for Summary {
    fn from(statistics: wit::Statistics) -> Summary {
        Summary {
            accepted: statistics.accepted,
            open: statistics.open,
            messages: statistics.messages,
            bytes_received: statistics.bytes_received,
            bytes_sent: statistics.bytes_sent,
            uptime: Duration::from_nanos(statistics.uptime),
        }
    }
}

/// What the component's error means here: the one table from its codes to ours.
fn error(network: &Network, code: wit::ErrorCode) -> Error {
    match code {
        wit::ErrorCode::InvalidOptions(reason) => Error::InvalidOptions { reason },
        wit::ErrorCode::Denied(target) => denied(network, &target, None),
        wit::ErrorCode::ListenFailed(failure) => Error::ListenFailed {
            address: failure.address.into(),
            reason: failure.reason.into(),
        },
        wit::ErrorCode::Internal(text) => {
            Error::internal(format_args!("a mistake in the component: {text}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::RunId;
    use crate::bindings::types;
    use crate::limits::Limits;
    use crate::policy::{Policy, Target};
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn every_error_of_the_components_has_its_own() {
        let network = Network::new(RunId(1), Policy::new(), &Limits::default(), None);
        let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let other: SocketAddr = "127.0.0.1:81".parse().unwrap();
        network.allows(Target::Bind(address));
        for (code, expected) in [
            (
                wit::ErrorCode::InvalidOptions("why".to_owned()),
                "InvalidOptions { reason: \"why\" }",
            ),
            (
                wit::ErrorCode::Denied(types::Target::Listen(address.into())),
                "Denied { target: Listen(127.0.0.1:80), reason: NoRule }",
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
                "Internal { message: \"a mistake in the component: why\" }",
            ),
        ] {
            assert_eq!(format!("{:?}", error(&network, code)), expected);
        }
    }

    #[tokio::test]
    async fn the_interrupt_is_ready_while_there_is_a_request() {
        let control = Arc::new(Control::default());
        let mut interrupt = Interrupt {
            control: control.clone(),
        };
        let is_ready = |interrupt: &mut Interrupt| {
            pin!(interrupt.ready())
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        };
        assert!(!is_ready(&mut interrupt));
        control.ask(|requests| requests.stop = Some(Duration::ZERO));
        assert!(is_ready(&mut interrupt));
        assert!(is_ready(&mut interrupt));
        control.requests().stop = None;
        assert!(!is_ready(&mut interrupt));

        // A request wakes whoever waits already.
        let waiting = tokio::spawn(async move { interrupt.ready().await });
        tokio::task::yield_now().await;
        control.ask(|requests| requests.stop = Some(Duration::ZERO));
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn counts_can_be_had_after_the_end_and_not_after_a_failure() {
        let summary = Summary {
            accepted: 1,
            open: 0,
            messages: 2,
            bytes_received: 3,
            bytes_sent: 4,
            uptime: Duration::from_secs(5),
        };
        for last in [Some(summary), None] {
            let control = Arc::new(Control::default());
            let handle = ServerHandle {
                control: control.clone(),
            };
            let early = tokio::spawn({
                let handle = handle.clone();
                async move { handle.summary().await }
            });
            tokio::task::yield_now().await;
            control.end(last);
            assert_eq!(early.await.unwrap(), last);
            assert_eq!(handle.summary().await, last);
        }
    }
}
