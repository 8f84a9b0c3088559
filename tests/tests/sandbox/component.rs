//! The imports and exports of the component.

use sockbox_tests::{Wasi, component, component_with_tls};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The imports: WASI 0.2, and nothing else. Hosts that lack an import can't run the component, so
/// avoid adding one.
///
/// The names are without the last number of the version. It depends on the toolchain's standard
/// library, and does not matter to a host: the versions 0.2.x are compatible with each other.
const NEEDED: &[&str] = &[
    "wasi:cli/environment@0.2",
    "wasi:cli/exit@0.2",
    "wasi:cli/stderr@0.2",
    "wasi:cli/stdin@0.2",
    "wasi:cli/stdout@0.2",
    "wasi:clocks/monotonic-clock@0.2",
    "wasi:clocks/wall-clock@0.2",
    "wasi:filesystem/preopens@0.2",
    "wasi:filesystem/types@0.2",
    "wasi:io/error@0.2",
    "wasi:io/poll@0.2",
    "wasi:io/streams@0.2",
    "wasi:sockets/instance-network@0.2",
    "wasi:sockets/ip-name-lookup@0.2",
    "wasi:sockets/network@0.2",
    "wasi:sockets/tcp-create-socket@0.2",
    "wasi:sockets/tcp@0.2",
];

/// The imports that Rust's standard library may add, used or not, depending on its version.
const STANDARD_LIBRARYS: &[&str] = &[
    "wasi:cli/terminal-input@0.2",
    "wasi:cli/terminal-output@0.2",
    "wasi:cli/terminal-stderr@0.2",
    "wasi:cli/terminal-stdin@0.2",
    "wasi:cli/terminal-stdout@0.2",
    "wasi:sockets/udp@0.2",
];

/// The exports.
const EXPORTS: &[&str] = &[
    "sockbox:net/fetch@0.1.0",
    "sockbox:net/hello-server@0.1.0",
    "sockbox:net/types@0.1.0",
    "wasi:cli/run@0.2.12",
];

/// What the one for WASI 0.3 needs: its clocks, sockets and standard input, and what Rust's standard library does over
/// WASI 0.2. A runtime of WASI 0.3 has both.
const NEEDED_0_3: &[&str] = &[
    "wasi:cli/environment@0.2",
    "wasi:cli/exit@0.2",
    "wasi:cli/stderr@0.2",
    "wasi:cli/stdin@0.2",
    "wasi:cli/stdin@0.3",
    "wasi:cli/stdout@0.2",
    "wasi:cli/types@0.3",
    "wasi:clocks/monotonic-clock@0.2",
    "wasi:clocks/monotonic-clock@0.3",
    "wasi:clocks/types@0.3",
    "wasi:clocks/wall-clock@0.2",
    "wasi:io/error@0.2",
    "wasi:io/streams@0.2",
    "wasi:sockets/types@0.3",
];

/// What the standard library adds to the one for WASI 0.3, which depends on its version too. The other ones
/// need these themselves.
const STANDARD_LIBRARYS_0_3: &[&str] = &[
    "wasi:filesystem/preopens@0.2",
    "wasi:filesystem/types@0.2",
    "wasi:io/poll@0.2",
];

const EXPORTS_0_3: &[&str] = &[
    "sockbox:net/hello-server@0.1.0",
    "sockbox:net/types@0.1.0",
    "wasi:cli/run@0.3.0",
];

#[test]
fn it_imports_and_exports_what_is_written_down() {
    let engine = Engine::default();
    let needed_with_tls = [NEEDED, &["wasi:tls/types@0.2.0-draft"]].concat();
    let standard_librarys_0_3 = [STANDARD_LIBRARYS, STANDARD_LIBRARYS_0_3].concat();
    for (what, file, needed, optional, expected) in [
        (
            "WASI 0.2",
            component(Wasi::V0_2),
            NEEDED,
            STANDARD_LIBRARYS,
            EXPORTS,
        ),
        (
            "TLS",
            component_with_tls(),
            &needed_with_tls,
            STANDARD_LIBRARYS,
            EXPORTS,
        ),
        (
            "WASI 0.3",
            component(Wasi::V0_3),
            NEEDED_0_3,
            &standard_librarys_0_3,
            EXPORTS_0_3,
        ),
    ] {
        let component = Component::from_file(&engine, file).unwrap();
        let types = component.component_type();

        let names = types
            .imports(&engine)
            .map(|(name, _)| without_patch_version(name));
        let mut imports: Vec<String> = names
            .filter(|name| !optional.contains(&name.as_str()))
            .collect();
        imports.sort();
        imports.dedup();
        assert_eq!(imports, needed, "{what}: the imports have changed");

        let mut exports: Vec<&str> = types.exports(&engine).map(|(name, _)| name).collect();
        exports.sort_unstable();
        assert_eq!(exports, expected, "{what}: the exports have changed");
    }
}

/// An import's name as far as the minor version: `wasi:io/poll@0.2` of `wasi:io/poll@0.2.12`.
fn without_patch_version(import: &str) -> String {
    match import.rsplit_once('.') {
        Some((kept, patch))
            if kept.contains('@') && patch.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            kept.to_owned()
        }
        _ => import.to_owned(),
    }
}
