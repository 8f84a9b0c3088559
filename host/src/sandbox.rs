//! The sandbox: everything that runs have in common, prepared once.

use crate::audit::RunId;
use crate::bindings::ip_name_lookup;
use crate::cache::Cache;
use crate::component;
use crate::engine;
use crate::error::{Error, Result};
use crate::exports::{ExportsPre, Wasi};
use crate::failed;
use crate::files;
use crate::in_place;
use crate::instance::InstanceBuilder;
use crate::load::{self, first_line, link, load};
use crate::lookup::HasLookup;
use crate::readiness;
use crate::sockets;
use crate::state::State;
use crate::ticker::Ticker;
use crate::tls::{self, TlsConfig};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::Engine;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::p3::bindings::cli::stdin;

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
    engine: Engine,
    linker: Linker<State>,
    exports: ExportsPre,
    ticker: Ticker,
    cache: Option<Cache>,
    runs: AtomicU64,
    /// That of runs which say nothing about it: they share what is read of the system's authorities.
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

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn linker(&self) -> &Linker<State> {
        &self.inner.linker
    }

    pub(crate) fn exports(&self) -> &ExportsPre {
        &self.inner.exports
    }

    pub(crate) fn tls(&self) -> &TlsConfig {
        &self.inner.tls
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.inner.cache.as_ref()
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.inner.ticker
    }

    pub(crate) fn next_run(&self) -> RunId {
        RunId(self.inner.runs.fetch_add(1, Ordering::Relaxed) + 1)
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

    /// Run the component on this version of WASI. Default: [`Wasi::V0_2`].
    ///
    /// On [`Wasi::V0_3`] an instance is the server alone ([`Instance::serve`]). Programs of others
    /// ([`Sandbox::program`]) are those for WASI 0.2 on either.
    ///
    /// [`Instance::serve`]: crate::Instance::serve
    pub fn wasi(mut self, version: Wasi) -> SandboxBuilder {
        self.wasi = version;
        self
    }

    /// Keep what is compiled in this folder, for other sandboxes and for later: a component of
    /// somebody else's that was compiled once is then loaded in milliseconds. Default: nothing is
    /// kept.
    ///
    /// Any number of processes may use one folder at the same time. It is made if there is none. What
    /// is in it is native code, so it is used only where nobody but this process's user can write to
    /// it; and whatever is wrong with it, the component is compiled as if there were none
    /// ([`Program::cache_use`](crate::Program::cache_use) tells). It holds 1 GiB at most, of what was
    /// used last.
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> SandboxBuilder {
        self.cache = Some(folder.into());
        self
    }

    /// Prepare everything.
    ///
    /// # Errors
    /// - [`Error::Read`]: the file can't be read.
    /// - [`Error::NotRunnable`]: it isn't a component, or not a build of this one.
    /// - [`Error::Internal`]: the machine can't run it, for lack of memory for example.
    pub fn build(self) -> Result<Sandbox> {
        let mut config = engine::config(self.wasi == Wasi::V0_3);
        in_place::prepare(&mut config);
        let engine = Engine::new(&config).map_err(internal)?;
        let linker = linker(&engine, self.wasi).map_err(internal)?;
        let cache = self.cache.map(Cache::new);
        let file = match &self.source {
            Source::File(file) => Some(file.as_path()),
            Source::Embedded | Source::Bytes(_) => None,
        };
        let instance_pre = match &self.source {
            Source::Embedded => {
                let component = component::load(&engine, self.wasi).map_err(internal)?;
                link(&engine, &linker, &component).map_err(Error::internal)?
            }
            Source::Bytes(bytes) => load(&engine, &linker, cache.as_ref(), bytes, None)?.0,
            Source::File(file) => {
                let bytes = load::read(file)?;
                load(&engine, &linker, cache.as_ref(), &bytes, Some(file))?.0
            }
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
                ticker: Ticker::new(engine.clone()),
                engine,
                linker,
                exports,
                cache,
                runs: AtomicU64::new(0),
                tls: TlsConfig::new(),
            }),
        })
    }
}

impl fmt::Debug for SandboxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxBuilder").finish_non_exhaustive()
    }
}

/// All of WASI 0.2, with the lookup of names and some of TCP's functions replaced by our own, and TLS. With 0.3
/// there are its clocks, its sockets and its standard input as well, which are what the component needs
/// of it, and no lookup of names.
fn linker(engine: &Engine, wasi: Wasi) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    if wasi == Wasi::V0_3 {
        wasmtime_wasi::p3::clocks::add_to_linker(&mut linker)?;
        wasmtime_wasi::p3::sockets::add_to_linker(&mut linker)?;
        stdin::add_to_linker::<State, WasiCli>(&mut linker, State::cli)?;
    }
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<State, HasLookup>(&mut linker, State::lookup)?;
    sockets::add_to_linker(&mut linker)?;
    if wasi == Wasi::V0_3 {
        sockets::wasi_0_3::add_to_linker(&mut linker)?;
    }
    readiness::add_to_linker(&mut linker)?;
    failed::add_to_linker(&mut linker)?;
    files::add_to_linker(&mut linker)?;
    tls::add_to_linker(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

fn internal(error: wasmtime::Error) -> Error {
    Error::internal(format_args!("the sandbox can't be set up: {error:#}"))
}
