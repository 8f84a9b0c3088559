//! From a file's bytes to a linked component, with an exact error for each failure.

mod text;

use crate::cache::{Cache, CacheUse};
use crate::compiler::{self, Bounds, CompileError, Compiler, Job, Task};
use crate::cost::{self, Cost, Problem, TooMuch};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::policy::Wasi;
use crate::problem::{cant_be_compiled, first_line, not_runnable};
use crate::proposals;
use crate::provided::{all_provided, lacks};
use crate::reservation::Reservation;
use crate::runtime::Runtime;
use crate::state::State;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Precompiled};

/// The largest file that is taken as a component, in bytes. A toolchain that puts a whole language
/// into each makes some tens of MiB.
const MAX_BYTES: u64 = 256 << 20;
/// The largest text that is taken as a component, in bytes. Reading it takes some thirty times as much memory,
/// and what is written by hand or by a test has some KiB.
const MAX_TEXT_BYTES: usize = 16 << 20;
const TOO_LARGE: &str = "it is larger than the 256 MiB that a component may have";
/// What every WebAssembly binary begins with.
const MAGIC: &[u8] = b"\0asm";
/// The version and layer of a core module, behind the magic number.
const CORE_MODULE: &[u8] = &[1, 0, 0, 0];
/// The start of native programs on most systems, and of wasmtime's compiled code.
const ELF: &[u8] = b"\x7fELF";
/// Read a component's file.
///
/// # Errors
/// - [`Error::Read`]: it can't be read.
/// - [`Error::NotRunnable`]: it is too large. A file that never ends is one of these.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    let failed = |source: io::Error| Error::Read {
        file: file.to_owned(),
        source,
    };
    let mut opened = File::open(file).map_err(failed)?;
    let bytes = read_from(&mut opened).map_err(failed)?;
    bytes.ok_or_else(|| not_runnable(Some(file), TOO_LARGE.to_owned()))
}

/// Read a component from wherever it comes; None if it is too large.
pub(crate) fn read_from(source: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MAX_BYTES).then_some(bytes))
}

/// What components are loaded with.
pub(crate) struct Loader<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) cache: Option<&'a Cache>,
    pub(crate) compiler: Option<&'a Compiler>,
    pub(crate) limits: &'a Limits,
    pub(crate) reservation: Reservation,
    /// Whether a task still waits for the component.
    pub(crate) wanted: &'a (dyn Fn() -> bool + Sync),
}

/// A component that can be linked.
pub(crate) struct Loaded {
    pub(crate) component: Component,
    pub(crate) cost: Cost,
    pub(crate) cache: CacheUse,
}

