//! Running any command component.

use crate::audit::AuditSink;
use crate::error::{Error, Result};
use crate::failure::failure;
use crate::instance::{Clock, static_name};
use crate::limits::Limits;
use crate::listen::listen;
use crate::policy::Policy;
use crate::profile::{Dir, ListenAs, Profile};
use crate::program::Program;
use crate::setup::Setup;
use crate::state::State;
use crate::streams::{Input, Output};
use sockbox_policy::SecretHeader;
use sockbox_wasi::tls::TlsConfig;
use sockbox_wasi::{Decider, Grant};
use std::fmt;
use std::net::IpAddr;
use std::time::Instant;
use wasmtime_wasi::I32Exit;

/// One run of a [`Program`].
///
/// By default it has no arguments, no environment and an empty standard input, its output is
/// discarded, and it can reach neither network nor files.
#[must_use]
pub struct Command {
    program: Program,
    setup: Setup,
    listen_as: Vec<ListenAs>,
    started: Option<Instant>,
}

impl Command {
    /// A run of `program` without any grant.
    pub(crate) fn new(program: Program) -> Command {
        Command {
            setup: Setup::new(&program.sandbox),
            program,
            listen_as: Vec::new(),
            started: None,
        }
    }

    /// Add an argument. The first one is, by custom, the program's name.
    pub fn arg(mut self, arg: impl Into<String>) -> Command {
        self.setup.surroundings.args.push(arg.into());
        self
    }

