//! A program with its own wasmtime store, linker and world. Its plugins reach exactly the network that is
//! granted.
//!
//! This takes three steps: implement `SockboxView` for the store's data, call `add_to_linker_async`
//! in place of wasmtime-wasi's function, and make a `SockboxCtx` from a `Grant`.

use sockbox_wasi::policy::audit::{AuditEvent, RunId};
use sockbox_wasi::policy::{Policy, RuleError};
use sockbox_wasi::{
    Grant, SockboxCtx, SockboxCtxView, SockboxView, add_to_linker_async, limit_store,
};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

wasmtime::component::bindgen!({
    inline: "
        package example:plugin;

        interface host {
            log: func(text: string);
        }

        world plugin {
            import host;
            export connect: func(port: u16) -> bool;
        }
    ",
    exports: { default: async },
});

/// The store's data: the program's own, WASI's, and sockbox's.
struct State {
    log: Vec<String>,
    wasi: WasiCtx,
    table: ResourceTable,
    sockbox: SockboxCtx,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl SockboxView for State {
    fn sockbox(&mut self) -> SockboxCtxView<'_> {
        SockboxCtxView {
            ctx: &mut self.sockbox,
            table: &mut self.table,
        }
    }
}

impl example::plugin::host::Host for State {
    fn log(&mut self, text: String) {
        self.log.push(text);
    }
}

/// The result of a run of the plugin.
pub struct Outcome {
    /// Whether it could connect.
    pub connected: bool,
    /// The lines that it passed to the host's `log`.
    pub log: Vec<String>,
    /// The audit record, an event a line.
    pub audit: Vec<String>,
}

/// Have the plugin connect to this port of 127.0.0.1, under this policy.
///
/// # Errors
/// The plugin can't be compiled, linked or run.
pub async fn run(policy: Policy, port: u16) -> wasmtime::Result<Outcome> {
    let engine = Engine::default();
    let component = Component::new(&engine, include_str!("own_store.wat"))?;

    let mut linker = Linker::new(&engine);
    add_to_linker_async(&mut linker)?;
    Plugin::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;

    let audit = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let audit = audit.clone();
        move |event: &AuditEvent| {
            if let Ok(mut lines) = audit.lock() {
                lines.push(event.to_string());
            }
        }
    };
    let grant = Grant::new().policy(policy).audit(sink);
    let mut store = Store::new(
        &engine,
        State {
            log: Vec::new(),
            wasi: WasiCtx::default(),
            table: ResourceTable::new(),
            sockbox: SockboxCtx::new(RunId::new(1), &grant),
        },
    );
    limit_store(&mut store);

    let plugin = Plugin::instantiate_async(&mut store, &component, &linker).await?;
    let connected = plugin.call_connect(&mut store, port).await?;
    let log = store.into_data().log;
    let audit = audit.lock().map(|lines| lines.clone()).unwrap_or_default();
    Ok(Outcome {
        connected,
        log,
        audit,
    })
}

/// A policy that grants connecting to this port of 127.0.0.1, and nothing else.
///
/// # Errors
/// None that a port can cause.
pub fn granting(port: u16) -> Result<Policy, RuleError> {
    Policy::new().allow_connect_to(&format!("127.0.0.1:{port}"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> wasmtime::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    for policy in [granting(port)?, Policy::new()] {
        let outcome = run(policy, port).await?;
        println!("connected: {}", outcome.connected);
        for line in outcome.log.iter().chain(&outcome.audit) {
            println!("  {line}");
        }
    }
    Ok(())
}
