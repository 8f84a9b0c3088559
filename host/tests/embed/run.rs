//! Other components, and other builds of ours.

use crate::MOMENT;
use crate::peer::{Peer, response};
use sockbox::policy::Rule;
use sockbox::{Error, Limits, Policy, Request, Sandbox, Wasi};

/// A component in text: `run` does what `body` says, and gives what it leaves on the stack.
pub fn command(body: &str) -> String {
    format!(
        r#"(component
            (core module $module
                (memory (export "memory") 1)
                (func $run (export "run") (result i32) {body}))
            (core instance $core (instantiate $module))
            (func $run (result (result)) (canon lift (core func $core "run")))
            (instance $export (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $export)))"#
    )
}

#[tokio::test]
async fn any_command_runs_within_its_limits() {
    let sandbox = Sandbox::new().unwrap();
    let run = async |body: &str, limits: Limits| {
        let program = sandbox.program(command(body)).unwrap();
        program.command().limits(limits).run().await
    };
    let defaults = Limits::default;
    assert_eq!(run("i32.const 0", defaults()).await.unwrap(), 0);
    assert_eq!(run("i32.const 1", defaults()).await.unwrap(), 1);

    let error = run("unreachable", defaults()).await.unwrap_err();
    let Error::Trapped { reason, backtrace } = &error else {
        panic!("{error:?}");
    };
    assert!(reason.contains("unreachable"), "{reason}");
    assert!(
        backtrace
            .as_ref()
            .is_some_and(|frames| frames.contains("run")),
        "{backtrace:?}"
    );

    let mut limits = defaults();
    limits.wall_time = Some(MOMENT);
    let error = run("(loop (br 0)) unreachable", limits).await.unwrap_err();
    assert!(matches!(error, Error::WallTime { .. }), "{error:?}");

    let mut limits = defaults();
    limits.memory_bytes = 3 * 65536;
    let grow = |pages| {
        format!(
            "(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable)) i32.const 0"
        )
    };
    assert_eq!(run(&grow(2), limits.clone()).await.unwrap(), 0);
    let error = run(&grow(3), limits).await.unwrap_err();
    assert!(
        matches!(error, Error::MemoryLimit { limit: 196_608 }),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_run_is_named() {
    let sandbox = Sandbox::new().unwrap();
    for (text, expected) in [
        ("(module)", "it is a core module"),
        ("(component)", "it is not a command"),
        (
            r#"(component (import "example:own/thing@1.0.0" (instance (export "f" (func)))))"#,
            "it imports `example:own/thing@1.0.0`, which sockbox does not provide",
        ),
        ("hello", "it is not WebAssembly"),
    ] {
        let error = sandbox.program(text).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{text}: {error}");
    }
    let error = sandbox
        .program_file("missing.wasm")
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error:?}");
}

#[tokio::test]
async fn another_build_of_the_component_can_be_taken() {
    let sandbox = Sandbox::builder()
        .component_bytes(Sandbox::component(Wasi::V0_2))
        .build()
        .unwrap();
    let peer = Peer::answering(response(b"hello"));
    let mut instance = sandbox
        .instance()
        .policy(Policy::new().grant(Rule::Everything))
        .build()
        .await
        .unwrap();
    let mut response = instance.fetch(Request::get(&peer.url)).await.unwrap();
    assert_eq!(
        response.chunk().await.unwrap().as_deref(),
        Some(&b"hello"[..])
    );
    drop(response);
    peer.request();

    let error = Sandbox::builder()
        .wasi(Wasi::V0_3)
        .component_bytes(Sandbox::component(Wasi::V0_2))
        .build()
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, Error::NotRunnable { .. }), "{error:?}");

    let error = Sandbox::builder()
        .component_bytes(command("i32.const 0"))
        .build()
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, Error::NotRunnable { .. }), "{error:?}");
}
