//! The interfaces that sockbox provides, and those of a component's imports that it doesn't.

use crate::inspect::read::Reading;
use crate::wasi_version::is_0_3;

/// How many missing imports a message names.
const MAX_NAMED: usize = 10;
/// `wasi:tls` is a draft, so a component must import exactly this version.
const TLS: &str = "wasi:tls/types@0.2.0-draft";
/// The interfaces of `wasi:http` that a component may import: those of its own requests.
const HTTP: [&str; 2] = ["wasi:http/outgoing-handler@0.2.", "wasi:http/types@0.2."];
/// Those of WASI 0.3.
const HTTP_0_3: [&str; 2] = ["wasi:http/client@", "wasi:http/types@"];
/// The packages of WASI 0.2 of which a component may import everything. Those of WASI 0.3 are the same without `io`.
const PACKAGES: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// What a component imports that sockbox doesn't provide, in a message; None if there is nothing, or if
/// it can't be read.
pub(crate) fn lacks(binary: &[u8]) -> Option<String> {
    by_name(&Reading::of(binary).ok()?).err()
}

/// Check only the names of the imports. An empty interface needs nothing.
pub(crate) fn by_name(reading: &Reading) -> Result<(), String> {
    all_provided(reading.needs())
}

/// Whether these imports are among those that sockbox provides; the error names those that aren't.
pub(crate) fn all_provided<'a>(imports: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    let imports = imports.into_iter();
    let mut unknown = imports.filter(|name| !is_provided(name));
    let named: Vec<String> = unknown
        .by_ref()
        .take(MAX_NAMED)
        .map(|name| format!("`{name}`"))
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    let more = match unknown.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(format!(
        "it imports {}{more}, which sockbox does not provide: there are WASI 0.2 and 0.3, with wasi:http for requests that \
         the component sends",
        named.join(", ")
    ))
}

fn is_provided(import: &str) -> bool {
    let is_of = |names: &[&str]| names.iter().any(|name| import.starts_with(name));
    is_of(&PACKAGES) && import.contains("@0.2.")
        || is_0_3(import) && (is_of(&PACKAGES) && !is_of(&["wasi:io/"]) || is_of(&HTTP_0_3))
        || is_of(&HTTP)
        || import == TLS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_provided_of_wasi() {
        for (import, expected) in [
            ("wasi:cli/stdout@0.2.0", true),
            ("wasi:sockets/tcp@0.2.12", true),
            ("wasi:sockets/types@0.3.0", true),
            ("wasi:cli/run@0.3.1", true),
            ("wasi:cli/stdout@0.3.0-rc-2026-01-01", false),
            ("wasi:io/poll@0.3.0", false),
            ("wasi:tls/types@0.2.0-draft", true),
            ("wasi:tls/types@0.2.0", false),
            ("wasi:http/types@0.2.0", true),
            ("wasi:http/outgoing-handler@0.2.12", true),
            ("wasi:http/incoming-handler@0.2.0", false),
            ("wasi:http/types@0.3.0", true),
            ("wasi:http/client@0.3.0", true),
            ("wasi:http/handler@0.3.0", false),
            ("wasi:http/client@0.3.0-rc-2026-01-01", false),
            ("example:own/thing", false),
            ("print", false),
        ] {
            assert_eq!(is_provided(import), expected, "{import}");
        }
    }
}
