//! What a handler is given.

use super::{Handler, Inner};
use crate::error::{Error, Result};
use crate::idle::Idle;
use crate::profile::{Dir, Profile};
use crate::program::Program;
use crate::setup::Setup;
use crate::state::State;
use crate::streams::Output;
use sockbox_wasi::{Grant, IncomingHandlerPre};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Makes a [`Handler`]. By default its instances are granted nothing, have the default limits, no environment and no
/// files, and their output is discarded.
#[must_use]
pub struct HandlerBuilder {
    program: Program,
    pre: IncomingHandlerPre<State>,
    setup: Setup,
    reuse: NonZeroU32,
}

impl HandlerBuilder {
    pub(crate) fn new(program: Program, pre: IncomingHandlerPre<State>) -> HandlerBuilder {
        HandlerBuilder {
            setup: Setup::new(&program.sandbox),
            program,
            pre,
            reuse: NonZeroU32::MIN,
        }
    }

    /// Change what each instance is granted: its policy, its limits, its audit sink, and how it speaks TLS.
    ///
    /// [`Limits::wall_time`](crate::Limits::wall_time) and [`Limits::cpu_time`](crate::Limits::cpu_time) hold for each
    /// request. All other limits hold for each instance.
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use sockbox::{Policy, Sandbox};
    ///
    /// let program = Sandbox::new()?.program_file("handler.wasm")?;
    /// let policy = Policy::new().allow_connect_to("api.example.com:443")?;
    /// let handler = program.handler()?.grant(|grant| grant.policy(policy)).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn grant(mut self, change: impl FnOnce(Grant) -> Grant) -> HandlerBuilder {
        self.setup.grant = change(self.setup.grant);
        self
    }

    /// Apply `profile`: its grants and limits replace earlier ones, and its static host addresses,
    /// directories and environment variables are added.
    ///
    /// # Errors
    /// [`Error::InvalidOptions`]: the value of a limit is invalid, a variable isn't set in this process or isn't Unicode,
    /// or the profile has [`listen_as`](Profile::listen_as), which is for a [`Command`](crate::Command).
    pub fn profile(mut self, profile: &Profile) -> Result<HandlerBuilder> {
        if !profile.listen_as.is_empty() {
            return Err(Error::InvalidOptions {
                reason: "`listen-as` has no effect on a handler of HTTP requests: each request has an instance of its own"
                    .to_owned(),
            });
        }
        self.setup.profile(profile)?;
        Ok(self)
    }

    /// Add arguments. The first one is, by custom, the program's name.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> HandlerBuilder {
        self.setup
            .surroundings
            .args
            .extend(args.into_iter().map(Into::into));
        self
    }

    /// Add an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> HandlerBuilder {
        self.setup
            .surroundings
            .env
            .push((name.into(), value.into()));
        self
    }

    /// Give each instance access to a directory. [`Command::dir`](crate::Command::dir) says which ones are refused.
    pub fn dir(mut self, dir: Dir) -> HandlerBuilder {
        self.setup.surroundings.dirs.push(dir);
        self
    }

    /// Set where the standard output of all instances goes: an [`Output`], or a [`StdioWriter`](crate::StdioWriter).
    pub fn stdout(mut self, output: impl Into<Output>) -> HandlerBuilder {
        self.setup.streams.stdout = output.into();
        self
    }

    /// Set where the standard error of all instances goes, as [`HandlerBuilder::stdout`] does.
    pub fn stderr(mut self, output: impl Into<Output>) -> HandlerBuilder {
        self.setup.streams.stderr = output.into();
        self
    }

    /// Let each instance handle up to `requests` requests, one after the other. Then the requests of different clients
    /// share the memory of an instance, and all that is in it. An instance that has failed, or that waits for longer than
    /// 30 seconds, is dropped before. Default: 1, a new instance for each request.
    pub fn reuse(mut self, requests: NonZeroU32) -> HandlerBuilder {
        self.reuse = requests;
        self
    }

    /// Make the handler.
    ///
    /// # Errors
    /// [`Error::InvalidOptions`]: a directory can't be given, or the component would be given the value of a secret header.
    pub fn build(self) -> Result<Handler> {
        self.setup.check(&self.program.sandbox)?;
        Ok(Handler {
            inner: Arc::new(Inner {
                program: self.program,
                pre: self.pre,
                setup: self.setup,
                reuse: self.reuse,
                idle: Idle::default(),
            }),
        })
    }
}

impl fmt::Debug for HandlerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerBuilder")
            .field("grant", &self.setup.grant)
            .finish_non_exhaustive()
    }
}
