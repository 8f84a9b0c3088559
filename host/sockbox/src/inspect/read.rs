//! Reading a component's binary, all but the functions' bodies.

use super::report::{CoreModule, Item, Memory, Producer, Report};
use crate::cost::MAX_DEPTH;
use crate::wasi_version::is_0_3;
use wasmparser::component_types::{
    ComponentEntityType, ComponentFuncTypeId, ComponentInstanceType, ComponentItem,
};
use wasmparser::types::Types;
use wasmparser::{
    ComponentName, CustomSectionReader, Encoding, KnownCustom, MemoryType, Name, Parser, Payload,
    ProducersSectionReader, ValidPayload, Validator, WasmFeatures,
};

/// How many names are listed. A file may name the same million functions a thousand times, in a few
/// bytes each time.
const MAX_LISTED: usize = 10_000;
/// How many core modules are listed. What puts a language into a component makes some dozens.
const MAX_PARTS: usize = 1_000;
/// How many producers are listed. A toolchain leaves a handful.
const MAX_PRODUCERS: usize = 100;
/// The size of a page of memory, unless it has its own.
const PAGE_LOG2: u32 = 16;

/// What was read.
pub(crate) struct Reading {
    types: Types,
    parts: Parts,
}

impl Reading {
    /// Read a component or a core module, of whatever proposals there are: not only of those that
    /// sockbox runs.
    ///
    /// # Errors
    /// It isn't valid: why, and where.
    pub(crate) fn of(binary: &[u8]) -> Result<Reading, String> {
        let mut validator = Validator::new_with_features(every_feature());
        let mut parts = Parts::default();
        for payload in Parser::new(0).parse_all(binary) {
            let payload = payload.map_err(told)?;
            let valid = validator.payload(&payload).map_err(told)?;
            parts.read(&payload)?;
            if let ValidPayload::End(types) = valid
                && parts.open.is_empty()
            {
                return Ok(Reading { types, parts });
            }
        }
        Err("it is truncated".to_owned())
    }

    /// What the component imports, by name; functions and types included.
    pub(super) fn imports(&self) -> impl Iterator<Item = (&str, &ComponentItem)> {
        let item = |name: &str| self.types.as_ref().component_item_for_import(name);
        named(&self.parts.imports, item)
    }

    /// The names of the imports, but for those with nothing in them.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &str> {
        let needed = self.imports().filter(|(_, item)| {
            let interface = self.interface(item);
            interface.is_none_or(|interface| !interface.0.exports.is_empty())
        });
        needed.map(|(name, _)| name)
    }

    /// The interfaces that the component imports, by name.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = (&str, Interface<'_>)> {
        self.imports()
            .filter_map(|(name, item)| Some((name, self.interface(item)?)))
    }

    pub(super) fn exports(&self) -> impl Iterator<Item = (&str, &ComponentItem)> {
        let item = |name: &str| self.types.as_ref().component_item_for_export(name);
        named(&self.parts.exports, item)
    }

    fn interface(&self, item: &ComponentItem) -> Option<Interface<'_>> {
        match item.ty {
            ComponentEntityType::Instance(id) => self.types.as_ref().get(id).map(Interface),
            _ => None,
        }
    }

    /// Whether it has what a program begins with.
    pub(super) fn is_command(&self) -> bool {
        let has_run = |item| {
            let run = self.interface(item)?.function("run")?;
            let run = self.types.as_ref().get(run)?;
            Some(run.params.is_empty() && run.result.is_some())
        };
        self.exports()
            .any(|(name, item)| is_run(name) && has_run(item).unwrap_or_default())
    }

    /// Whether it has the function that a handler of HTTP requests has, of either version of WASI.
    pub(super) fn is_handler(&self) -> bool {
        // The parameters of that function, and whether it returns something.
        let handle = |item| {
            let handle = self.interface(item)?.function("handle")?;
            let handle = self.types.as_ref().get(handle)?;
            Some((handle.params.len(), handle.result.is_some()))
        };
        self.exports().any(|(name, item)| {
            let expected = if is_wasi_0_2(name, "wasi:http/incoming-handler@") {
                (2, false)
            } else if name.starts_with("wasi:http/handler@") && is_0_3(name) {
                (1, true)
            } else {
                return false;
            };
            handle(item) == Some(expected)
        })
    }

    /// Put all of it into the report.
    pub(super) fn list(self, report: &mut Report) {
        let mut room = MAX_LISTED;
        if self.parts.is_component {
            report.imports = self.items(self.imports(), &mut room);
            report.exports = self.items(self.exports(), &mut room);
        } else {
            report.imports = plain(&self.parts.imports, &mut room);
            report.exports = plain(&self.parts.exports, &mut room);
        }
        report.incomplete = room == 0 || self.parts.incomplete;
        report.name = self.parts.name;
        report.core_modules = self.parts.core_modules;
        report.components = self.parts.components;
        report.custom_bytes = self.parts.custom_bytes;
        report.producers = self.parts.producers;
    }

    /// As many as there is room for.
    fn items<'a>(
        &'a self,
        items: impl Iterator<Item = (&'a str, &'a ComponentItem)>,
        room: &mut usize,
    ) -> Vec<Item> {
        let mut listed = Vec::new();
        for (name, item) in items {
            if *room == 0 {
                break;
            }
            *room -= 1;
            let mut functions = Vec::new();
            if let Some(interface) = self.interface(item) {
                functions = interface.names().take(*room).map(str::to_owned).collect();
                *room -= functions.len();
            }
            let name = name.to_owned();
            listed.push(Item { name, functions });
        }
        listed
    }
}

