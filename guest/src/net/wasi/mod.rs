//! The back-end over WASI 0.2: the only place that calls sockets, streams, clocks and polls.

mod base;
mod error;
mod lookup;
mod reactor;
mod sink;
mod tcp;
mod timer;
#[cfg(feature = "tls")]
mod tls;

pub use super::address::{from_wasi, ip_from_wasi, to_wasi};
pub use reactor::{Interrupt, Interrupted, Reactor};
pub use sink::{InputSource, OutputSink};
pub use tcp::{TcpListener, TcpStream};

use super::deadlines::Sleep;
use super::{Instant, Net, NetError};
use crate::bindings::wasi::cli::stdin::get_stdin;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::sockets::instance_network::instance_network;
use crate::bindings::wasi::sockets::network::Network;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The network that the runtime gives to the component.
#[derive(Clone)]
pub struct WasiNet {
    shared: Rc<Shared>,
}

struct Shared {
    reactor: Rc<Reactor>,
    network: Network,
}

thread_local! {
    /// One for the whole instance: what is closed while the peer doesn't read is left to the
    /// reactor, and has to find it there long after the program that closed it has ended.
    static INSTANCE: WasiNet = WasiNet {
        shared: Rc::new(Shared {
            reactor: Rc::new(Reactor::default()),
            network: instance_network(),
        }),
    };
}

impl WasiNet {
    /// The network of this instance.
    pub fn instance() -> Self {
        INSTANCE.with(Self::clone)
    }

    /// What drives the futures of this network.
    pub fn reactor(&self) -> &Rc<Reactor> {
        &self.shared.reactor
    }

    fn network(&self) -> &Network {
        &self.shared.network
    }
}

impl WasiNet {
    /// Standard input.
    pub fn stdin(&self) -> InputSource {
        InputSource::new(self.reactor(), get_stdin())
    }

    /// Says that this runtime breaks a write off when its stream is dropped, rather than waiting for
    /// its end.
    pub fn dropping_breaks_off(&self) {
        self.reactor().dropping_breaks_off();
    }
}

impl Net for WasiNet {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn now(&self) -> Instant {
        Instant(monotonic_clock::now())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static {
        Sleep::new(self.reactor().deadlines().clone(), deadline)
    }

    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        lookup::lookup(self, name).await
    }

    fn connect(
        &self,
        remote: SocketAddr,
    ) -> impl Future<Output = Result<TcpStream, NetError>> + 'static {
        tcp::connect(self.clone(), remote)
    }

    #[cfg(feature = "tls")]
    const HAS_TLS: bool = true;

    #[cfg(feature = "tls")]
    async fn secure(
        &self,
        stream: TcpStream,
        server: &str,
    ) -> Result<TcpStream, crate::net::TlsError> {
        tls::secure(self, stream, server).await
    }

    async fn listen(&self, local: SocketAddr) -> Result<TcpListener, NetError> {
        tcp::listen(self, local).await
    }
}
