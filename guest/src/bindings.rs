//! What `wit-bindgen` makes of `wit/`.

#![allow(clippy::all, missing_docs)]

wit_bindgen::generate!({
    path: "../wit",
    world: "programs",
    generate_all,
    pub_export_macro: true,
});
