//! What instantiating a component takes, told from its binary before any of it is compiled.
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

use crate::limits::{Limit, Limits};
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
/// How many bytes are copied into a memory in the time that an item takes.
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
    /// It makes no sense: it is not valid, or sockbox does not understand it.
    Invalid(String),
    /// It takes more than it may.
    TooMuch(TooMuch),
}

/// A limit that is too low for a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch {
    pub(crate) limit: Limit,
    /// What it takes, at least.
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

/// Read a binary into as many steps as there may be items.
fn read<'a>(binary: &'a [u8], limits: &Limits) -> Result<ComponentFile<'a>, Problem> {
    let mut reader = Reader {
        open: Vec::new(),
        modules: Vec::new(),
        definitions: Vec::new(),
        images: 0,
        items: 0,
        max_items: limits.component_items,
    };
    for payload in Parser::new(0).parse_all(binary) {
        if let Some(root) = reader.payload(payload.map_err(invalid)?)? {
            return Ok(ComponentFile {
                modules: reader.modules,
                definitions: reader.definitions,
                root,
            });
        }
    }
    Err(invalid("it has no end"))
}

struct Reader<'a> {
    /// What began and has not ended yet, the outermost first.
    open: Vec<Open<'a>>,
    modules: Vec<Module>,
    definitions: Vec<Definition<'a>>,
    /// Bytes of the memories' initial contents, gaps included.
    images: u64,
    items: u64,
    max_items: u64,
}

impl<'a> Reader<'a> {
    /// Gives the outermost component when it ends.
    fn payload(&mut self, payload: Payload<'a>) -> Result<Option<usize>, Problem> {
        use Payload::*;
        match payload {
            Version { encoding, .. } => {
                if self.open.len() == MAX_DEPTH {
                    return Err(invalid(format!(
                        "components are nested more than {MAX_DEPTH} deep"
                    )));
                }
                self.open.push(match encoding {
                    Encoding::Component => Open::Component(Definition::default()),
                    Encoding::Module => Open::Module(Module::default()),
                });
            }
            End(_) => return self.end(),
            CodeSectionEntry(_) => {}
            payload => match self.open.last_mut() {
                Some(Open::Module(module)) => module_section(module, payload)?,
                Some(Open::Component(_)) => self.component_section(payload)?,
                None => return Err(invalid("a section is outside of everything")),
            },
        }
        Ok(None)
    }

    fn end(&mut self) -> Result<Option<usize>, Problem> {
        match self.open.pop() {
            Some(Open::Module(module)) => {
                for (from, to) in module.contents.values() {
                    let size = to.saturating_sub(*from).min(MAX_SPARSE_IMAGE);
                    self.images = self.images.saturating_add(size);
                }
                if self.images > MAX_IMAGE_BYTES {
                    return Err(invalid(format!(
                        "the contents of its memories take more than {} MiB, gaps included",
                        MAX_IMAGE_BYTES >> 20
                    )));
                }
                self.modules.push(module);
                let index = self.modules.len() - 1;
                self.step(Step::Module(index))?;
                self.around(0)?.modules += 1;
                Ok(None)
            }
            Some(Open::Component(definition)) => {
                self.definitions.push(definition);
                let index = self.definitions.len() - 1;
                if self.open.is_empty() {
                    return Ok(Some(index));
                }
                self.step(Step::Component(index))?;
                self.around(0)?.components += 1;
                Ok(None)
            }
            None => Err(invalid("something ends that did not begin")),
        }
    }

