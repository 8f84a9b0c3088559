//! Plugins of the example `plugins`, in Python and in JavaScript.

use super::{Recipe, fetch, python};
use crate::tools;
use crate::wasi::Wasi;
use std::path::PathBuf;
use std::process::Command;

/// The world of a plugin.
const WORLD: &str = "host/sockbox/examples/plugins/plugin.wit";

pub(super) fn build_python() -> Result<PathBuf, String> {
    let recipe = Recipe {
        language: "plugin-python",
        source: "python/plugin.py",
        wasi: Wasi::V0_2,
        world: Some(WORLD),
    };
    python::built(&recipe, "plugin", ["world", "plugin"])
}

pub(super) fn build_javascript() -> Result<PathBuf, String> {
    let recipe = Recipe {
        language: "plugin-javascript",
        source: "javascript/plugin.js",
        wasi: Wasi::V0_2,
        world: Some(WORLD),
    };
    recipe.built(|folder, output| {
        let mut command = Command::new(fetch::tool()?);
        command
            .args(["plugin.js", "--wit", "world", "--world-name", "plugin"])
            .args(["--disable", "fetch-event", "-o"])
            .arg(output)
            .current_dir(folder);
        tools::run(&mut command).map(drop)
    })
}
