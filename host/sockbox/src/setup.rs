//! What a component is given, whether it is run as a command, as a handler or as a plugin.

use crate::error::Result;
use crate::profile::Profile;
use crate::sandbox::Sandbox;
use crate::streams::{Streams, Writers};
use crate::surroundings::{Surroundings, granted};
use sockbox_wasi::Grant;
use wasmtime_wasi::WasiCtxBuilder;

/// What a component is given: the network, arguments and files, and standard streams.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) grant: Grant,
    pub(crate) surroundings: Surroundings,
    pub(crate) streams: Streams,
}

impl Setup {
    /// Nothing.
    pub(crate) fn new(sandbox: &Sandbox) -> Setup {
        Setup {
            grant: sandbox.grant(),
            surroundings: Surroundings::default(),
            streams: Streams::default(),
        }
    }

    /// Apply `profile`: its grants and limits replace earlier ones, and the rest of it is added, except for
    /// [`Profile::listen_as`].
    ///
    /// # Errors
    /// - [`Error::InvalidOptions`](crate::Error::InvalidOptions): a value in it is invalid.
    /// - [`Error::Tls`](crate::Error::Tls): a file of certificates can't be used.
    pub(crate) fn profile(&mut self, profile: &Profile) -> Result<()> {
        self.grant = granted(self.grant.clone(), profile)?;
        self.surroundings.add(profile, &self.grant)
    }

    /// Check that the component gets nothing that no component may get.
    ///
    /// # Errors
    /// [`Error::InvalidOptions`](crate::Error::InvalidOptions): it does.
    pub(crate) fn check(&self, sandbox: &Sandbox) -> Result<()> {
        self.surroundings.check(sandbox, &self.grant)
    }

    /// What a component gets besides the network.
    ///
    /// # Errors
    /// - [`Error::InvalidOptions`](crate::Error::InvalidOptions): a directory can't be opened.
    /// - [`Error::Internal`](crate::Error::Internal): the system can't start a thread, or has no descriptor.
    pub(crate) fn wasi(&self) -> Result<(WasiCtxBuilder, Writers)> {
        let mut wasi = WasiCtxBuilder::new();
        let writers = self.streams.give(&mut wasi)?;
        self.surroundings.give(&mut wasi)?;
        Ok((wasi, writers))
    }
}
