//! Which version of WASI a component needs.

use crate::policy::Wasi;
use wasmparser::{Chunk, Parser, Payload};

/// The version of WASI that a component, given as a binary, runs on: WASI 0.3 if the outermost component imports or
/// exports any of it, and WASI 0.2 otherwise. A component for WASI 0.3 may use WASI 0.2 as well.
///
/// Only the sections of the outermost component are visited, so this takes no time in proportion to the code. A binary
/// that is not valid is found out when it is compiled.
pub(crate) fn of(binary: &[u8]) -> Wasi {
    match uses_0_3(binary) {
        Some(true) => Wasi::V0_3,
        _ => Wasi::V0_2,
    }
}

/// Whether this is an interface of WASI 0.3. Drafts of it, as `0.3.0-rc-2026-01-01`, are not.
pub(crate) fn is_0_3(interface: &str) -> bool {
    let Some((name, version)) = interface.split_once('@') else {
        return false;
    };
    let patch = version.strip_prefix("0.3.");
    let is_release =
        patch.is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()));
    name.starts_with("wasi:") && is_release
}

/// None: the binary is not valid.
fn uses_0_3(binary: &[u8]) -> Option<bool> {
    let mut parser = Parser::new(0);
    let mut rest = binary;
    loop {
        let (consumed, payload) = match parser.parse(rest, true).ok()? {
            Chunk::Parsed { consumed, payload } => (consumed, payload),
            Chunk::NeedMoreData(_) => return None,
        };
        rest = rest.get(consumed..)?;
        match payload {
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } => rest = rest.get(unchecked_range.len()..)?,
            Payload::ComponentImportSection(section) => {
                for import in section {
                    if is_0_3(import.ok()?.name.name) {
                        return Some(true);
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    if is_0_3(export.ok()?.name.name) {
                        return Some(true);
                    }
                }
            }
            Payload::End(_) => return Some(false),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_outermost_component_imports_and_exports_decides() {
        let v0_3 = r#"(import "wasi:cli/environment@0.3.0" (instance))"#;
        for (content, expected) in [
            ("", Wasi::V0_2),
            (
                r#"(import "wasi:cli/environment@0.2.0" (instance))"#,
                Wasi::V0_2,
            ),
            (v0_3, Wasi::V0_3),
            (
                r#"(import "wasi:cli/environment@0.2.0" (instance))
                   (core module (memory 1))
                   (import "wasi:random/random@0.3.12" (instance))"#,
                Wasi::V0_3,
            ),
            (
                r#"(instance $run) (export "wasi:cli/run@0.3.0" (instance $run))"#,
                Wasi::V0_3,
            ),
            // What an inner component imports is what the outer one gives it.
            (
                r#"(component (import "wasi:cli/environment@0.3.0" (instance)))"#,
                Wasi::V0_2,
            ),
            (
                r#"(import "wasi:cli/environment@0.3.0-rc-2026-01-01" (instance))"#,
                Wasi::V0_2,
            ),
            (
                r#"(import "other:cli/environment@0.3.0" (instance))"#,
                Wasi::V0_2,
            ),
        ] {
            let binary = wat::parse_str(format!("(component {content})")).unwrap();
            assert_eq!(of(&binary), expected, "{content}");
        }
        let whole = wat::parse_str(format!("(component {v0_3})")).unwrap();
        let found = (0..whole.len()).filter(|end| of(&whole[..*end]) == Wasi::V0_3);
        assert!(
            found.count() < 2,
            "a binary that is cut short is of no version"
        );
        assert_eq!(of(b""), Wasi::V0_2);
    }

    #[test]
    fn versions() {
        for (interface, expected) in [
            ("wasi:cli/run@0.3.0", true),
            ("wasi:cli/run@0.3.12", true),
            ("wasi:cli/run@0.3.", false),
            ("wasi:cli/run@0.3.0-rc-2026-01-01", false),
            ("wasi:cli/run@0.30.0", false),
            ("wasi:cli/run@0.2.0", false),
            ("wasi:cli/run", false),
            ("own:cli/run@0.3.0", false),
        ] {
            assert_eq!(is_0_3(interface), expected, "{interface}");
        }
    }
}