impl Loader<'_> {
    /// Compile a component, binary or text, or find it compiled in the cache.
    ///
    /// The cost of instantiating it is counted first, also if it need not be compiled. `file` is its origin, for
    /// messages.
    pub(crate) fn load(&self, bytes: &[u8], file: Option<&Path>) -> Result<Loaded> {
        let started = Instant::now();
        let problem = |problem| not_runnable(file, problem);
        let binary = to_binary(bytes, file).map_err(problem)?;
        let cost = self.cost(&binary, file, started)?;
        let compile = || self.compile(&binary, file, started);
        let (component, cache) = match self.cache {
            Some(cache) => cache.component(&self.runtime.engine, &binary, compile)?,
            None => (compile()?, CacheUse::Off),
        };
        Ok(Loaded {
            component,
            cost,
            cache,
        })
    }

    /// Load a component, and link what it imports with what sockbox provides.
    pub(crate) fn load_linked(
        &self,
        bytes: &[u8],
        file: Option<&Path>,
    ) -> Result<(InstancePre<State>, Loaded)> {
        let loaded = self.load(bytes, file)?;
        let runtime = self.runtime;
        let pre = link(&runtime.engine, &runtime.linker, &loaded.component)
            .map_err(|problem| not_runnable(file, problem))?;
        Ok((pre, loaded))
    }

    /// Compile a component to what [`load_precompiled`] takes.
    pub(crate) fn precompile(&self, bytes: &[u8], file: Option<&Path>) -> Result<Vec<u8>> {
        let started = Instant::now();
        let binary = to_binary(bytes, file).map_err(|problem| not_runnable(file, problem))?;
        self.cost(&binary, file, started)?;
        match self.compiler {
            Some(compiler) => self.apart(compiler, Task::Compile, &binary, file, started),
            None => compiler::compile(&self.runtime.engine, &binary, self.concurrency())
                .map_err(|problem| not_runnable(file, problem)),
        }
    }

    /// Whether components are compiled with the component model's concurrency.
    fn concurrency(&self) -> bool {
        self.runtime.wasi == Wasi::V0_3
    }

    /// Count the cost of instantiating it, and refuse it if that exceeds a limit.
    fn cost(&self, binary: &[u8], file: Option<&Path>, started: Instant) -> Result<Cost> {
        cost::of(binary, self.limits).map_err(|problem| match problem {
            Problem::TooMuch(too_much) => too_much.error(file),
            Problem::Invalid(reason) => {
                let explained = match self.compiler {
                    Some(compiler) => self
                        .apart(compiler, Task::Explain, binary, file, started)
                        .err()
                        .unwrap_or_else(|| not_runnable(file, String::new())),
                    None => not_runnable(file, compiler::explain(binary, self.concurrency())),
                };
                match explained {
                    Error::NotRunnable { problem, .. } if problem.is_empty() => {
                        not_runnable(file, format!("it can't be compiled: {reason}"))
                    }
                    explained => explained,
                }
            }
        })
    }

    #[allow(unsafe_code, reason = "native code is loaded")]
    fn compile(&self, binary: &[u8], file: Option<&Path>, started: Instant) -> Result<Component> {
        let Some(compiler) = self.compiler else {
            let compiled = Component::from_binary(&self.runtime.engine, binary);
            return compiled.map_err(|error| {
                let lacks =
                    lacks(binary).or_else(|| proposals::lacking(binary, self.concurrency()));
                not_runnable(file, lacks.unwrap_or_else(|| cant_be_compiled(&error)))
            });
        };
        let code = self.apart(compiler, Task::Compile, binary, file, started)?;
        // SAFETY: the embedder guarantees that the compiler is trusted, and its answer came through a
        // private pipe.
        let component = unsafe { Component::deserialize(&self.runtime.engine, &code) };
        component.map_err(|error| {
            Error::internal(format_args!(
                "cannot load the output of the compiler {}: {error:#}",
                compiler.program.display()
            ))
        })
    }

    /// Compile in a separate process, within the limits.
    fn apart(
        &self,
        compiler: &Compiler,
        task: Task,
        binary: &[u8],
        file: Option<&Path>,
        started: Instant,
    ) -> Result<Vec<u8>> {
        let Limits {
            compile_time,
            compile_memory,
            wall_time,
            ..
        } = *self.limits;
        let time = wall_time.map_or(compile_time, |wall_time| wall_time.min(compile_time));
        let job = Job {
            binary,
            task,
            concurrency: self.concurrency(),
            reservation: self.reservation,
        };
        let bounds = Bounds {
            // A time limit that overflows is no limit.
            deadline: started.checked_add(time),
            memory: compile_memory,
            wanted: self.wanted,
        };
        compiler.run(job, &bounds).map_err(|error| match error {
            CompileError::Problem(problem) => not_runnable(file, problem),
            CompileError::Deadline => match wall_time {
                Some(limit) if limit <= compile_time => Error::WallTime { limit },
                _ => Error::CompileTime {
                    file: file.map(Path::to_owned),
                    limit: compile_time,
                },
            },
            CompileError::Memory => Error::CompileMemory {
                file: file.map(Path::to_owned),
                limit: compile_memory,
            },
            CompileError::Unwanted => Error::Abandoned,
            CompileError::Failed(problem) => Error::internal(problem),
        })
    }
}

impl TooMuch {
    pub(crate) fn error(self, file: Option<&Path>) -> Error {
        Error::NeedsTooMuch {
            file: file.map(Path::to_owned),
            limit: self.limit,
            needs: self.needs,
            allowed: self.allowed,
        }
    }
}

/// Load what was compiled before, and link what it imports.
///
/// # Safety
/// It is native code, and runs as such: `bytes` have to come from
/// [`Sandbox::precompile`](crate::Sandbox::precompile), and must not have been changed since.
#[allow(unsafe_code, reason = "native code is loaded")]
pub(crate) unsafe fn load_precompiled(
    runtime: &Runtime,
    bytes: &[u8],
    file: Option<&Path>,
) -> Result<InstancePre<State>> {
    let problem = |problem| not_runnable(file, problem);
    match Engine::detect_precompiled(bytes) {
        Some(Precompiled::Component) => {}
        Some(Precompiled::Module) => {
            return Err(problem(
                "it is a precompiled core module, not a component".to_owned(),
            ));
        }
        None => return Err(problem("it is not a precompiled component".to_owned())),
    }
    // SAFETY: as the caller says.
    let component = unsafe { Component::deserialize(&runtime.engine, bytes) }.map_err(|error| {
        problem(format!(
            "it was compiled by another version of sockbox or wasmtime, with other settings or for \
             another machine ({}); compile it again, with `sockbox compile`",
            first_line(&error)
        ))
    })?;
    link(&runtime.engine, &runtime.linker, &component).map_err(problem)
}

