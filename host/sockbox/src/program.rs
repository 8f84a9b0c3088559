//! Loading any component that can be run: commands, and handlers of HTTP requests.
//!
//! This module and those of [`Command`] and [`HandlerBuilder`] import each other: a program begins a run of itself, and
//! the run keeps its program loaded.

use crate::cache::CacheUse;
use crate::command::Command;
use crate::cost::Cost;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::handler::HandlerBuilder;
use crate::load;
use crate::policy::Wasi;
use crate::problem::not_runnable;
use crate::roles::Role;
use crate::sandbox::Sandbox;
use crate::state::State;
use crate::wanted::while_wanted;
use crate::wasi_version;
use sockbox_wasi::IncomingHandlerPre;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use wasmtime::component::InstancePre;

/// A component, compiled and linked, that imports nothing but WASI 0.2 or 0.3 and exports `wasi:cli/run` (a command), or
/// `wasi:http/incoming-handler` of WASI 0.2 or `wasi:http/handler` of WASI 0.3 (a handler of HTTP requests), or both.
///
/// What it imports and exports decides which version of WASI it runs on. The same policy and the same limits hold on
/// both. wasmtime calls its support for WASI 0.3 experimental.
///
/// # Examples
/// ```
/// use sockbox::Sandbox;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> sockbox::Result<()> {
/// // The smallest command there is: it does nothing, and succeeds.
/// let text = r#"
///     (component
///         (core module $module (func (export "run") (result i32) i32.const 0))
///         (core instance $core (instantiate $module))
///         (func $run (result (result)) (canon lift (core func $core "run")))
///         (instance $export (export "run" (func $run)))
///         (export "wasi:cli/run@0.2.0" (instance $export)))
/// "#;
/// let program = Sandbox::new()?.program(text)?;
/// assert_eq!(program.command().run().await?, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Program {
    pub(crate) sandbox: Sandbox,
    pre: InstancePre<State>,
    /// None: it is not a command.
    entry: Option<Entry>,
    /// The version of WASI that it runs on.
    pub(crate) wasi: Wasi,
    /// Where it came from, for messages.
    file: Option<PathBuf>,
    /// The cost of starting it. It is unknown for precompiled components.
    pub(crate) cost: Cost,
    cache: CacheUse,
}

impl Sandbox {
    /// Compile and link a component, given as a WebAssembly binary or text.
    ///
    /// What instantiating it takes is counted first, and a component that takes more than
    /// [`SandboxBuilder::limits`](crate::SandboxBuilder::limits) allows is not compiled. Compiling takes a
    /// second or so, and with a hostile component as long as
    /// [`SandboxBuilder::compiler`](crate::SandboxBuilder::compiler) says: on the thread of an executor use
    /// [`Sandbox::load_program`].
    ///
    /// # Errors
    /// - [`Error::NotRunnable`]: it isn't a component, or not one that can be run here.
    /// - [`Error::NeedsTooMuch`], [`Error::CompileTime`], [`Error::CompileMemory`], [`Error::WallTime`]: it
    ///   takes more than the sandbox's limits allow.
    /// - [`Error::Internal`]: the program that compiles can't be run.
    pub fn program(&self, bytes: impl AsRef<[u8]>) -> Result<Program> {
        self.compile_program(bytes.as_ref(), None, &|| true)
    }

    /// Compile and link the component in a file, a WebAssembly binary or text.
    ///
    /// # Errors
    /// [`Error::Read`]: the file can't be read; and those of [`Sandbox::program`].
    pub fn program_file(&self, file: impl AsRef<Path>) -> Result<Program> {
        let file = file.as_ref();
        self.program_named(file, load::read(file)?)
    }

    /// Compile and link a component that came from `name`, which messages mention: the name of
    /// a file, or `standard input`.
    ///
    /// # Errors
    /// Those of [`Sandbox::program`].
    pub fn program_named(
        &self,
        name: impl AsRef<Path>,
        bytes: impl AsRef<[u8]>,
    ) -> Result<Program> {
        self.compile_program(bytes.as_ref(), Some(name.as_ref()), &|| true)
    }

