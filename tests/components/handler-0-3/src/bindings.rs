//! The bindings of WASI 0.3.

#![allow(clippy::all, missing_docs)]

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.3",
    inline: "
        package sockbox:handler;

        world handler {
            import wasi:clocks/monotonic-clock@0.3.0;
            import wasi:filesystem/preopens@0.3.0;
            import wasi:filesystem/types@0.3.0;
            import wasi:http/client@0.3.0;

            export wasi:http/handler@0.3.0;
        }
    ",
    world: "sockbox:handler/handler",
    generate_all,
    pub_export_macro: true,
});
