//! The back-end over WASI 0.2. Only this module calls its sockets, streams, clocks and polls.

mod base;
mod error;
mod instance;
mod reactor;
mod resolve;
mod sink;
mod tcp;
mod timer;
#[cfg(feature = "tls")]
mod tls;

pub use super::address::{from_wasi, ip_from_wasi, to_wasi};
use instance::Instance;
pub use reactor::{Interrupt, Interrupted, Reactor};
pub use sink::{InputSource, OutputSink};
pub use tcp::{TcpListener, TcpStream};

use super::deadlines::Sleep;
use super::{Instant, Net, NetError};
use crate::bindings::wasi::cli::stdin::get_stdin;
use crate::bindings::wasi::clocks::monotonic_clock;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The network that the runtime provides to the component.
#[derive(Clone)]
pub struct WasiNet {
    instance: Rc<Instance>,
}

thread_local! {
    /// One network for the whole instance. A connection that is closed while its peer does not read
    /// is handed to the reactor, and must remain there after the program that closed it has ended.
    static INSTANCE: WasiNet = WasiNet {
        instance: Rc::default(),
    };
}

impl WasiNet {
    /// The network of this instance.
    pub fn instance() -> Self {
        INSTANCE.with(Self::clone)
    }

    /// The reactor that drives the futures of this network.
    pub fn reactor(&self) -> &Rc<Reactor> {
        &self.instance.reactor
    }
}

impl WasiNet {
    /// Standard input.
    pub fn stdin(&self) -> InputSource {
        InputSource::new(self.reactor(), get_stdin())
    }

    /// Declares that this runtime aborts a write when its stream is dropped, and does not wait for
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

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        resolve::resolve(&self.instance, name).await
    }

    fn connect(
        &self,
        remote: SocketAddr,
    ) -> impl Future<Output = Result<TcpStream, NetError>> + 'static {
        tcp::connect(self.instance.clone(), remote)
    }

    #[cfg(feature = "tls")]
    const HAS_TLS: bool = true;

    #[cfg(feature = "tls")]
    async fn tls_handshake(
        &self,
        stream: TcpStream,
        server: &str,
    ) -> Result<TcpStream, crate::net::TlsError> {
        tls::handshake(self.reactor(), stream, server).await
    }

    async fn listen(&self, local: SocketAddr) -> Result<TcpListener, NetError> {
        tcp::listen(&self.instance, local).await
    }
}
