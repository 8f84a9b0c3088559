use super::*;
use crate::error::Error;
use crate::policy::Wasi;

fn sandbox() -> Sandbox {
    Sandbox::new().unwrap()
}

fn inspect(text: &str) -> Report {
    let report = sandbox().inspect(text);
    report.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// An import of an interface with these functions, none of which takes anything.
fn interface(name: &str, functions: &[&str]) -> String {
    let resources = [
        "tcp-socket",
        "udp-socket",
        "descriptor",
        "outgoing-datagram-stream",
        "incoming-datagram-stream",
    ];
    let mut text = format!("(import \"{name}\" (instance ");
    for resource in resources {
        if functions.iter().any(|it| it.contains(resource)) {
            text += &format!("(export \"{resource}\" (type ${resource} (sub resource)))");
        }
    }
    for function in functions {
        let method = function.strip_prefix("[method]");
        let takes = method.map_or(String::new(), |method| {
            let (resource, _) = method.split_once('.').unwrap();
            format!("(param \"self\" (borrow ${resource}))")
        });
        text += &format!("(export \"{function}\" (func {takes}))");
    }
    text + "))"
}

/// A command that imports this.
fn command(imports: &str) -> String {
    format!(
        r#"(component {imports}
            (core module $m (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    )
}

const NETWORK: (&str, &[&str]) = ("wasi:sockets/instance-network@0.2.3", &["instance-network"]);
const TCP_SOCKET: (&str, &[&str]) = (
    "wasi:sockets/tcp-create-socket@0.2.0",
    &["create-tcp-socket"],
);

#[test]
fn what_it_can_do_follows_from_the_functions_it_imports() {
    let connect = (
        "wasi:sockets/tcp@0.2.0",
        &["[method]tcp-socket.start-connect"][..],
    );
    let names = (
        "wasi:sockets/ip-name-lookup@0.2.0",
        &["resolve-addresses"][..],
    );
    let preopens = ("wasi:filesystem/preopens@0.2.0", &["get-directories"][..]);
    for (imports, expected, grants) in [
        (vec![], vec![], vec![]),
        (
            vec![NETWORK, TCP_SOCKET, connect],
            vec![Ability::ConnectTcp],
            vec!["allow-connect"],
        ),
        // Functions without the functions that provide their socket or network can't be used.
        (vec![TCP_SOCKET, connect], vec![], vec![]),
        (vec![NETWORK, connect], vec![], vec![]),
        (vec![NETWORK, TCP_SOCKET], vec![], vec![]),
        // The whole interface is imported by name, and nothing that connects.
        (
            vec![
                NETWORK,
                TCP_SOCKET,
                (
                    "wasi:sockets/tcp@0.2.0",
                    &[
                        "[method]tcp-socket.start-bind",
                        "[method]tcp-socket.finish-connect",
                    ],
                ),
            ],
            vec![],
            vec![],
        ),
        (
            vec![
                NETWORK,
                TCP_SOCKET,
                (
                    "wasi:sockets/tcp@0.2.9",
                    &[
                        "[method]tcp-socket.start-bind",
                        "[method]tcp-socket.start-listen",
                    ],
                ),
            ],
            vec![Ability::ListenTcp],
            vec!["allow-listen", "allow-accept"],
        ),
        (
            vec![NETWORK, names],
            vec![Ability::ResolveNames],
            vec!["allow-resolve"],
        ),
        (vec![names], vec![], vec![]),
        (
            vec![
                (
                    "wasi:sockets/udp-create-socket@0.2.0",
                    &["create-udp-socket"],
                ),
                (
                    "wasi:sockets/udp@0.2.0",
                    &[
                        "[method]udp-socket.stream",
                        "[method]outgoing-datagram-stream.send",
                    ],
                ),
            ],
            vec![Ability::SendUdp],
            vec!["allow-udp-send", "allow-udp-bind"],
        ),
        (preopens_only(), vec![], vec![]),
        (
            vec![
                preopens,
                (
                    "wasi:filesystem/types@0.2.0",
                    &["[method]descriptor.stat-at"],
                ),
            ],
            vec![Ability::ReadFiles],
            vec!["dir"],
        ),
        (
            vec![
                preopens,
                (
                    "wasi:filesystem/types@0.2.0",
                    &["[method]descriptor.open-at"],
                ),
            ],
            vec![Ability::ReadFiles, Ability::ChangeFiles],
            vec!["dir"],
        ),
        (
            vec![(
                "wasi:cli/environment@0.2.0",
                &["get-environment", "get-arguments"],
            )],
            vec![Ability::ReadEnvironment, Ability::ReadArguments],
            vec!["env"],
        ),
        // An interface of another package, although its name is similar.
        (
            vec![("mine:sockets/tcp@0.2.0", &["connect"])],
            vec![],
            vec![],
        ),
    ] {
        let text: String = imports
            .iter()
            .map(|(name, it)| interface(name, it))
            .collect();
        let report = inspect(&command(&text));
        let found: Vec<_> = report.capabilities.iter().map(|it| it.ability).collect();
        assert_eq!(found, expected, "{imports:?}");
        assert!(
            report.capabilities.iter().all(|it| it.certain),
            "{imports:?}"
        );
        let found: Vec<_> = report.grants().map(|grant| grant.key()).collect();
        assert_eq!(found, grants, "{imports:?}");
        let listed: Vec<_> = report.imports.iter().map(|it| it.name.as_str()).collect();
        let names: Vec<_> = imports.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, names);
    }
}

fn preopens_only() -> Vec<(&'static str, &'static [&'static str])> {
    vec![("wasi:filesystem/preopens@0.2.0", &["get-directories"])]
}

#[test]
fn of_a_version_that_is_not_known_it_is_said_what_it_could_do() {
    for version in ["0.2.0-rc-2023-11-10", "0.3.0-draft", "0.4.0", "1.0.0"] {
        let text: String = ["instance-network", "tcp-create-socket", "tcp", "types"]
            .map(|name| interface(&format!("wasi:sockets/{name}@{version}"), &["something"]))
            .concat();
        let report = inspect(&command(&text));
        let connect = report
            .capabilities
            .iter()
            .find(|it| it.ability == Ability::ConnectTcp);
        assert!(
            connect.is_some_and(|it| !it.certain),
            "{version}: {report:?}"
        );
        assert!(report.obstacle.is_some(), "{version}");
    }
    // Nothing but types in it.
    let text =
        "(import \"wasi:random/random@1.0.0\" (instance (export \"t\" (type (sub resource)))))";
    assert_eq!(inspect(&command(text)).capabilities, []);
}

#[test]
fn sockboxs_own_components() {
    let report = sandbox().inspect(Sandbox::component(Wasi::V0_2)).unwrap();
    assert_eq!(report.kind, Kind::Command);
    assert_eq!(report.obstacle, None);
    let grants: Vec<_> = report.grants().map(|grant| grant.key()).collect();
    for flag in [
        "allow-connect",
        "allow-resolve",
        "allow-listen",
        "allow-accept",
        "dir",
    ] {
        assert!(grants.contains(&flag), "{flag}: {grants:?}");
    }
    assert!(!grants.contains(&"allow-udp-send"), "{grants:?}");
    // Not the language: whether the linker keeps that depends on which Rust it comes with.
    let mut tools = report.producers.iter().map(|it| it.name.as_str());
    assert!(tools.any(|it| it == "wit-bindgen-rust"));
    let code = report.code_bytes();
    assert!(0 < code && code < report.bytes, "{report:?}");
    let modules: u64 = report.core_modules.iter().map(|it| it.bytes).sum();
    assert!(code < modules && modules < report.bytes, "{report:?}");
    let memories: Vec<_> = report
        .core_modules
        .iter()
        .flat_map(|it| &it.memories)
        .collect();
    assert_eq!(memories.len(), 1, "{report:?}");
    assert!(memories[0].min_bytes >= 1 << 16);
    assert!(!report.incomplete);

    let report = sandbox().inspect(Sandbox::component(Wasi::V0_3)).unwrap();
    assert_eq!((report.kind, report.wasi), (Kind::Command, Wasi::V0_3));
    assert_eq!(report.obstacle, None);
    assert!(report.can(Ability::ListenTcp) && !report.can(Ability::ConnectTcp));
    assert!(report.capabilities.iter().all(|it| it.certain));
}

#[test]
fn what_running_it_would_say_is_said() {
    let sandbox = sandbox();
    let composed = format!(
        "(component $outer (import \"a:b/c@1.0.0\" (instance $i)) (component) {})",
        interface("wasi:cli/exit@0.2.0", &["not-there"])
    );
    for text in [
        command(""),
        command("(import \"wasi:clocks/monotonic-clock@0.2.0\" (instance (export \"now\" (func (result u64)))))"),
        "(component)".to_owned(),
        "(component (import \"example:other/thing@1.2.3\" (instance)))".to_owned(),
        "(component (import \"wasi:http/types@0.2.0\" (instance)))".to_owned(),
        // In an interface that there is, a function that there isn't, and one of another type.
        command(&interface("wasi:cli/exit@0.2.0", &["not-there"])),
        command(&interface("wasi:clocks/monotonic-clock@0.2.0", &["now"])),
        // What sockbox leaves out of WebAssembly.
        "(component (core module (memory 1 1 shared)))".to_owned(),
        "(component (core module (memory i64 1)))".to_owned(),
        "(component (core module (type (struct))))".to_owned(),
        "(component (core module (func (param v128) (drop (i32x4.relaxed_trunc_f32x4_s (local.get 0))))))"
            .to_owned(),
        // Imports behind something else.
        composed,
        "(module)".to_owned(),
        "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func)))".to_owned(),
    ] {
        let problem = match sandbox.program(&text) {
            Ok(_) => None,
            Err(Error::NotRunnable { problem, .. }) => Some(problem),
            Err(error) => panic!("{error:?}: {text}"),
        };
        let obstacle = sandbox.inspect(&text).unwrap().obstacle;
        // Where in the file a mistake is, or that there is no `run`, may be said in other words.
        let same = match (&problem, &obstacle) {
            (Some(problem), Some(obstacle)) => {
                let begin_with = |words| problem.starts_with(words) && obstacle.starts_with(words);
                problem.starts_with(obstacle.as_str()) || begin_with("it can't be compiled: ")
            }
            (None, None) => true,
            _ => false,
        };
        assert!(same, "{text}\nran: {problem:?}\ninspected: {obstacle:?}");
    }
}

#[test]
fn an_import_that_is_missing_is_named() {
    let report = inspect(&command(&interface("wasi:cli/exit@0.2.0", &["not-there"])));
    let obstacle = report.obstacle.unwrap();
    for word in ["wasi:cli/exit@0.2.0", "not-there"] {
        assert!(obstacle.contains(word), "{obstacle}");
    }
    let many: String = (0..100)
        .map(|number| format!("(import \"a:b/c{number}@1.0.0\" (func))"))
        .collect();
    let obstacle = inspect(&command(&many)).obstacle.unwrap();
    assert!(obstacle.contains(" and 90 more, "), "{obstacle}");
}

#[test]
fn what_is_no_component() {
    let report = inspect(
        r#"(module $mine
            (import "wasi_snapshot_preview1" "fd_write" (func))
            (memory 2 3)
            (func (export "_start"))
            (data (i32.const 0) "hello")
            (@producers (language "Zig" "1") (processed-by "a" "2") (processed-by "a" "2")))"#,
    );
    assert_eq!(report.kind, Kind::CoreModule);
    assert_eq!(report.name.as_deref(), Some("mine"));
    assert_eq!(
        report.imports,
        [Item::plain("wasi_snapshot_preview1::fd_write")]
    );
    assert_eq!(report.exports, [Item::plain("_start")]);
    assert!(
        report
            .obstacle
            .unwrap()
            .contains("wasm-tools component new")
    );
    let [module] = &report.core_modules[..] else {
        panic!("{:?}", report.core_modules)
    };
    let memory = Memory {
        min_bytes: 2 << 16,
        max_bytes: Some(3 << 16),
    };
    assert_eq!(module.memories, [memory]);
    let made: Vec<_> = report.producers.iter().map(|it| &it.name[..]).collect();
    assert_eq!(made, ["Zig", "a"]);

    let sandbox = sandbox();
    let compiled = sandbox.precompile("a.wat", command("")).unwrap();
    let report = sandbox.inspect(&compiled).unwrap();
    assert_eq!(report.kind, Kind::Precompiled);
    assert_eq!(report.bytes, compiled.len() as u64);
    assert!(report.obstacle.unwrap().contains("native code"));

    for bytes in [
        &b""[..],
        b"hello",
        b"\0asm",
        b"\0asm\x0d\0\x01\0\xff",
        b"\0asm\xff\0\x01\0",
        b"\x7fELF\x02\x01\x01\x00",
        b"(component (",
    ] {
        let error = sandbox.inspect(bytes).unwrap_err();
        assert!(matches!(error, Error::NotRunnable { .. }), "{error:?}");
    }
}

#[test]
fn parts_of_a_composed_component_are_counted() {
    let report = inspect(
        "(component $whole
            (component (core module $a (memory 1)))
            (component (component (core module $b))))",
    );
    assert_eq!(report.name.as_deref(), Some("whole"));
    assert_eq!(report.components, 3);
    let names: Vec<_> = report
        .core_modules
        .iter()
        .map(|it| it.name.as_deref())
        .collect();
    assert_eq!(names, [Some("a"), Some("b")]);
}

#[test]
fn hostile_files_are_survived() {
    let sandbox = sandbox();
    let component = Sandbox::component(Wasi::V0_2);
    // Cut short, at all of the beginning and here and there behind it. Between two sections it is another
    // component.
    for end in (0..500).chain((500..component.len()).step_by(997)) {
        let _ = sandbox.inspect(&component[..end]);
    }
    assert!(sandbox.inspect(&component[..component.len() - 1]).is_err());
    // With one byte changed: inspecting ends, with any result.
    let mut broken = component.to_vec();
    for at in (0..2000).chain((2000..component.len()).step_by(4999)) {
        broken[at] ^= 0xff;
        let _ = sandbox.inspect(&broken);
        broken[at] ^= 0xff;
    }
    // In each other, too deep.
    let nested = |depth| format!("{}{}", "(component ".repeat(depth), ")".repeat(depth));
    assert!(sandbox.inspect(nested(90)).is_ok());
    let mut deep = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..1000 {
        let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
        linkable::length(&mut outer, deep.len());
        outer.append(&mut deep);
        deep = outer;
    }
    let error = sandbox.inspect(&deep).unwrap_err();
    assert!(error.to_string().contains("nested"), "{error}");
    // A thousand functions, again and again.
    let functions: String = (0..1000)
        .map(|number| format!("(export \"f{number}\" (func))"))
        .collect();
    let imports: String = (0..500)
        .map(|number| format!("(import \"a{number}\" (instance (type $t)))"))
        .collect();
    let report = inspect(&format!(
        "(component (type $t (instance {functions})) {imports})"
    ));
    let listed: usize = report.imports.iter().map(|it| 1 + it.functions.len()).sum();
    assert!(report.incomplete && listed == 10_000, "{listed}");
}
