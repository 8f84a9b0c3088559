//! The component's exports, over either version of WASI.
//!
//! The server's interface is the same on both versions, except for the type of `interrupt`.
//! wasmtime compares types by structure, and these are equal. So the bindings of WASI 0.2 also work
//! for 0.3; only the functions are looked up manually.

use crate::bindings::{self, fetch, hello_server as wit};
use crate::error::{Error, Result};
use crate::policy::Wasi;
use crate::serve::control::Interruption;
use crate::state::State;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, FutureReader, Instance, InstancePre, Lift, Lower,
    Resource, ResourceAny, TypedFunc,
};
use wasmtime::{Store, format_err};

/// What a component exports, before it has been instantiated.
pub(crate) enum ExportsPre {
    V0_2(Box<bindings::ProgramsPre<State>>),
    V0_3(InstancePre<State>, Indices),
}

/// What an instance exports.
pub(crate) enum Exports {
    V0_2(Box<bindings::Programs>),
    V0_3(Box<Server>),
}

impl ExportsPre {
    pub(crate) fn new(wasi: Wasi, pre: InstancePre<State>) -> wasmtime::Result<ExportsPre> {
        Ok(match wasi {
            Wasi::V0_2 => ExportsPre::V0_2(Box::new(bindings::ProgramsPre::new(pre)?)),
            Wasi::V0_3 => {
                let indices = Indices::find(&pre)?;
                ExportsPre::V0_3(pre, indices)
            }
        })
    }

    pub(crate) async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Exports> {
        Ok(match self {
            ExportsPre::V0_2(pre) => Exports::V0_2(Box::new(pre.instantiate_async(store).await?)),
            ExportsPre::V0_3(pre, indices) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                Exports::V0_3(Box::new(Server::new(store, &instance, indices)?))
            }
        })
    }
}

impl Exports {
    /// The version of WASI that it runs on.
    pub(crate) fn wasi(&self) -> Wasi {
        match self {
            Exports::V0_2(_) => Wasi::V0_2,
            Exports::V0_3(_) => Wasi::V0_3,
        }
    }

    /// The client.
    ///
    /// # Errors
    /// [`Error::InvalidOptions`]: this component has none.
    pub(crate) fn fetch(&self) -> Result<&fetch::Guest> {
        match self {
            Exports::V0_2(programs) => Ok(programs.sockbox_net_fetch()),
            Exports::V0_3(_) => Err(Error::InvalidOptions {
                reason: "fetch needs a sandbox on WASI 0.2: the component for WASI 0.3 has only the server"
                    .to_owned(),
            }),
        }
    }

    pub(crate) async fn start(
        &self,
        store: &mut Store<State>,
        options: &wit::Options,
    ) -> wasmtime::Result<Result<ResourceAny, wit::ErrorCode>> {
        match self {
            Exports::V0_2(programs) => {
                let guest = programs.sockbox_net_hello_server().server();
                guest.call_start(store, options).await
            }
            Exports::V0_3(server) => call(&server.start, store, (options.clone(),)).await,
        }
    }

    pub(crate) async fn addresses(
        &self,
        store: &mut Store<State>,
        server: ResourceAny,
    ) -> wasmtime::Result<Vec<wit::IpSocketAddress>> {
        match self {
            Exports::V0_2(programs) => {
                let guest = programs.sockbox_net_hello_server().server();
                guest.call_addresses(store, server).await
            }
            Exports::V0_3(exports) => call(&exports.addresses, store, (server,)).await,
        }
    }

    pub(crate) async fn run(
        &self,
        store: &mut Store<State>,
        server: ResourceAny,
        interruption: &Interruption,
    ) -> wasmtime::Result<wit::Progress> {
        match self {
            Exports::V0_2(programs) => {
                let guest = programs.sockbox_net_hello_server().server();
                let interrupt = Resource::new_borrow(interruption.pollable.rep());
                guest.call_run(store, server, interrupt).await
            }
            Exports::V0_3(exports) => {
                let interrupt = interruption.control.clone().interrupt();
                let interrupt = FutureReader::new(&mut *store, interrupt)?;
                call(&exports.run, store, (server, interrupt)).await
            }
        }
    }