    /// The component that is open, or the one that is `levels` around it.
    fn around(&mut self, levels: u32) -> Result<&mut Definition<'a>, Problem> {
        let levels = usize::try_from(levels).unwrap_or(usize::MAX);
        let open = self.open.iter_mut().rev().nth(levels);
        match open {
            Some(Open::Component(definition)) => Ok(definition),
            _ => Err(invalid("it refers to a component around it that is none")),
        }
    }

    fn step(&mut self, step: Step<'a>) -> Result<(), Problem> {
        let items = match &step {
            Step::Others(count) => *count,
            Step::Instantiate(_, items) | Step::Bundle(items) => 1 + items.len() as u64,
            _ => 1,
        };
        self.items = self.items.saturating_add(items);
        if self.items > self.max_items {
            return Err(Problem::TooMuch(TooMuch {
                limit: Limit::ComponentItems,
                needs: self.items,
                allowed: self.max_items,
            }));
        }
        let steps = &mut self.around(0)?.steps;
        match (steps.last_mut(), step) {
            (Some(Step::Others(count)), Step::Others(more)) => *count = count.saturating_add(more),
            (_, step) => steps.push(step),
        }
        Ok(())
    }

    /// Count an item that is new to the component's index spaces.
    fn defined(&mut self, kind: ComponentExternalKind) -> Result<(), Problem> {
        let definition = self.around(0)?;
        match kind {
            ComponentExternalKind::Module => definition.modules += 1,
            ComponentExternalKind::Component => definition.components += 1,
            _ => {}
        }
        Ok(())
    }

    fn component_section(&mut self, payload: Payload<'a>) -> Result<(), Problem> {
        use Payload::*;
        match payload {
            InstanceSection(section) => {
                for instance in section {
                    match instance.map_err(invalid)? {
                        Instance::Instantiate { module_index, args } => {
                            self.step(Step::InstantiateModule(module_index))?;
                            self.step(Step::Others(args.len() as u64))?;
                        }
                        Instance::FromExports(exports) => {
                            self.step(Step::Others(1 + exports.len() as u64))?;
                        }
                    }
                }
            }
            ComponentInstanceSection(section) => {
                for instance in section {
                    let step = match instance.map_err(invalid)? {
                        ComponentInstance::Instantiate {
                            component_index,
                            args,
                        } => {
                            let args = args.iter().map(|arg| Named {
                                name: arg.name,
                                kind: arg.kind,
                                index: arg.index,
                            });
                            Step::Instantiate(component_index, args.collect())
                        }
                        ComponentInstance::FromExports(exports) => {
                            let exports = exports.iter().map(|export| Named {
                                name: export.name.name,
                                kind: export.kind,
                                index: export.index,
                            });
                            Step::Bundle(exports.collect())
                        }
                    };
                    self.step(step)?;
                }
            }
            ComponentAliasSection(section) => {
                for alias in section {
                    self.alias(alias.map_err(invalid)?)?;
                }
            }
            ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(invalid)?;
                    let kind = kind(&import.ty);
                    self.step(Step::Import(import.name.name, kind))?;
                    self.defined(kind)?;
                }
            }
            ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(invalid)?;
                    self.step(Step::Export(Named {
                        name: export.name.name,
                        kind: export.kind,
                        index: export.index,
                    }))?;
                    self.defined(export.kind)?;
                }
            }
            ComponentTypeSection(section) => {
                self.step(Step::Others(u64::from(section.count())))?;
            }
            CoreTypeSection(section) => self.step(Step::Others(u64::from(section.count())))?,
            ComponentCanonicalSection(section) => {
                self.step(Step::Others(u64::from(section.count())))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: ComponentAlias<'a>) -> Result<(), Problem> {
        match alias {
            ComponentAlias::InstanceExport {
                kind,
                instance_index,
                name,
            } => {
                self.step(Step::AliasExport(kind, instance_index, name))?;
                self.defined(kind)
            }
            ComponentAlias::CoreInstanceExport { .. } => self.step(Step::Others(1)),
            ComponentAlias::Outer { kind, count, index } => {
                let (sort, kind) = match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        (Sort::Module, ComponentExternalKind::Module)
                    }
                    ComponentOuterAliasKind::Component => {
                        (Sort::Component, ComponentExternalKind::Component)
                    }
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {
                        return self.step(Step::Others(1));
                    }
                };
                let source = self.source(0, sort, count, index)?;
                self.step(Step::Alias(sort, source))?;
                self.defined(kind)
            }
        }
    }

    /// Where the component `level` around the open one has an item from that is `count` further out.
    fn source(
        &mut self,
        level: u32,
        sort: Sort,
        count: u32,
        index: u32,
    ) -> Result<Source, Problem> {
        if count == 0 {
            let definition = self.around(level)?;
            let defined = match sort {
                Sort::Module => definition.modules,
                Sort::Component => definition.components,
            };
            return match index < defined {
                true => Ok(Source::Around(index)),
                false => Err(invalid("it refers to an item that does not exist")),
            };
        }
        // At most as deep as components are open: what is around the outermost is an error.
        let from = self.source(level.saturating_add(1), sort, count - 1, index)?;
        self.items = self.items.saturating_add(1);
        let captures = &mut self.around(level)?.captures;
        captures.push(Capture { sort, from });
        Ok(Source::Captured(captures.len() - 1))
    }
}

