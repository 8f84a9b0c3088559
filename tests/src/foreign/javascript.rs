//! The component in JavaScript.

use super::Recipe;
use crate::tools;
use std::path::PathBuf;
use std::process::Command;

/// What the component was written for.
const VERSION: &str = "0.23.0";

pub(super) fn build() -> Result<PathBuf, String> {
    let recipe = Recipe {
        language: "javascript",
        source: "javascript/tries.js",
    };
    recipe.built(|folder, output| {
        let packages = tools::installed_from_npm("@bytecodealliance/componentize-js", VERSION)?;
        let mut command = Command::new(packages.join("node_modules/.bin/componentize-js"));
        command
            .args(["tries.js", "--wit", "wit", "--world-name", "guest", "--out"])
            .arg(output)
            .current_dir(folder);
        tools::run(&mut command).map(drop)
    })
}
