//! What a component gets besides the network: arguments, environment variables and directories.

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::exposed::{must_hold_files, must_not_expose, must_not_show};
use crate::profile::{Dir, Profile};
use crate::sandbox::Sandbox;
use crate::secrets;
use sockbox_wasi::{Grant, ProfileError};
use std::path::{Path, PathBuf};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// What a component gets besides the network. The default is nothing.
#[derive(Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) dirs: Vec<Dir>,
    /// Files with private keys, which it must not read.
    keys: Vec<PathBuf>,
}

/// `grant`, and what `profile` grants.
///
/// # Errors
/// - [`Error::InvalidOptions`]: a value in the profile is invalid.
/// - [`Error::Tls`]: a file of certificates can't be used.
pub(crate) fn granted(grant: Grant, profile: &Profile) -> Result<Grant> {
    grant.profile(profile).map_err(|error| match error {
        ProfileError::Tls(error) => error.into(),
        error => Error::InvalidOptions {
            reason: chain(&error),
        },
    })
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

impl Surroundings {
    /// Add the directories and the environment variables of `profile`. `grant` is what the component is granted.
    ///
    /// # Errors
    /// [`Error::InvalidOptions`]: a variable isn't set in this process or isn't Unicode, or the environment would show the
    /// component the credentials of a proxy.
    pub(crate) fn add(&mut self, profile: &Profile, grant: &Grant) -> Result<()> {
        let invalid = |reason: String| Error::InvalidOptions { reason };
        if profile.inherit_env && profile.proxy.of_environment && grant.has_proxy_credentials() {
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
        Ok(())
    }

    /// Check that the component gets nothing that no component may get: the value of a secret header of `grant`, and
    /// directories with certain files.
    ///
    /// # Errors
    /// [`Error::InvalidOptions`]: it does.
    pub(crate) fn check(&self, sandbox: &Sandbox, grant: &Grant) -> Result<()> {
        let headers = grant.secret_headers();
        secrets::must_stay_hidden(headers, &self.args, &self.env, &self.dirs)?;
        for dir in &self.dirs {
            must_hold_files(dir)?;
            for key in &self.keys {
                must_not_show(dir, key, "the private key of a client certificate")?;
            }
            for place in sandbox.cache().into_iter().flat_map(Cache::places) {
                must_not_expose(dir, place, "compiled code that is run without a sandbox,")?;
            }
        }
        Ok(())
    }

    /// Give it to a component.
    ///
    /// # Errors
    /// [`Error::InvalidOptions`]: a directory can't be opened.
    pub(crate) fn give(&self, wasi: &mut WasiCtxBuilder) -> Result<()> {
        wasi.args(&self.args).envs(&self.env);
        for dir in &self.dirs {
            let permissions = match dir.read_only {
                true => FsPerms::ReadOnly,
                false => FsPerms::ReadWrite,
            };
            let opened = wasi.preopened_dir(&dir.host, &dir.guest, permissions);
            opened.map_err(|error| Error::InvalidOptions {
                reason: format!(
                    "the directory {} can't be opened: {}",
                    dir.host.display(),
                    error.root_cause()
                ),
            })?;
        }
        Ok(())
    }
}
