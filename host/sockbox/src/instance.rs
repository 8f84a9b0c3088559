//! One run of the component.

use crate::audit::{AuditSink, RunId};
use crate::cpu::CpuTime;
use crate::epoch::EpochHandle;
use crate::error::{Error, Result};
use crate::exports::Exports;
use crate::failure::failure;
use crate::life::Life;
use crate::limits::{Limit, Limits};
use crate::policy::{AnsweredNames, Name, Policy, PrivateLoopback, Proxies};
use crate::profile::Profile;
use crate::reservation;
use crate::runtime::Runtime;
use crate::sandbox::Sandbox;
use crate::state::State;
use crate::streams::{Output, Streams};
use crate::url::http_origin_of;
use sockbox_wasi::tls::TlsConfig;
use sockbox_wasi::{Authority, Decider, Grant, ProfileError, ProxiedBy};
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::unconstrained;
use tokio::time::Instant;
use tracing::Instrument;
use wasmtime::Store;
use wasmtime::component::ResourceAny;
use wasmtime_wasi::WasiCtxBuilder;

/// Prepares an [`Instance`]. By default nothing is granted, and the default limits apply.
#[must_use]
pub struct InstanceBuilder {
    sandbox: Sandbox,
    grant: Grant,
    streams: Streams,
}

/// Read the name of a static host.
pub(crate) fn static_name(name: &str) -> Result<Name> {
    Ok(name.parse::<Name>()?)
}

impl InstanceBuilder {
    pub(crate) fn new(sandbox: Sandbox) -> InstanceBuilder {
        let grant = sandbox.grant().tls_protocols(&[b"http/1.1"]);
        InstanceBuilder {
            sandbox,
            grant,
            streams: Streams::default(),
        }
    }

    /// Grant what `policy` says, in place of what was granted before.
    pub fn policy(mut self, policy: Policy) -> InstanceBuilder {
        self.grant = self.grant.policy(policy);
        self
    }

    /// Share with other instances the names whose servers have responded ([`Policy::allow_origin`]). Use it
    /// for instances that fetch for the same user. By default each builder remembers its own names.
    pub fn answered_names(mut self, names: AnsweredNames) -> InstanceBuilder {
        self.grant = self.grant.answered_names(names);
        self
    }

    /// Grant and limit what `profile` says, in place of what was granted before, and take its static host addresses, its
    /// certificates and its proxies as well.
    ///
    /// # Errors
    /// [`Error::Tls`]: a file of certificates can't be used.
    /// [`Error::InvalidOptions`]: a limit is set to what it can't be, or the profile gives directories,
    /// environment variables, secret headers or [`listen_as`](Profile::listen_as), which the component of sockbox's own
    /// doesn't get: those are for a [`Command`](crate::Command).
    pub fn profile(mut self, profile: &Profile) -> Result<InstanceBuilder> {
        let without_effect = [
            ("dir", !profile.dirs.is_empty()),
            ("env", !profile.env.is_empty()),
            ("inherit-env", profile.inherit_env),
            ("listen-as", !profile.listen_as.is_empty()),
            ("secret-header", !profile.secret_headers.is_empty()),
        ];
        if let Some((key, _)) = without_effect.iter().find(|(_, given)| *given) {
            return Err(Error::InvalidOptions {
                reason: format!(
                    "`{key}` has no effect on sockbox's own component: it is for `sockbox run` \
                     (put it into a profile that only that uses)"
                ),
            });
        }
        let grant = self.grant.profile(profile);
        self.grant = grant.map_err(|error| match error {
            ProfileError::Tls(error) => error.into(),
            error => Error::InvalidOptions {
                reason: error.to_string(),
            },
        })?;
        Ok(self)
    }

    /// Set the limits.
    pub fn limits(mut self, limits: Limits) -> InstanceBuilder {
        self.grant = self.grant.limits(limits);
        self
    }

    /// Ask `decider` what no rule of the policy decides. By default that is denied.
    pub fn decider(mut self, decider: impl Decider) -> InstanceBuilder {
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
    ) -> Result<InstanceBuilder> {
        self.grant = self.grant.static_host(static_name(name)?, addresses);
        Ok(self)
    }

    /// Record every decision, and the other audit events, in `sink`.
    pub fn audit(mut self, sink: impl AuditSink) -> InstanceBuilder {
        self.grant = self.grant.audit(sink);
        self
    }

    /// Set the TLS settings. By default the system's authorities are trusted: see [`TlsConfig`].
    pub fn tls(mut self, config: TlsConfig) -> InstanceBuilder {
        self.grant = self.grant.tls(config);
        self
    }