    /// Add arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Command {
        self.setup
            .surroundings
            .args
            .extend(args.into_iter().map(Into::into));
        self
    }

    /// Add an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Command {
        self.setup
            .surroundings
            .env
            .push((name.into(), value.into()));
        self
    }

    /// Give the component access to a directory.
    ///
    /// Two kinds of directories make [`Command::run`] fail with [`Error::InvalidOptions`]:
    /// - one through which it could write to the folder that the sandbox keeps compiled code in
    ///   ([`SandboxBuilder::cache_dir`](crate::SandboxBuilder::cache_dir)), which is run outside of any sandbox;
    /// - one that contains, or is in, a file system in which the kernel shows memory, processes and devices, as
    ///   `/proc`, `/sys`, `/dev` and `/` do, read-only or not. `/dev/shm` is none.
    ///
    /// For other things that it must not change there is [`must_not_expose`](crate::must_not_expose).
    pub fn dir(mut self, dir: Dir) -> Command {
        self.setup.surroundings.dirs.push(dir);
        self
    }

    /// Let the component listen on the address of `map` when it asks for the other one. This grants
    /// exactly that. The policy decides which clients it may accept.
    pub fn listen_as(mut self, map: ListenAs) -> Command {
        self.listen_as.push(map);
        self
    }

    /// Apply `profile`: its grants and limits replace earlier ones, and its static host addresses,
    /// directories, environment variables, secret headers, certificates and proxies are added.
    ///
    /// # Errors
    /// - [`Error::InvalidOptions`]: the value of a limit is invalid, a variable isn't set in this
    ///   process or isn't Unicode, a secret header has no value that can be sent, or a variable names no proxy that can be
    ///   used.
    /// - [`Error::Tls`]: a file of certificates can't be used.
    pub fn profile(mut self, profile: &Profile) -> Result<Command> {
        self.setup.profile(profile)?;
        for map in &profile.listen_as {
            self = self.listen_as(*map);
        }
        Ok(self)
    }

    /// Let it use this process's standard input, output and error: [`Input::inherited`] and [`Output::inherited`].
    pub fn inherit_stdio(self) -> Command {
        self.stdin(Input::inherited())
            .stdout(Output::inherited())
            .stderr(Output::inherited())
    }

    /// Set what it reads as its standard input.
    pub fn stdin(mut self, input: Input) -> Command {
        self.setup.streams.stdin = input;
        self
    }

    /// Set where its standard output goes: an [`Output`], or a [`StdioWriter`](crate::StdioWriter). The run ends only after
    /// a writer has written everything.
    pub fn stdout(mut self, output: impl Into<Output>) -> Command {
        self.setup.streams.stdout = output.into();
        self
    }

    /// Set where its standard error goes, as [`Command::stdout`] does.
    pub fn stderr(mut self, output: impl Into<Output>) -> Command {
        self.setup.streams.stderr = output.into();
        self
    }

    /// Count [`Limits::wall_time`] from `started`, a time in the past. Work before the run, such as
    /// compiling the program, then counts too.
    pub fn started(mut self, started: Instant) -> Command {
        self.started = Some(started);
        self
    }

    /// Set what it is granted, in place of an earlier grant. [`Sandbox::grant`](crate::Sandbox::grant) is the one to begin
    /// with.
    pub fn grant(mut self, grant: Grant) -> Command {
        self.setup.grant = grant;
        self
    }

    /// Grant what `policy` says, in place of what was granted before.
    pub fn policy(mut self, policy: Policy) -> Command {
        self.setup.grant = self.setup.grant.policy(policy);
        self
    }

    /// Set the limits.
    pub fn limits(mut self, limits: Limits) -> Command {
        self.setup.grant = self.setup.grant.limits(limits);
        self
    }

    /// Ask `decider` what no rule of the policy decides. By default that is denied.
    pub fn decider(mut self, decider: impl Decider) -> Command {
        self.setup.grant = self.setup.grant.decider(decider);
        self
    }

    /// Set the static addresses of `name`: no resolver is asked about it, and the addresses count even if
    /// they are not public. It grants nothing.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`], [`Error::InvalidOptions`]: `name` isn't the name of a host.
    pub fn resolve(
        mut self,
        name: &str,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<Command> {
        self.setup.grant = self.setup.grant.static_host(static_name(name)?, addresses);
        Ok(self)
    }

    /// Record every decision, and the other audit events, in `sink`.
    pub fn audit(mut self, sink: impl AuditSink) -> Command {
        self.setup.grant = self.setup.grant.audit(sink);
        self
    }

    /// Set the TLS settings for `wasi:tls` and `wasi:http`. By default the system's authorities are trusted: see
    /// [`TlsConfig`].
    pub fn tls(mut self, config: TlsConfig) -> Command {
        self.setup.grant = self.setup.grant.tls(config);
        self
    }

    /// Add a header to the component's HTTP requests (`wasi:http`) that its prefix covers. The component never sees the
    /// value: see [`Grant::secret_header`].
    ///
    /// If an argument, an environment variable or a directory would give the component the value, [`Command::run`] fails
    /// with [`Error::InvalidOptions`].
    pub fn secret_header(mut self, header: SecretHeader) -> Command {
        self.setup.grant = self.setup.grant.secret_header(header);
        self
    }

    /// Run the component to its end, and return its exit code: 0 is success.
    ///
    /// # Errors
    /// - [`Error::NotRunnable`]: the component is not a command.
    /// - [`Error::InvalidOptions`]: a directory can't be opened or given, or the component would be given the value of a
    ///   secret header.
    /// - [`Error::ListenFailed`]: an address of [`Command::listen_as`] can't be listened on.
    /// - [`Error::Trapped`]: it trapped.
    /// - [`Error::WallTime`], [`Error::CpuTime`], [`Error::MemoryLimit`], [`Error::Exhausted`]: it
    ///   exceeded a limit, or can't start within its limits.
    /// - [`Error::Internal`]: it could not be run, for lack of memory for example.
    ///
    /// # Cancel safety
    /// The future can be dropped at any time. That ends the run completely.
    pub async fn run(mut self) -> Result<i32> {
        let entry = self.program.as_command()?;
        let runtime = self.program.sandbox.runtime(self.program.wasi)?;
        let limits = self.setup.grant.granted_limits().clone();
        self.setup.check(&self.program.sandbox)?;
        let (wasi, writers) = self.setup.wasi()?;
        let mut listeners = Vec::new();
        for ListenAs { asked, real, .. } in &self.listen_as {
            listeners.push((*asked, listen(*real)?));
            let policy = self.setup.grant.granted_policy().clone();
            self.setup.grant = self.setup.grant.policy(policy.allow_listen(*asked));
        }
        let sandbox = &self.program.sandbox;
        let run = sandbox.next_run();
        let mut store = State::store(&runtime.engine, run, &self.setup.grant, wasi, ());
        for (asked, listener) in &listeners {
            let offered = store.data_mut().sockbox.offer_listener_as(*asked, listener);
            offered.map_err(|error| {
                Error::internal(format_args!(
                    "cannot pass the listener to the component: {error}"
                ))
            })?;
        }
        // The component's copy is then the only one.
        drop(listeners);
        let authority = store.data().sockbox.authority().clone();
        self.program.cost.fits(&limits, &authority)?;
        let clock = Clock::start(runtime, &limits, authority, self.started)?;
        let run = async {
            let done = entry.run(&mut store).await;
            // The last output may still wait for a reader. That wait counts as the run's time.
            writers.written().await;
            done
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
            .field("args", &self.setup.surroundings.args)
            .field("grant", &self.setup.grant)
            .field("streams", &self.setup.streams)
            .finish_non_exhaustive()
    }
}