fn kind(ty: &ComponentTypeRef) -> ComponentExternalKind {
    match ty {
        ComponentTypeRef::Module(_) => ComponentExternalKind::Module,
        ComponentTypeRef::Func(_) => ComponentExternalKind::Func,
        ComponentTypeRef::Value(_) => ComponentExternalKind::Value,
        ComponentTypeRef::Type(_) => ComponentExternalKind::Type,
        ComponentTypeRef::Instance(_) => ComponentExternalKind::Instance,
        ComponentTypeRef::Component(_) => ComponentExternalKind::Component,
    }
}

fn module_section(module: &mut Module, payload: Payload<'_>) -> Result<(), Problem> {
    use Payload::*;
    let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
    let bytes = |count: u32, each: u64| u64::from(count).saturating_mul(each);
    match payload {
        ImportSection(section) => {
            for import in section.into_imports() {
                add(&mut module.items, 1);
                add(&mut module.instance_bytes, FUNCTION_BYTES);
                if let TypeRef::Memory(_) = import.map_err(invalid)?.ty {
                    module.imported_memories = module.imported_memories.saturating_add(1);
                }
            }
        }
        FunctionSection(section) => {
            add(
                &mut module.instance_bytes,
                bytes(section.count(), FUNCTION_BYTES),
            );
        }
        GlobalSection(section) => {
            add(
                &mut module.instance_bytes,
                bytes(section.count(), GLOBAL_BYTES),
            );
        }
        TagSection(section) => {
            add(
                &mut module.instance_bytes,
                bytes(section.count(), GLOBAL_BYTES),
            );
        }
        MemorySection(section) => {
            for memory in section {
                let memory = memory.map_err(invalid)?;
                let page = 1_u64
                    .checked_shl(memory.page_size_log2.unwrap_or(PAGE_LOG2))
                    .unwrap_or(u64::MAX);
                add(&mut module.memories, 1);
                add(
                    &mut module.memory_bytes,
                    memory.initial.saturating_mul(page),
                );
            }
        }
        TableSection(section) => {
            for table in section {
                add(&mut module.tables, 1);
                add(
                    &mut module.table_elements,
                    table.map_err(invalid)?.ty.initial,
                );
            }
        }
        ElementSection(section) => {
            for segment in section {
                let segment = segment.map_err(invalid)?;
                let count = match &segment.items {
                    ElementItems::Functions(items) => items.count(),
                    ElementItems::Expressions(_, items) => items.count(),
                };
                match segment.kind {
                    ElementKind::Passive => {
                        add(&mut module.instance_bytes, bytes(count, SEGMENT_ITEM_BYTES));
                    }
                    // What is put into a table at once needs no room beside it, but time.
                    ElementKind::Active { .. } => add(&mut module.items, u64::from(count)),
                    ElementKind::Declared => {}
                }
            }
        }
        DataSection(section) => {
            for segment in section {
                let segment = segment.map_err(invalid)?;
                let DataKind::Active {
                    memory_index,
                    offset_expr,
                } = segment.kind
                else {
                    continue;
                };
                add(
                    &mut module.items,
                    segment.data.len() as u64 / BYTES_PER_ITEM,
                );
                // What goes elsewhere than to a constant place, or to another module's memory, has no image.
                let Ok(Operator::I32Const { value }) = offset_expr.get_operators_reader().read()
                else {
                    continue;
                };
                if memory_index < module.imported_memories {
                    continue;
                }
                let from = u64::from(value.cast_unsigned());
                let to = from.saturating_add(segment.data.len() as u64);
                match module.contents.entry(memory_index) {
                    Entry::Vacant(contents) => {
                        contents.insert((from, to));
                    }
                    Entry::Occupied(mut contents) => {
                        let (first, last) = contents.get_mut();
                        (*first, *last) = (from.min(*first), to.max(*last));
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// An item of a component's while it is being instantiated. None stands for what the host gives, of which
/// nothing is known.
#[derive(Clone)]
enum Value<'a> {
    Module(Option<usize>),
    Component(Option<Rc<Closure<'a>>>),
    Instance(Option<Rc<Exports<'a>>>),
    Other,
}

/// A component together with what it captured.
struct Closure<'a> {
    definition: usize,
    captured: Vec<Value<'a>>,
    size: Size,
}

struct Exports<'a> {
    items: HashMap<&'a str, Value<'a>>,
    size: Size,
}

/// How many items a value stands for, and how deep they are in each other. wasmtime copies all of them
/// whenever it copies one.
#[derive(Clone, Copy)]
struct Size {
    items: u64,
    depth: u32,
}

impl Size {
    fn of<'v, 'a: 'v>(values: impl IntoIterator<Item = &'v Value<'a>>) -> Size {
        let start = Size { items: 1, depth: 1 };
        values.into_iter().fold(start, |size, value| {
            let of = value.size();
            Size {
                items: size.items.saturating_add(of.items),
                depth: size.depth.max(of.depth.saturating_add(1)),
            }
        })
    }
}

impl Value<'_> {
    fn size(&self) -> Size {
        match self {
            Value::Component(Some(closure)) => closure.size,
            Value::Instance(Some(exports)) => exports.size,
            _ => Size { items: 1, depth: 1 },
        }
    }

    /// What the host gives for an import of this kind.
    fn from_host(kind: ComponentExternalKind) -> Self {
        match kind {
            ComponentExternalKind::Module => Value::Module(None),
            ComponentExternalKind::Component => Value::Component(None),
            ComponentExternalKind::Instance => Value::Instance(None),
            _ => Value::Other,
        }
    }

    fn is(&self, kind: ComponentExternalKind) -> bool {
        match self {
            Value::Module(_) => kind == ComponentExternalKind::Module,
            Value::Component(_) => kind == ComponentExternalKind::Component,
            Value::Instance(_) => kind == ComponentExternalKind::Instance,
            Value::Other => matches!(
                kind,
                ComponentExternalKind::Func
                    | ComponentExternalKind::Value
                    | ComponentExternalKind::Type
            ),
        }
    }
}

struct Counting<'f, 'a> {
    file: &'f ComponentFile<'a>,
    limits: &'f Limits,
    cost: Cost,
}

/// The index spaces of a component that is being instantiated, as far as they matter.
#[derive(Default)]
struct Frame<'a> {
    modules: Vec<Option<usize>>,
    components: Vec<Option<Rc<Closure<'a>>>>,
    instances: Vec<Option<Rc<Exports<'a>>>>,
}

impl<'a> Frame<'a> {
    fn push(&mut self, value: Value<'a>) {
        match value {
            Value::Module(module) => self.modules.push(module),
            Value::Component(component) => self.components.push(component),
            Value::Instance(instance) => self.instances.push(instance),
            Value::Other => {}
        }
    }

    fn get(&self, kind: ComponentExternalKind, index: u32) -> Result<Value<'a>, Problem> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let value = match kind {
            ComponentExternalKind::Module => self.modules.get(index).copied().map(Value::Module),
            ComponentExternalKind::Component => {
                self.components.get(index).cloned().map(Value::Component)
            }
            ComponentExternalKind::Instance => {
                self.instances.get(index).cloned().map(Value::Instance)
            }
            _ => Some(Value::Other),
        };
        value.ok_or_else(|| invalid("it refers to an item that does not exist"))
    }
}

