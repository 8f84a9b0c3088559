//! The back-end over WASI 0.3. The cost of a wait does not depend on the number of other waits
//! there, so it needs no schedule: the host delivers one event after the other.

mod error;
mod flag;
mod reactor;
mod stdin;
mod task;
mod tcp;
mod timer;

use super::address::ip_from_wasi;
pub use super::address::{from_wasi, to_wasi};
pub use reactor::{Interrupt, Interrupted, Reactor};
pub use stdin::Stdin;
pub use tcp::{TcpListener, TcpStream};

use super::deadlines::Sleep;
use super::{Instant, Net, NetError};
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::sockets::ip_name_lookup::resolve_addresses;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The network that the runtime provides to the component.
#[derive(Clone)]
pub struct WasiNet {
    reactor: Rc<Reactor>,
}

thread_local! {
    /// One network for the whole instance: operations that are under way when a call ends continue
    /// in the next call.
    static INSTANCE: WasiNet = WasiNet {
        reactor: Rc::new(Reactor::new()),
    };
}

impl WasiNet {
    /// The network of this instance.
    pub fn instance() -> Self {
        INSTANCE.with(Self::clone)
    }

    /// The reactor that drives the futures of this network.
    pub fn reactor(&self) -> &Rc<Reactor> {
        &self.reactor
    }

    /// Standard input.
    pub fn stdin(&self) -> Stdin {
        Stdin::new()
    }

    /// Does nothing: on WASI 0.3 dropping a stream never blocks.
    pub fn dropping_breaks_off(&self) {}
}

impl Net for WasiNet {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn now(&self) -> Instant {
        Instant(monotonic_clock::now())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static {
        Sleep::new(self.reactor.deadlines().clone(), deadline)
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        let addresses = resolve_addresses(name.to_owned()).await?;
        match addresses.is_empty() {
            true => Err(NetError::NameUnresolvable),
            false => Ok(addresses.into_iter().map(ip_from_wasi).collect()),
        }
    }

    fn connect(
        &self,
        remote: SocketAddr,
    ) -> impl Future<Output = Result<TcpStream, NetError>> + 'static {
        tcp::connect(remote)
    }

    async fn listen(&self, local: SocketAddr) -> Result<TcpListener, NetError> {
        tcp::listen(local)
    }
}
