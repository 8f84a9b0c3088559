//! An exchange: one request, and its response.

use super::bodies::ResponseBody;
use super::driver::{Connected, Driver, Place};
use super::error::Failed;
use super::pool::{Key, Pool};
use super::prepare::Prepared;
use super::secrets::Secrets;
use crate::authority::Authority;
use crate::budget::{Budget, Charge};
use crate::sockets::Dialer;
use crate::tls;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sockbox_policy::audit::{EventKind, HttpExchange, ProxyUse};
use sockbox_policy::{HttpTarget, Limit, Proxies, Proxy, Target};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// How much of the run's memory an exchange is charged until the component has read or dropped the response: 192 KiB.
/// Most of it is for the part of the request's body that the component has written and hyper has not yet taken.
const EXCHANGE_BYTES: u64 = 192 * 1024;

/// How long the lookup, the connect and the TLS handshake may take together, unless the component sets a timeout:
/// 1 minute.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the host waits for the response's head, unless the component sets a timeout: 10 minutes, as in wasmtime.
/// The time begins when the host starts to send the request, so it includes the time that the request's body takes.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);

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
    fn new(client: &Client, target: &HttpTarget, place: &Place, charge: Charge) -> Arc<Exchange> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let told = Arc::new(Told {
            authority: client.authority.clone(),
            started: Instant::now(),
            exchange: Mutex::new(Some(HttpExchange::new(target.clone()))),
            sent: Arc::default(),
            received: AtomicU64::new(0),
        });
        let live = client.live.clone();
        live.all().insert(number, (place.clone(), told.clone()));
        Arc::new(Exchange {
            number,
            live,
            told,
            _charge: charge,
        })
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

    fn connected(&self, address: Option<SocketAddr>) {
        self.told.set(|exchange| exchange.address = address);
    }

    /// Set the proxy that the request goes through, and the status of its response if there is one.
    pub(super) fn proxied(&self, proxy: &Proxy, status: Option<u16>) {
        let proxy = proxy.to_string();
        self.told
            .set(|exchange| exchange.proxy = Some(ProxyUse { proxy, status }));
    }

    fn answered(&self, status: u16) {
        self.told.set(|exchange| exchange.status = Some(status));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.live.all().remove(&self.number);
        self.told.tell();
    }
}

/// Send a request if the policy allows it, and wait for the head of its response.
///
/// The caller has to poll the returned [`Driver`] until the component has read the response: the driver reads the body
/// from the connection.
pub(super) async fn send(
    client: Arc<Client>,
    request: Request<WasiBody>,
    options: RequestOptions,
    charge: Charge,
) -> Result<(Response<WasiBody>, Driver), Error> {
    let mut prepared = match Prepared::new(request) {
        Ok(prepared) => prepared,
        Err((failed, refused)) => {
            client.authority.record(|| EventKind::HttpRefused(refused));
            return Err(failed.into_error());
        }
    };
    let target = Target::Http(prepared.target.clone());
    if !client.authority.ask(target).await {
        return Err(Failed::Denied.into_error());
    }
    let place = Place::default();
    let exchange = Exchange::new(&client, &prepared.target, &place, charge);
    let key = Key::of(&prepared.target.url);
    // If this future is dropped from here on, the driver closes the connection.
    let driver = Driver::new(place.clone(), key, client.pool.clone());
    prepared.begin_body().await;
    match respond(&client, prepared, options, &place, &exchange).await {
        Ok(response) => {
            exchange.answered(response.status().as_u16());
            let timeout = options.between_bytes_timeout;
            let response = response
                .map(|body| ResponseBody::new(body, timeout, place, exchange).boxed_unsync());
            Ok((response, driver))
        }
        Err(failed) => {
            exchange.failed(failed);
            Err(failed.into_error())
        }
    }
}

/// Send a request on an idle connection of the pool, or on a new connection.
async fn respond(
    client: &Client,
    mut prepared: Prepared,
    options: RequestOptions,
    place: &Place,
    exchange: &Exchange,
) -> Result<Response<Incoming>, Failed> {
    let target = prepared.target.clone();
    client.secrets.check(&target, &client.authority)?;
    let key = Key::of(&target.url);
    let is_safe = prepared.can_be_repeated();
    let first_byte = options.first_byte_timeout.unwrap_or(FIRST_BYTE_TIMEOUT);
    let timed = |response| async move {
        let timed = tokio::time::timeout(first_byte, response).await;
        timed.unwrap_or(Err(Failed::ReadTimeout))
    };
    let mut send_on = |mut connected: Connected| {
        exchange.connected(connected.address);
        let mut request = prepared.request(&exchange.told.sent);
        client.secrets.add_to(request.headers_mut(), &target.url);
        let response = connected.sender.send_request(request);
        place.put(connected);
        timed(drive(response, place))
    };
    // A server may close an idle connection while the host sends the next request on it. The host then can't find out
    // whether the server has handled the request. It may repeat only a request that changes nothing, so only such a
    // request uses an idle connection.
    let may_reach = |address: SocketAddr| client.authority.http_reaches(&target, address.ip());
    if is_safe && let Some(kept) = client.pool.take(&key, may_reach) {
        match send_on(kept).await {
            Err(Failed::Incomplete | Failed::Terminated) => place.close(),
            response => return response,
        }
    }
    let connect = options.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let connected = tokio::time::timeout(connect, client.reach(&target, exchange))
        .await
        .unwrap_or(Err(Failed::ConnectTimeout))?;
    send_on(connected).await
}

/// Wait for the head of a response, and drive the connection while waiting.
async fn drive(
    response: impl Future<Output = hyper::Result<Response<Incoming>>>,
    place: &Place,
) -> Result<Response<Incoming>, Failed> {
    let mut response = pin!(response);
    poll_fn(|cx| {
        // The connection is polled first: if it fails, hyper passes the error to the response.
        let over = place.poll(cx).is_ready();
        match response.as_mut().poll(cx) {
            Poll::Ready(response) => {
                Poll::Ready(response.map_err(|error| Failed::of_hyper(&error)))
            }
            // Not expected: a connection that ends resolves its response.
            Poll::Pending if over => Poll::Ready(Err(Failed::Terminated)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
