//! One instance of a plugin, and its calls.

use super::Plugin;
use super::code::Function;
use super::convert::{from_val, to_val};
use super::value::Value;
use crate::audit::RunId;
use crate::error::{Error, Result};
use crate::failure::failure;
use crate::instance::Clock;
use crate::life::Life;
use crate::problem::{first_line, not_runnable};
use crate::state::State;
use crate::streams::Writers;
use sockbox_wasi::{Incidents, Mark};
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use wasmtime::Store;
use wasmtime::component::{Instance, Val};

/// One instance of a [`Plugin`]: a run with its own memory and its own limits.
///
/// Dropping it ends the run at once and closes its connections.
///
/// # Cancel safety
/// The future of a call can be dropped at any time. If the component was in the middle of the call then, the instance can't
/// be used any more, and every further call is [`Error::Abandoned`]. The same is true after a trap ([`Error::Trapped`]) and
/// after a limit that ended a call.
pub struct PluginInstance<T: 'static = ()> {
    run: RunId,
    store: Store<State<T>>,
    instance: Instance,
    life: Life,
    /// The place in the log of incidents at which the last call began.
    mark: Mark,
    /// The bindings that [`PluginInstance::bind`] has made, of different types.
    bindings: Vec<Arc<dyn Any + Send + Sync>>,
    writers: Writers,
    /// The sandbox's ticker stops when the last reference is dropped.
    plugin: Plugin<T>,
}

