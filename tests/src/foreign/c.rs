//! The components in C.

use super::{Recipe, rust};
use crate::clang;
use crate::tools;
use crate::wasi::Wasi;
use std::path::PathBuf;

pub(super) const SOURCE: &str = "c/sockets.c";
pub(super) const SOURCE_WITH_JUMPS: &str = "c/jumps.c";

pub(super) fn build() -> Result<PathBuf, String> {
    built("c", SOURCE, &[])
}

/// The one with exceptions: `setjmp` makes them, and clang has to be told so. WebAssembly has a newer form of them and
/// the legacy one, which is clang's default and no part of the standard.
pub(super) fn build_with_jumps() -> Result<PathBuf, String> {
    let flags = [
        "-mllvm",
        "-wasm-enable-sjlj",
        "-mllvm",
        "-wasm-use-legacy-eh=false",
        "-lsetjmp",
    ];
    built("c-jumps", SOURCE_WITH_JUMPS, &flags)
}

fn built(language: &'static str, source: &'static str, flags: &[&str]) -> Result<PathBuf, String> {
    let recipe = Recipe {
        language,
        source,
        wasi: Wasi::V0_2,
        world: None,
    };
    recipe.built(|folder, output| {
        let name = source.trim_start_matches("c/");
        let mut command = clang::clang()?.command(&rust::linkers()?)?;
        command
            .args(["-O2", "-Wall", "-Wextra", "-Werror", name])
            .args(flags)
            .arg("-o")
            .arg(output)
            .current_dir(folder);
        tools::run(&mut command).map(drop)
    })
}
