//! Plugins: components of any world. What needs plugins in other languages is in the end-to-end tests.

mod bindings;
mod calls;
mod limits;
mod pool;

use sockbox::{Plugin, Sandbox};

/// A component with some functions, at the top and in two interfaces.
const FUNCTIONS: &str = r#"
    (component
        (core module $module
            (memory (export "memory") 1)
            (global $calls (mut i32) (i32.const 0))
            (global $free (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            ;; Gives back the list or the string that it was passed.
            (func (export "same") (param i32 i32) (result i32)
                (i32.store (i32.const 16) (local.get 0))
                (i32.store (i32.const 20) (local.get 1))
                (i32.const 16))
            (func (export "count") (result i32)
                (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                (global.get $calls))
            (func (export "spin") (loop (br 0)))
            (func (export "trap") unreachable)
            (func (export "grow") (param $pages i32)
                (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then unreachable))))
        (core instance $core (instantiate $module))
        (alias core export $core "memory" (core memory $memory))
        (alias core export $core "realloc" (core func $realloc))
        (func $same (param "text" string) (result string)
            (canon lift (core func $core "same") (memory $memory) (realloc $realloc)))
        (func $count (result u32) (canon lift (core func $core "count")))
        (export "same" (func $same))
        (export "count" (func $count))
        (func (export "spin") (canon lift (core func $core "spin")))
        (func (export "trap") (canon lift (core func $core "trap")))
        (func (export "grow") (param "pages" u32) (canon lift (core func $core "grow")))
        (instance $text (export "same" (func $same)) (export "again" (func $same)))
        (export "example:one/text@1.2.0" (instance $text))
        (instance $other (export "same" (func $same)) (export "only" (func $count)))
        (export "example:two/other@1.0.0" (instance $other)))
"#;

fn functions() -> Plugin {
    Sandbox::new().unwrap().plugin_bytes(FUNCTIONS).unwrap()
}
