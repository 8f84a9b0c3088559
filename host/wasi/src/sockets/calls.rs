//! A component that makes the calls of `wasi:sockets/tcp` that a test asks it to make.

use crate::testing::{self, State};
use wasmtime::Store;
use wasmtime::component::{Component, Instance, Val};

/// A method: its name, its parameters behind the socket (whole, and as WebAssembly's own types), and
/// what it returns.
type Call = (&'static str, &'static str, &'static str, &'static str);

const NETWORK_AND_ADDRESS: &str =
    r#"(param "network" (borrow $network-handle)) (param "address" $ip-socket-address)"#;
/// A handle, a discriminant, and the longer kind of address.
const NETWORK_AND_ADDRESS_FLAT: &str = "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32";
const DONE: &str = "(result (error $error-code))";
const U64: &str = "(result u64 (error $error-code))";

const CALLS: &[Call] = &[
    (
        "start-bind",
        NETWORK_AND_ADDRESS,
        NETWORK_AND_ADDRESS_FLAT,
        DONE,
    ),
    ("finish-bind", "", "", DONE),
    (
        "start-connect",
        NETWORK_AND_ADDRESS,
        NETWORK_AND_ADDRESS_FLAT,
        DONE,
    ),
    (
        "finish-connect",
        "",
        "",
        "(result (tuple (own $input-stream) (own $output-stream)) (error $error-code))",
    ),
    ("start-listen", "", "", DONE),
    ("finish-listen", "", "", DONE),
    (
        "accept",
        "",
        "",
        "(result (tuple (own $tcp-socket) (own $input-stream) (own $output-stream)) \
         (error $error-code))",
    ),
    (
        "local-address",
        "",
        "",
        "(result $ip-socket-address (error $error-code))",
    ),
    (
        "remote-address",
        "",
        "",
        "(result $ip-socket-address (error $error-code))",
    ),
    ("is-listening", "", "", "bool"),
    ("address-family", "", "", "$ip-address-family"),
    (
        "set-listen-backlog-size",
        r#"(param "value" u64)"#,
        "i64",
        DONE,
    ),
    (
        "keep-alive-enabled",
        "",
        "",
        "(result bool (error $error-code))",
    ),
    (
        "set-keep-alive-enabled",
        r#"(param "value" bool)"#,
        "i32",
        DONE,
    ),
    ("keep-alive-idle-time", "", "", U64),
    (
        "set-keep-alive-idle-time",
        r#"(param "value" u64)"#,
        "i64",
        DONE,
    ),
    ("keep-alive-interval", "", "", U64),
    (
        "set-keep-alive-interval",
        r#"(param "value" u64)"#,
        "i64",
        DONE,
    ),
    (
        "keep-alive-count",
        "",
        "",
        "(result u32 (error $error-code))",
    ),
    (
        "set-keep-alive-count",
        r#"(param "value" u32)"#,
        "i32",
        DONE,
    ),
    ("hop-limit", "", "", "(result u8 (error $error-code))"),
    ("set-hop-limit", r#"(param "value" u8)"#, "i32", DONE),
    ("receive-buffer-size", "", "", U64),
    (
        "set-receive-buffer-size",
        r#"(param "value" u64)"#,
        "i64",
        DONE,
    ),
    ("send-buffer-size", "", "", U64),
    (
        "set-send-buffer-size",
        r#"(param "value" u64)"#,
        "i64",
        DONE,
    ),
    ("subscribe", "", "", "(own $pollable)"),
    ("shutdown", r#"(param "how" $shutdown-type)"#, "i32", DONE),
];

/// The component, ready to make calls.
pub(super) struct Calls(Instance);

impl Calls {
    pub(super) async fn new(store: &mut Store<State>) -> Calls {
        let engine = store.engine().clone();
        let component = Component::new(&engine, text()).unwrap();
        let linker = testing::linker(&engine);
        let instance = linker.instantiate_async(store, &component);
        Calls(instance.await.unwrap())
    }

    /// Makes a call; it mustn't trap.
    pub(super) async fn call(
        &self,
        store: &mut Store<State>,
        name: &str,
        parameters: &[Val],
    ) -> Val {
        let call = self.0.get_func(&mut *store, name).unwrap();
        let mut results = [Val::Bool(false)];
        let called = call.call_async(store, parameters, &mut results).await;
        called.unwrap_or_else(|trap| panic!("{name}: {trap:?}"));
        let [result] = results;
        result
    }
}

fn text() -> String {
    let made = |make: fn(&Call) -> String| CALLS.iter().map(make).collect::<String>();
    include_str!("calls.wat")
        .replace("{imports}", &made(import))
        .replace("{lowered}", &made(lowered))
        .replace("{taken}", &made(taken))
        .replace("{functions}", &made(function))
        .replace("{given}", &made(given))
        .replace("{exports}", &made(export))
}

fn import((name, parameters, _, result): &Call) -> String {
    format!(
        r#"(export "[method]tcp-socket.{name}"
            (func (param "self" (borrow $tcp-socket)) {parameters} (result {result})))"#
    )
}

fn lowered((name, ..): &Call) -> String {
    format!(
        r#"(core func ${name}
            (canon lower (func $tcp "[method]tcp-socket.{name}") (memory (core memory $memory "memory"))))"#
    )
}

fn given((name, ..): &Call) -> String {
    format!(r#"(export "{name}" (func ${name}))"#)
}

/// What doesn't fit into one value comes in memory, at a place that is named behind the parameters.
fn comes_in_memory(result: &str) -> bool {
    result.starts_with("(result")
}

fn taken((name, _, flat, result): &Call) -> String {
    let (place, returned) = match comes_in_memory(result) {
        true => ("i32", ""),
        false => ("", "(result i32)"),
    };
    format!(r#"(import "host" "{name}" (func ${name} (param i32 {flat} {place}) {returned}))"#)
}

fn function((name, parameters, flat, result): &Call) -> String {
    let count = 1 + flat.split_whitespace().count();
    let passed: String = (0..count).map(|at| format!("(local.get {at})")).collect();
    let call = match comes_in_memory(result) {
        true => format!("(call ${name} {passed} (i32.const 8)) (i32.const 8)"),
        false => format!("(call ${name} {passed})"),
    };
    // What is borrowed has to be given back.
    let network = match parameters.contains("$network") {
        true => "(call $drop-network (local.get 1))",
        false => "",
    };
    format!(
        r#"(func (export "{name}") (param i32 {flat}) (result i32)
            {call} (call $drop-socket (local.get 0)) {network})"#
    )
}

fn export((name, parameters, _, result): &Call) -> String {
    format!(
        r#"(func (export "{name}") (param "self" (borrow $tcp-socket)) {parameters} (result {result})
            (canon lift (core func $calls "{name}") (memory (core memory $memory "memory"))))"#
    )
}
