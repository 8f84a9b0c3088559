//! Components of any world, as plugins of the program.
//!
//! | file | content |
//! |---|---|
//! | `mod` | [`Plugin`]: a component, with what its instances are given |
//! | `code` | loading one, and finding its functions |
//! | `instance` | one instance, and its calls |
//! | `pool` | instances for many tasks |
//! | `value`, `convert` | values for calls without bindings, and their types |

mod code;
mod convert;
mod instance;
mod pool;
mod value;

pub use instance::PluginInstance;
pub use pool::{Pool, PoolOptions, Pooled};
pub use value::{Value, WrongValue};

use crate::cache::CacheUse;
use crate::error::{Error, Result};
use crate::policy::Wasi;
use crate::problem::not_runnable;
use crate::profile::{Dir, Profile};
use crate::setup::Setup;
use crate::state::State;
use crate::streams::{Input, Output};
use code::Code;
use sockbox_wasi::Grant;
use std::fmt;
use std::sync::Arc;
use wasmtime::component::{InstancePre, Linker};

/// A component of any world, compiled and linked, with what each of its instances is given.
///
/// [`Sandbox::plugin_file`](crate::Sandbox::plugin_file) loads one. By default nothing is granted, the default limits
/// apply, there are no arguments, no environment and no files, the standard input is empty, and output is discarded.
///
/// An instance is a run of its own, with its own memory, its own limits and its own part of the audit record.
/// [`Limits::wall_time`](crate::Limits::wall_time) and [`Limits::cpu_time`](crate::Limits::cpu_time) hold for each call, and
/// for the start. All other limits hold for each instance.
///
/// - [`Plugin::call`] calls an exported function in a fresh instance.
/// - [`Plugin::instance`] gives an instance, for several calls and for calls with the types of `bindgen!`.
/// - [`Plugin::pool`] lends instances to many tasks, up to a bound.
///
/// Cloning a plugin is cheap. The clones share the compiled code, and each can be given something else.
///
/// # Examples
/// ```
/// use sockbox::{Sandbox, Value};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = r#"
///     (component
///         (core module $module (func (export "add") (param i32 i32) (result i32)
///             (i32.add (local.get 0) (local.get 1))))
///         (core instance $core (instantiate $module))
///         (func (export "add") (param "a" u32) (param "b" u32) (result u32)
///             (canon lift (core func $core "add"))))
/// "#;
/// let plugin = Sandbox::new()?.plugin_bytes(text)?;
/// let sum = plugin.call("add", &[2_u32.into(), 3_u32.into()]).await?;
/// assert_eq!(sum, Some(Value::U32(5)));
/// # Ok(())
/// # }
/// ```
pub struct Plugin<T: 'static = ()> {
    code: Arc<Code>,
    /// The error says what can't be linked.
    pre: Result<InstancePre<State<T>>, String>,
    data: Arc<dyn Fn() -> T + Send + Sync>,
    setup: Setup,
}

impl<T: 'static> Clone for Plugin<T> {
    fn clone(&self) -> Plugin<T> {
        Plugin {
            code: self.code.clone(),
            pre: self.pre.clone(),
            data: self.data.clone(),
            setup: self.setup.clone(),
        }
    }
}

