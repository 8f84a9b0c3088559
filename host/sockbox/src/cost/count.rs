//! Going through the steps, and counting what they take.

use super::*;

/// An item of a component's while it is being instantiated. None stands for what the host gives, of which
/// nothing is known.
#[derive(Clone)]
pub(super) enum Value<'a> {
    Module(Option<usize>),
    Component(Option<Rc<Closure<'a>>>),
    Instance(Option<Rc<Exports<'a>>>),
    Other,
}

/// A component together with what it captured.
pub(super) struct Closure<'a> {
    definition: usize,
    captured: Vec<Value<'a>>,
    size: Size,
}

pub(super) struct Exports<'a> {
    items: HashMap<&'a str, Value<'a>>,
    size: Size,
}

/// How many items a value stands for, and how deep they are in each other. wasmtime copies all of them
/// whenever it copies one.
#[derive(Clone, Copy)]
pub(super) struct Size {
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

    /// The value that the host provides for an import of this kind.
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

pub(super) struct Counting<'f, 'a> {
    pub(super) file: &'f ComponentFile<'a>,
    pub(super) limits: &'f Limits,
    pub(super) cost: Cost,
}

/// The index spaces of a component that is being instantiated, as far as they matter.
#[derive(Default)]
pub(super) struct Frame<'a> {
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
            return Err(invalid("its instances are nested too deep"));
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
    pub(super) fn instantiate(
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
                        return Err(invalid("it instantiates an item that is not a module"));
                    };
                    self.items(1)?;
                    // A module of the host has unknown contents. It counts as one instance.
                    let unknown = Module::default();
                    let module = module.and_then(|module| file.modules.get(module));
                    self.cost.add(module.unwrap_or(&unknown));
                    self.check()?;
                }
                Step::Instantiate(index, args) => {
                    let Value::Component(component) =
                        frame.get(ComponentExternalKind::Component, *index)?
                    else {
                        return Err(invalid("it instantiates an item that is not a component"));
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
                        return Err(invalid(
                            "it takes an export of an item that is not an instance",
                        ));
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
                            // Types may be left out, because they only describe.
                            None if *kind == ComponentExternalKind::Type => Value::Other,
                            _ => {
                                return Err(invalid(format!(
                                    "an instantiation does not give the import `{name}`"
                                )));
                            }
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
