use super::*;
use std::fmt::Write;

fn count(text: &str, limits: &Limits) -> Result<Cost, Problem> {
    of(&wat::parse_str(text).unwrap(), limits)
}

fn counted(text: &str) -> Cost {
    count(text, &Limits::default()).unwrap()
}

/// A component that instantiates `times` the one before it, and so on `deep` times; the innermost has
/// `inner` in it.
fn nested(inner: &str, times: usize, deep: usize) -> String {
    let mut text = format!("(component (component $c0 {inner})");
    for depth in 1..=deep {
        let _ = write!(
            text,
            "(component $c{depth} (alias outer 1 $c{} (component $before)){})",
            depth - 1,
            "(instance (instantiate $before))".repeat(times)
        );
    }
    let _ = write!(text, "(instance (instantiate $c{deep})))");
    text
}

const ONE_MODULE: &str = "(core module $m) (core instance (instantiate $m))";

#[test]
fn what_is_instantiated_is_counted_as_often_as_it_is() {
    for (text, core_instances) in [
        ("(component)".to_owned(), 0),
        ("(component (core module))".to_owned(), 0),
        (format!("(component {ONE_MODULE})"), 1),
        (
            format!("(component (component {ONE_MODULE}))"),
            0,
        ),
        (nested(ONE_MODULE, 1, 5), 1),
        (nested(ONE_MODULE, 2, 9), 512),
        (nested(ONE_MODULE, 3, 6), 729),
        // A module of the outermost, instantiated by those inside.
        (
            "(component (core module $m)
                (component $a
                    (component $b
                        (alias outer 2 $m (core module $mine))
                        (core instance (instantiate $mine))
                        (core instance (instantiate $mine)))
                    (instance (instantiate $b))
                    (instance (instantiate $b)))
                (instance (instantiate $a)))"
                .to_owned(),
            4,
        ),
        // A component that is given one, and one that is taken out of an instance.
        (
            format!(
                "(component
                    (component $twice
                        (import \"it\" (component $it))
                        (instance (instantiate $it))
                        (instance (instantiate $it)))
                    (component $holder (component $one {ONE_MODULE}) (export \"one\" (component $one)))
                    (instance $held (instantiate $holder))
                    (alias export $held \"one\" (component $one))
                    (instance (instantiate $twice (with \"it\" (component $one))))
                    (instance (instantiate $twice (with \"it\" (component $one)))))"
            ),
            4,
        ),
        // The same by way of an instance that is put together, and of an export's own index.
        (
            "(component
                (core module $m)
                (instance $bag (export \"m\" (core module $m)))
                (component $user
                    (import \"bag\" (instance $bag (export \"m\" (core module))))
                    (alias export $bag \"m\" (core module $m))
                    (core instance (instantiate $m))
                    (core instance (instantiate $m))
                    (core instance (instantiate $m)))
                (export $again \"bag\" (instance $bag))
                (instance (instantiate $user (with \"bag\" (instance $again)))))"
                .to_owned(),
            3,
        ),
    ] {
        assert_eq!(counted(&text).core_instances, core_instances, "{text}");
    }
}

#[test]
fn what_a_module_has_is_counted_for_each_instance() {
    let text = nested(
        "(core module $m (import \"\" \"f\" (func)) (memory 2) (table 10 funcref) (table 5 externref)
            (global i32 (i32.const 0)) (global (mut i64) (i64.const 0)) (func) (func) (func)
            (elem func 1 1 1 1) (elem (table 0) (i32.const 0) func 1 2 3))
         (core module $f (func (export \"f\")))
         (core instance $f (instantiate $f))
         (core instance (instantiate $m (with \"\" (instance $f))))",
        2,
        3,
    );
    let cost = counted(&text);
    assert_eq!(cost.core_instances, 16);
    assert_eq!(cost.memories, 8);
    assert_eq!(cost.memory_bytes, 8 * 2 * 65_536);
    assert_eq!(cost.tables, 16);
    assert_eq!(cost.table_elements, 8 * 15);
    let one = 2 * INSTANCE_BYTES + 5 * FUNCTION_BYTES + 2 * GLOBAL_BYTES + 4 * SEGMENT_ITEM_BYTES;
    assert_eq!(cost.instance_bytes, 8 * one);
}

/// What a component takes of each limit is allowed, and one less is not.
#[test]
fn every_limit_holds_at_what_is_taken_and_breaks_below() {
    let text = nested(
        "(core module $m (memory 1) (table 7 funcref) (global i32 (i32.const 0)))
         (core instance (instantiate $m))",
        2,
        3,
    );
    let cost = counted(&text);
    let enough = Limits::default()
        .instances(8)
        .memory_bytes(8 * 65_536)
        .table_elements(56)
        .instance_bytes(cost.instance_bytes)
        .component_items(cost.items);
    assert_eq!(count(&text, &enough), Ok(cost));
    assert_eq!(cost.check(&enough), Ok(()));
    for (limits, limit) in [
        (enough.clone().instances(7), Limit::Instances),
        (enough.clone().memory_bytes(8 * 65_536 - 1), Limit::Memory),
        (enough.clone().table_elements(55), Limit::TableElements),
        (
            enough.clone().instance_bytes(cost.instance_bytes - 1),
            Limit::InstanceBytes,
        ),
        (
            enough.clone().component_items(cost.items - 1),
            Limit::ComponentItems,
        ),
    ] {
        let Err(Problem::TooMuch(too_much)) = count(&text, &limits) else {
            panic!("{limit:?} did not break");
        };
        assert_eq!(too_much.limit, limit);
        assert!(too_much.needs > too_much.allowed, "{too_much:?}");
        assert_eq!(cost.check(&limits).unwrap_err().limit, limit);
    }
}

#[test]
fn explosions_are_counted_no_further_than_the_limit() {
    let limits = Limits::default();
    for (what, text, limit) in [
        ("components", nested("", 2, 60), Limit::ComponentItems),
        ("instances", nested(ONE_MODULE, 2, 60), Limit::Instances),
        (
            "exports",
            {
                // Each instance holds the one before it twice.
                let mut text =
                    "(component (core module $m) (instance $i0 (export \"m\" (core module $m)))"
                        .to_owned();
                for depth in 1..=60 {
                    let before = depth - 1;
                    let _ = write!(
                        text,
                        "(instance $i{depth} (export \"a\" (instance $i{before})) (export \"b\" (instance $i{before})))"
                    );
                }
                text + ")"
            },
            Limit::ComponentItems,
        ),
        (
            "globals",
            nested(
                &format!(
                    "(core module $m {}) (core instance (instantiate $m))",
                    "(global i32 (i32.const 0))".repeat(10_000)
                ),
                2,
                9,
            ),
            Limit::InstanceBytes,
        ),
        (
            "elements that are copied into tables",
            nested(
                &format!(
                    "(core module $m (table 20000 funcref) (func $f)
                        (elem (i32.const 0) func {}))
                    (core instance (instantiate $m))",
                    "$f ".repeat(10_000)
                ),
                2,
                8,
            ),
            Limit::TableElements,
        ),
        (
            "elements that are copied into one table",
            format!(
                "(component
                    (core module $t (table (export \"t\") 10000 funcref))
                    (core instance $t (instantiate $t))
                    (core module $m (import \"t\" \"t\" (table 10000 funcref)) (func $f)
                        (elem (i32.const 0) func {}))
                    {})",
                "$f ".repeat(10_000),
                "(core instance (instantiate $m (with \"t\" (instance $t))))".repeat(200)
            ),
            Limit::ComponentItems,
        ),
        (
            "data that is copied into one memory",
            format!(
                "(component
                    (core module $t (memory (export \"m\") 1000))
                    (core instance $t (instantiate $t))
                    (core module $m (import \"t\" \"m\" (memory 1000)) {})
                    {})",
                format_args!("(data (i32.const 0) \"{}\")", "x".repeat(10_000_000)),
                "(core instance (instantiate $m (with \"t\" (instance $t))))".repeat(200)
            ),
            Limit::ComponentItems,
        ),
    ] {
        match count(&text, &limits) {
            Err(Problem::TooMuch(too_much)) => assert_eq!(too_much.limit, limit, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// A component in a component, and so on; the text format has a bound of its own.
fn onion(depth: usize) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    let mut binary = HEADER.to_vec();
    for _ in 1..depth {
        let mut outer = HEADER.to_vec();
        outer.push(4);
        let mut length = binary.len();
        while length >= 0x80 {
            outer.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(binary);
        binary = outer;
    }
    binary
}

#[test]
fn what_is_too_deep_is_refused() {
    let refused = |text: &str| {
        let problem = count(text, &Limits::default());
        assert!(
            matches!(&problem, Err(Problem::Invalid(text)) if text.contains("100")),
            "{problem:?}"
        );
    };
    let depth = |depth: usize| of(&onion(depth), &Limits::default());
    depth(MAX_DEPTH).unwrap();
    for deep in [MAX_DEPTH + 1, 10_000] {
        let problem = depth(deep);
        assert!(
            matches!(&problem, Err(Problem::Invalid(text)) if text.contains("100")),
            "{problem:?}"
        );
    }
    // What is beside each other, and instantiates each other.
    counted(&nested("", 1, MAX_DEPTH - 2));
    refused(&nested("", 1, MAX_DEPTH - 1));
}

#[test]
fn memories_that_are_mostly_gaps_are_refused() {
    let module =
        "(core module (memory 256) (data (i32.const 0) \"a\") (data (i32.const 16777215) \"b\"))";
    let text = |modules: usize| format!("(component {})", module.repeat(modules));
    counted(&text(16));
    let problem = count(&text(17), &Limits::default());
    assert!(
        matches!(&problem, Err(Problem::Invalid(text)) if text.contains("256 MiB")),
        "{problem:?}"
    );
}

#[test]
fn what_makes_no_sense_is_an_error_and_not_a_panic() {
    let binary = wat::parse_str(nested(ONE_MODULE, 2, 3)).unwrap();
    let limits = Limits::default();
    for at in 0..binary.len() {
        // What ends between two sections is valid.
        let _ = of(&binary[..at], &limits);
        for value in [0, 1, 0x7f, 0x80, 0xff, binary[at] ^ 1] {
            let mut broken = binary.clone();
            broken[at] = value;
            // Counting ends for any input.
            let _ = of(&broken, &limits);
        }
    }
}

#[test]
fn our_own_components_are_far_from_every_limit() {
    for wasi in [crate::Wasi::V0_2, crate::Wasi::V0_3] {
        let cost = of(crate::Sandbox::component(wasi), &Limits::default()).unwrap();
        assert!(cost.items < 10_000, "{cost:?}");
        assert!(cost.core_instances < 20, "{cost:?}");
        assert!(cost.instance_bytes < 1 << 20, "{cost:?}");
    }
}

/// The compiler counts the same way, so a component that is counted here can be compiled.
#[test]
fn what_is_counted_can_be_compiled() {
    let engine = wasmtime::Engine::new(&sockbox_component::engine::config(false)).unwrap();
    for text in [nested(ONE_MODULE, 2, 4), nested("", 3, 3)] {
        let binary = wat::parse_str(&text).unwrap();
        wasmtime::component::Component::from_binary(&engine, &binary).unwrap();
        of(&binary, &Limits::default()).unwrap();
    }
}