/// The type of an interface.
pub(super) struct Interface<'a>(&'a ComponentInstanceType);

impl<'a> Interface<'a> {
    /// The names of its functions.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let exports = self.0.exports.iter();
        let functions = exports.filter(|(_, item)| is_function(item));
        functions.map(|(name, _)| name.as_str())
    }

    pub(super) fn has(&self, function: &str) -> bool {
        self.0.exports.get(function).is_some_and(is_function)
    }

    fn function(&self, name: &str) -> Option<ComponentFuncTypeId> {
        match self.0.exports.get(name)?.ty {
            ComponentEntityType::Func(id) => Some(id),
            _ => None,
        }
    }
}

/// Whether an interface is the one that a command exports, of either version of WASI.
fn is_run(name: &str) -> bool {
    let prefix = "wasi:cli/run@";
    is_wasi_0_2(name, prefix) || name.starts_with(prefix) && is_0_3(name)
}

/// Whether an interface is `prefix`, which ends with `@`, in a version that is compatible with WASI 0.2.
pub(super) fn is_wasi_0_2(name: &str, prefix: &str) -> bool {
    let patch = name
        .strip_prefix(prefix)
        .and_then(|version| version.strip_prefix("0.2."));
    patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_function(item: &ComponentItem) -> bool {
    matches!(item.ty, ComponentEntityType::Func(_))
}

fn named<'a>(
    names: &'a [String],
    item: impl Fn(&str) -> Option<&'a ComponentItem>,
) -> impl Iterator<Item = (&'a str, &'a ComponentItem)> {
    let items = names.iter();
    items.filter_map(move |name| Some((name.as_str(), item(name)?)))
}

/// Names with nothing in them, as many as there is room for.
fn plain(names: &[String], room: &mut usize) -> Vec<Item> {
    let listed: Vec<Item> = names.iter().take(*room).map(|it| Item::plain(it)).collect();
    *room -= listed.len();
    listed
}

/// All proposals that the parser supports, so that a file with any of them can be inspected.
fn every_feature() -> WasmFeatures {
    WasmFeatures::all()
}

/// What was seen so far.
#[derive(Default)]
struct Parts {
    /// What began and hasn't ended yet, the outermost first.
    open: Vec<Open>,
    is_component: bool,
    name: Option<String>,
    imports: Vec<String>,
    exports: Vec<String>,
    core_modules: Vec<CoreModule>,
    components: usize,
    custom_bytes: u64,
    producers: Vec<Producer>,
    incomplete: bool,
}

/// What may be in a file, and in another.
enum Open {
    Component,
    CoreModule { from: usize, module: CoreModule },
}

