//! Running any command component.

use crate::audit::AuditSink;
use crate::cache::Cache;
use crate::error::{Error, NetworkError, Result};
use crate::exposed::{must_hold_files, must_not_expose, must_not_show};
use crate::failure::failure;
use crate::instance::{Clock, check, static_name};
use crate::limits::{Limit, Limits};
use crate::output::StdioWriter;
use crate::policy::{Policy, Wasi};
use crate::profile::{Dir, ListenAs, Profile};
use crate::program::Program;
use crate::secrets;
use crate::state::State;
use sockbox_policy::SecretHeader;
use sockbox_wasi::tls::TlsConfig;
use sockbox_wasi::{Decider, Grant, ProfileError};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

/// One run of a [`Program`].
///
/// By default it has no arguments, no environment and an empty standard input, its output is
/// discarded, and it can reach neither network nor files.
#[must_use]
pub struct Command {
    program: Program,
    grant: Grant,
    args: Vec<String>,
    env: Vec<(String, String)>,
    dirs: Vec<Dir>,
    listen_as: Vec<ListenAs>,
    /// Files with private keys, which it must not read.
    keys: Vec<PathBuf>,
    stdin: Stdin,
    stdout: Output,
    stderr: Output,
    started: Option<Instant>,
}

/// What a component reads as its standard input.
#[derive(Clone, Copy, Debug)]
enum Stdin {
    Empty,
    Inherited,
    Closed,
}

/// Where a component's output goes.
#[derive(Debug)]
enum Output {
    Nowhere,
    /// Where this process's own goes.
    Inherited,
    Writer(StdioWriter),
}

impl Output {
    /// The writer, which is made if necessary.
    fn open(self, inherited: fn() -> io::Result<StdioWriter>) -> Result<Option<StdioWriter>> {
        match self {
            Output::Nowhere => Ok(None),
            Output::Writer(writer) => Ok(Some(writer)),
            Output::Inherited => match inherited() {
                Ok(writer) => Ok(Some(writer)),
                Err(error) => Err(Error::internal(format_args!(
                    "cannot pass the standard streams to the component: {error}"
                ))),
            },
        }
    }
}