impl Sort {
    fn kind(self) -> ComponentExternalKind {
        match self {
            Sort::Module => ComponentExternalKind::Module,
            Sort::Component => ComponentExternalKind::Component,
        }
    }
}

impl<'a> Counting<'_, 'a> {
    /// Count items, and stop when there are too many.
    fn items(&mut self, count: u64) -> Result<(), Problem> {
        self.cost.items = self.cost.items.saturating_add(count);
        self.check()
    }

    fn check(&self) -> Result<(), Problem> {
        self.cost.check(self.limits).map_err(Problem::TooMuch)
    }

    /// Copy a value as wasmtime does.
    fn copied(&mut self, value: Value<'a>) -> Result<Value<'a>, Problem> {
        let size = value.size();
        if size.depth > MAX_VALUE_DEPTH {
            return Err(invalid("its instances are too deep in each other"));
        }
        self.items(size.items)?;
        Ok(value)
    }

    fn named(
        &mut self,
        frame: &Frame<'a>,
        items: &[Named<'a>],
    ) -> Result<HashMap<&'a str, Value<'a>>, Problem> {
        let mut values = HashMap::new();
        for Named { name, kind, index } in items {
            let value = self.copied(frame.get(*kind, *index)?)?;
            values.insert(*name, value);
        }
        Ok(values)
    }

    fn source(
        &mut self,
        frame: &Frame<'a>,
        captured: &[Value<'a>],
        sort: Sort,
        source: Source,
    ) -> Result<Value<'a>, Problem> {
        let value = match source {
            Source::Around(index) => frame.get(sort.kind(), index)?,
            Source::Captured(index) => {
                let value = captured.get(index).cloned();
                value.ok_or_else(|| invalid("it refers to an item that does not exist"))?
            }
        };
        self.copied(value)
    }

    /// Go through one instantiation of a component. Without `args` it is the outermost, whose imports come
    /// from the host.
    fn instantiate(
        &mut self,
        definition: usize,
        captured: &[Value<'a>],
        args: Option<HashMap<&'a str, Value<'a>>>,
        depth: usize,
    ) -> Result<Rc<Exports<'a>>, Problem> {
        if depth > MAX_DEPTH {
            return Err(invalid(format!(
                "components instantiate each other more than {MAX_DEPTH} deep"
            )));
        }
        let file = self.file;
        let definition = file
            .definitions
            .get(definition)
            .ok_or_else(|| invalid("it refers to a component that does not exist"))?;
        let mut frame = Frame::default();
        let mut exports = HashMap::new();
        self.items(1)?;
        for step in &definition.steps {
            match step {
                Step::Others(count) => self.items(*count)?,
                Step::Module(module) => {
                    self.items(1)?;
                    frame.modules.push(Some(*module));
                }
                Step::Component(inner) => {
                    let captures = file
                        .definitions
                        .get(*inner)
                        .map(|it| it.captures.as_slice());
                    let mut values = Vec::new();
                    for Capture { sort, from } in captures.unwrap_or_default() {
                        values.push(self.source(&frame, captured, *sort, *from)?);
                    }
                    let closure = Closure {
                        definition: *inner,
                        size: Size::of(&values),
                        captured: values,
                    };
                    let closure = self.copied(Value::Component(Some(Rc::new(closure))))?;
                    frame.push(closure);
                }
                Step::InstantiateModule(index) => {
                    let Value::Module(module) = frame.get(ComponentExternalKind::Module, *index)?
                    else {
                        return Err(invalid("it instantiates what is no module"));
                    };
                    self.items(1)?;
                    // Of a module of the host's nothing is known but that it has an instance.
                    let unknown = Module::default();
                    let module = module.and_then(|module| file.modules.get(module));
                    self.cost.add(module.unwrap_or(&unknown));
                    self.check()?;
                }
                Step::Instantiate(index, args) => {
                    let Value::Component(component) =
                        frame.get(ComponentExternalKind::Component, *index)?
                    else {
                        return Err(invalid("it instantiates what is no component"));
                    };
                    let args = self.named(&frame, args)?;
                    let instance = match component {
                        None => None,
                        Some(closure) => Some(self.instantiate(
                            closure.definition,
                            &closure.captured,
                            Some(args),
                            depth + 1,
                        )?),
                    };
                    frame.instances.push(instance);
                }
                Step::Bundle(items) => {
                    let items = self.named(&frame, items)?;
                    frame.instances.push(Some(Rc::new(Exports {
                        size: Size::of(items.values()),
                        items,
                    })));
                    self.items(1)?;
                }
                Step::AliasExport(kind, instance, name) => {
                    let Value::Instance(instance) =
                        frame.get(ComponentExternalKind::Instance, *instance)?
                    else {
                        return Err(invalid("it takes an export of what is no instance"));
                    };
                    let value = match instance {
                        None => Value::from_host(*kind),
                        Some(exports) => match exports.items.get(name) {
                            Some(value) if value.is(*kind) => value.clone(),
                            _ => return Err(invalid(format!("it has no export `{name}`"))),
                        },
                    };
                    let value = self.copied(value)?;
                    frame.push(value);
                }
                Step::Alias(sort, source) => {
                    let value = self.source(&frame, captured, *sort, *source)?;
                    frame.push(value);
                }
                Step::Import(name, kind) => {
                    let value = match &args {
                        None => Value::from_host(*kind),
                        Some(args) => match args.get(name) {
                            Some(value) if value.is(*kind) => value.clone(),
                            // Types may be left out: they are no more than a description.
                            None if *kind == ComponentExternalKind::Type => Value::Other,
                            _ => return Err(invalid(format!("it lacks an import `{name}`"))),
                        },
                    };
                    let value = self.copied(value)?;
                    frame.push(value);
                }
                Step::Export(Named { name, kind, index }) => {
                    let value = self.copied(frame.get(*kind, *index)?)?;
                    exports.insert(*name, value.clone());
                    frame.push(value);
                }
            }
        }
        Ok(Rc::new(Exports {
            size: Size::of(exports.values()),
            items: exports,
        }))
    }
}

#[cfg(test)]
mod tests;
