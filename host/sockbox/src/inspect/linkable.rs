//! Checks a component's imports without compiling it.

use super::read::Reading;
use crate::load::link;
use crate::provided::by_name;
use crate::state::State;
use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

/// Link a component that has only the imports of `binary`, so that nothing is compiled. The error
/// names the missing imports, as running the component would.
pub(super) fn check(
    engine: &Engine,
    linker: &Linker<State>,
    binary: &[u8],
    reading: &Reading,
) -> Result<(), String> {
    let Some(imports) = imports_alone(binary) else {
        return by_name(reading);
    };
    match Component::from_binary(engine, &imports) {
        Ok(component) => link(engine, linker, &component).map(drop),
        // The component is valid; only the part with the imports is not valid by itself.
        Err(_) => by_name(reading),
    }
}

/// The beginning of a component, up to its last import, with other sections removed or emptied. None if
/// that would change the meaning of an index in the types of imports.
fn imports_alone(binary: &[u8]) -> Option<Vec<u8>> {
    let mut imports = Vec::new();
    let mut needed = 0;
    let mut others = false;
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(binary) {
        let payload = payload.ok()?;
        match &payload {
            Payload::Version { range, .. } => {
                depth += 1;
                if depth == 1 {
                    imports.extend_from_slice(binary.get(range.clone())?);
                    needed = imports.len();
                }
                continue;
            }
            Payload::End(_) => {
                depth = depth.checked_sub(1)?;
                continue;
            }
            _ => {}
        }
        if depth != 1 {
            continue;
        }
        match &payload {
            // These count the parts of core modules, and functions: imports have no types of those.
            Payload::CustomSection(_)
            | Payload::ModuleSection { .. }
            | Payload::InstanceSection(_)
            | Payload::ComponentCanonicalSection(_) => {}
            Payload::ComponentSection { .. } => {
                imports.push(COMPONENT_SECTION);
                length(&mut imports, EMPTY_COMPONENT.len());
                imports.extend_from_slice(EMPTY_COMPONENT);
            }
            Payload::ComponentImportSection(_) if others => return None,
            Payload::ComponentTypeSection(_)
            | Payload::ComponentAliasSection(_)
            | Payload::ComponentImportSection(_)
                if !others =>
            {
                let (id, range) = payload.as_section()?;
                imports.push(id);
                length(&mut imports, range.len());
                imports.extend_from_slice(binary.get(range)?);
            }
            _ => others = true,
        }
        if let Payload::ComponentImportSection(_) = payload {
            needed = imports.len();
        }
    }
    imports.truncate(needed);
    Some(imports)
}

/// The number of a section that is a component, and a component with nothing in it.
const COMPONENT_SECTION: u8 = 4;
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Write a section's length, in LEB128.
pub(super) fn length(to: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            to.push(low);
            return;
        }
        to.push(low | 0x80);
    }
}
