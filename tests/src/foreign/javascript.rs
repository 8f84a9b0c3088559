//! The component in JavaScript.

use super::Recipe;
use crate::tools;
use crate::wasi::Wasi;
use std::path::PathBuf;
use std::process::Command;

pub(super) const SOURCE: &str = "javascript/tries.js";

/// What the component was written for.
pub(super) const VERSION: &str = "0.4.5";

pub(super) fn build() -> Result<PathBuf, String> {
    let recipe = Recipe {
        language: "javascript",
        source: SOURCE,
        wasi: Wasi::V0_2,
        world: None,
    };
    recipe.built(|folder, output| {
        let packages = tools::installed_from_npm("componentize-qjs", VERSION)?;
        let mut command = Command::new(packages.join("node_modules/.bin/componentize-qjs"));
        command
            .args(["--sync", "--wit", "wit", "--world", "guest"])
            .args(["--js", "tries.js", "--output"])
            .arg(output)
            .current_dir(folder);
        tools::run(&mut command).map(drop)
    })
}
