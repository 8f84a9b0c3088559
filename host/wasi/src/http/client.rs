//! What the requests of a run share.

use super::error::Failed;
use super::exchange::Live;
use super::pool::Pool;
use super::secrets::Secrets;
use crate::authority::Authority;
use crate::budget::{Budget, Charge};
use crate::sockets::Dialer;
use crate::tls;
use sockbox_policy::{Limit, Proxies};
use std::sync::Arc;

/// How much of the run's memory an exchange is charged until the component has read or dropped the response: 192 KiB.
/// Most of it is for the part of the request's body that the component has written and hyper has not yet taken.
const EXCHANGE_BYTES: u64 = 192 * 1024;

/// The run's HTTP client.
pub(super) struct Client {
    pub(super) authority: Arc<Authority>,
    pub(super) dialer: Dialer,
    pub(super) memory: Arc<Budget>,
    pub(super) tls: tls::Client,
    pub(super) pool: Pool,
    pub(super) live: Live,
    pub(super) secrets: Secrets,
    pub(super) proxies: Proxies,
}

impl Client {
    /// Charge one exchange to the run's memory. None if the run has too little memory left, which this records.
    pub(super) fn charge_exchange(&self) -> Option<Charge> {
        self.charge(EXCHANGE_BYTES).ok()
    }

    /// Charge `bytes` to the run's memory.
    pub(super) fn charge(&self, bytes: u64) -> Result<Charge, Failed> {
        if let Some(charge) = self.memory.charge(bytes) {
            return Ok(charge);
        }
        // Idle connections give their memory back.
        self.pool.clear();
        self.memory.charge(bytes).ok_or_else(|| {
            self.authority.reached(Limit::Memory, None);
            Failed::ConnectionLimit
        })
    }
}