    /// Send requests through these proxies, with `CONNECT`: those to `http` URLs, too. By default none is used.
    ///
    /// The policy decides as without a proxy: a name is resolved here, each address is judged, and the proxy is asked for an
    /// address. With [`Proxies::resolve`] the proxy resolves names, and the policy judges the name.
    pub fn proxies(mut self, proxies: Proxies) -> InstanceBuilder {
        self.grant = self.grant.proxies(proxies);
        self
    }

    /// Let the component write to this process's standard error, where [`Request::trace`] and the
    /// message of a component that fails go. By default they go nowhere.
    ///
    /// [`Request::trace`]: crate::Request::trace
    pub fn inherit_stderr(mut self) -> InstanceBuilder {
        self.streams.stderr = Output::inherited();
        self
    }

    /// Let the component write its standard error to `output`: a [`StdioWriter`](crate::StdioWriter) is one.
    pub fn stderr(mut self, output: impl Into<Output>) -> InstanceBuilder {
        self.streams.stderr = output.into();
        self
    }

    /// Start the component.
    ///
    /// # Errors
    /// - [`Error::WallTime`], [`Error::CpuTime`], [`Error::MemoryLimit`], [`Error::Exhausted`]: the
    ///   limits are too tight for it to start.
    /// - [`Error::Trapped`], [`Error::Internal`]: it can't start.
    pub async fn build(mut self) -> Result<Instance> {
        // A server that nothing else can connect to is of no use: without a grant to listen it is denied.
        let policy = self.grant.granted_policy().clone();
        self.grant = self
            .grant
            .policy(policy.private_loopback(PrivateLoopback::Off));
        let limits = self.grant.granted_limits().clone();
        let mut wasi = WasiCtxBuilder::new();
        // What it writes there is for people. No call waits until it is written.
        self.streams.give(&mut wasi)?;
        let run = self.sandbox.next_run();
        let mut store = State::store(
            &self.sandbox.own_runtime().engine,
            run,
            &self.grant,
            wasi,
            (),
        );
        let authority = store.data().sockbox.authority().clone();
        let clock = Clock::start(self.sandbox.own_runtime(), &limits, authority, None)?;
        let started = clock
            .time(self.sandbox.exports().instantiate(&mut store))
            .await?;
        let exports = started.map_err(|error| failure(&store, error))?;
        Ok(Instance {
            run,
            store,
            exports,
            clock,
            limits,
            life: Life::default(),
            ipv6: false,
            discarded: Vec::new(),
            _sandbox: self.sandbox,
        })
    }
}

impl fmt::Debug for InstanceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceBuilder")
            .field("grant", &self.grant)
            .field("stderr", &self.streams.stderr)
            .finish_non_exhaustive()
    }
}

/// One run of the component, with its own grants and limits.
///
/// Dropping it ends the run at once and closes its connections.
///
/// # Cancel safety
/// The future of a call can be dropped at any time. If the component was in the middle of the call
/// then, it can't be used any more, and every further call is [`Error::Abandoned`]. The same is true
/// after a trap ([`Error::Trapped`]) and after a limit that ended a call.
pub struct Instance {
    run: RunId,
    store: Store<State>,
    exports: Exports,
    clock: Clock,
    limits: Limits,
    life: Life,
    /// Whether the last request uses IPv6 only.
    pub(crate) ipv6: bool,
    /// Resources of the component's to be dropped at the next occasion.
    discarded: Vec<ResourceAny>,
    /// The sandbox's ticker stops when the last reference is dropped.
    _sandbox: Sandbox,
}

impl Instance {
    /// The number of this run in audit events.
    pub fn run_id(&self) -> RunId {
        self.run
    }

    /// Begin a call. [`Call::run`] and [`Instance::end`] must follow.
    ///
    /// Resources that were discarded meanwhile are dropped first.
    pub(crate) async fn begin(&mut self) -> Result<Call> {
        while let Some(resource) = self.discarded.pop() {
            let call = self.enter()?;
            let dropped = call
                .run(resource.resource_drop_async(&mut self.store))
                .await?;
            self.end(dropped)?;
        }
        self.enter()
    }

    fn enter(&mut self) -> Result<Call> {
        self.life.begin()?;
        self.store.data_mut().sockbox.limiter().forget_refusal();
        Ok(Call {
            clock: self.clock.clone(),
        })
    }

    /// End a call. Whatever its result is, the component does not run any more.
    pub(crate) fn end<T>(&mut self, result: wasmtime::Result<T>) -> Result<T> {
        self.life.end(result.is_ok());
        result.map_err(|error| failure(&self.store, error))
    }

