//! `sockbox:net/hello-server`.

use super::{Component, nanos};
use crate::bindings::exports::sockbox::net::hello_server as wit;
use crate::hello::{
    CloseReason, Event, Framing, Options, Progress, RefuseReason, Server, ServerStats, StartError,
};
use crate::net::NetError;
use crate::net::system::{Interrupt, Interrupted, WasiNet, from_wasi, to_wasi};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

impl wit::Guest for Component {
    type Server = HelloServer;
}

/// A server and the network that it runs on.
pub struct HelloServer {
    net: WasiNet,
    server: RefCell<Server<WasiNet>>,
}

impl wit::GuestServer for HelloServer {
    fn start(options: wit::Options) -> Result<wit::Server, wit::ErrorCode> {
        let net = WasiNet::instance();
        if options.dropping_breaks_off {
            net.dropping_breaks_off();
        }
        let options = Options::from(options);
        let server = net
            .reactor()
            .block_on(Server::start(net.clone(), &options))?;
        Ok(wit::Server::new(HelloServer {
            net,
            server: RefCell::new(server),
        }))
    }

    fn addresses(&self) -> Vec<wit::IpSocketAddress> {
        self.server
            .borrow()
            .addresses()
            .iter()
            .copied()
            .map(to_wasi)
            .collect()
    }

    fn run(&self, interrupt: Interrupt<'_>) -> wit::Progress {
        let mut server = self.server.borrow_mut();
        let progress = pin!(server.progress());
        match self.net.reactor().block_on_unless(progress, interrupt) {
            Ok(Progress::Events(events)) => {
                wit::Progress::Events(events.into_iter().map(Into::into).collect())
            }
            Ok(Progress::Stopped(stats)) => wit::Progress::Stopped(stats.into()),
            Err(Interrupted) => wit::Progress::Interrupted,
        }
    }

    fn stop(&self, drain_timeout: wit::Duration) {
        self.server
            .borrow_mut()
            .stop(Duration::from_nanos(drain_timeout));
    }

    fn stats(&self) -> wit::ServerStats {
        self.server.borrow().stats().into()
    }
}

impl From<wit::Options> for Options {
    fn from(options: wit::Options) -> Self {
        let default = Self::default();
        Self {
            listen: options.listen.into_iter().map(from_wasi).collect(),
            framing: options.framing.map_or(default.framing, Into::into),
            greeting: options.greeting.unwrap_or(default.greeting),
            welcome: options.welcome.or(default.welcome),
            max_message_size: options.max_message_size.unwrap_or(default.max_message_size),
            write_timeout: options.write_timeout.map_or(default.write_timeout, bound),
            idle_timeout: options.idle_timeout.map_or(default.idle_timeout, bound),
            max_connections: options.max_connections.or(default.max_connections),
            refuse_when_full: options.refuse_when_full,
            max_per_peer: options.max_per_peer.or(default.max_per_peer),
            max_held: options.max_held_size.map_or(default.max_held, |bytes| {
                usize::try_from(bytes).unwrap_or(usize::MAX)
            }),
        }
    }
}

/// A time limit; 0 means no limit.
fn bound(nanos: u64) -> Option<Duration> {
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

impl From<wit::Framing> for Framing {
    fn from(framing: wit::Framing) -> Self {
        match framing {
            wit::Framing::Auto => Self::Auto,
            wit::Framing::Line => Self::Line,
            wit::Framing::Chunk => Self::Chunk,
        }
    }
}

impl From<StartError> for wit::ErrorCode {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Invalid(reason) => Self::InvalidOptions(reason.to_owned()),
            StartError::Listen {
                address,
                reason: NetError::Denied,
            } => Self::Denied(wit::Target::Listen(to_wasi(address))),
            StartError::Listen { address, reason } => Self::ListenFailed(wit::ListenFailure {
                address: to_wasi(address),
                reason: reason.into(),
            }),
        }
    }
}

impl From<Event> for wit::Event {
    fn from(event: Event) -> Self {
        match event {
            Event::Opened(opened) => Self::Opened(wit::Opened {
                id: opened.id,
                addresses: four_tuple(opened.local, opened.remote),
            }),
            Event::Closed(closed) => Self::Closed(wit::Closed {
                id: closed.id,
                addresses: four_tuple(closed.local, closed.remote),
                reason: closed.reason.into(),
                bytes_received: closed.bytes_received,
                bytes_sent: closed.bytes_sent,
                messages: closed.messages,
                duration: nanos(closed.duration),
            }),
            Event::Refused(refused) => Self::Refused(wit::Refused {
                addresses: four_tuple(refused.local, refused.remote),
                reason: match refused.reason {
                    RefuseReason::Full => wit::RefuseReason::Full,
                    RefuseReason::PeerLimit => wit::RefuseReason::PeerLimit,
                },
            }),
            Event::AcceptFailed(failed) => Self::AcceptFailed(wit::AcceptFailed {
                listen: to_wasi(failed.listen),
                reason: failed.reason.into(),
            }),
        }
    }
}

impl From<CloseReason> for wit::CloseReason {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::EndOfInput => Self::EndOfInput,
            CloseReason::Exit => Self::Exit,
            CloseReason::MessageTooLong => Self::MessageTooLong,
            CloseReason::IdleTimeout => Self::IdleTimeout,
            CloseReason::WriteTimeout => Self::WriteTimeout,
            CloseReason::Overloaded => Self::Overloaded,
            CloseReason::Failed(error) => Self::Failed(error.into()),
            CloseReason::Stopped => Self::Stopped,
        }
    }
}

impl From<ServerStats> for wit::ServerStats {
    fn from(stats: ServerStats) -> Self {
        Self {
            accepted: stats.accepted,
            refused: stats.refused,
            open: stats.open,
            messages: stats.messages,
            bytes_received: stats.bytes_received,
            bytes_sent: stats.bytes_sent,
            uptime: nanos(stats.uptime),
        }
    }
}

fn four_tuple(local: SocketAddr, remote: SocketAddr) -> wit::FourTuple {
    wit::FourTuple {
        local: to_wasi(local),
        remote: to_wasi(remote),
    }
}
