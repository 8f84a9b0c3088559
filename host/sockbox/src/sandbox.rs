//! The sandbox: everything that runs share, prepared once.
//!
//! This module and that of [`InstanceBuilder`] import each other: a sandbox begins an instance, and the instance keeps
//! its sandbox.

use crate::audit::{AuditEvent, AuditSink, EventKind, RunId};
use crate::cache::Cache;
use crate::compiler::Compiler;
use crate::error::{Error, Result};
use crate::exports::ExportsPre;
use crate::instance::InstanceBuilder;
use crate::limits::{Limit, Limits};
use crate::load::{self, Loader, link};
use crate::policy::Wasi;
use crate::problem::first_line;
use crate::reservation::{self, Reservation};
use crate::runtime::Runtime;
use sockbox_component as component;
use sockbox_wasi::Grant;
use sockbox_wasi::tls::TlsConfig;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The engine, the component and what it is linked with: prepared once, for any number of runs.
///
/// Cloning it is cheap, and gives the same sandbox. Runs share nothing but the machine.
///
/// # Examples
/// ```
/// use sockbox::Sandbox;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> sockbox::Result<()> {
/// let sandbox = Sandbox::new()?;
/// // Two runs with nothing granted: neither can reach anything.
/// let one = sandbox.instance().build().await?;
/// let two = sandbox.instance().build().await?;
/// assert_ne!(one.run_id(), two.run_id());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    /// What the sandbox's own component runs on.
    own: Runtime,
    /// What programs for the other version of WASI run on, from the first such program on.
    other: OnceLock<Runtime>,
    exports: ExportsPre,
    reservation: Reservation,
    compiler: Option<Compiler>,
    cache: Option<Cache>,
    /// What components may take to be compiled and started.
    limits: Limits,
    audit: Option<Arc<dyn AuditSink>>,
    runs: AtomicU64,
    /// The default TLS settings of runs. They share the system's authorities once these have been
    /// read.
    tls: TlsConfig,
}

impl Sandbox {
    /// A sandbox with the component that comes with sockbox. It is compiled already: this takes
    /// about a millisecond.
    ///
    /// # Errors
    /// [`Error::Internal`]: the machine can't run it, for lack of memory for example.
    pub fn new() -> Result<Sandbox> {
        Sandbox::builder().build()
    }

