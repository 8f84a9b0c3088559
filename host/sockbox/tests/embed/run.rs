//! Other components, and other builds of sockbox's component.

use crate::MOMENT;
use crate::peer::{Peer, response};
use sockbox::limits::Limit;
use sockbox::policy::Rule;
use sockbox::{Error, Limits, Policy, Request, Sandbox, Wasi};
use std::time::Duration;

/// A component in text. Its `run` has this `body`, and returns the value on the stack.
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
        (
            "(component)",
            "it is not a command, which exports `wasi:cli/run@0.2` or `wasi:cli/run@0.3`: it exports nothing, so that nothing in it \
             can be called",
        ),
        (
            r#"(component
                (core module $m (func (export "f")))
                (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f")))
                (instance $tool (export "call" (func $f)))
                (export "example:tool/api@1.0.0" (instance $tool))
                (export "reset" (func $f)))"#,
            "it is not a command, which exports `wasi:cli/run@0.2` or `wasi:cli/run@0.3`: it exports `example:tool/api@1.0.0`, \
             `reset`; a host that calls these can run it (a plugin host), or a command that imports them \
             (`wac plug` puts two components together)",
        ),
        (
            r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#,
            "it is not a command: its `wasi:cli/run@0.2.0` is not the function that a command has",
        ),
        (
            "(component (core module (memory 1 1 shared)))",
            "it uses `threads`, a proposal of WebAssembly that sockbox does not enable",
        ),
        (
            r#"(component (import "example:own/thing@1.0.0" (instance (export "f" (func)))))"#,
            "it imports `example:own/thing@1.0.0`, which sockbox does not provide",
        ),
        ("hello", "it is not WebAssembly"),
    ] {
        let error = sandbox.program(text).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{text}: {error}");
        let report = sandbox.inspect(text);
        let obstacle = report.ok().and_then(|report| report.obstacle);
        if let Some(obstacle) = obstacle {
            assert_eq!(obstacle, error.to_string(), "as it is inspected");
        }
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

/// A sandbox that compiles in separate processes, with the example `compiler`, which is built with these tests.
#[allow(unsafe_code, reason = "native code is loaded")]
fn compiling_apart() -> sockbox::SandboxBuilder {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/compiler");
    assert!(
        program.exists(),
        "{} is built with the tests",
        program.display()
    );
    // SAFETY: it was built with these tests.
    unsafe { Sandbox::builder().compiler(program, [""; 0]) }
}

#[tokio::test]
async fn an_executor_is_not_blocked_by_compiling() {
    for builder in [Sandbox::builder(), compiling_apart()] {
        let sandbox = builder.build().unwrap();
        let mut turns = 0;
        let loading = sandbox.load_program("a.wat", command("i32.const 1"));
        let mut loading = std::pin::pin!(loading);
        // Another task on this thread, which runs while the first one waits.
        let program = loop {
            tokio::select! {
                biased;
                program = &mut loading => break program.unwrap(),
                () = tokio::task::yield_now() => turns += 1,
            }
        };
        assert!(turns > 0);
        assert_eq!(program.command().run().await.unwrap(), 1);
        let problem = sandbox.load_program("b.wat", "(component").await;
        assert!(
            matches!(&problem, Err(Error::NotRunnable { file: Some(file), .. }) if file.as_os_str() == "b.wat"),
            "{problem:?}"
        );
    }
}

#[tokio::test]
async fn a_compilation_that_nobody_waits_for_is_ended() {
    let sandbox = compiling_apart().build().unwrap();
    let bytes = Sandbox::component(Wasi::V0_2);
    let loading = sandbox.load_program("sockbox.wasm", bytes);
    tokio::time::timeout(MOMENT, loading).await.unwrap_err();
    // Its process ends with it, and the sandbox compiles as before.
    let program = sandbox.load_program("a.wat", command("i32.const 0"));
    program.await.unwrap();
}

#[test]
fn what_takes_too_much_is_refused_with_what_it_takes() {
    for builder in [Sandbox::builder(), compiling_apart()] {
        let sandbox = builder
            .limits(Limits::default().memory_bytes(65_535))
            .build()
            .unwrap();
        let error = sandbox.program(command("i32.const 0")).unwrap_err();
        assert!(
            matches!(
                error,
                Error::NeedsTooMuch {
                    limit: Limit::Memory,
                    needs: 65_536,
                    allowed: 65_535,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    let bounded = |limits: Limits| {
        let sandbox = compiling_apart().limits(limits).build().unwrap();
        sandbox.program(command("i32.const 0")).unwrap_err()
    };
    let limits = Limits::default;
    let error = bounded(limits().compile_memory(1 << 20));
    assert!(matches!(error, Error::CompileMemory { .. }), "{error:?}");
    let error = bounded(limits().compile_time(Duration::ZERO));
    assert!(matches!(error, Error::CompileTime { .. }), "{error:?}");
    let error = bounded(limits().wall_time(Some(Duration::ZERO)));
    assert!(matches!(error, Error::WallTime { .. }), "{error:?}");
}

#[tokio::test]
#[allow(unsafe_code, reason = "native code is loaded")]
async fn a_compiler_that_does_not_do_its_job_is_an_error() {
    for program in [
        "/nonexistent/compiler",
        "/bin/true",
        "/bin/cat",
        "/bin/echo",
    ] {
        // SAFETY: none of them answers with anything that could be loaded.
        let builder = unsafe { Sandbox::builder().compiler(program, ["x"]) };
        let sandbox = builder.build().unwrap();
        let error = sandbox.program(command("i32.const 0")).unwrap_err();
        assert!(
            matches!(error, Error::Internal { .. }),
            "{program}: {error:?}"
        );
    }
}

#[tokio::test]
async fn no_program_may_write_to_the_cache() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("deep/cache");
    let sandbox = Sandbox::builder().cache_dir(&cache).build().unwrap();
    let program = sandbox.program(command("i32.const 0")).unwrap();
    let run = async |dir: &str| {
        let dir = format!("{}::/data{dir}", root.path().display());
        program.command().dir(dir.parse().unwrap()).run().await
    };
    let error = run("").await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::InvalidOptions { .. }), "{text}");
    assert!(text.contains(cache.to_str().unwrap()), "{text}");
    assert_eq!(run(":ro").await.unwrap(), 0);
}

/// A command that throws `payload` so many times and catches it, and then throws it without catching it if it
/// is to.
fn throwing(payload: u32, times: u32, uncaught: bool) -> String {
    let last = if uncaught {
        "(throw $e (i32.const 7))"
    } else {
        ""
    };
    format!(
        r#"(component
            (core module $m
                (tag $e (param i32))
                (func (export "run") (result i32)
                    (local $left i32) (local $caught i32)
                    (local.set $left (i32.const {times}))
                    (loop $again
                        (local.set $caught
                            (block $handler (result i32)
                                (try_table (catch $e $handler) (throw $e (i32.const {payload})))
                                unreachable))
                        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                        (br_if $again (local.get $left)))
                    {last}
                    local.get $caught))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    )
}

#[tokio::test]
async fn a_component_throws_and_catches() {
    let sandbox = Sandbox::new().unwrap();
    for (payload, code) in [(0, 0), (1, 1)] {
        let program = sandbox.program(throwing(payload, 1, false)).unwrap();
        assert_eq!(program.command().run().await.unwrap(), code);
    }
    // An exception that nothing holds any more takes no memory: together these take more than the limit.
    let program = sandbox.program(throwing(0, 100_000, false)).unwrap();
    let limits = Limits::default().memory_bytes(1 << 20);
    let run = program.command().limits(limits).run().await;
    assert_eq!(run.unwrap(), 0);

    let program = sandbox.program(throwing(0, 1, true)).unwrap();
    let error = program.command().run().await.unwrap_err();
    let Error::Trapped { reason, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(reason, "it threw an exception that nothing caught");
}
