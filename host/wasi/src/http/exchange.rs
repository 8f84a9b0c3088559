//! An exchange: one request, and its response.

use super::driver::Place;
use super::error::Failed;
use crate::authority::Authority;
use crate::budget::Charge;
use sockbox_policy::audit::{EventKind, HttpExchange, ProxyUse, SecretHeaderUse};
use sockbox_policy::{HttpTarget, Proxy};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The run's exchanges that have not ended.
#[derive(Clone, Default)]
pub(super) struct Live(Arc<Mutex<HashMap<u64, (Place, Arc<Told>)>>>);

impl Live {
    fn all(&self) -> MutexGuard<'_, HashMap<u64, (Place, Arc<Told>)>> {
        // The map is valid after every statement, so a panic in another thread leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Close the connections of all exchanges, and record each exchange. For the end of the run.
    pub(super) fn break_off(&self) {
        let all = std::mem::take(&mut *self.all());
        for (place, told) in all.into_values() {
            place.close();
            told.tell();
        }
    }
}

/// The audit event of an exchange. The event is recorded once.
struct Told {
    authority: Arc<Authority>,
    started: Instant,
    exchange: Mutex<Option<HttpExchange>>,
    sent: Arc<AtomicU64>,
    received: AtomicU64,
}

impl Told {
    fn set(&self, set: impl FnOnce(&mut HttpExchange)) {
        let mut exchange = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exchange) = &mut *exchange {
            set(exchange);
        }
    }

    fn tell(&self) {
        let exchange = self
            .exchange
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut exchange) = exchange {
            exchange.time = self.started.elapsed();
            exchange.sent = self.sent.load(Ordering::Relaxed);
            exchange.received = self.received.load(Ordering::Relaxed);
            self.authority.record(|| EventKind::Http(exchange));
        }
    }
}

/// An exchange that has not ended. When it is dropped, its audit event is recorded.
pub(super) struct Exchange {
    number: u64,
    live: Live,
    told: Arc<Told>,
    _charge: Charge,
}

impl Exchange {
    pub(super) fn new(
        authority: &Arc<Authority>,
        live: &Live,
        target: &HttpTarget,
        place: &Place,
        charge: Charge,
    ) -> Arc<Exchange> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let told = Arc::new(Told {
            authority: authority.clone(),
            started: Instant::now(),
            exchange: Mutex::new(Some(HttpExchange::new(target.clone()))),
            sent: Arc::default(),
            received: AtomicU64::new(0),
        });
        let live = live.clone();
        live.all().insert(number, (place.clone(), told.clone()));
        Arc::new(Exchange {
            number,
            live,
            told,
            _charge: charge,
        })
    }

    /// The number of bytes sent of the request's body.
    pub(super) fn sent(&self) -> &Arc<AtomicU64> {
        &self.told.sent
    }

    /// Add to the number of bytes received of the response's body.
    pub(super) fn received(&self, bytes: u64) {
        self.told.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Set why the exchange has failed.
    pub(super) fn failed(&self, failed: Failed) {
        self.told
            .set(|exchange| exchange.error = Some(failed.word()));
    }

    /// Set the address that the request is sent to.
    pub(super) fn connected(&self, address: Option<SocketAddr>) {
        self.told.set(|exchange| exchange.address = address);
    }

    /// Set the proxy that the request goes through, and the status of its response if there is one.
    pub(super) fn proxied(&self, proxy: &Proxy, status: Option<u16>) {
        let proxy = proxy.to_string();
        self.told
            .set(|exchange| exchange.proxy = Some(ProxyUse { proxy, status }));
    }

    /// Set the secret headers that the request is sent with.
    pub(super) fn adds_secrets(&self, headers: Vec<SecretHeaderUse>) {
        self.told.set(|exchange| exchange.secret_headers = headers);
    }

    /// Set the response's status.
    pub(super) fn answered(&self, status: u16) {
        self.told.set(|exchange| exchange.status = Some(status));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.live.all().remove(&self.number);
        self.told.tell();
    }
}
