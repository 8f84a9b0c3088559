//! Running any command component.

use crate::audit::AuditSink;
use crate::error::{Error, Result};
use crate::instance::{Clock, Grants, failure};
use crate::limits::Limits;
use crate::load::{first_line, load};
use crate::policy::Policy;
use crate::sandbox::Sandbox;
use crate::state::State;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

/// A command component, compiled and linked: any component that exports `wasi:cli/run` and imports
/// nothing but WASI 0.2.
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
    sandbox: Sandbox,
    pre: CommandPre<State>,
}

impl Sandbox {
    /// Compile and link a command component, given as a WebAssembly binary or text.
    ///
    /// # Errors
    /// [`Error::NotRunnable`]: it isn't a component, or not one that can be run here.
    pub fn program(&self, bytes: impl AsRef<[u8]>) -> Result<Program> {
        self.load_program(bytes.as_ref(), None)
    }

    /// Compile and link the command component in a file, a WebAssembly binary or text.
    ///
    /// # Errors
    /// - [`Error::Read`]: the file can't be read.
    /// - [`Error::NotRunnable`]: it isn't a component, or not one that can be run here.
    pub fn program_file(&self, file: impl AsRef<Path>) -> Result<Program> {
        let file = file.as_ref();
        let bytes = fs::read(file).map_err(|source| Error::Read {
            file: file.to_owned(),
            source,
        })?;
        self.load_program(&bytes, Some(file))
    }

    fn load_program(&self, bytes: &[u8], file: Option<&Path>) -> Result<Program> {
        let pre = load(self.engine(), self.linker(), bytes, file)?;
        let pre = CommandPre::new(pre).map_err(|error| Error::NotRunnable {
            file: file.map(Into::into),
            problem: format!(
                "it is not a command, having no `wasi:cli/run@0.2` to call: {}",
                first_line(&error)
            ),
        })?;
        Ok(Program {
            sandbox: self.clone(),
            pre,
        })
    }
}

impl Program {
    /// Prepare one run, with nothing granted.
    pub fn command(&self) -> Command {
        Command {
            program: self.clone(),
            grants: Grants {
                tls: self.sandbox.tls().clone(),
                ..Grants::default()
            },
            args: Vec::new(),
            env: Vec::new(),
            inherit_stdio: false,
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

/// One run of a [`Program`].
///
/// By default it has no arguments and no environment, an empty standard input, and its output goes
/// nowhere; it can reach neither network nor files.
#[must_use]
pub struct Command {
    program: Program,
    grants: Grants,
    args: Vec<String>,
    env: Vec<(String, String)>,
    inherit_stdio: bool,
}

impl Command {
    /// Add an argument. The first one is, by custom, the program's name.
    pub fn arg(mut self, arg: impl Into<String>) -> Command {
        self.args.push(arg.into());
        self
    }

    /// Add arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Command {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Add an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Command {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Let it use this process's standard input, output and error.
    pub fn inherit_stdio(mut self) -> Command {
        self.inherit_stdio = true;
        self
    }

    /// Grant what `policy` says, in place of what was granted before.
    pub fn policy(mut self, policy: Policy) -> Command {
        self.grants.policy = policy;
        self
    }

    /// Set the limits.
    pub fn limits(mut self, limits: Limits) -> Command {
        self.grants.limits = limits;
        self
    }

    /// Record every decision of the policy's in `sink`.
    pub fn audit(mut self, sink: impl AuditSink) -> Command {
        self.grants.audit = Some(Arc::new(sink));
        self
    }

    /// Run it to its end, and give its exit code: 0 is success.
    ///
    /// # Errors
    /// - [`Error::Trapped`]: it trapped, or could not start.
    /// - [`Error::WallTime`], [`Error::MemoryLimit`]: it went past its limits.
    /// - [`Error::Internal`]: it could not be run.
    ///
    /// # Cancel safety
    /// The future can be dropped at any time: the run ends then, and nothing of it goes on.
    pub async fn run(self) -> Result<i32> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.args(&self.args).envs(&self.env);
        if self.inherit_stdio {
            wasi.inherit_stdio();
        }
        let sandbox = &self.program.sandbox;
        let mut store = self
            .grants
            .store(sandbox.engine(), sandbox.next_run(), wasi);
        let clock = Clock::start(sandbox, &self.grants.limits)?;
        let run = async {
            let command = self.program.pre.instantiate_async(&mut store).await?;
            command.wasi_cli_run().call_run(&mut store).await
        };
        match clock.time(run).await? {
            Ok(Ok(())) => Ok(0),
            Ok(Err(())) => Ok(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(code)) => Ok(*code),
                None => Err(failure(&store, error)),
            },
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("args", &self.args)
            .field("policy", &self.grants.policy)
            .field("limits", &self.grants.limits)
            .field("inherit_stdio", &self.inherit_stdio)
            .finish_non_exhaustive()
    }
}