    /// Compile and link a component as [`Sandbox::program_named`] does, on a blocking thread of
    /// the tokio runtime, so that no other task is delayed.
    ///
    /// # Errors
    /// Those of [`Sandbox::program`].
    ///
    /// # Cancel safety
    /// The future can be dropped at any time. A process that compiles is ended then
    /// ([`SandboxBuilder::compiler`](crate::SandboxBuilder::compiler)); without one the thread compiles to
    /// the end, and the result is dropped.
    pub async fn load_program(
        &self,
        name: impl Into<PathBuf>,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<Program> {
        let (sandbox, name, bytes) = (self.clone(), name.into(), bytes.into());
        while_wanted(move |wanted| sandbox.compile_program(&bytes, Some(&name), wanted)).await
    }

    /// Load and link a component that [`Sandbox::precompile`] has compiled. It came from `name`,
    /// for messages.
    ///
    /// # Safety
    /// The bytes are native code without a sandbox: the code can do everything that this process can,
    /// independent of the grants. Load only output of [`Sandbox::precompile`] or `sockbox compile` that
    /// only trusted users could have changed since. sockbox checks that the code is for this version,
    /// these settings and this machine. It can't check that the code is harmless.
    ///
    /// # Errors
    /// [`Error::NotRunnable`]: it isn't a compiled component, was compiled by another version or for
    /// another machine, or isn't one that can be run here.
    #[allow(unsafe_code, reason = "native code is loaded")]
    pub unsafe fn program_precompiled(
        &self,
        name: impl AsRef<Path>,
        bytes: impl AsRef<[u8]>,
    ) -> Result<Program> {
        let file = Some(name.as_ref());
        let bytes = bytes.as_ref();
        // The code was compiled for one of the two runtimes, and the other one refuses it.
        // SAFETY: as the caller says.
        let first = unsafe { load::load_precompiled(self.runtime(Wasi::V0_2)?, bytes, file) };
        let (wasi, pre) = match first {
            Ok(pre) => (Wasi::V0_2, pre),
            Err(error) => {
                let runtime = self.runtime(Wasi::V0_3)?;
                // SAFETY: as the caller says.
                let second = unsafe { load::load_precompiled(runtime, bytes, file) };
                (Wasi::V0_3, second.map_err(|_| error)?)
            }
        };
        self.to_program(wasi, pre, Cost::default(), CacheUse::Off, file)
    }

    /// Compile a component, given as a WebAssembly binary or text, to what
    /// [`Sandbox::program_precompiled`] takes. It came from `name`, for messages.
    ///
    /// # Errors
    /// Those of [`Sandbox::program`], but that it needn't be a command or a handler.
    pub fn precompile(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let file = Some(name.as_ref());
        let binary =
            load::to_binary(bytes.as_ref(), file).map_err(|problem| not_runnable(file, problem))?;
        let loader = self.loader(wasi_version::of(&binary), &|| true)?;
        self.recorded(loader.precompile(&binary, file))
    }

    /// Read a component from anywhere; None if it has more than the 256 MiB that one may have.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read_component(mut source: impl Read) -> io::Result<Option<Vec<u8>>> {
        load::read_from(&mut source)
    }

    /// Whether this is what [`Sandbox::precompile`] gives, in this version or another, rather than
    /// WebAssembly.
    pub fn is_precompiled(bytes: impl AsRef<[u8]>) -> bool {
        wasmtime::Engine::detect_precompiled(bytes.as_ref()).is_some()
    }

    fn compile_program(
        &self,
        bytes: &[u8],
        file: Option<&Path>,
        wanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Program> {
        let binary = load::to_binary(bytes, file).map_err(|problem| not_runnable(file, problem))?;
        let wasi = wasi_version::of(&binary);
        let loader = self.loader(wasi, wanted)?;
        let (pre, loaded) = self.recorded(loader.load_linked(&binary, file))?;
        self.to_program(wasi, pre, loaded.cost, loaded.cache, file)
    }

    fn to_program(
        &self,
        wasi: Wasi,
        pre: InstancePre<State>,
        cost: Cost,
        cache: CacheUse,
        file: Option<&Path>,
    ) -> Result<Program> {
        let program = Program {
            sandbox: self.clone(),
            entry: Entry::find(pre.clone()),
            pre,
            wasi,
            file: file.map(Path::to_owned),
            cost,
            cache,
        };
        match program.as_handler() {
            Err(_) if program.entry.is_none() => Err(program.is_no(Role::Command)),
            _ => Ok(program),
        }
    }
}

impl Program {
    /// Whether it was compiled, or loaded from the sandbox's cache
    /// ([`SandboxBuilder::cache_dir`](crate::SandboxBuilder::cache_dir)).
    pub fn cache_use(&self) -> &CacheUse {
        &self.cache
    }

    /// The version of WASI that it runs on.
    pub fn wasi(&self) -> Wasi {
        self.wasi
    }

    /// Whether it can be run as a command ([`Program::command`]).
    pub fn is_command(&self) -> bool {
        self.entry.is_some()
    }

    /// Whether it can handle HTTP requests ([`Program::handler`]).
    pub fn is_handler(&self) -> bool {
        self.as_handler().is_ok()
    }

    /// Prepare one run, with nothing granted.
    pub fn command(&self) -> Command {
        Command::new(self.clone())
    }

    /// Prepare handling HTTP requests, with nothing granted.
    ///
    /// # Errors
    /// [`Error::NotRunnable`]: it exports neither `wasi:http/incoming-handler` of WASI 0.2 nor `wasi:http/handler` of WASI 0.3.
    pub fn handler(&self) -> Result<HandlerBuilder> {
        Ok(HandlerBuilder::new(self.clone(), self.as_handler()?))
    }

    pub(crate) fn as_command(&self) -> Result<&Entry> {
        let entry = self.entry.as_ref();
        entry.ok_or_else(|| self.is_no(Role::Command))
    }

    fn as_handler(&self) -> Result<IncomingHandlerPre<State>> {
        IncomingHandlerPre::new(self.pre.clone()).map_err(|_| self.is_no(Role::Handler))
    }

    /// The error that it doesn't have this role.
    fn is_no(&self, role: Role) -> Error {
        let component = self.pre.component();
        let of_component = component.component_type();
        let exports = of_component.exports(component.engine());
        let problem = role.missing(exports.map(|(name, _)| name));
        not_runnable(self.file.as_deref(), problem)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}