    pub(crate) async fn stop(
        &self,
        store: &mut Store<State>,
        server: ResourceAny,
        drain_timeout: u64,
    ) -> wasmtime::Result<()> {
        match self {
            Exports::V0_2(programs) => {
                let guest = programs.sockbox_net_hello_server().server();
                guest.call_stop(store, server, drain_timeout).await
            }
            Exports::V0_3(exports) => {
                exports
                    .stop
                    .call_async(store, (server, drain_timeout))
                    .await
            }
        }
    }

    pub(crate) async fn stats(
        &self,
        store: &mut Store<State>,
        server: ResourceAny,
    ) -> wasmtime::Result<wit::ServerStats> {
        match self {
            Exports::V0_2(programs) => {
                let guest = programs.sockbox_net_hello_server().server();
                guest.call_stats(store, server).await
            }
            Exports::V0_3(exports) => call(&exports.stats, store, (server,)).await,
        }
    }
}

async fn call<P, R>(
    function: &TypedFunc<P, (R,)>,
    store: &mut Store<State>,
    parameters: P,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: Lift + Send + Sync + 'static,
    (R,): ComponentNamedList + Lift + Send + Sync + 'static,
{
    let (result,) = function.call_async(store, parameters).await?;
    Ok(result)
}

/// Where the server's functions are in a component for WASI 0.3.
pub(crate) struct Indices {
    start: ComponentExportIndex,
    addresses: ComponentExportIndex,
    run: ComponentExportIndex,
    stop: ComponentExportIndex,
    stats: ComponentExportIndex,
}

impl Indices {
    fn find(pre: &InstancePre<State>) -> wasmtime::Result<Indices> {
        const INTERFACE: &str = "sockbox:net/hello-server@0.1.0";
        const COMMAND: &str = "wasi:cli/run@0.3.0";
        let component = pre.component();
        let export = |interface, name: &str| {
            let index = component.get_export_index(interface, name);
            index.ok_or_else(|| format_err!("it does not export `{name}`"))
        };
        // This export distinguishes it from a build for WASI 0.2, whose functions have the same
        // names.
        export(None, COMMAND)?;
        let interface = export(None, INTERFACE)?;
        let function = |name| export(Some(&interface), name);
        Ok(Indices {
            start: function("[static]server.start")?,
            addresses: function("[method]server.addresses")?,
            run: function("[method]server.run")?,
            stop: function("[method]server.stop")?,
            stats: function("[method]server.stats")?,
        })
    }
}

/// The server's functions in an instance on WASI 0.3.
pub(crate) struct Server {
    start: TypedFunc<(wit::Options,), (Result<ResourceAny, wit::ErrorCode>,)>,
    addresses: TypedFunc<(ResourceAny,), (Vec<wit::IpSocketAddress>,)>,
    run: TypedFunc<(ResourceAny, FutureReader<()>), (wit::Progress,)>,
    stop: TypedFunc<(ResourceAny, u64), ()>,
    stats: TypedFunc<(ResourceAny,), (wit::ServerStats,)>,
}

impl Server {
    fn new(
        store: &mut Store<State>,
        instance: &Instance,
        indices: &Indices,
    ) -> wasmtime::Result<Server> {
        Ok(Server {
            start: instance.get_typed_func(&mut *store, indices.start)?,
            addresses: instance.get_typed_func(&mut *store, indices.addresses)?,
            run: instance.get_typed_func(&mut *store, indices.run)?,
            stop: instance.get_typed_func(&mut *store, indices.stop)?,
            stats: instance.get_typed_func(&mut *store, indices.stats)?,
        })
    }
}
