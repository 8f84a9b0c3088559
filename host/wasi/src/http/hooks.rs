//! The hooks that wasmtime-wasi-http calls when a component sends a request.

use super::client::Client;
use super::error::Failed;
use super::exchange::Live;
use super::pool::Pool;
use super::secrets::Secrets;
use super::send::send;
use crate::authority::Authority;
use crate::budget::Budget;
use crate::grant::Grant;
use crate::sockets::Dialer;
use crate::tls;
use std::future::Future;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
};

/// The protocols that the TLS handshake offers to a server (ALPN, RFC 7301).
const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

/// The most bytes that a component can write to a request's body in one call: 64 KiB, as with a socket.
const MOST_WRITTEN: usize = 64 * 1024;

/// The state of `wasi:http` in a run.
pub(crate) struct Http {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks {
    client: Arc<Client>,
    /// How many requests wasmtime-wasi-http has passed on.
    sent: u64,
}

impl Http {
    pub(crate) fn new(
        grant: &Grant,
        authority: &Arc<Authority>,
        dialer: &Dialer,
        memory: &Arc<Budget>,
    ) -> Http {
        Http {
            ctx: WasiHttpCtx::new(),
            hooks: Hooks {
                sent: 0,
                client: Arc::new(Client {
                    authority: authority.clone(),
                    dialer: dialer.clone(),
                    memory: memory.clone(),
                    tls: tls::Client::new(grant.tls.clone(), PROTOCOLS, authority.clone()),
                    pool: Pool::default(),
                    live: Live::default(),
                    secrets: Secrets::new(&grant.secret_headers),
                    proxies: grant.proxies.clone(),
                }),
            },
        }
    }

    /// How many requests the component has sent that wasmtime-wasi-http has not refused.
    pub(super) fn sent(&self) -> u64 {
        self.hooks.sent
    }

    pub(crate) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table,
            ctx: &mut self.ctx,
        }
    }

    /// Close the run's idle connections.
    pub(crate) fn close_idle(&self) {
        self.hooks.client.pool.clear();
    }
}

impl Drop for Http {
    /// Close all connections, and record the exchanges that have not ended. Without this the audit record would lack
    /// them.
    fn drop(&mut self) {
        self.hooks.client.pool.close();
        self.hooks.client.live.break_off();
    }
}

type Sent = Result<
    (
        http::Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

impl WasiHttpHooks for Hooks {
    /// No: `Prepared` makes the header from the URL that the policy judges.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        self.sent += 1;
        let client = self.client.clone();
        // Charged here and not in the future, which may not be polled for a long time. The memory limit then also bounds
        // the requests of a component that sends many and never waits.
        let charge = client.charge_exchange();
        Box::new(async move {
            let charge = charge.ok_or(Error::ConnectionLimitReached)?;
            let (response, driver) =
                send(client, request, options.unwrap_or_default(), charge).await?;
            let driver = Box::new(async move {
                driver.await;
                Ok(())
            });
            Ok((response, driver as Box<dyn Future<Output = _> + Send>))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        MOST_WRITTEN
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        MOST_WRITTEN
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        Failed::of_hyper(error).into_code()
    }
}