impl<T: Send + 'static> Plugin<T> {
    /// Offer the component imports of the program's own, beside those of WASI, and put data of the program's own into the
    /// store of each instance. `data` makes the data of one instance. `add` adds the imports, which reach the data with
    /// [`State::data_mut`].
    ///
    /// It replaces what an earlier call has added.
    ///
    /// # Errors
    /// - [`Error::NotRunnable`]: the component imports something else, too, or with another type.
    /// - [`Error::InvalidOptions`]: `add` has failed. It may not add an interface of WASI.
    /// - [`Error::Internal`]: the machine lacks resources.
    ///
    /// # Examples
    /// ```
    /// use sockbox::wasmtime::component::{HasSelf, bindgen};
    /// use sockbox::{PluginState, Sandbox};
    ///
    /// bindgen!({
    ///     inline: "
    ///         package example:greeter;
    ///         world greeter {
    ///             import log: func(line: string);
    ///             export greet: func();
    ///         }
    ///     ",
    ///     exports: { default: async },
    ///     wasmtime_crate: sockbox::wasmtime,
    /// });
    ///
    /// #[derive(Default)]
    /// struct Log(Vec<String>);
    ///
    /// impl GreeterImports for Log {
    ///     fn log(&mut self, line: String) {
    ///         self.0.push(line);
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let text = r#"(component
    /// #   (import "log" (func $log (param "line" string)))
    /// #   (core module $memory (memory (export "memory") 1) (data (i32.const 8) "hello"))
    /// #   (core instance $m (instantiate $memory))
    /// #   (core func $core-log (canon lower (func $log) (memory (core memory $m "memory"))))
    /// #   (core module $module
    /// #     (import "" "log" (func $log (param i32 i32)))
    /// #     (func (export "greet") (call $log (i32.const 8) (i32.const 5))))
    /// #   (core instance $i (instantiate $module
    /// #     (with "" (instance (export "log" (func $core-log))))))
    /// #   (func (export "greet") (canon lift (core func $i "greet"))))"#;
    /// let plugin = Sandbox::new()?
    ///     .plugin_bytes(text)?
    ///     .with(Log::default, |linker| {
    ///         Greeter::add_to_linker::<_, HasSelf<Log>>(linker, PluginState::data_mut)
    ///     })?;
    /// let mut instance = plugin.instance().await?;
    /// let greeter = instance.bind(|store, instance| Greeter::new(store, instance))?;
    /// instance.run(async |store| greeter.call_greet(store).await).await?;
    /// assert_eq!(instance.data().0, ["hello"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with<U: Send + 'static>(
        &self,
        data: impl Fn() -> U + Send + Sync + 'static,
        add: impl FnOnce(&mut Linker<State<U>>) -> wasmtime::Result<()>,
    ) -> Result<Plugin<U>> {
        let mut linker = self.code.runtime()?.linker_for::<U>().map_err(|error| {
            Error::internal(format_args!("cannot prepare the imports: {error:#}"))
        })?;
        add(&mut linker).map_err(|error| Error::InvalidOptions {
            reason: format!("the imports can't be added: {error:#}"),
        })?;
        let pre = linker.instantiate_pre(&self.code.component);
        let pre = pre.map_err(|error| {
            not_runnable(
                self.code.file.as_deref(),
                format!("it can't be linked: {error:#}"),
            )
        })?;
        Ok(Plugin {
            code: self.code.clone(),
            pre: Ok(pre),
            data: Arc::new(data),
            setup: self.setup.clone(),
        })
    }

    /// Set what each instance is granted: the policy, the limits, the audit sink, TLS, secrets. It replaces an earlier
    /// grant. [`Sandbox::grant`](crate::Sandbox::grant) is the one to begin with.
    pub fn grant(mut self, grant: Grant) -> Plugin<T> {
        self.setup.grant = grant;
        self
    }

    /// Apply `profile`, the content of a policy file: its grants and limits replace earlier ones, and its static host
    /// addresses, directories, environment variables, secret headers, certificates and proxies are added.
    ///
    /// # Errors
    /// - [`Error::InvalidOptions`]: the value of a limit is invalid, a variable isn't set in this process or isn't Unicode, a
    ///   secret header has no value that can be sent, or the profile has [`listen_as`](Profile::listen_as), which is for a
    ///   [`Command`](crate::Command).
    /// - [`Error::Tls`]: a file of certificates can't be used.
    pub fn profile(mut self, profile: &Profile) -> Result<Plugin<T>> {
        if !profile.listen_as.is_empty() {
            return Err(Error::InvalidOptions {
                reason:
                    "`listen-as` has no effect on a plugin: each of its instances would listen there"
                        .to_owned(),
            });
        }
        self.setup.profile(profile)?;
        Ok(self)
    }

    /// Add an argument. The first one is, by custom, the program's name.
    pub fn arg(mut self, arg: impl Into<String>) -> Plugin<T> {
        self.setup.surroundings.args.push(arg.into());
        self
    }

    /// Add an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Plugin<T> {
        let variable = (name.into(), value.into());
        self.setup.surroundings.env.push(variable);
        self
    }

    /// Give each instance access to a directory. [`Command::dir`](crate::Command::dir) says which ones are refused.
    pub fn dir(mut self, dir: Dir) -> Plugin<T> {
        self.setup.surroundings.dirs.push(dir);
        self
    }

    /// Set what the instances read as their standard input.
    pub fn stdin(mut self, input: Input) -> Plugin<T> {
        self.setup.streams.stdin = input;
        self
    }

    /// Set where the standard output of the instances goes. To have that of one instance alone, set it in a clone of the
    /// plugin that makes one instance.
    pub fn stdout(mut self, output: impl Into<Output>) -> Plugin<T> {
        self.setup.streams.stdout = output.into();
        self
    }

    /// Set where the standard error of the instances goes, as [`Plugin::stdout`] does.
    pub fn stderr(mut self, output: impl Into<Output>) -> Plugin<T> {
        self.setup.streams.stderr = output.into();
        self
    }

    /// What it is granted: for [`Grant::policy`] and its like, which change a grant.
    pub fn granted(&self) -> &Grant {
        &self.setup.grant
    }

    /// The functions that it exports, in the form that [`Plugin::call`] takes: `greet`, or
    /// `example:greeter/api@1.0.0/greet`.
    pub fn functions(&self) -> Vec<String> {
        self.code.functions()
    }

    /// The version of WASI that it runs on.
    pub fn wasi(&self) -> Wasi {
        self.code.wasi
    }

    /// Whether it was compiled, or loaded from the sandbox's cache
    /// ([`SandboxBuilder::cache_dir`](crate::SandboxBuilder::cache_dir)).
    pub fn cache_use(&self) -> &CacheUse {
        &self.code.cache
    }

    /// The component with its imports, as the types of `bindgen!` take it: `MyWorldPre::new(plugin.instance_pre()?)` checks
    /// that it is a component of that world, before there is an instance.
    ///
    /// # Errors
    /// [`Error::NotRunnable`]: it imports what neither sockbox nor [`Plugin::with`] provides.
    pub fn instance_pre(&self) -> Result<InstancePre<State<T>>> {
        self.pre.clone().map_err(|problem| {
            let problem = format!("{problem}; `Plugin::with` adds imports of the program's own");
            not_runnable(self.code.file.as_deref(), problem)
        })
    }

    /// Make an instance.
    ///
    /// # Errors
    /// - [`Error::NotRunnable`]: as for [`Plugin::instance_pre`].
    /// - [`Error::InvalidOptions`]: a directory can't be opened or given, or the component would be given the value of a
    ///   secret header.
    /// - [`Error::WallTime`], [`Error::CpuTime`], [`Error::MemoryLimit`], [`Error::Exhausted`]: it exceeded a limit when it
    ///   started.
    /// - [`Error::Trapped`]: it trapped when it started.
    /// - [`Error::Internal`]: it could not be started, for lack of memory for example.
    ///
    /// # Cancel safety
    /// The future can be dropped at any time.
    pub async fn instance(&self) -> Result<PluginInstance<T>> {
        self.instance_with((self.data)()).await
    }

    /// As [`Plugin::instance`], with this data in its store.
    ///
    /// # Errors
    /// Those of [`Plugin::instance`].
    pub async fn instance_with(&self, data: T) -> Result<PluginInstance<T>> {
        PluginInstance::start(self.clone(), data).await
    }

    /// Call an exported function in a fresh instance: see [`PluginInstance::call`].
    ///
    /// # Errors
    /// Those of [`Plugin::instance`] and of [`PluginInstance::call`].
    ///
    /// # Cancel safety
    /// The future can be dropped at any time. That ends the instance.
    pub async fn call(&self, function: &str, arguments: &[Value]) -> Result<Option<Value>> {
        // A mistake in the name needs no instance.
        self.code.function(function)?;
        self.instance().await?.call(function, arguments).await
    }

    /// Lend instances to many tasks.
    pub fn pool(&self, options: PoolOptions) -> Pool<T> {
        Pool::new(self.clone(), options)
    }
}

impl<T: 'static> fmt::Debug for Plugin<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("file", &self.code.file)
            .field("grant", &self.setup.grant)
            .finish_non_exhaustive()
    }
}