    /// Drop a resource of the component's with the next call, or with the instance.
    pub(crate) fn discard(&mut self, resource: ResourceAny) {
        self.discarded.push(resource);
    }

    /// Wait for something outside of the component, within the run's time.
    ///
    /// # Errors
    /// [`Error::WallTime`].
    pub(crate) async fn wait<F: Future>(&self, what: F) -> Result<F::Output> {
        self.clock.wait(what).await
    }

    pub(crate) fn parts(&mut self) -> (&mut Store<State>, &Exports) {
        (&mut self.store, &self.exports)
    }

    /// Let the connections that the component opens from now on lead to the server of `url`, through the proxy for it.
    pub(crate) fn lead_to(&mut self, url: &str) {
        // The component opens no connection for another URL.
        if let Some((scheme, origin)) = http_origin_of(url) {
            let ipv6 = self.ipv6;
            let ctx = &mut self.store.data_mut().sockbox;
            ctx.lead_connections_to(scheme, &origin, ipv6);
        }
    }

    /// The proxy of the component's open connection from this local address.
    pub(crate) fn proxied_by(&self, local: SocketAddr) -> Option<ProxiedBy> {
        self.store.data().sockbox.proxied_by(local)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn authority(&self) -> &Arc<Authority> {
        self.store.data().sockbox.authority()
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("run", &self.run)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// A call that has begun.
pub(crate) struct Call {
    clock: Clock,
}

impl Call {
    /// Run the component's part of it.
    ///
    /// # Errors
    /// [`Error::WallTime`], [`Error::CpuTime`]. The call is abandoned then.
    pub(crate) async fn run<F: Future>(&self, call: F) -> Result<F::Output> {
        self.clock.time(call).await
    }
}

/// Limits a run's time, and lets its futures be dropped even while the component computes.
#[derive(Clone)]
pub(crate) struct Clock {
    ticker: EpochHandle,
    /// When the run has to be over, and how long it had.
    deadline: Option<(Instant, Duration)>,
    cpu: Option<CpuTime>,
    authority: Arc<Authority>,
    /// The tracing span of the run.
    span: tracing::Span,
}

impl Clock {
    /// Start a run's time, which began when it was `started`, if that was earlier.
    pub(crate) fn start(
        runtime: &Runtime,
        limits: &Limits,
        authority: Arc<Authority>,
        started: Option<std::time::Instant>,
    ) -> Result<Clock> {
        let started = started.map_or_else(Instant::now, Instant::from_std);
        let ticker = runtime.ticker.handle().map_err(|error| {
            Error::internal(format_args!(
                "cannot start a thread: {error}{}",
                reservation::hint()
            ))
        })?;
        // A time limit that overflows is no limit.
        let deadline = limits
            .wall_time
            .and_then(|time| Some((started.checked_add(time)?, time)));
        Ok(Clock {
            ticker,
            deadline,
            cpu: limits.cpu_time.map(CpuTime::new),
            span: tracing::info_span!("run", run = %authority.run()),
            authority,
        })
    }

    /// Wait for something outside of the component. This counts as the run's wall time, and not as CPU time.
    ///
    /// # Errors
    /// [`Error::WallTime`].
    pub(crate) async fn wait<F: Future>(&self, what: F) -> Result<F::Output> {
        let Some((deadline, limit)) = self.deadline else {
            return Ok(what.await);
        };
        tokio::time::timeout_at(deadline, what).await.map_err(|_| {
            self.authority.reached(Limit::WallTime, None);
            Error::WallTime { limit }
        })
    }

    /// Run a piece of it.
    ///
    /// # Errors
    /// [`Error::WallTime`], [`Error::CpuTime`].
    pub(crate) async fn time<F: Future>(&self, piece: F) -> Result<F::Output> {
        // tokio reports at most 128 ready sockets to a task before the task has to yield, and
        // reports the others as not ready. A component does not know about this budget. It yields
        // anyway when it waits or its tick ends.
        let piece = unconstrained(self.ticker.drive(piece)).instrument(self.span.clone());
        let computing = async {
            match &self.cpu {
                None => Ok(piece.await),
                Some(cpu) => cpu.bound(piece).await,
            }
        };
        let done = match self.deadline {
            None => computing.await,
            Some((deadline, limit)) => tokio::time::timeout_at(deadline, computing)
                .await
                .unwrap_or(Err(Error::WallTime { limit })),
        };
        match &done {
            Err(Error::WallTime { .. }) => self.authority.reached(Limit::WallTime, None),
            Err(Error::CpuTime { .. }) => self.authority.reached(Limit::CpuTime, None),
            _ => {}
        }
        done
    }
}
