//! The report about a file.

use super::ability::{Ability, Capability, Grant};
use crate::policy::Wasi;
use std::collections::BTreeSet;

/// What a file is and what it could ask for.
///
/// Names are unchanged from the file. A program that shows them on a terminal must escape control
/// characters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What it is.
    pub kind: Kind,
    /// The version of WASI that it runs on.
    pub wasi: Wasi,
    /// The file's size in bytes.
    pub bytes: u64,
    /// The name that it gives itself.
    pub name: Option<String>,
    /// Why [`Sandbox::program`](crate::Sandbox::program) can't run it, and what to do about it; None if
    /// it can.
    pub obstacle: Option<String>,
    /// What it could do, if all was granted, from the functions that it imports.
    pub capabilities: Vec<Capability>,
    /// What it imports.
    pub imports: Vec<Item>,
    /// What it exports.
    pub exports: Vec<Item>,
    /// Whether lists in this report are incomplete, because there are too many entries.
    pub incomplete: bool,
    /// The core modules in it, at any depth; of a core module, itself.
    pub core_modules: Vec<CoreModule>,
    /// How many components are in it, at any depth.
    pub components: usize,
    /// How many bytes are in custom sections: names, debugging information and the like.
    pub custom_bytes: u64,
    /// What it was made with.
    pub producers: Vec<Producer>,
}

impl Report {
    pub(super) fn new(kind: Kind, bytes: usize) -> Report {
        Report {
            kind,
            wasi: Wasi::default(),
            bytes: bytes as u64,
            name: None,
            obstacle: None,
            capabilities: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            incomplete: false,
            core_modules: Vec::new(),
            components: 0,
            custom_bytes: 0,
            producers: Vec::new(),
        }
    }

    /// Whether it could do this, if it was granted.
    pub fn can(&self, ability: Ability) -> bool {
        self.capabilities.iter().any(|it| it.ability == ability)
    }

    /// The grants that the component can use. Other grants have no effect.
    pub fn grants(&self) -> impl Iterator<Item = Grant> {
        let grants = self.capabilities.iter().flat_map(|it| it.ability.grants());
        grants.copied().collect::<BTreeSet<_>>().into_iter()
    }

    /// The bytes of all functions of its core modules.
    pub fn code_bytes(&self) -> u64 {
        self.core_modules.iter().map(|it| it.code_bytes).sum()
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A component that exports `wasi:cli/run@0.2` or `wasi:cli/run@0.3`: a program.
    Command,
    /// A component that exports `wasi:http/incoming-handler@0.2` or `wasi:http/handler@0.3`, and is no command: it handles HTTP requests.
    Handler,
    /// Any other component.
    Component,
    /// A core module: WebAssembly without the component model.
    CoreModule,
    /// Native code that wasmtime has compiled. The report has no details about it.
    Precompiled,
}

/// An import or an export.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// Its name, with the version. Of a core module's import, `MODULE::NAME`.
    pub name: String,
    /// The functions in it, if it is an interface, by their names in the component model:
    /// `[method]tcp-socket.start-connect`.
    pub functions: Vec<String>,
}

impl Item {
    /// One with nothing in it.
    pub(super) fn plain(name: &str) -> Item {
        Item {
            name: name.to_owned(),
            functions: Vec::new(),
        }
    }
}

/// A core module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoreModule {
    /// The name that it gives itself.
    pub name: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
    /// The bytes of its functions.
    pub code_bytes: u64,
    /// The bytes of its data.
    pub data_bytes: u64,
    /// The memories that it brings with it.
    pub memories: Vec<Memory>,
}

/// A linear memory, as it is declared. What it may have in a run is for
/// [`Limits::memory_bytes`](crate::Limits::memory_bytes) to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Its size at the start, in bytes.
    pub min_bytes: u64,
    /// The size that it never grows beyond, in bytes; none: as large as memories can be.
    pub max_bytes: Option<u64>,
}

/// What a file was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Producer {
    /// What part it had: `language`, `processed-by` or `sdk`.
    pub field: String,
    /// Its name.
    pub name: String,
    /// Its version; empty if that isn't said.
    pub version: String,
}
