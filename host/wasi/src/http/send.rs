//! Sending a request, and waiting for the head of its response.

use super::client::Client;
use super::connected::Connected;
use super::driver::{Driver, Place};
use super::error::Failed;
use super::exchange::Exchange;
use super::pool::Key;
use super::prepare::Prepared;
use super::response_body::ResponseBody;
use crate::budget::Charge;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sockbox_policy::Target;
use sockbox_policy::audit::EventKind;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// How long the lookup, the connect and the TLS handshake may take together, unless the component sets a timeout:
/// 1 minute.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the host waits for the response's head, unless the component sets a timeout: 10 minutes, as in wasmtime.
/// The time begins when the host starts to send the request, so it includes the time that the request's body takes.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);

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
    let exchange = Exchange::new(
        &client.authority,
        &client.live,
        &prepared.target,
        &place,
        charge,
    );
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
        let mut request = prepared.request(exchange.sent());
        exchange.adds_secrets(client.secrets.add_to(request.headers_mut(), &target.url));
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