impl Command {
    /// A run of `program` without any grant.
    pub(crate) fn new(program: Program) -> Command {
        Command {
            grant: Grant::new().tls(program.sandbox.tls().clone()),
            program,
            args: Vec::new(),
            env: Vec::new(),
            dirs: Vec::new(),
            listen_as: Vec::new(),
            keys: Vec::new(),
            stdin: Stdin::Empty,
            stdout: Output::Nowhere,
            stderr: Output::Nowhere,
            started: None,
        }
    }

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
        self.dirs.push(dir);
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
        let invalid = |reason: String| Error::InvalidOptions { reason };
        let grant = self.grant.profile(profile);
        self.grant = grant.map_err(|error| match error {
            ProfileError::Tls(error) => error.into(),
            error => invalid(chain(&error)),
        })?;
        if profile.inherit_env && profile.proxy.of_environment && self.grant.has_proxy_credentials()
        {
            let problem = "`inherit-env` would give the component the proxy's credentials: name the variables that it is to have, with env";
            return Err(invalid(problem.to_owned()));
        }
        self.keys.extend(profile.tls.keys().map(Path::to_owned));
        if profile.inherit_env {
            for (name, value) in std::env::vars_os() {
                let texts = name
                    .into_string()
                    .and_then(|name| Ok((name, value.into_string()?)));
                // The message leaves out the variable, which may be a secret.
                self.env.push(texts.map_err(|_| {
                    let problem = "a variable of the environment is not Unicode, which a component's variables must be: name those that it is to have";
                    invalid(problem.to_owned())
                })?);
            }
        }
        for var in &profile.env {
            let value = var.value().map_err(|error| invalid(error.to_string()))?;
            self.env.retain(|(name, _)| *name != var.name);
            self.env.push((var.name.clone(), value));
        }
        self.dirs.extend(profile.dirs.iter().cloned());
        for map in &profile.listen_as {
            self = self.listen_as(*map);
        }
        Ok(self)
    }

    /// Let it use this process's standard input, output and error: as [`Command::inherit_stdin`],
    /// [`StdioWriter::stdout`] and [`StdioWriter::stderr`] do.
    pub fn inherit_stdio(mut self) -> Command {
        self.stdin = Stdin::Inherited;
        self.stdout = Output::Inherited;
        self.stderr = Output::Inherited;
        self
    }

    /// Let it read this process's standard input.
    pub fn inherit_stdin(mut self) -> Command {
        self.stdin = Stdin::Inherited;
        self
    }

    /// Let reading its standard input fail (`EBADF`), as for a process that was started without one.
    pub fn closed_stdin(mut self) -> Command {
        self.stdin = Stdin::Closed;
        self
    }

    /// Write its standard output with `writer`. The run ends only after everything is written.
    pub fn stdout(mut self, writer: StdioWriter) -> Command {
        self.stdout = Output::Writer(writer);
        self
    }

    /// Write its standard error with `writer`. The run ends only after everything is written.
    pub fn stderr(mut self, writer: StdioWriter) -> Command {
        self.stderr = Output::Writer(writer);
        self
    }

    /// Count [`Limits::wall_time`] from `started`, a time in the past. Work before the run, such as
    /// compiling the program, then counts too.
    pub fn started(mut self, started: Instant) -> Command {
        self.started = Some(started);
        self
    }

    /// Grant what `policy` says, in place of what was granted before.
    pub fn policy(mut self, policy: Policy) -> Command {
        self.grant = self.grant.policy(policy);
        self
    }

    /// Set the limits.
    pub fn limits(mut self, limits: Limits) -> Command {
        self.grant = self.grant.limits(limits);
        self
    }

    /// Ask `decider` what no rule of the policy decides. By default that is denied.
    pub fn decider(mut self, decider: impl Decider) -> Command {
        self.grant = self.grant.decider(decider);
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
        self.grant = self.grant.static_host(static_name(name)?, addresses);
        Ok(self)
    }

    /// Record every decision, and the other audit events, in `sink`.
    pub fn audit(mut self, sink: impl AuditSink) -> Command {
        self.grant = self.grant.audit(sink);
        self
    }

    /// Set the TLS settings for `wasi:tls` and `wasi:http`. By default the system's authorities are trusted: see
    /// [`TlsConfig`].
    pub fn tls(mut self, config: TlsConfig) -> Command {
        self.grant = self.grant.tls(config);
        self
    }

    /// Add a header to the component's HTTP requests (`wasi:http`) that its prefix covers. The component never sees the
    /// value: see [`Grant::secret_header`].
    ///
    /// If an argument, an environment variable or a directory would give the component the value, [`Command::run`] fails
    /// with [`Error::InvalidOptions`].
    pub fn secret_header(mut self, header: SecretHeader) -> Command {
        self.grant = self.grant.secret_header(header);
        self
    }

    /// Run the component to its end, and return its exit code: 0 is success.
    ///
    /// # Errors
    /// - [`Error::InvalidOptions`]: a directory can't be opened or given, the component would be given the value of a
    ///   secret header, or a limit is set that doesn't hold on the sandbox's version of WASI ([`Limit::holds_on`](crate::limits::Limit::holds_on)).
    /// - [`Error::ListenFailed`]: an address of [`Command::listen_as`] can't be listened on.
    /// - [`Error::Trapped`]: it trapped.
    /// - [`Error::WallTime`], [`Error::CpuTime`], [`Error::MemoryLimit`], [`Error::Exhausted`]: it
    ///   exceeded a limit, or can't start within its limits.
    /// - [`Error::Internal`]: it could not be run, for lack of memory for example.
    ///
    /// # Cancel safety
    /// The future can be dropped at any time. That ends the run completely.
    pub async fn run(mut self) -> Result<i32> {
        // Its sockets may be those of WASI 0.3, where the sandbox has them.
        let wasi_version = self.program.sandbox.exports().wasi();
        let limits = self.grant.granted_limits().clone();
        check(&limits, wasi_version)?;
        secrets::must_stay_hidden(
            self.grant.secret_headers(),
            &self.args,
            &self.env,
            &self.dirs,
        )?;
        let mut wasi = WasiCtxBuilder::new();
        wasi.args(&self.args).envs(&self.env);
        match self.stdin {
            Stdin::Empty => {}
            Stdin::Inherited => {
                wasi.inherit_stdin();
            }
            Stdin::Closed => {
                wasi.stdin(ClosedStdin);
            }
        }
        let stdout = self.stdout.open(StdioWriter::stdout)?;
        let stderr = self.stderr.open(StdioWriter::stderr)?;
        if let Some(writer) = &stdout {
            wasi.stdout(writer.clone());
        }
        if let Some(writer) = &stderr {
            wasi.stderr(writer.clone());
        }
        for dir in &self.dirs {
            must_hold_files(dir)?;
            for key in &self.keys {
                must_not_show(dir, key, "the private key of a client certificate")?;
            }
            for place in self
                .program
                .sandbox
                .cache()
                .into_iter()
                .flat_map(Cache::places)
            {
                must_not_expose(dir, place, "compiled code that is run without a sandbox,")?;
            }
            open(&mut wasi, dir)?;
        }
        let mut listeners = Vec::new();
        for ListenAs { asked, real, .. } in &self.listen_as {
            listeners.push((*asked, listen(*real)?));
            let policy = self.grant.granted_policy().clone();
            self.grant = self.grant.policy(policy.allow_listen(*asked));
        }
        let sandbox = &self.program.sandbox;
        let mut store = State::store(sandbox.engine(), sandbox.next_run(), &self.grant, wasi);
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
        if wasi_version == Wasi::V0_3 {
            authority.counts_no_bytes();
        }
        if let Err(too_much) = self.program.cost.check(&limits) {
            authority.reached(too_much.limit, None);
            return Err(match too_much.limit {
                Limit::Memory => Error::MemoryLimit {
                    limit: too_much.allowed,
                },
                limit => Error::Exhausted { limit },
            });
        }
        let clock = Clock::start(sandbox, &limits, authority, self.started)?;
        let run = async {
            let run = async {
                let command = self.program.pre.instantiate_async(&mut store).await?;
                command.wasi_cli_run().call_run(&mut store).await
            };
            let done = run.await;
            // The last output may still wait for a reader. That wait counts as the run's time. The
            // component has already seen write errors, if it checked for them.
            for writer in [&stdout, &stderr].into_iter().flatten() {
                let _ = writer.written().await;
            }
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

/// The text of an error and of its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Listen on an address before the component does.
fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| Error::ListenFailed {
        address,
        reason: match error.kind() {
            ErrorKind::AddrInUse => NetworkError::AddressInUse,
            ErrorKind::AddrNotAvailable => NetworkError::AddressNotBindable,
            ErrorKind::PermissionDenied => NetworkError::NotPermitted,
            _ => NetworkError::Other,
        },
    })
}

/// A standard input that is closed.
struct ClosedStdin;

impl IsTerminal for ClosedStdin {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for ClosedStdin {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(ClosedStdin)
    }
}

impl AsyncRead for ClosedStdin {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(bad_descriptor()))
    }
}

#[cfg(unix)]
fn bad_descriptor() -> io::Error {
    rustix::io::Errno::BADF.into()
}

#[cfg(not(unix))]
fn bad_descriptor() -> io::Error {
    ErrorKind::Other.into()
}

/// Give a component access to a directory.
fn open(wasi: &mut WasiCtxBuilder, dir: &Dir) -> Result<()> {
    let permissions = match dir.read_only {
        true => FsPerms::ReadOnly,
        false => FsPerms::ReadWrite,
    };
    wasi.preopened_dir(&dir.host, &dir.guest, permissions)
        .map_err(|error| Error::InvalidOptions {
            reason: format!(
                "the directory {} can't be opened: {}",
                dir.host.display(),
                error.root_cause()
            ),
        })?;
    Ok(())
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("args", &self.args)
            .field("grant", &self.grant)
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}
