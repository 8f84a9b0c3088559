//! What a component gets besides the network: arguments, environment variables and directories.

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::exposed::{must_hold_files, must_not_expose};
use crate::profile::{Dir, Profile};
use crate::sandbox::Sandbox;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// What a component gets besides the network. The default is nothing.
#[derive(Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) dirs: Vec<Dir>,
}

impl Surroundings {
    /// Add the directories and the environment variables of `profile`.
    ///
    /// # Errors
    /// [`Error::InvalidOptions`]: a variable isn't set in this process or isn't Unicode.
    pub(crate) fn add(&mut self, profile: &Profile) -> Result<()> {
        let invalid = |reason: String| Error::InvalidOptions { reason };
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

    /// Check that no directory contains what no component may get.
    ///
    /// # Errors
    /// [`Error::InvalidOptions`]: one does.
    pub(crate) fn check(&self, sandbox: &Sandbox) -> Result<()> {
        for dir in &self.dirs {
            must_hold_files(dir)?;
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
