//! The bindings of WASI 0.3.

#![allow(clippy::all, missing_docs)]

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.3",
    inline: "
        package sockbox:requests;

        world requests {
            import wasi:cli/environment@0.3.0;
            import wasi:http/client@0.3.0;

            export wasi:cli/run@0.3.0;
        }
    ",
    world: "sockbox:requests/requests",
    generate_all,
    pub_export_macro: true,
});
