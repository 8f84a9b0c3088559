//! The cost of instantiating a component, computed from its binary before it is compiled.
//!
//! wasmtime's compiler follows every instantiation that a component consists of: a component that
//! instantiates the one before it twice, and so on 23 times, is 2.6 KB of binary and 8 million instances. The
//! same holds for memories, tables and globals, which each instance of a module has anew. So the binary
//! is interpreted here first, in the way that wasmtime does it (its `translate/inline.rs`), but counting
//! only, and only until a limit is reached: the time and memory that the counting itself takes are bounded by
//! [`Limits::component_items`].
//!
//! What is counted is what the binary itself asks for. wasmtime adds instances of its own, for calls from
//! one component to another; those count against the same limits when they are made.

mod count;
mod read;

use crate::error::Error;
use crate::limits::{Limit, Limits};
use count::Counting;
use read::read;
use sockbox_wasi::Authority;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, DataKind, ElementItems, ElementKind, Encoding, Instance, Operator, Parser,
    Payload, TypeRef,
};

/// How deep components may be nested in each other, and how deep their instantiations. Tools that compose
/// components make two or three levels.
pub(crate) const MAX_DEPTH: usize = 100;
/// How deep instances may be exported from instances. wasmparser's own bound on types is below it.
const MAX_VALUE_DEPTH: u32 = 1_000;
/// The size of a memory's page in bytes, as a power of two, unless the memory says otherwise.
const PAGE_LOG2: u32 = 16;
/// wasmtime puts the initial contents of a memory into the compiled code as one image if it has at most
/// this many bytes, however much of it is gaps (`Config::memory_guaranteed_dense_image_size`).
const MAX_SPARSE_IMAGE: u64 = 16 << 20;
/// The most bytes of such images, all modules together: what a component of the largest size may have
/// without any gaps.
const MAX_IMAGE_BYTES: u64 = 256 << 20;

/// Bytes of the host that an instance takes whatever is in it.
const INSTANCE_BYTES: u64 = 1024;
/// How many bytes are copied into a memory in the time of one item.
const BYTES_PER_ITEM: u64 = 1024;
/// Bytes of the host for a global of an instance, for one item in a segment that is kept, and for a
/// function that is imported or defined (wasmtime's `VMOffsets`, rounded up).
const GLOBAL_BYTES: u64 = 16;
const SEGMENT_ITEM_BYTES: u64 = 16;
const FUNCTION_BYTES: u64 = 40;

/// What one instantiation of a component takes. Every number is a lower bound of what wasmtime takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    core_instances: u64,
    memories: u64,
    memory_bytes: u64,
    tables: u64,
    table_elements: u64,
    /// Bytes of the host's own memory for instances: globals, functions, segments.
    instance_bytes: u64,
    /// Items that wasmtime goes through.
    items: u64,
}

/// Why a component is not compiled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The component is invalid, or has a feature that sockbox does not support.
    Invalid(String),
    /// It exceeds a limit.
    TooMuch(TooMuch),
}

/// A limit that is too low for a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch {
    pub(crate) limit: Limit,
    /// What the component needs, at least.
    pub(crate) needs: u64,
    pub(crate) allowed: u64,
}

impl Cost {
    /// Whether it is within `limits`.
    ///
    /// # Errors
    /// The first limit that is not enough.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), TooMuch> {
        let instances = u64::try_from(limits.instances).unwrap_or(u64::MAX);
        for (limit, needs, allowed) in [
            (Limit::Instances, self.core_instances, instances),
            (Limit::Instances, self.memories, instances),
            (Limit::Instances, self.tables, instances),
            (Limit::Memory, self.memory_bytes, limits.memory_bytes),
            (
                Limit::TableElements,
                self.table_elements,
                limits.table_elements,
            ),
            (
                Limit::InstanceBytes,
                self.instance_bytes,
                limits.instance_bytes,
            ),
            (Limit::ComponentItems, self.items, limits.component_items),
        ] {
            if needs > allowed {
                return Err(TooMuch {
                    limit,
                    needs,
                    allowed,
                });
            }
        }
        Ok(())
    }

    /// Check that a run may start it, and record the limit that is not enough.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`], [`Error::Exhausted`]: it takes more than `limits` allow.
    pub(crate) fn fits(&self, limits: &Limits, authority: &Authority) -> Result<(), Error> {
        let Err(too_much) = self.check(limits) else {
            return Ok(());
        };
        authority.reached(too_much.limit, None);
        Err(match too_much.limit {
            Limit::Memory => Error::MemoryLimit {
                limit: too_much.allowed,
            },
            limit => Error::Exhausted { limit },
        })
    }

    fn add(&mut self, module: &Module) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.core_instances, 1);
        add(&mut self.memories, module.memories);
        add(&mut self.memory_bytes, module.memory_bytes);
        add(&mut self.tables, module.tables);
        add(&mut self.table_elements, module.table_elements);
        add(&mut self.instance_bytes, INSTANCE_BYTES);
        add(&mut self.instance_bytes, module.instance_bytes);
        add(&mut self.items, module.items);
    }
}

/// Count what instantiating the component in `binary` takes, up to what `limits` allow.
///
/// # Errors
/// [`Problem`].
pub(crate) fn of(binary: &[u8], limits: &Limits) -> Result<Cost, Problem> {
    let file = read(binary, limits)?;
    let mut counting = Counting {
        file: &file,
        limits,
        cost: Cost::default(),
    };
    counting.instantiate(file.root, &[], None, 1)?;
    Ok(counting.cost)
}

fn invalid(text: impl ToString) -> Problem {
    Problem::Invalid(text.to_string())
}

/// What a core module has.
#[derive(Default)]
struct Module {
    /// Items that an instantiation goes through: imports, and what is copied.
    items: u64,
    memories: u64,
    memory_bytes: u64,
    tables: u64,
    table_elements: u64,
    instance_bytes: u64,
    /// How many memories it imports, which come first in its data segments' numbering.
    imported_memories: u32,
    /// Where the contents of each memory begin and end, as far as they are said to.
    contents: HashMap<u32, (u64, u64)>,
}

/// A component as it is written, whatever it is instantiated with.
#[derive(Default)]
struct Definition<'a> {
    steps: Vec<Step<'a>>,
    captures: Vec<Capture>,
    /// How many modules and components it has so far, while it is read.
    modules: u32,
    components: u32,
}

/// Something outside of a component that it refers to.
struct Capture {
    sort: Sort,
    from: Source,
}

#[derive(Clone, Copy)]
enum Source {
    /// The component around it has it under this index.
    Around(u32),
    /// The component around it captures it itself.
    Captured(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Module,
    Component,
}

enum Step<'a> {
    /// As many items that nothing has to be known of.
    Others(u64),
    /// A module, in the file's order.
    Module(usize),
    /// A component, in the file's order.
    Component(usize),
    InstantiateModule(u32),
    Instantiate(u32, Box<[Named<'a>]>),
    Bundle(Box<[Named<'a>]>),
    AliasExport(ComponentExternalKind, u32, &'a str),
    Alias(Sort, Source),
    Import(&'a str, ComponentExternalKind),
    Export(Named<'a>),
}

/// An item under a name.
#[derive(Clone, Copy)]
struct Named<'a> {
    name: &'a str,
    kind: ComponentExternalKind,
    index: u32,
}

/// A component's file.
struct ComponentFile<'a> {
    modules: Vec<Module>,
    definitions: Vec<Definition<'a>>,
    root: usize,
}

enum Open<'a> {
    Component(Definition<'a>),
    Module(Module),
}

#[cfg(test)]
mod tests;