impl<T: Send + 'static> PluginInstance<T> {
    pub(super) async fn start(plugin: Plugin<T>, data: T) -> Result<PluginInstance<T>> {
        let pre = plugin.instance_pre()?;
        let (code, setup) = (&plugin.code, &plugin.setup);
        let runtime = code.runtime()?;
        setup.check(&code.sandbox)?;
        let (wasi, writers) = setup.wasi()?;
        let run = code.sandbox.next_run();
        let mut store = State::store(&runtime.engine, run, &setup.grant, wasi, data);
        let authority = store.data().sockbox.authority().clone();
        let limits = setup.grant.granted_limits();
        code.cost.fits(limits, &authority)?;
        let clock = Clock::start(runtime, limits, authority, None)?;
        let started = clock.time(pre.instantiate_async(&mut store)).await?;
        let instance = started.map_err(|error| failure(&store, error))?;
        Ok(PluginInstance {
            run,
            store,
            instance,
            life: Life::default(),
            mark: Mark::default(),
            bindings: Vec::new(),
            writers,
            plugin,
        })
    }

    /// Call an exported function with these arguments, and give its result. None: it has none.
    ///
    /// `function` is the name of the function. If it is in an interface, that may be named, too: `greet`,
    /// `api/greet`, `example:greeter/api/greet` or `example:greeter/api@1.0.0/greet`, as long as only one function is
    /// meant. [`Plugin::functions`] lists the names.
    ///
    /// # Errors
    /// - [`Error::NoSuchFunction`]: it exports no such function, or several.
    /// - [`Error::InvalidArguments`]: the arguments don't have the types of the function's parameters. Nothing was called.
    /// - [`Error::NoValue`]: the function has returned a resource, a future or a stream. The instance can't be used any
    ///   more.
    /// - Those of [`PluginInstance::run`].
    ///
    /// A function whose result type is `result` gives a [`Value::Result`]: its error is no [`Error`].
    pub async fn call(&mut self, function: &str, arguments: &[Value]) -> Result<Option<Value>> {
        let Function { index, ty } = self.plugin.code.function(function)?;
        let invalid = |problem: String| Error::InvalidArguments {
            function: function.to_owned(),
            problem,
        };
        if arguments.len() != ty.params().len() {
            return Err(invalid(format!(
                "there are {}, and it has {} parameters",
                arguments.len(),
                ty.params().len()
            )));
        }
        let mut parameters = Vec::with_capacity(arguments.len());
        for (argument, (name, ty)) in arguments.iter().zip(ty.params()) {
            let parameter = to_val(argument, &ty);
            parameters.push(parameter.map_err(|mismatch| invalid(mismatch.of(name)))?);
        }
        let mut results = vec![Val::Bool(false); ty.results().len()];
        let Some(callee) = self.instance.get_func(&mut self.store, index) else {
            return Err(Error::internal(format_args!(
                "the exported function `{function}` has no instance"
            )));
        };
        self.run(async |store| callee.call_async(store, &parameters, &mut results).await)
            .await?;
        let result = results.into_iter().next().map(from_val).transpose();
        result.map_err(|kind| {
            // The value stays in the instance for as long as that exists.
            self.life.end(false);
            Error::NoValue {
                function: function.to_owned(),
                kind,
            }
        })
    }

    /// Call the component with the types of `bindgen!`. `call` is passed the store, which the types need:
    /// [`Plugin::with`] has an example. It may call several functions, one after the other; the time limits hold for all
    /// of it.
    ///
    /// # Errors
    /// - [`Error::Trapped`]: the component trapped, or an import of the program's own has failed.
    /// - [`Error::WallTime`], [`Error::CpuTime`], [`Error::MemoryLimit`], [`Error::Exhausted`]: it exceeded a limit.
    /// - [`Error::Abandoned`]: an earlier call was dropped before it ended, or exceeded a time limit.
    /// - [`Error::Internal`]: it could not be called, for lack of memory for example, or `call` has failed in itself.
    ///
    /// After each of these the instance can't be used any more.
    pub async fn run<R>(
        &mut self,
        call: impl AsyncFnOnce(&mut Store<State<T>>) -> wasmtime::Result<R>,
    ) -> Result<R> {
        self.life.begin()?;
        let sockbox = &mut self.store.data_mut().sockbox;
        sockbox.limiter().forget_refusal();
        let authority = sockbox.authority().clone();
        self.mark = authority.mark();
        let limits = self.plugin.setup.grant.granted_limits();
        let clock = Clock::start(self.plugin.code.runtime()?, limits, authority, None)?;
        let called = clock.time(async {
            let called = call(&mut self.store).await;
            // The last output may still wait for a reader. That wait counts as the call's time.
            self.writers.written().await;
            called
        });
        let called = called.await?;
        self.life.end(called.is_ok());
        called.map_err(|error| failure(&self.store, error))
    }

    /// Make the bindings of this instance, or find those that were made before. `make` is
    /// `|store, instance| MyWorld::new(store, instance)`; the `load` of a type such as `MyWorldIndices` is faster, if the
    /// program keeps one.
    ///
    /// # Errors
    /// [`Error::NotRunnable`]: it isn't an instance of that world.
    pub fn bind<W: Send + Sync + 'static>(
        &mut self,
        make: impl FnOnce(&mut Store<State<T>>, &Instance) -> wasmtime::Result<W>,
    ) -> Result<Arc<W>> {
        let made = self.bindings.iter();
        if let Some(bindings) = made.cloned().find_map(|made| made.downcast().ok()) {
            return Ok(bindings);
        }
        let made = make(&mut self.store, &self.instance).map_err(|error| {
            not_runnable(
                self.plugin.code.file.as_deref(),
                format!("it has another world: {}", first_line(&error)),
            )
        })?;
        let made = Arc::new(made);
        self.bindings.push(made.clone());
        Ok(made)
    }

    /// The program's own data.
    pub fn data(&self) -> &T {
        self.store.data().data()
    }

    /// The program's own data.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut().data_mut()
    }

    /// The number of this run in audit events.
    pub fn run_id(&self) -> RunId {
        self.run
    }

    /// What the policy refused, which limits were reached and which TLS handshakes failed since the last call began. A
    /// component that copes with a refusal reports no error.
    pub fn incidents(&self) -> Incidents {
        self.store
            .data()
            .sockbox
            .authority()
            .incidents_since(self.mark)
    }

    /// Whether it can be called again: no call was abandoned, trapped or exceeded a limit.
    pub fn is_usable(&self) -> bool {
        self.life == Life::Ready
    }
}

impl<T: 'static> fmt::Debug for PluginInstance<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginInstance")
            .field("run", &self.run)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}