impl Parts {
    fn read(&mut self, payload: &Payload<'_>) -> Result<(), String> {
        use Payload::*;
        match payload {
            Version {
                encoding, range, ..
            } => self.begin(*encoding, range.start)?,
            End(to) => self.end(*to),
            // Only the imports of the outermost component: inner components get their imports from
            // it.
            ComponentImportSection(section) if self.open.len() == 1 => {
                for import in section.clone() {
                    self.imports
                        .push(import.map_err(told)?.name.name.to_owned());
                }
            }
            ComponentExportSection(section) if self.open.len() == 1 => {
                for export in section.clone() {
                    self.exports
                        .push(export.map_err(told)?.name.name.to_owned());
                }
            }
            ImportSection(section) if self.open.len() == 1 => {
                for import in section.clone().into_imports() {
                    let import = import.map_err(told)?;
                    self.imports
                        .push(format!("{}::{}", import.module, import.name));
                }
            }
            ExportSection(section) if self.open.len() == 1 => {
                for export in section.clone() {
                    self.exports.push(export.map_err(told)?.name.to_owned());
                }
            }
            MemorySection(section) => {
                if let Some(module) = self.module() {
                    for memory in section.clone() {
                        module.memories.push(memory_of(memory.map_err(told)?));
                    }
                }
            }
            CodeSectionStart { size, .. } => {
                if let Some(module) = self.module() {
                    module.code_bytes = u64::from(*size);
                }
            }
            DataSection(section) => {
                if let Some(module) = self.module() {
                    module.data_bytes = section.range().len() as u64;
                }
            }
            CustomSection(section) => self.custom(section),
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, encoding: Encoding, from: usize) -> Result<(), String> {
        if self.open.len() == MAX_DEPTH {
            return Err(format!("components are nested more than {MAX_DEPTH} deep"));
        }
        let outermost = self.open.is_empty();
        self.open.push(match encoding {
            Encoding::Component => {
                self.is_component |= outermost;
                self.components += usize::from(!outermost);
                Open::Component
            }
            Encoding::Module => Open::CoreModule {
                from,
                module: CoreModule::default(),
            },
        });
        Ok(())
    }

    fn end(&mut self, to: usize) {
        if let Some(Open::CoreModule { from, mut module }) = self.open.pop() {
            module.bytes = to.saturating_sub(from) as u64;
            if self.core_modules.len() < MAX_PARTS {
                self.core_modules.push(module);
            } else {
                self.incomplete = true;
            }
        }
    }

    fn module(&mut self) -> Option<&mut CoreModule> {
        match self.open.last_mut() {
            Some(Open::CoreModule { module, .. }) => Some(module),
            _ => None,
        }
    }

    /// A custom section may contain anything, so a section that can't be parsed is not an error.
    fn custom(&mut self, section: &CustomSectionReader<'_>) {
        self.custom_bytes += section.range().len() as u64;
        match section.as_known() {
            KnownCustom::Producers(producers) => {
                // Keeps the entries before an error, if there is one.
                let _ = self.produced(producers);
            }
            KnownCustom::Name(names) => {
                let name = names.flatten().find_map(|name| match name {
                    Name::Module { name, .. } => Some(name.to_owned()),
                    _ => None,
                });
                if self.open.len() == 1 {
                    self.name.clone_from(&name);
                }
                if let Some(module) = self.module() {
                    module.name = name;
                }
            }
            KnownCustom::ComponentName(names) if self.open.len() == 1 => {
                self.name = names.flatten().find_map(|name| match name {
                    ComponentName::Component { name, .. } => Some(name.to_owned()),
                    _ => None,
                });
            }
            _ => {}
        }
    }

    fn produced(&mut self, fields: ProducersSectionReader<'_>) -> wasmparser::Result<()> {
        for field in fields {
            let field = field?;
            for value in field.values {
                let value = value?;
                let producer = Producer {
                    field: field.name.to_owned(),
                    name: value.name.to_owned(),
                    version: value.version.to_owned(),
                };
                if self.producers.contains(&producer) {
                    continue;
                }
                if self.producers.len() == MAX_PRODUCERS {
                    self.incomplete = true;
                    return Ok(());
                }
                self.producers.push(producer);
            }
        }
        Ok(())
    }
}

fn told(error: wasmparser::Error) -> String {
    error.to_string()
}

fn memory_of(memory: MemoryType) -> Memory {
    let page_log2 = memory.page_size_log2.unwrap_or(PAGE_LOG2);
    let bytes = |pages: u64| pages.saturating_mul(1_u64.checked_shl(page_log2).unwrap_or(u64::MAX));
    Memory {
        min_bytes: bytes(memory.initial),
        max_bytes: memory.maximum.map(bytes),
    }
}