    /// A sandbox with another build of the component.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder {
            source: Source::Embedded,
            wasi: Wasi::default(),
            cache: None,
            cache_key: None,
            compiler: None,
            limits: Limits::default(),
            audit: None,
        }
    }

    /// The component that comes with sockbox, as a WebAssembly binary for any runtime of this version
    /// of WASI. No version of WASI has TLS, so that this one fetches `http` pages only.
    pub fn component(wasi: Wasi) -> &'static [u8] {
        component::wasm(wasi)
    }

    /// The component for WASI 0.2 as it is run here: with TLS, for runtimes that offer the draft
    /// `wasi:tls` as well.
    pub fn component_with_tls() -> &'static [u8] {
        component::wasm_with_tls()
    }

    /// Prepare one run of the component, with nothing granted.
    pub fn instance(&self) -> InstanceBuilder {
        InstanceBuilder::new(self.clone())
    }

    /// A grant of nothing, which trusts the system's certificate authorities. These are read once for all grants of this
    /// sandbox, so prefer it to [`Grant::new`].
    pub fn grant(&self) -> Grant {
        Grant::new().tls(self.inner.tls.clone())
    }

    /// What the sandbox's own component runs on.
    pub(crate) fn own_runtime(&self) -> &Runtime {
        &self.inner.own
    }

    /// What programs for this version of WASI run on.
    ///
    /// # Errors
    /// [`Error::Internal`]: the machine lacks resources for it.
    pub(crate) fn runtime(&self, wasi: Wasi) -> Result<&Runtime> {
        if self.inner.own.wasi == wasi {
            return Ok(&self.inner.own);
        }
        if let Some(runtime) = self.inner.other.get() {
            return Ok(runtime);
        }
        let runtime = Runtime::new(wasi, self.inner.reservation).map_err(internal)?;
        Ok(self.inner.other.get_or_init(|| runtime))
    }

    /// What components for this version of WASI are loaded with, for as long as they are `wanted`.
    pub(crate) fn loader<'a>(
        &'a self,
        wasi: Wasi,
        wanted: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Loader<'a>> {
        Ok(Loader {
            runtime: self.runtime(wasi)?,
            cache: self.inner.cache.as_ref(),
            compiler: self.inner.compiler.as_ref(),
            limits: &self.inner.limits,
            reservation: self.inner.reservation,
            wanted,
        })
    }

    /// Record that a component was not loaded because of a limit, as a run that ended before it began.
    pub(crate) fn recorded<T>(&self, loaded: Result<T>) -> Result<T> {
        if let (Err(error), Some(audit)) = (&loaded, &self.inner.audit)
            && let Some(limit) = limit_of(error)
        {
            let run = self.next_run();
            let target = None;
            audit.record(&AuditEvent::now(run, EventKind::Limit { limit, target }));
            audit.record(&AuditEvent::now(run, EventKind::Ended));
        }
        loaded
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    pub(crate) fn exports(&self) -> &ExportsPre {
        &self.inner.exports
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.inner.cache.as_ref()
    }

    pub(crate) fn next_run(&self) -> RunId {
        RunId::new(self.inner.runs.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

/// Makes a [`Sandbox`].
#[derive(Clone)]
#[must_use]
pub struct SandboxBuilder {
    source: Source,
    wasi: Wasi,
    cache: Option<PathBuf>,
    cache_key: Option<PathBuf>,
    compiler: Option<Compiler>,
    limits: Limits,
    audit: Option<Arc<dyn AuditSink>>,
}

#[derive(Clone)]
enum Source {
    Embedded,
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl SandboxBuilder {
    /// Take this build of the component, a WebAssembly binary or text. It is compiled when the
    /// sandbox is built, which takes a second or so.
    pub fn component_bytes(mut self, bytes: impl Into<Vec<u8>>) -> SandboxBuilder {
        self.source = Source::Bytes(bytes.into());
        self
    }

    /// Take the build of the component in this file. It is read and compiled when the sandbox is
    /// built.
    pub fn component_file(mut self, file: impl Into<PathBuf>) -> SandboxBuilder {
        self.source = Source::File(file.into());
        self
    }

    /// Run the sandbox's own component on this version of WASI. Default: [`Wasi::V0_2`].
    ///
    /// On [`Wasi::V0_3`] an instance is the server alone ([`Instance::serve`]). Programs of others
    /// ([`Sandbox::program`]) run on the version that they were built for, whatever is set here.
    ///
    /// [`Instance::serve`]: crate::Instance::serve
    pub fn wasi(mut self, version: Wasi) -> SandboxBuilder {
        self.wasi = version;
        self
    }

    /// Store compiled components in this folder, for other sandboxes and later runs. A component
    /// that was compiled once is then loaded in milliseconds. Default: nothing is stored.
    ///
    /// Any number of processes may use one folder at the same time. The folder is created if it does
    /// not exist. It contains native code, so it is used only if no other user can write to it. If it
    /// can't be used, the component is compiled as without a cache
    /// ([`Program::cache_use`](crate::Program::cache_use) says why). It holds at most 1 GiB; the
    /// least recently used entries are removed.
    ///
    /// No program may be given a directory in which it could write to that folder: see
    /// [`Command::dir`](crate::Command::dir).
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> SandboxBuilder {
        self.cache = Some(folder.into());
        self
    }

    /// Use the secret in this file to seal the entries in the folder of [`SandboxBuilder::cache_dir`]. An entry
    /// that was written without the secret is not loaded. The file is created if it does not exist. Default: the
    /// folder's path with `.key` appended.
    pub fn cache_key_file(mut self, file: impl Into<PathBuf>) -> SandboxBuilder {
        self.cache_key = Some(file.into());
        self
    }

    /// Set what components may take to be compiled and started: those limits that can be told from the
    /// component itself (instances, memory, tables, [`Limits::instance_bytes`], [`Limits::component_items`]), and
    /// the time and the memory for compiling ([`Limits::wall_time`] is a bound on that time, too). The others are
    /// of no account here. Default:
    /// [`Limits::default`]. A run has its own besides ([`Command::limits`](crate::Command::limits)).
    pub fn limits(mut self, limits: Limits) -> SandboxBuilder {
        self.limits = limits;
        self
    }

    /// Record in `sink`, as a separate run, when a limit prevents loading a component. Other runs have
    /// their own sinks.
    pub fn audit(mut self, sink: impl AuditSink) -> SandboxBuilder {
        self.audit = Some(Arc::new(sink));
        self
    }

    /// Compile each component in a separate process: `program` is started with `args`, and has to call
    /// [`compile_for_parent`](crate::compile_for_parent). A program can start itself again
    /// ([`std::env::current_exe`]). Default: components are compiled on the thread that loads them.
    ///
    /// Only then are [`Limits::compile_time`] and [`Limits::compile_memory`] enforced: a thread can't be
    /// aborted, and its memory can't be measured separately. Without it the compiler's work is limited by
    /// [`Limits::component_items`] and by the component's size, which is 256 MiB at most; a hostile component
    /// within these limits can still take minutes and gigabytes.
    ///
    /// # Safety
    /// The program's answer is native code, which is run. The program must be as trusted as this process,
    /// and no other user may be able to replace it.
    #[allow(unsafe_code, reason = "native code is loaded")]
    pub unsafe fn compiler(
        mut self,
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> SandboxBuilder {
        self.compiler = Some(Compiler {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
        });
        self
    }

    /// Prepare everything.
    ///
    /// With a build of the component that isn't the one that comes with sockbox, and for a process that may have
    /// few addresses (`ulimit -v` below 16 GiB), this compiles, which takes a second or so; an
    /// executor's thread should not be kept waiting for that
    /// ([`spawn_blocking`](tokio::task::spawn_blocking)).
    ///
    /// # Errors
    /// - [`Error::Read`]: the file can't be read.
    /// - [`Error::NotRunnable`]: it isn't a component, or not a build of this one.
    /// - [`Error::NeedsTooMuch`], [`Error::CompileTime`], [`Error::CompileMemory`], [`Error::WallTime`]: it
    ///   takes more than [`SandboxBuilder::limits`] allows.
    /// - [`Error::Internal`]: the machine can't run it, for lack of memory for example.
    pub fn build(self) -> Result<Sandbox> {
        let reservation = Reservation::fitting();
        let own = Runtime::new(self.wasi, reservation).map_err(internal)?;
        let key = self.cache_key;
        let cache = self.cache.map(|folder| Cache::new(folder, key));
        let file = match &self.source {
            Source::File(file) => Some(file.as_path()),
            Source::Embedded | Source::Bytes(_) => None,
        };
        let loader = Loader {
            runtime: &own,
            cache: cache.as_ref(),
            compiler: self.compiler.as_ref(),
            limits: &self.limits,
            reservation,
            wanted: &|| true,
        };
        let instance_pre = match &self.source {
            Source::Embedded if reservation == Reservation::Full => {
                let component = component::load(&own.engine, self.wasi).map_err(internal)?;
                link(&own.engine, &own.linker, &component).map_err(Error::internal)?
            }
            // The embedded code was compiled for full reservations.
            Source::Embedded => loader.load_linked(component::source(self.wasi), None)?.0,
            Source::Bytes(bytes) => loader.load_linked(bytes, None)?.0,
            Source::File(file) => loader.load_linked(&load::read(file)?, Some(file))?.0,
        };
        let exports =
            ExportsPre::new(self.wasi, instance_pre).map_err(|error| Error::NotRunnable {
                file: file.map(Into::into),
                problem: format!(
                    "it is not a build of the sockbox component: {}",
                    first_line(&error)
                ),
            })?;
        Ok(Sandbox {
            inner: Arc::new(Inner {
                own,
                other: OnceLock::new(),
                exports,
                reservation,
                compiler: self.compiler,
                cache,
                limits: self.limits,
                audit: self.audit,
                runs: AtomicU64::new(0),
                tls: TlsConfig::new(),
            }),
        })
    }
}

/// The limit in an error that prevented loading a component.
fn limit_of(error: &Error) -> Option<Limit> {
    match error {
        Error::NeedsTooMuch { limit, .. } => Some(*limit),
        Error::CompileTime { .. } => Some(Limit::CompileTime),
        Error::CompileMemory { .. } => Some(Limit::CompileMemory),
        Error::WallTime { .. } => Some(Limit::WallTime),
        _ => None,
    }
}

impl fmt::Debug for SandboxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxBuilder").finish_non_exhaustive()
    }
}

fn internal(error: wasmtime::Error) -> Error {
    Error::internal(format_args!(
        "the sandbox can't be set up: {error:#}{}",
        reservation::hint()
    ))
}
