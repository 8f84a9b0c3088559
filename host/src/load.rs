//! From a file's bytes to a component that can be linked, with a plain word for each way to fail.

use crate::error::{Error, Result};
use crate::state::State;
use std::path::Path;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

/// What every WebAssembly binary begins with.
const MAGIC: &[u8] = b"\0asm";
/// The version and layer of a core module, behind the magic number.
const CORE_MODULE: &[u8] = &[1, 0, 0, 0];
/// TLS is a draft: what a component wants of it has to be this very version.
const TLS: &str = "wasi:tls/types@0.2.0-draft";
/// The packages of WASI 0.2 that every component may import.
const PACKAGES: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Compile a component, binary or text, and link what it imports.
///
/// `file` is where it came from, for messages.
pub(crate) fn load(
    engine: &Engine,
    linker: &Linker<State>,
    bytes: &[u8],
    file: Option<&Path>,
) -> Result<InstancePre<State>> {
    let problem = |problem: String| Error::NotRunnable {
        file: file.map(Path::to_owned),
        problem,
    };
    let binary = to_binary(bytes, file).map_err(problem)?;
    let component = Component::from_binary(engine, &binary)
        .map_err(|error| problem(format!("it can't be compiled: {}", first_line(&error))))?;
    link(engine, linker, &component).map_err(problem)
}

/// Link what `component` imports; the error is what it lacks.
pub(crate) fn link(
    engine: &Engine,
    linker: &Linker<State>,
    component: &Component,
) -> Result<InstancePre<State>, String> {
    linker.instantiate_pre(component).map_err(|error| {
        let unknown: Vec<String> = component
            .component_type()
            .imports(engine)
            .filter(|(name, _)| !is_provided(name))
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        match unknown.as_slice() {
            [] => format!("it can't be linked: {}", first_line(&error)),
            _ => format!(
                "it imports {}, which sockbox does not provide: only WASI 0.2 is",
                unknown.join(", ")
            ),
        }
    })
}

fn is_provided(import: &str) -> bool {
    PACKAGES.iter().any(|package| import.starts_with(package)) && import.contains("@0.2.")
        || import == TLS
}

/// The component as a binary, or what else the bytes are.
fn to_binary<'a>(
    bytes: &'a [u8],
    file: Option<&Path>,
) -> Result<std::borrow::Cow<'a, [u8]>, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(
            "it is precompiled: native code, which no sandbox can hold; give the component \
             that it was made from"
                .to_owned(),
        );
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
        wat::parse_bytes(bytes)
            .map_err(|error| format!("it is not valid WebAssembly text: {error}"))?
    } else {
        return Err("it is not WebAssembly".to_owned());
    };
    match binary.get(MAGIC.len()..) {
        Some(version) if version.starts_with(CORE_MODULE) => Err(
            "it is a core module, not a component; build it for a component target \
             (Rust: wasm32-wasip2), or make it one: wasm-tools component new MODULE \
             --adapt wasi_snapshot_preview1.command.wasm -o COMPONENT"
                .to_owned(),
        ),
        _ => Ok(binary),
    }
}

/// An error's cause, without the context that is wrapped around it, on one line.
pub(crate) fn first_line(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    cause.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_named() {
        let table: &[(&[u8], &str, &str)] = &[
            (b"", "a.wasm", "it is empty"),
            (b"#!/bin/sh\n", "a.wasm", "it is not WebAssembly"),
            (b"\x7fELF", "a", "it is not WebAssembly"),
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

    #[test]
    fn only_wasi_0_2_is_provided() {
        for (import, expected) in [
            ("wasi:cli/stdout@0.2.0", true),
            ("wasi:sockets/tcp@0.2.12", true),
            ("wasi:sockets/types@0.3.0", false),
            ("wasi:tls/types@0.2.0-draft", true),
            ("wasi:tls/types@0.2.0", false),
            ("wasi:http/types@0.2.0", false),
            ("example:own/thing", false),
            ("print", false),
        ] {
            assert_eq!(is_provided(import), expected, "{import}");
        }
    }
}
