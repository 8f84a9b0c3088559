//! The bindings of WASI 0.3.

#![allow(clippy::all, missing_docs)]

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.3",
    inline: "
        package sockbox:tries;

        world tries {
            import wasi:cli/environment@0.3.0;
            import wasi:cli/exit@0.3.0;
            import wasi:cli/stdin@0.3.0;
            import wasi:cli/stdout@0.3.0;
            import wasi:clocks/monotonic-clock@0.3.0;
            import wasi:filesystem/preopens@0.3.0;
            import wasi:filesystem/types@0.3.0;
            import wasi:random/random@0.3.0;
            import wasi:sockets/ip-name-lookup@0.3.0;
            import wasi:sockets/types@0.3.0;

            export wasi:cli/run@0.3.0;
        }
    ",
    world: "sockbox:tries/tries",
    generate_all,
    pub_export_macro: true,
});