/// Link what `component` imports; the error is what it lacks.
pub(crate) fn link(
    engine: &Engine,
    linker: &Linker<State>,
    component: &Component,
) -> Result<InstancePre<State>, String> {
    linker.instantiate_pre(component).map_err(|error| {
        let component = component.component_type();
        // An empty interface needs nothing.
        let imports = component.imports(engine).filter(|(_, import)| {
            !matches!(&import.ty, ComponentItem::ComponentInstance(interface)
                if interface.exports(engine).len() == 0)
        });
        let imports: Vec<_> = imports.map(|(name, _)| name).collect();
        match all_provided(imports) {
            // All of it: the cause alone doesn't name the import.
            Ok(()) => format!("it can't be linked: {error:#}"),
            Err(problem) => problem,
        }
    })
}

/// What a file may be, as far as its first bytes tell.
pub(crate) enum Content<'a> {
    /// A component, as a binary.
    Component(Cow<'a, [u8]>),
    /// A core module, as a binary.
    CoreModule(Cow<'a, [u8]>),
    /// What wasmtime has compiled.
    Precompiled,
}

/// What is wrong with a core module.
pub(crate) const IS_CORE_MODULE: &str = "\
    it is a core module, not a component; build it for a component target \
    (Rust: wasm32-wasip2), or make it one: wasm-tools component new MODULE \
    --adapt wasi_snapshot_preview1.command.wasm -o COMPONENT";
/// What is wrong with what was compiled before.
pub(crate) const IS_PRECOMPILED: &str = "\
    it is precompiled: native code, which no sandbox can hold; give the component that it was made \
    from, or, if only you can have written it, --allow-precompiled";

/// The component as a binary.
pub(crate) fn to_binary<'a>(bytes: &'a [u8], file: Option<&Path>) -> Result<Cow<'a, [u8]>, String> {
    match content(bytes, file)? {
        Content::Component(binary) => Ok(binary),
        Content::CoreModule(_) => Err(IS_CORE_MODULE.to_owned()),
        Content::Precompiled => Err(IS_PRECOMPILED.to_owned()),
    }
}

/// Tell what the bytes are; text is made binary.
pub(crate) fn content<'a>(bytes: &'a [u8], file: Option<&Path>) -> Result<Content<'a>, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    if Engine::detect_precompiled(bytes).is_some() {
        return Ok(Content::Precompiled);
    }
    let named_as_text = file
        .and_then(Path::extension)
        .is_some_and(|extension| extension.eq_ignore_ascii_case("wat"));
    let begins_as_text = || {
        let text = bytes.trim_ascii_start();
        text.starts_with(b"(") || text.starts_with(b";;")
    };
    let binary = if bytes.starts_with(MAGIC) {
        bytes.into()
    } else if named_as_text || begins_as_text() {
        if bytes.len() > MAX_TEXT_BYTES {
            return Err(format!(
                "it is larger than the {} MiB that a component may have as text: make it binary \
                 (wasm-tools parse)",
                MAX_TEXT_BYTES >> 20
            ));
        }
        wat::parse_bytes(bytes).map_err(|error| text::problem(&error.to_string()))?
    } else if bytes.starts_with(ELF) {
        return Err("it is not WebAssembly, but native code (ELF)".to_owned());
    } else {
        return Err("it is not WebAssembly".to_owned());
    };
    match binary.get(MAGIC.len()..) {
        Some(version) if version.starts_with(CORE_MODULE) => Ok(Content::CoreModule(binary)),
        _ => Ok(Content::Component(binary)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_named() {
        let table: &[(&[u8], &str, &str)] = &[
            (b"", "a.wasm", "it is empty"),
            (b"#!/bin/sh\n", "a.wasm", "it is not WebAssembly"),
            (b"\x7fELF", "a", "it is not WebAssembly, but native code"),
            (b"\0as", "a.wasm", "it is not WebAssembly"),
            (
                b"\0asm\x01\0\0\0",
                "a.wasm",
                "it is a core module, not a component; ",
            ),
            (
                b"(module)",
                "a.wat",
                "it is a core module, not a component; ",
            ),
            (b"  (module)", "a", "it is a core module, not a component; "),
            (b"(component", "a.wat", "it is not valid WebAssembly text: "),
            (b"hello", "a.wat", "it is not valid WebAssembly text: "),
        ];
        for (bytes, file, expected) in table {
            let problem = to_binary(bytes, Some(Path::new(file))).unwrap_err();
            assert!(
                problem.starts_with(expected),
                "{:?} as {file}: {problem}",
                bytes.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn binary_and_text_are_both_components() {
        let binary = wat::parse_str("(component)").unwrap();
        for (bytes, file) in [
            (&binary[..], None),
            (&binary[..], Some(Path::new("a.wat"))),
            (b"(component)", Some(Path::new("a.wat"))),
            (b";; nothing\n(component)", None),
        ] {
            assert_eq!(to_binary(bytes, file).as_deref(), Ok(&binary[..]));
        }
    }
}
