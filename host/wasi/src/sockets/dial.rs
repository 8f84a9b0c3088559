//! Connections that the host opens for a component. They have the same socket options, count, rate limits and meter as
//! the component's own connections.

use super::connection::Connection;
use super::count::{Count, Open, Shared};
use super::meter::Meter;
use super::rate::Bucket;
use crate::authority::Authority;
use rustix::io::Errno;
use sockbox_policy::{Limit, Limits, Target};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::net::TcpStream;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

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

    /// Connect, and return the connection's two streams. If the run counts or limits bytes, the streams are metered.
    pub(crate) async fn connect(
        &self,
        to: SocketAddr,
    ) -> Result<(DynInputStream, DynOutputStream), DialError> {
        if !self.may_connect(to) {
            return Err(DialError::Limit);
        }
        let stream = TcpStream::connect(to).await.map_err(DialError::System)?;
        // hyper writes a request's head and body separately. With Nagle's algorithm the second write would wait until
        // the server acknowledges the first.
        stream.set_nodelay(true).map_err(DialError::System)?;
        let connection = Connection::new(stream, to).map_err(DialError::System)?;
        let (input, output) = connection.streams();
        let account = self.authority.account(Target::Connect(to));
        if account.is_none() && !self.meter.is_bound() {
            return Ok((input, output));
        }
        let (input, output, _) = self.meter.around(account, input, output);
        Ok((input, output))
    }
}
