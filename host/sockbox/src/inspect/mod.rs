//! What a component is, what it can request, and whether it can be run here. All of this is read from
//! its file, without compiling or running it.

mod abilities;
mod ability;
mod linkable;
pub(crate) mod read;
mod report;
mod rules;

pub use ability::{Ability, Capability, Grant};
pub use report::{CoreModule, Item, Kind, Memory, Producer, Report};

use crate::cost::{self, Problem};
use crate::error::Result;
use crate::load::{self, Content};
use crate::policy::Wasi;
use crate::problem::not_runnable;
use crate::proposals;
use crate::provided::by_name;
use crate::roles::Role;
use crate::sandbox::Sandbox;
use crate::wasi_version;
use read::Reading;
use sockbox_component::engine;
use std::path::Path;
use wasmparser::Validator;

impl Sandbox {
    /// Tell what a component is and what it could ask for, given as a WebAssembly binary or text. It
    /// needn't be one that can be run here.
    ///
    /// Nothing of it is compiled or run. It takes time and memory in proportion to its size.
    ///
    /// # Errors
    /// [`Error::NotRunnable`](crate::Error::NotRunnable): it is neither WebAssembly nor what wasmtime makes
    /// of it.
    ///
    /// # Examples
    /// ```
    /// use sockbox::inspect::{Ability, Kind};
    /// use sockbox::{Sandbox, Wasi};
    ///
    /// # fn main() -> sockbox::Result<()> {
    /// let report = Sandbox::new()?.inspect(Sandbox::component(Wasi::V0_2))?;
    /// assert_eq!(report.kind, Kind::Command);
    /// assert_eq!(report.obstacle, None);
    /// assert!(report.can(Ability::ConnectTcp));
    /// assert!(!report.can(Ability::SendUdp));
    /// # Ok(())
    /// # }
    /// ```
    pub fn inspect(&self, bytes: impl AsRef<[u8]>) -> Result<Report> {
        self.inspect_from(bytes.as_ref(), None)
    }

    /// Tell what the component in a file is and what it could ask for.
    ///
    /// # Errors
    /// - [`Error::Read`](crate::Error::Read): the file can't be read.
    /// - [`Error::NotRunnable`](crate::Error::NotRunnable): it is neither WebAssembly nor what wasmtime
    ///   makes of it.
    pub fn inspect_file(&self, file: impl AsRef<Path>) -> Result<Report> {
        let file = file.as_ref();
        self.inspect_named(file, load::read(file)?)
    }

    /// Tell what a component is that came from `name`, which messages mention, and what it could ask for.
    ///
    /// # Errors
    /// [`Error::NotRunnable`](crate::Error::NotRunnable): it is neither WebAssembly nor what wasmtime makes
    /// of it.
    pub fn inspect_named(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<Report> {
        self.inspect_from(bytes.as_ref(), Some(name.as_ref()))
    }

    fn inspect_from(&self, bytes: &[u8], file: Option<&Path>) -> Result<Report> {
        let problem = |problem| not_runnable(file, problem);
        let (binary, is_component) = match load::content(bytes, file).map_err(problem)? {
            Content::Component(binary) => (binary, true),
            Content::CoreModule(binary) => (binary, false),
            Content::Precompiled => {
                let mut report = Report::new(Kind::Precompiled, bytes.len());
                report.obstacle = Some(load::IS_PRECOMPILED.to_owned());
                return Ok(report);
            }
        };
        let reading = Reading::of(&binary)
            .map_err(|error| problem(format!("it is not valid WebAssembly: {error}")))?;
        let mut report = Report::new(Kind::Component, bytes.len());
        if is_component {
            report.wasi = wasi_version::of(&binary);
            report.obstacle = self.obstacle(&binary, report.wasi, &reading).err();
            if reading.is_command() {
                report.kind = Kind::Command;
            } else if reading.is_handler() {
                report.kind = Kind::Handler;
            }
            report.capabilities = abilities::of(&reading);
        } else {
            report.kind = Kind::CoreModule;
            report.obstacle = Some(load::IS_CORE_MODULE.to_owned());
        }
        reading.list(&mut report);
        Ok(report)
    }

    /// Why the component can't be run, in the words of the error that running it would give.
    fn obstacle(&self, binary: &[u8], wasi: Wasi, reading: &Reading) -> Result<(), String> {
        let concurrency = wasi == Wasi::V0_3;
        let features = engine::features(concurrency);
        let valid = Validator::new_with_features(features).validate_all(binary);
        valid.map_err(|error| {
            let lacks = by_name(reading).err();
            let lacks = lacks.or_else(|| proposals::lacking(binary, concurrency));
            lacks.unwrap_or_else(|| format!("it can't be compiled: {error}"))
        })?;
        match cost::of(binary, self.limits()) {
            Ok(_) => {}
            Err(Problem::Invalid(reason)) => return Err(format!("it can't be compiled: {reason}")),
            Err(Problem::TooMuch(too_much)) => return Err(too_much.error(None).to_string()),
        }
        let runtime = self.runtime(wasi).map_err(|error| error.to_string())?;
        linkable::check(&runtime.engine, &runtime.linker, binary, reading)?;
        if !reading.is_command() && !reading.is_handler() {
            let exports = reading.exports().map(|(name, _)| name);
            return Err(Role::Command.missing(exports));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
