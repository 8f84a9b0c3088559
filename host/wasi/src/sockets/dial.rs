//! Connections that the host opens for a component. They have the same socket options, count, rate limits and meter as
//! the component's own connections.

use super::connection::Connection;
use super::count::{Count, Open, Shared};
use super::meter::{Meter, Unsent};
use super::rate::Bucket;
use crate::authority::Authority;
use rustix::io::Errno;
use sockbox_policy::{Limit, Limits, Target};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

/// The most addresses of a name that the host tries to connect to.
pub(crate) const MOST_ADDRESSES: usize = 16;

/// How long the host waits for one address before it tries the next one: 5 seconds. The last address has no such limit.
const ONE_ADDRESS: Duration = Duration::from_secs(5);

/// Opens connections. The caller has to ask the policy first.
#[derive(Clone)]
pub(crate) struct Dialer {
    authority: Arc<Authority>,
    count: Shared,
    limit: usize,
    connects: Option<Arc<Mutex<Bucket>>>,
    meter: Arc<Meter>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The run has reached a limit. This is recorded.
    Limit,
    /// The system has refused, with this error.
    System(io::Error),
    /// There is no address to connect to.
    NoAddress,
}

/// A connection that the host has opened.
pub(crate) struct Dialed {
    /// The address that it leads to.
    pub(crate) address: SocketAddr,
    /// Its streams. If the run counts or limits bytes, they are metered.
    pub(crate) input: DynInputStream,
    pub(crate) output: DynOutputStream,
    pub(super) connection: Connection,
    /// Written bytes that wait for bandwidth, if the streams are metered.
    pub(super) unsent: Option<Unsent>,
}

impl DialError {
    /// Whether the process or the system can open no more files.
    pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
        matches!(
            Errno::from_io_error(error),
            Some(Errno::MFILE | Errno::NFILE)
        )
    }
}

impl Dialer {
    pub(super) fn new(
        limits: &Limits,
        authority: &Arc<Authority>,
        count: &Count,
        meter: &Arc<Meter>,
    ) -> Dialer {
        let bucket = |rate| Arc::new(Mutex::new(Bucket::of_events(rate, Instant::now())));
        Dialer {
            authority: authority.clone(),
            count: count.shared(),
            limit: limits.sockets,
            connects: limits.connects_per_second.map(bucket),
            meter: meter.clone(),
        }
    }

    /// Count one more socket. None if the run has reached its limit on sockets.
    pub(crate) fn socket(&self) -> Option<Open> {
        let open = self.count.open_one(self.limit)?;
        self.authority.has_room(Limit::Sockets);
        Some(open)
    }

    /// Whether the rate limit allows one more attempt to connect. This call counts the attempt. If the limit is reached,
    /// that is recorded.
    pub(crate) fn may_connect(&self, to: SocketAddr) -> bool {
        let Some(connects) = &self.connects else {
            return true;
        };
        // The bucket is valid after every statement, so a panic in another thread leaves it usable.
        let mut bucket = connects.lock().unwrap_or_else(PoisonError::into_inner);
        let may = bucket.take_one(Instant::now());
        drop(bucket);
        match may {
            true => self.authority.has_room(Limit::ConnectsPerSecond),
            false => {
                let target = Some(Target::Connect(to));
                self.authority.reached(Limit::ConnectsPerSecond, target);
            }
        }
        may
    }

    /// Connect to the first of these addresses that accepts the connection. They are tried one after the other. The bytes
    /// are counted for `target`, or for the address if there is none.
    pub(crate) async fn connect(
        &self,
        addresses: &[IpAddr],
        port: u16,
        target: Option<&Target>,
    ) -> Result<Dialed, DialError> {
        let mut failed = DialError::NoAddress;
        let most = addresses.len().min(MOST_ADDRESSES);
        for (index, ip) in addresses[..most].iter().enumerate() {
            let connecting = self.connect_one(SocketAddr::new(*ip, port), target);
            let connected = match index + 1 < most {
                true => tokio::time::timeout(ONE_ADDRESS, connecting).await,
                false => Ok(connecting.await),
            };
            failed = match connected {
                Ok(Ok(dialed)) => return Ok(dialed),
                Ok(Err(DialError::System(error))) if DialError::is_out_of_files(&error) => {
                    return Err(DialError::System(error));
                }
                Ok(Err(DialError::Limit)) => return Err(DialError::Limit),
                Ok(Err(error)) => error,
                Err(_) => DialError::System(io::ErrorKind::TimedOut.into()),
            };
        }
        Err(failed)
    }

    async fn connect_one(
        &self,
        to: SocketAddr,
        target: Option<&Target>,
    ) -> Result<Dialed, DialError> {
        if !self.may_connect(to) {
            return Err(DialError::Limit);
        }
        let stream = TcpStream::connect(to).await.map_err(DialError::System)?;
        // hyper writes a request's head and body separately. With Nagle's algorithm the second write would wait until
        // the server acknowledges the first.
        stream.set_nodelay(true).map_err(DialError::System)?;
        let connection = Connection::new(stream, to).map_err(DialError::System)?;
        let (input, output) = connection.streams();
        let target = target.cloned().unwrap_or(Target::Connect(to));
        let account = self.authority.account(target);
        let (input, output, unsent) = match account.is_none() && !self.meter.is_bound() {
            true => (input, output, None),
            false => {
                let (input, output, unsent) = self.meter.around(account, input, output);
                (input, output, Some(unsent))
            }
        };
        Ok(Dialed {
            address: to,
            input,
            output,
            connection,
            unsent,
        })
    }
}
