//! Reading a binary into the steps of its instantiation.

use super::*;

/// Read a binary into as many steps as there may be items.
pub(super) fn read<'a>(binary: &'a [u8], limits: &Limits) -> Result<ComponentFile<'a>, Problem> {
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
    Err(invalid("it is truncated"))
}

pub(super) struct Reader<'a> {
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
                None => return Err(invalid("a section is outside of any component or module")),
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
            None => Err(invalid(
                "the end of a component or module that did not begin",
            )),
        }
    }

    /// The component that is open, or the one that is `levels` around it.
    fn around(&mut self, levels: u32) -> Result<&mut Definition<'a>, Problem> {
        let levels = usize::try_from(levels).unwrap_or(usize::MAX);
        let open = self.open.iter_mut().rev().nth(levels);
        match open {
            Some(Open::Component(definition)) => Ok(definition),
            _ => Err(invalid(
                "it refers to an enclosing component that does not exist",
            )),
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

pub(super) fn kind(ty: &ComponentTypeRef) -> ComponentExternalKind {
    match ty {
        ComponentTypeRef::Module(_) => ComponentExternalKind::Module,
        ComponentTypeRef::Func(_) => ComponentExternalKind::Func,
        ComponentTypeRef::Value(_) => ComponentExternalKind::Value,
        ComponentTypeRef::Type(_) => ComponentExternalKind::Type,
        ComponentTypeRef::Instance(_) => ComponentExternalKind::Instance,
        ComponentTypeRef::Component(_) => ComponentExternalKind::Component,
    }
}

pub(super) fn module_section(module: &mut Module, payload: Payload<'_>) -> Result<(), Problem> {
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
